import APIMachinery
import CEL
import JSONCodec

/// A rule of `x-kubernetes-validations`, compiled.
struct SchemaRule: Sendable {
  enum Program: Sendable {
    case ready(CELProgram)
    /// The rule is empty: nothing is checked.
    case none
    /// What is wrong with it.
    case broken(String)
  }

  /// As it stands in the schema.
  let source: JSON
  let program: Program
  let usesOldSelf: Bool
  let message: Program
  /// Where errors are shown, below the rule's own place: `spec.replicas`.
  let fieldPath: String?

  var text: String { source["rule"].string ?? "" }
  var isOldSelfOptional: Bool { source["optionalOldSelf"] == true }
  /// The rule's message, else the rule.
  var shown: String {
    let message = (source["message"].string ?? "").trimmed
    return message.isEmpty ? text.trimmed : message
  }

  /// - `environment`: without variables. `type`: of self.
  init(_ source: JSON, schema: StructuralSchema, environment: CELEnvironment, type: CELType) {
    self.source = source
    let old: CELType = source["optionalOldSelf"] == true ? .optional(type) : type
    let environment = environment.adding(variables: [("self", type), ("oldSelf", old)])
    program = Self.compile(source["rule"].string ?? "", environment, result: .bool, wrong: "cel expression must evaluate to a bool")
    if case .ready(let compiled) = program { usesOldSelf = compiled.usedVariables.contains("oldSelf") } else { usesOldSelf = false }
    message = Self.compile(
      source["messageExpression"].string ?? "", environment, result: .string, wrong: "messageExpression must evaluate to a string")
    fieldPath = source["fieldPath"].string.flatMap { $0.isEmpty ? nil : Self.normalized($0, schema) }
  }

  private static func compile(_ text: String, _ environment: CELEnvironment, result: CELType, wrong: String) -> Program {
    guard !text.trimmed.isEmpty else { return .none }
    do {
      let program = try environment.compile(text)
      return program.resultType == result ? .ready(program) : .broken(wrong)
    } catch {
      return .broken("\(result == .bool ? "compilation failed" : "messageExpression compilation failed"): \(error)")
    }
  }

  /// `.spec['a.b'].c` as errors show it: `spec.a.b.c`, with `[key]` for keys of maps. Nil where it cannot be read.
  private static func normalized(_ path: String, _ schema: StructuralSchema) -> String? {
    var result = ""
    var current: StructuralSchema? = schema
    var rest = Substring(path)
    while let first = rest.first {
      rest.removeFirst()
      let name: String
      switch first {
      case ".":
        name = String(rest.prefix { $0 != "." && $0 != "[" })
        rest = rest.dropFirst(name.count)
      case "[":
        guard rest.first == "'", let end = rest.dropFirst().firstIndex(of: "'") else { return nil }
        name = String(rest[rest.index(after: rest.startIndex)..<end])
        rest = rest[end...].dropFirst()
        guard rest.first == "]" else { return nil }
        rest.removeFirst()
      default: return nil
      }
      if let property = current?.properties[name] {
        result += result.isEmpty ? name : ".\(name)"
        current = property
      } else if case .schema(let inner)? = current?.additional {
        result += "[\(name)]"
        current = inner
      } else {
        return nil
      }
    }
    return result
  }
}

extension String {
  var trimmed: String {
    let isBlank: (Character) -> Bool = { $0.isWhitespace }
    return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
  }
  var hasLineBreaks: Bool { contains(where: \.isNewline) }
}
