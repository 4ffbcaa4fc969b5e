/// An IPv4 address as a number; `bytes` is its wire order.
package struct IPv4Address: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let value: UInt32

  package init(_ value: UInt32) { self.value = value }

  /// Four decimal parts and nothing else: no leading zeros, no shortened forms.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard let number = decimal(part, max: 255) else { return nil }
      value = value << 8 | number
    }
    self.value = value
  }

  package init?(bytes: [UInt8]) {
    guard bytes.count == 4 else { return nil }
    value = bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  package var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) } }
  package var description: String { bytes.map { String($0) }.joined(separator: ".") }
  package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// A network such as 10.244.0.0/24. Bits below the length are zero.
package struct IPv4Prefix: Hashable, Sendable, CustomStringConvertible {
  package let address: IPv4Address
  package let length: Int

  package init(_ address: IPv4Address, length: Int) {
    precondition((0...32).contains(length), "an IPv4 prefix has 0 to 32 bits")
    self.length = length
    self.address = IPv4Address(address.value & Self.mask(length))
  }

  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(parts[0]), let length = decimal(parts[1], max: 32) else { return nil }
    self.init(address, length: Int(length))
  }

  package static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : UInt32.max << UInt32(32 - length) }
  package var mask: UInt32 { Self.mask(length) }
  package var last: IPv4Address { IPv4Address(address.value | ~mask) }
  package func contains(_ other: IPv4Address) -> Bool { other.value & mask == address.value }
  package func overlaps(_ other: IPv4Prefix) -> Bool { contains(other.address) || other.contains(address) }
  package var description: String { "\(address)/\(length)" }
}

/// A decimal number without sign, spaces or leading zeros, at most `max`.
private func decimal(_ text: some StringProtocol, max: UInt32) -> UInt32? {
  guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
  guard text.utf8.count == 1 || text.utf8.first != 48, let number = UInt32(text), number <= max else { return nil }
  return number
}
