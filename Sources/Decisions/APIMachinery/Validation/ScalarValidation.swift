import JSONCodec
import KubernetesAPI

/// What is wrong with a name; empty where nothing is. The texts are upstream's.
enum NameProblems {
  private static let part =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
  static let subdomainText =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
  static let labelText =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

  private static func tooLong(_ text: String, _ max: Int) -> [String] {
    text.utf8.count > max ? ["must be no more than \(max) bytes"] : []
  }

  static func dnsLabel(_ text: String) -> [String] {
    let long = tooLong(text, 63)
    return long + (Names.isDNSLabel(text.utf8.count > 63 ? String(text.prefix(1)) + "a" : text) ? [] : [labelText])
  }

  static func subdomain(_ text: String) -> [String] {
    if text.utf8.count > 253 { return tooLong(text, 253) }
    return Names.isDNSSubdomain(text) ? [] : [subdomainText]
  }

  static func pathSegment(_ text: String) -> [String] {
    if text == "." || text == ".." { return ["may not be '\(text)'"] }
    return ["/", "%"].filter { text.contains($0) }.map { "may not contain '\($0)'" }
  }

  static func qualified(_ text: String) -> [String] {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    var problems: [String] = []
    guard parts.count <= 2 else {
      return ["a qualified name \(part) with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    }
    if parts.count == 2 {
      if parts[0].isEmpty {
        problems.append("prefix part must be non-empty")
      } else {
        problems += subdomain(parts[0]).map { "prefix part " + $0 }
      }
    }
    let name = parts.last ?? ""
    if name.isEmpty {
      problems.append("name part must be non-empty")
    } else if name.utf8.count > 63 {
      problems.append("name part must be no more than 63 bytes")
    }
    if name.isEmpty || (name.utf8.count <= 63 && !Names.isNamePart(name)) { problems.append("name part " + part) }
    return problems
  }

  static func labelValue(_ text: String) -> [String] {
    if text.utf8.count > 63 { return tooLong(text, 63) }
    return Names.isLabelValue(text)
      ? []
      : [
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
      ]
  }

  static func portName(_ text: String) -> [String] {
    if text.utf8.count > 15 { return ["must be no more than 15 characters"] }
    let bytes = Array(text.utf8)
    guard !bytes.isEmpty, bytes.allSatisfy({ $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 == UInt8(ascii: "-") }) else {
      return ["must contain only alphanumeric characters (a-z, 0-9), and hyphens (-)"]
    }
    var problems: [String] = []
    if !bytes.contains(where: { $0 &- 0x61 < 26 }) { problems.append("must contain at least one letter (a-z)") }
    if text.contains("--") { problems.append("must not contain consecutive hyphens") }
    if bytes.first == UInt8(ascii: "-") || bytes.last == UInt8(ascii: "-") { problems.append("must not begin or end with a hyphen") }
    return problems
  }

  static func configKey(_ text: String) -> [String] {
    var problems = tooLong(text, 253)
    let isWord: (UInt8) -> Bool = {
      $0 &- 0x30 < 10 || $0 &- 0x61 < 26 || $0 &- 0x41 < 26 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_")
    }
    if text.isEmpty || !text.utf8.allSatisfy(isWord) {
      problems.append(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
      )
    }
    if text == "." || text == ".." {
      problems.append("must not be '\(text)'")
    } else if text.hasPrefix("..") {
      problems.append("must not start with '..'")
    }
    return problems
  }

  static func environmentName(_ text: String) -> [String] {
    if text.isEmpty { return ["environment variable name must be non-empty"] }
    return text.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "=") }
      ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
  }
}

