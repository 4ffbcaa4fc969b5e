import JSONCodec

/// A selector text that cannot be read.
package struct SelectorError: Error, CustomStringConvertible, Equatable {
  package let message: String
  package var description: String { message }
}

/// Which labels an object must have (`app=web,tier in (a, b),!old`).
package struct LabelSelector: Sendable, Hashable {
  package enum Requirement: Sendable, Hashable {
    case `in`(key: String, values: [String])
    /// Also true where the key is missing.
    case notIn(key: String, values: [String])
    case exists(key: String)
    case doesNotExist(key: String)
    case greaterThan(key: String, Int64)
    case lessThan(key: String, Int64)
  }

  package var requirements: [Requirement]
  package init(_ requirements: [Requirement]) { self.requirements = requirements }
  package static let everything = LabelSelector([])

  package var selectsEverything: Bool { requirements.isEmpty }

  package func matches(_ labels: (String) -> String?) -> Bool {
    requirements.allSatisfy { requirement in
      switch requirement {
      case .in(let key, let values): labels(key).map(values.contains) ?? false
      case .notIn(let key, let values): !(labels(key).map(values.contains) ?? false)
      case .exists(let key): labels(key) != nil
      case .doesNotExist(let key): labels(key) == nil
      case .greaterThan(let key, let bound): labels(key).flatMap { Int64($0) }.map { $0 > bound } ?? false
      case .lessThan(let key, let bound): labels(key).flatMap { Int64($0) }.map { $0 < bound } ?? false
      }
    }
  }

  /// Labels as they stand in `metadata.labels`.
  package func matches(_ labels: JSON) -> Bool { matches { labels[$0].string } }
}

extension LabelSelector {
  /// A metav1.LabelSelector. A missing selector selects nothing where `nilSelectsNothing`, an empty one everything.
  package init?(json: JSON) {
    var requirements: [Requirement] = []
    for (key, value) in json["matchLabels"].object ?? JSONObject() {
      requirements.append(.in(key: key, values: [value.string ?? ""]))
    }
    for expression in json["matchExpressions"].array ?? [] {
      let key = expression["key"].string ?? ""
      let values = (expression["values"].array ?? []).compactMap(\.string)
      switch expression["operator"].string {
      case "In": requirements.append(.in(key: key, values: values))
      case "NotIn": requirements.append(.notIn(key: key, values: values))
      case "Exists": requirements.append(.exists(key: key))
      case "DoesNotExist": requirements.append(.doesNotExist(key: key))
      case "Gt":
        guard values.count == 1, let bound = Int64(values[0]) else { return nil }
        requirements.append(.greaterThan(key: key, bound))
      case "Lt":
        guard values.count == 1, let bound = Int64(values[0]) else { return nil }
        requirements.append(.lessThan(key: key, bound))
      default: return nil
      }
    }
    self.requirements = requirements
  }

  /// The query parameter `labelSelector`.
  package static func parse(_ text: String) throws(SelectorError) -> LabelSelector {
    var scanner = SelectorScanner(text)
    return LabelSelector(try scanner.labelRequirements())
  }
}

