/// An IPv4 range such as 10.96.0.0/16.
package struct IPv4Range: Sendable, Equatable {
  let base: UInt32
  let bits: Int

  package init?(_ text: String) {
    let parts = text.split(separator: "/")
    guard parts.count == 2, let bits = Int(parts[1]), (8...30).contains(bits), let address = Self.number(parts[0]) else { return nil }
    self.bits = bits
    base = address & (UInt32.max << UInt32(32 - bits))
  }

  var size: UInt32 { 1 << UInt32(32 - bits) }
  package var text: String { "\(Self.text(base))/\(bits)" }
  package func address(at index: UInt32) -> String { Self.text(base + index) }
  func contains(_ address: String) -> Bool { Self.number(address).map { $0 >= base && $0 - base < size } ?? false }

  package func overlaps(_ other: IPv4Range) -> Bool {
    let bits = min(bits, other.bits)
    return (base ^ other.base) >> UInt32(32 - bits) == 0
  }
  package func contains(_ other: IPv4Range) -> Bool { bits <= other.bits && overlaps(other) }

  static func number(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard let byte = UInt8(part), String(byte) == part else { return nil }
      value = value << 8 | UInt32(byte)
    }
    return value
  }

  static func text(_ value: UInt32) -> String {
    [24, 16, 8, 0].map { String(value >> UInt32($0) & 0xFF) }.joined(separator: ".")
  }

  /// The `index`th subrange of a smaller size.
  package func subrange(bits: Int, index: UInt32) -> IPv4Range? {
    guard bits >= self.bits, bits <= 30, index < 1 << UInt32(bits - self.bits) else { return nil }
    return IPv4Range("\(Self.text(base + index << UInt32(32 - bits)))/\(bits)")
  }
}