/// Addresses as text: strict forms only, as upstream's newer checks.
enum IPAddresses {
  static func isIPv4(_ text: String) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let value = Int(part) else { return false }
        return value <= 255 && (part.utf8.count == 1 || part.first != "0")
      }
  }

  static func isIPv6(_ text: String) -> Bool {
    let halves = text.components(separatedBy: "::")
    guard halves.count <= 2, text.contains(":") else { return false }
    var groups = 0
    for (i, half) in halves.enumerated() where !half.isEmpty {
      let parts = half.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      for (j, part) in parts.enumerated() {
        let isLast = i == halves.count - 1 && j == parts.count - 1
        if isLast, part.contains(".") {
          guard isIPv4(part) else { return false }
          groups += 2
        } else {
          guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }) else { return false }
          groups += 1
        }
      }
    }
    return halves.count == 2 ? groups < 8 : groups == 8
  }

  static func isAddress(_ text: String) -> Bool { isIPv4(text) || isIPv6(text) }

  static func isCIDR(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, let length = Int(parts[1]), length >= 0, String(length) == parts[1] else { return false }
    return isIPv4(parts[0]) ? length <= 32 : isIPv6(parts[0]) && length <= 128
  }

  /// The 4 or 16 bytes of an address; an IPv4 address within IPv6 (`::ffff:127.0.0.1`) has 4.
  static func bytes(_ text: String) -> [UInt8]? {
    if isIPv4(text) { return text.split(separator: ".").compactMap { UInt8($0) } }
    guard isIPv6(text) else { return nil }
    let halves = text.components(separatedBy: "::").map { half in
      half.split(separator: ":").flatMap { part -> [UInt8] in
        if part.contains(".") { return part.split(separator: ".").compactMap { UInt8($0) } }
        let value = UInt16(part, radix: 16) ?? 0
        return [UInt8(value >> 8), UInt8(value & 0xff)]
      }
    }
    let tail = halves.count == 2 ? halves[1] : []
    let all = halves[0] + [UInt8](repeating: 0, count: 16 - halves[0].count - tail.count) + tail
    return all.starts(with: [UInt8](repeating: 0, count: 10) + [0xff, 0xff]) ? Array(all[12...]) : all
  }

  /// Why nothing of the cluster can be behind an address: it means the machine itself or its link (upstream, ValidateEndpointIP).
  static func specialProblem(_ text: String) -> String? {
    guard let bytes = bytes(text) else { return nil }
    let isSmall = bytes.count == 4
    if bytes.allSatisfy({ $0 == 0 }) { return "may not be unspecified (\(text))" }
    if isSmall ? bytes[0] == 127 : bytes.dropLast().allSatisfy({ $0 == 0 }) && bytes[15] == 1 {
      return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    }
    if isSmall ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 {
      return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    }
    if isSmall ? bytes.starts(with: [224, 0, 0]) : bytes[0] == 0xff && bytes[1] & 0x0f == 2 {
      return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    }
    return nil
  }

  static let problem = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
  static let cidrProblem = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
}

/// Whether a request may be passed on to an address that somebody wrote into a status: never to the machine itself or its link.
package func isProxyable(_ address: String) -> Bool { IPAddresses.specialProblem(address) == nil }

extension String {
  /// The parts between a separator.
  fileprivate func components(separatedBy separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}

extension Findings {
  /// Adds each problem of a text.
  mutating func check(_ json: JSON, _ path: FieldPath, _ problems: (String) -> [String]) {
    for problem in problems(json.string ?? "") { invalid(path, json, problem) }
  }

  /// A text that must be there and of a form.
  mutating func requiredText(_ json: JSON, _ path: FieldPath, _ problems: (String) -> [String] = { _ in [] }) {
    if json.isEmpty { required(path) } else { check(json, path, problems) }
  }

  mutating func notNegative(_ json: JSON, _ path: FieldPath) {
    if let value = json.int, value < 0 { invalid(path, json, "must be greater than or equal to 0") }
  }

  mutating func positive(_ json: JSON, _ path: FieldPath) {
    if let value = json.int, value <= 0 { invalid(path, json, "must be greater than zero") }
  }

  mutating func range(_ json: JSON, _ path: FieldPath, _ allowed: ClosedRange<Int>) {
    if let value = json.int, !allowed.contains(value) {
      invalid(path, json, "must be between \(allowed.lowerBound) and \(allowed.upperBound), inclusive")
    }
  }

  mutating func oneOf(_ json: JSON, _ path: FieldPath, _ allowed: [String]) {
    if !json.isEmpty, !allowed.contains(json.string ?? "") { notSupported(path, json, allowed) }
  }

  /// A port as a number or as a name.
  mutating func portOrName(_ json: JSON, _ path: FieldPath) {
    if json.string != nil { check(json, path, NameProblems.portName) } else { range(.int(Int64(json.int ?? 0)), path, 1...65_535) }
  }

  mutating func address(_ json: JSON, _ path: FieldPath) {
    if !IPAddresses.isAddress(json.string ?? "") { invalid(path, json, IPAddresses.problem) }
  }

  mutating func immutable(_ new: JSON, _ old: JSON, _ path: FieldPath) {
    if new != old { invalid(path, new, "field is immutable") }
  }

  /// A path inside a volume or a repository.
  mutating func relativePath(_ json: JSON, _ path: FieldPath) {
    let text = json.string ?? ""
    if text.hasPrefix("/") { invalid(path, json, "must be a relative path") }
    noBackSteps(json, path)
  }

  mutating func noBackSteps(_ json: JSON, _ path: FieldPath) {
    if (json.string ?? "").split(separator: "/").contains("..") { invalid(path, json, "must not contain '..'") }
  }

  /// A number or a percentage.
  mutating func countOrPercent(_ json: JSON, _ path: FieldPath) {
    if let text = json.string {
      guard text.hasSuffix("%"), let value = Int(text.dropLast()), value >= 0, !text.hasPrefix("+") else {
        return invalid(
          path, json,
          "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
        )
      }
    } else {
      notNegative(json, path)
    }
  }
}
