/// A content digest, `sha256:` and 64 lower-case hexadecimal digits: the only algorithm registries use in practice.
///
/// Anything else is refused at the door, because digests become parts of paths and of URLs.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
  /// The 64 digits.
  package let hex: String

  /// Nil where the text is not exactly `sha256:<64 lower-case hex digits>`.
  package init?(_ text: String) {
    let prefix = "sha256:"
    guard text.utf8.count == prefix.utf8.count + 64, text.hasPrefix(prefix) else { return nil }
    self.init(hex: String(text.utf8.dropFirst(prefix.utf8.count)) ?? "")
  }

  /// Nil where the text is not exactly 64 lower-case hexadecimal digits.
  package init?(hex: String) {
    guard hex.utf8.count == 64, hex.utf8.allSatisfy(Self.isHexDigit) else { return nil }
    self.hex = hex
  }

  /// From the 32 bytes a hash function leaves.
  package init(bytes: some Sequence<UInt8>) {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(64)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    precondition(text.count == 64, "a sha256 digest has 32 bytes")
    self.hex = String(decoding: text, as: UTF8.self)
  }

  package var description: String { "sha256:\(hex)" }

  static func isHexDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }
}
