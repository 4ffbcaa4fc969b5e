// Named formats (`format.dns1123Label().validate(x)`): Kubernetes' library, with the texts of its validation.

struct CELNamedFormat: CELOpaque {
  let typeName = "kubernetes.NamedFormat"
  let name: String
  /// What is wrong with a text; empty where nothing is.
  let problems: @Sendable (String) -> [String]

  func isEqual(to other: any CELOpaque) -> Bool { (other as? CELNamedFormat)?.name == name }

  /// A text of at most so many characters that matches a pattern as a whole.
  private static func pattern(
    _ name: String, _ pattern: String, max: Int, _ message: String, trimsDash: Bool = false
  ) -> CELNamedFormat {
    let regex = try? LinearRegex("^(?:\(pattern))$")
    return CELNamedFormat(name: name) { text in
      var problems: [String] = []
      if text.utf8.count > max { problems.append("must be no more than \(max) characters") }
      // A prefix may end with a dash: what follows makes it a whole name.
      let tested = trimsDash && text.hasSuffix("-") ? String(text.dropLast()) + "a" : text
      if regex?.matches(tested) != true { problems.append(message) }
      return problems
    }
  }

  private static let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
  private static let subdomain = "\(label)(\\.\(label))*"
  private static let label1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
  private static let qualified = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
  private static let ends = "and must start and end with an alphanumeric character"
  private static let labelMessage =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \(ends) "
    + "(e.g. 'my-name',  or '123-abc', regex used for validation is '\(label)')"
  private static let subdomainMessage =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \(ends) "
    + "(e.g. 'example.com', regex used for validation is '\(subdomain)')"
  private static let label1035Message =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    + "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '\(label1035)')"
  private static let nameMessage =
    "must consist of alphanumeric characters, '-', '_' or '.', \(ends) "
    + "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '\(qualified)')"
  private static let valueMessage =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \(ends) "
    + "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(\(qualified))?')"

  static let all: [CELNamedFormat] = [
    pattern("dns1123Label", label, max: 63, labelMessage),
    pattern("dns1123Subdomain", subdomain, max: 253, subdomainMessage),
    pattern("dns1035Label", label1035, max: 63, label1035Message),
    pattern("dns1123LabelPrefix", label, max: 63, labelMessage, trimsDash: true),
    pattern("dns1123SubdomainPrefix", subdomain, max: 253, subdomainMessage, trimsDash: true),
    pattern("dns1035LabelPrefix", label1035, max: 63, label1035Message, trimsDash: true),
    pattern("labelValue", "(\(qualified))?", max: 63, valueMessage),
    CELNamedFormat(name: "qualifiedName", problems: qualifiedName),
    CELNamedFormat(name: "uri") { CELURL($0) == nil ? ["invalid URI for request"] : [] },
    pattern(
      "uuid", "(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", max: 36, "does not match the UUID format"),
    CELNamedFormat(name: "byte") { Base64.decode($0) == nil ? ["invalid base64"] : [] },
    CELNamedFormat(name: "date") { CELTimestamp(rfc3339: $0 + "T00:00:00Z") == nil ? ["invalid date"] : [] },
    CELNamedFormat(name: "datetime") { CELTimestamp(rfc3339: $0) == nil ? ["invalid datetime"] : [] },
  ]

  private static let namePart = pattern("name", qualified, max: 63, nameMessage)
  private static let prefixPart = pattern("prefix", subdomain, max: 253, subdomainMessage)

  @Sendable private static func qualifiedName(_ text: String) -> [String] {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    var problems: [String] = []
    if parts.count == 2 {
      problems += parts[0].isEmpty ? ["prefix part must be non-empty"] : prefixPart.problems(parts[0]).map { "prefix part \($0)" }
    } else if parts.count > 2 {
      return [
        "a qualified name \(nameMessage) with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
      ]
    }
    let name = parts[parts.count - 1]
    if name.isEmpty { return problems + ["name part must be non-empty", "name part \(nameMessage)"] }
    return problems + namePart.problems(name).map { "name part \($0)" }
  }
}

extension CELLibrary {
  package static let formats: CELLibrary = {
    var library = CELLibrary("format")
    let type = CELType.opaque("kubernetes.NamedFormat")
    library.types["kubernetes.NamedFormat"] = type
    for format in CELNamedFormat.all {
      library.function("format.\(format.name)", "format_\(format.name)", [], type) { _, _ throws(CELError) in .opaque(format) }
    }
    library.function("format.named", "format_named", [.string], .optional(type)) { a, _ throws(CELError) in
      let name = try a.string(0)
      return .optional(CELNamedFormat.all.first { $0.name == name }.map { .opaque($0) })
    }
    library.member("validate", "format_validate", [type, .string], .optional(.list(.string)), cost: .regex) { a, _ throws(CELError) in
      let problems = try a.opaque(0, CELNamedFormat.self).problems(try a.string(1))
      return .optional(problems.isEmpty ? nil : .strings(problems))
    }
    return library
  }()
}
