/// The forms that names take in Kubernetes (RFC 1123 labels and subdomains, qualified names, label values).
package enum Names {
  private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 || byte &- 0x61 < 26 }
  private static func isAlphanumeric(_ byte: UInt8) -> Bool { isLowerAlphanumeric(byte) || byte &- 0x41 < 26 }

  /// Up to 63 lower-case letters, digits and inner dashes.
  package static func isDNSLabel(_ text: some StringProtocol) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...63).contains(bytes.count), isLowerAlphanumeric(bytes[0]), isLowerAlphanumeric(bytes[bytes.count - 1]) else {
      return false
    }
    return bytes.allSatisfy { isLowerAlphanumeric($0) || $0 == UInt8(ascii: "-") }
  }

  /// Labels joined by dots, up to 253 characters.
  package static func isDNSSubdomain(_ text: some StringProtocol) -> Bool {
    guard (1...253).contains(text.utf8.count) else { return false }
    return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
      let bytes = Array(part.utf8)
      guard let first = bytes.first, let last = bytes.last, isLowerAlphanumeric(first), isLowerAlphanumeric(last) else { return false }
      return bytes.allSatisfy { isLowerAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
  }

  /// Up to 63 letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit.
  package static func isNamePart(_ text: some StringProtocol) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...63).contains(bytes.count), isAlphanumeric(bytes[0]), isAlphanumeric(bytes[bytes.count - 1]) else { return false }
    return bytes.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") }
  }

  /// `name` or `prefix/name`, as in label keys.
  package static func isQualified(_ text: some StringProtocol) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    switch parts.count {
    case 1: return isNamePart(parts[0])
    case 2: return isDNSSubdomain(parts[0]) && isNamePart(parts[1])
    default: return false
    }
  }

  package static func isLabelValue(_ text: some StringProtocol) -> Bool { text.isEmpty || isNamePart(text) }
}
