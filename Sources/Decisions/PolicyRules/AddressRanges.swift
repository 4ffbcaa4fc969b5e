import NFTables
import ServiceRules

/// Networks without others, as ranges that neither touch nor overlap: the form that an interval set of the kernel takes.
struct AddressRanges: Hashable, Sendable {
  private(set) var ranges: [ClosedRange<UInt128>] = []
  let family: Family

  init(_ blocks: [PolicyFacts.Block], _ family: Family) {
    self.family = family
    var found: [ClosedRange<UInt128>] = []
    for block in blocks where block.range.family == family {
      var rest = [Self.range(block.range)]
      for hole in block.except where hole.family == family { rest = rest.flatMap { Self.subtract(Self.range(hole), from: $0) } }
      found += rest
    }
    for range in found.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = ranges.last, range.lowerBound == 0 || range.lowerBound - 1 <= last.upperBound {
        ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        ranges.append(range)
      }
    }
  }

  private static func range(_ prefix: IPPrefix) -> ClosedRange<UInt128> { number(prefix.address.bytes)...number(prefix.lastBytes) }

  private static func number(_ bytes: [UInt8]) -> UInt128 { bytes.reduce(0) { $0 << 8 | UInt128($1) } }

  private static func subtract(_ hole: ClosedRange<UInt128>, from range: ClosedRange<UInt128>) -> [ClosedRange<UInt128>] {
    guard hole.overlaps(range) else { return [range] }
    var rest: [ClosedRange<UInt128>] = []
    if hole.lowerBound > range.lowerBound { rest.append(range.lowerBound...(hole.lowerBound - 1)) }
    if hole.upperBound < range.upperBound { rest.append((hole.upperBound + 1)...range.upperBound) }
    return rest
  }

  private var length: Int { family == .ipv6 ? 16 : 4 }

  private func bytes(_ number: UInt128) -> [UInt8] {
    (0..<length).reversed().map { UInt8(truncatingIfNeeded: number >> UInt128($0 * 8)) }
  }

  /// Each range's first address, and the first behind it unless it reaches the end of the family.
  var elements: Set<Element> {
    let last: UInt128 = length == 16 ? .max : 0xffff_ffff
    var elements: Set<Element> = []
    for range in ranges {
      elements.insert(Element(bytes(range.lowerBound)))
      if range.upperBound < last { elements.insert(Element(bytes(range.upperBound + 1), isIntervalEnd: true)) }
    }
    // Without it the kernel takes what lies before the first range for the end of nothing and prints a set that begins open.
    if let first = ranges.first, first.lowerBound > 0 { elements.insert(Element(bytes(0), isIntervalEnd: true)) }
    return elements
  }
}

/// Ports of a rule as `protocol . port` ranges that do not overlap.
struct PortRanges: Hashable, Sendable {
  private(set) var ranges: [TransportProtocol: [ClosedRange<UInt16>]] = [:]

  init(_ ports: [PolicyFacts.Port]) {
    var found: [TransportProtocol: [ClosedRange<UInt16>]] = [:]
    for case .numbers(let transport, let range) in ports { found[transport, default: []].append(range) }
    for (transport, all) in found {
      var merged: [ClosedRange<UInt16>] = []
      for range in all.sorted(by: { $0.lowerBound < $1.lowerBound }) {
        if let last = merged.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
          merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
        } else {
          merged.append(range)
        }
      }
      ranges[transport] = merged
    }
  }

  var elements: Set<Element> {
    func key(_ transport: TransportProtocol, _ port: UInt16) -> [UInt8] {
      Element.concatenate([transport.rawValue], [UInt8(port >> 8), UInt8(port & 0xff)])
    }
    return Set(
      ranges.flatMap { transport, all in all.map { Element(key(transport, $0.lowerBound), keyEnd: key(transport, $0.upperBound)) } })
  }
}
