import JSONCodec
import KubernetesAPI

/// The formats of texts that schemas may name. Formats that are not known allow everything, as upstream's do.
enum SchemaFormats {
  static func allows(_ text: String, _ format: String) -> Bool {
    checks[format]?(text) ?? true
  }

  private static let checks: [String: @Sendable (String) -> Bool] = [
    "date-time": isDateTime, "datetime": isDateTime, "date": isDate, "duration": isDuration,
    "byte": { Base64.decode($0) != nil && !$0.utf8.contains(10) && !$0.utf8.contains(13) },
    "uuid": { isUUID($0, version: nil) }, "uuid3": { isUUID($0, version: "3") }, "uuid4": { isUUID($0, version: "4") },
    "uuid5": { isUUID($0, version: "5") },
    "ipv4": IPAddresses.isIPv4, "ipv6": IPAddresses.isIPv6, "cidr": isCIDR, "mac": isMAC,
    "uri": isURI, "email": isEmail, "hostname": isHostname,
    "hexcolor": isHexColor, "bsonobjectid": { $0.utf8.count == 24 && $0.utf8.allSatisfy(isHex) },
    "ssn": isSocialSecurityNumber,
    "k8s-short-name": { NameProblems.dnsLabel($0).isEmpty }, "k8s-long-name": { NameProblems.subdomain($0).isEmpty },
  ]

