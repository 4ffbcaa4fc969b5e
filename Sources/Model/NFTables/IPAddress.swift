/// An IPv6 address; `bytes` is its wire order.
package struct IPv6Address: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  package init?(bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    high = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
    low = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// RFC 4291 text: groups of hexadecimal digits, at most one `::`, perhaps an IPv4 tail. No zone.
  package init?(_ text: some StringProtocol) {
    guard (2...45).contains(text.utf8.count) else { return nil }
    var head: [UInt16] = []
    var tail: [UInt16] = []
    var sawGap = false
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count >= 3 else { return nil }
    for (index, part) in parts.enumerated() {
      if part.isEmpty {
        let isEdge = index == 0 || index == parts.count - 1
        if isEdge {
          // A leading or trailing empty part belongs to a `::` at that edge.
          guard parts[index == 0 ? 1 : index - 1].isEmpty else { return nil }
          continue
        }
        if sawGap { return nil }
        sawGap = true
        continue
      }
      var groups: [UInt16]
      if part.utf8.contains(UInt8(ascii: ".")) {
        guard index == parts.count - 1, let tail = IPv4Address(part) else { return nil }
        groups = [UInt16(tail.value >> 16), UInt16(tail.value & 0xffff)]
      } else {
        guard part.utf8.count <= 4, part.utf8.allSatisfy({ Self.isHexDigit($0) }), let group = UInt16(part, radix: 16) else { return nil }
        groups = [group]
      }
      if sawGap { tail += groups } else { head += groups }
    }
    let count = head.count + tail.count
    guard sawGap ? count <= 7 : count == 8 else { return nil }
    let groups = head + [UInt16](repeating: 0, count: 8 - count) + tail
    high = groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }
    low = groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
  }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
  }

  package var bytes: [UInt8] {
    [high, low].flatMap { word in stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) } }
  }

  package var groups: [UInt16] {
    [high, low].flatMap { word in stride(from: 48, through: 0, by: -16).map { UInt16(truncatingIfNeeded: word >> UInt64($0)) } }
  }

  /// RFC 5952: lower case, the longest run of at least two zero groups as `::`.
  package var description: String {
    let groups = groups
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > best.count { best = start..<end }
      start = Swift.max(end, start + 1)
    }
    let text = groups.map { String($0, radix: 16) }
    if best.count < 2 { return text.joined(separator: ":") }
    return text[..<best.lowerBound].joined(separator: ":") + "::" + text[best.upperBound...].joined(separator: ":")
  }

  package static func < (left: Self, right: Self) -> Bool { (left.high, left.low) < (right.high, right.low) }
}

/// An address of either family.
package enum IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  case v4(IPv4Address)
  case v6(IPv6Address)

  package init?(_ text: some StringProtocol) {
    if let address = IPv4Address(text) {
      self = .v4(address)
    } else if let address = IPv6Address(text) {
      self = .v6(address)
    } else {
      return nil
    }
  }

  /// Four or sixteen bytes in wire order.
  package init?(bytes: [UInt8]) {
    if let address = IPv4Address(bytes: bytes) {
      self = .v4(address)
    } else if let address = IPv6Address(bytes: bytes) {
      self = .v6(address)
    } else {
      return nil
    }
  }

  package var family: Family {
    switch self {
    case .v4: .ipv4
    case .v6: .ipv6
    }
  }

  package var bytes: [UInt8] {
    switch self {
    case .v4(let address): address.bytes
    case .v6(let address): address.bytes
    }
  }

  package var description: String {
    switch self {
    case .v4(let address): address.description
    case .v6(let address): address.description
    }
  }
}

/// A network of either family. Bits below the length are zero.
package struct IPPrefix: Hashable, Sendable, CustomStringConvertible {
  package let address: IPAddress
  package let length: Int

  package init(_ address: IPAddress, length: Int) {
    let bytes = address.bytes
    precondition((0...bytes.count * 8).contains(length), "a prefix is no longer than its address")
    self.length = length
    // Masked bytes have the count of the address they come from.
    self.address = IPAddress(bytes: zip(bytes, Self.mask(length, bytes: bytes.count)).map { $0 & $1 }) ?? address
  }

  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPAddress(parts[0]), (1...3).contains(parts[1].utf8.count),
      parts[1].utf8.allSatisfy({ (48...57).contains($0) }), parts[1] == "0" || parts[1].utf8.first != 48,
      let length = Int(parts[1]), length <= address.bytes.count * 8
    else { return nil }
    self.init(address, length: length)
  }

  package static func mask(_ length: Int, bytes count: Int) -> [UInt8] {
    (0..<count).map { index in
      let bits = Swift.min(Swift.max(length - index * 8, 0), 8)
      return bits == 0 ? 0 : UInt8.max << UInt8(8 - bits)
    }
  }

  package var mask: [UInt8] { Self.mask(length, bytes: address.bytes.count) }
  package var family: Family { address.family }
  package var lastBytes: [UInt8] { zip(address.bytes, mask).map { $0 | ~$1 } }

  package func contains(_ other: IPAddress) -> Bool {
    other.family == family && zip(other.bytes, mask).map { $0 & $1 } == address.bytes
  }

  package var description: String { "\(address)/\(length)" }
}