/// Which fields an object must have (`spec.nodeName=a,status.phase!=Failed`).
package struct FieldSelector: Sendable, Equatable {
  package struct Requirement: Sendable, Equatable {
    package let field: String
    package let isEqual: Bool
    package let value: String
  }

  package var requirements: [Requirement]
  package init(_ requirements: [Requirement]) { self.requirements = requirements }
  package static let everything = FieldSelector([])

  package func matches(_ fields: (String) -> String) -> Bool {
    requirements.allSatisfy { (fields($0.field) == $0.value) == $0.isEqual }
  }

  /// The value that a field must be equal to, where the selector says so.
  package func exact(_ field: String) -> String? { requirements.first { $0.field == field && $0.isEqual }?.value }

  /// The query parameter `fieldSelector`; `\` escapes `,`, `=` and itself in values.
  package static func parse(_ text: String) throws(SelectorError) -> FieldSelector {
    var requirements: [Requirement] = []
    var terms: [String] = [""]
    var escaped = false
    for character in text {
      if escaped {
        terms[terms.count - 1].append(character)
        escaped = false
      } else if character == "," {
        terms.append("")
      } else {
        escaped = character == "\\"
        terms[terms.count - 1].append(character)
      }
    }
    for term in terms where !term.isEmpty {
      guard let equals = term.firstIndex(of: "=") else {
        throw SelectorError(message: "invalid selector: '\(text)'; can't understand '\(term)'")
      }
      var field = term[..<equals]
      var rest = term[term.index(after: equals)...]
      var isEqual = true
      if field.last == "!" {
        field.removeLast()
        isEqual = false
      } else if rest.first == "=" {
        rest.removeFirst()
      }
      var value = ""
      var isEscaped = false
      for character in rest {
        if !isEscaped, character == "\\" {
          isEscaped = true
        } else {
          value.append(character)
          isEscaped = false
        }
      }
      requirements.append(Requirement(field: String(field), isEqual: isEqual, value: value))
    }
    return FieldSelector(requirements)
  }
}

/// Reads the label selector grammar of apimachinery's labels package.
private struct SelectorScanner {
  private let text: String
  private var rest: Substring

  init(_ text: String) {
    self.text = text
    rest = text[...]
  }

  private func fail(_ detail: String) -> SelectorError {
    SelectorError(message: "unable to parse requirement: \(detail)")
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" } }

  private mutating func take(_ token: String) -> Bool {
    skipSpace()
    guard rest.hasPrefix(token) else { return false }
    rest = rest.dropFirst(token.count)
    return true
  }

  private mutating func word() -> String {
    skipSpace()
    let word = rest.prefix { !" \t\n\r,()=!<>".contains($0) }
    rest = rest.dropFirst(word.count)
    return String(word)
  }

  mutating func labelRequirements() throws(SelectorError) -> [LabelSelector.Requirement] {
    var result: [LabelSelector.Requirement] = []
    skipSpace()
    if rest.isEmpty { return result }
    while true {
      result.append(try requirement())
      skipSpace()
      if rest.isEmpty { return result }
      guard take(",") else { throw fail("found '\(rest)', expected: ',' or 'end of string'") }
    }
  }

  private mutating func key() throws(SelectorError) -> String {
    let key = word()
    guard Names.isQualified(key) else {
      throw fail(
        "<nil>: Invalid value: \"\(key)\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
      )
    }
    return key
  }

  private mutating func requirement() throws(SelectorError) -> LabelSelector.Requirement {
    if take("!") { return .doesNotExist(key: try key()) }
    let key = try key()
    skipSpace()
    if rest.isEmpty || rest.first == "," { return .exists(key: key) }
    if take("!=") { return .notIn(key: key, values: [try value()]) }
    if take("==") || take("=") { return .in(key: key, values: [try value()]) }
    if take(">") { return .greaterThan(key: key, try number()) }
    if take("<") { return .lessThan(key: key, try number()) }
    switch word() {
    case "in": return .in(key: key, values: try list())
    case "notin": return .notIn(key: key, values: try list())
    case let other: throw fail("found '\(other)', expected: in, notin, =, ==, !=, gt, lt")
    }
  }

  private mutating func value() throws(SelectorError) -> String {
    let value = word()
    guard Names.isLabelValue(value) else {
      throw fail(
        "values[0]: Invalid value: \"\(value)\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
      )
    }
    return value
  }

  private mutating func number() throws(SelectorError) -> Int64 {
    let text = word()
    guard let number = Int64(text) else {
      throw fail("values[0]: Invalid value: \"\(text)\": for 'Gt', 'Lt' operators, the value must be an integer")
    }
    return number
  }

  private mutating func list() throws(SelectorError) -> [String] {
    guard take("(") else { throw fail("found '\(rest.prefix(1))' expected: '('") }
    var values: [String] = []
    while true {
      values.append(try value())
      if take(")") { return values }
      guard take(",") else { throw fail("found '\(rest.prefix(1))', expected: ',' or ')'") }
    }
  }
}