  private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }
  private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 }
  private static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- 0x61 < 6 }

  // MARK: times

  /// `2006-01-02`.
  @Sendable private static func isDate(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count == 10, bytes[4] == 0x2D, bytes[7] == 0x2D else { return false }
    guard let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]) else { return false }
    guard (1...12).contains(month), day >= 1 else { return false }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    return day <= days
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
    digits.allSatisfy(isDigit) ? digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } : nil
  }

  /// RFC 3339, section 5.6.
  @Sendable private static func isDateTime(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count >= 20, bytes[10] | 0x20 == 0x74, isDate(String(decoding: bytes[..<10], as: UTF8.self)) else { return false }
    guard bytes[13] == 0x3A, bytes[16] == 0x3A else { return false }
    guard let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]), let second = number(bytes[17..<19]) else { return false }
    guard hour < 24, minute < 60, second < 60 else { return false }
    var rest = bytes[19...]
    if rest.first == 0x2E {
      let fraction = rest.dropFirst().prefix(while: isDigit)
      if fraction.isEmpty { return false }
      rest = rest.dropFirst(1 + fraction.count)
    }
    if rest.count == 1 { return rest.first! | 0x20 == 0x7A }
    guard rest.count == 6, rest.first == 0x2B || rest.first == 0x2D else { return false }
    let zone = Array(rest)
    guard zone[3] == 0x3A, let hours = number(zone[1..<3]), let minutes = number(zone[4..<6]) else { return false }
    return hours < 24 && minutes < 60
  }

  private static let durationUnits: Set<String> = [
    "ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "w", "nano", "nanosecond", "nanoseconds", "micro", "microsecond", "microseconds",
    "milli", "millisecond", "milliseconds", "sec", "second", "seconds", "min", "minute", "minutes", "hr", "hour", "hours", "day", "days",
    "wk", "week", "weeks",
  ]

  /// Go's durations (`1h30m`), or a number with a unit (`3 days`).
  @Sendable private static func isDuration(_ text: String) -> Bool {
    if text == "0" { return true }
    var rest = Substring(text)
    if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
    if rest.isEmpty { return false }
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
      guard digits.contains(where: \.isNumber), digits.filter({ $0 == "." }).count <= 1 else { return false }
      rest = rest.dropFirst(digits.count).drop { $0 == " " }
      let unit = rest.prefix { $0.isLetter }
      guard durationUnits.contains(unit.lowercased()) else { return false }
      rest = rest.dropFirst(unit.count)
    }
    return true
  }

  // MARK: names and addresses

  private static func isUUID(_ text: String, version: Character?) -> Bool {
    let plain = text.filter { $0 != "-" }
    guard plain.utf8.count == 32, plain.utf8.allSatisfy(isHex) else { return false }
    // The groups may be written with their hyphens or without.
    if text.contains("-") {
      let groups = text.split(separator: "-", omittingEmptySubsequences: false).map(\.count)
      guard groups == [8, 4, 4, 4, 12] else { return false }
    }
    guard let version else { return true }
    let characters = Array(plain)
    return characters[12] == version && (version == "3" || "89abAB".contains(characters[16]))
  }

  @Sendable private static func isCIDR(_ text: String) -> Bool { IPAddresses.isCIDR(text) }

  @Sendable private static func isMAC(_ text: String) -> Bool {
    for (separator, width) in [(Character(":"), 2), ("-", 2), (".", 4)] {
      let groups = text.split(separator: separator, omittingEmptySubsequences: false)
      let bytes = groups.count * width / 2
      if groups.count > 1, [6, 8, 20].contains(bytes), groups.allSatisfy({ $0.utf8.count == width && $0.utf8.allSatisfy(isHex) }) {
        return true
      }
    }
    return false
  }

  /// A URI with a scheme, or a path from the root.
  @Sendable private static func isURI(_ text: String) -> Bool {
    guard !text.isEmpty, text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F }) else { return false }
    if text.hasPrefix("/") { return hasGoodEscapes(text) }
    guard let colon = text.firstIndex(of: ":") else { return false }
    let scheme = text[..<colon].utf8
    guard let first = scheme.first, isLetter(first) else { return false }
    guard scheme.allSatisfy({ isLetter($0) || isDigit($0) || [0x2B, 0x2D, 0x2E].contains($0) }) else { return false }
    return hasGoodEscapes(text)
  }

  private static func hasGoodEscapes(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    for (i, byte) in bytes.enumerated() where byte == UInt8(ascii: "%") {
      guard i + 2 < bytes.count, isHex(bytes[i + 1]), isHex(bytes[i + 2]) else { return false }
    }
    return true
  }

  @Sendable private static func isEmail(_ text: String) -> Bool {
    guard let at = text.lastIndex(of: "@") else { return false }
    let local = text[..<at].utf8
    let domain = text[text.index(after: at)...]
    let allowed = Set("!#$%&'*+-/=?^_`{|}~.".utf8)
    guard !local.isEmpty, local.first != 0x2E, local.last != 0x2E else { return false }
    guard local.allSatisfy({ isLetter($0) || isDigit($0) || allowed.contains($0) || $0 >= 0x80 }) else { return false }
    return !domain.isEmpty && domain.utf8.allSatisfy { isLetter($0) || isDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 >= 0x80 }
  }

  /// RFC 1034 names with letters of any case; at most 255 bytes, 63 in a label.
  @Sendable private static func isHostname(_ text: String) -> Bool {
    guard !text.isEmpty, text.utf8.count <= 255 else { return false }
    let labels = (text.hasSuffix(".") ? String(text.dropLast()) : text).split(separator: ".", omittingEmptySubsequences: false)
    return labels.allSatisfy { label in
      let bytes = label.utf8
      guard (1...63).contains(bytes.count), bytes.first != 0x2D, bytes.last != 0x2D else { return false }
      return bytes.allSatisfy { isLetter($0) || isDigit($0) || $0 == 0x2D || $0 >= 0x80 }
    }
  }

  @Sendable private static func isHexColor(_ text: String) -> Bool {
    let digits = text.hasPrefix("#") ? text.dropFirst() : text[...]
    return (digits.utf8.count == 3 || digits.utf8.count == 6) && digits.utf8.allSatisfy(isHex)
  }

  @Sendable private static func isSocialSecurityNumber(_ text: String) -> Bool {
    let groups = text.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "-" || $0 == " " })
    return groups.map(\.count) == [3, 2, 4] && groups.allSatisfy { $0.utf8.allSatisfy(isDigit) }
  }
}
