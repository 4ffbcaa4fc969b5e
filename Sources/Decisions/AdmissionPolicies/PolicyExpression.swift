import CEL
import JSONCodec

/// An expression of a policy or a webhook, compiled once.
package struct PolicyExpression: Sendable {
  package let text: String
  let program: CELProgram?
  /// Why it cannot be evaluated.
  package let problem: String?

  /// - `results`: the types that it may have; empty: any.
  init(_ text: String, _ environment: CELEnvironment, results: [CELType]) {
    self.text = text
    do {
      let compiled = try environment.compile(text)
      if results.isEmpty || results.contains(compiled.resultType) {
        program = compiled
        problem = nil
      } else {
        program = nil
        problem =
          results.count == 1
          ? "must evaluate to \(results[0]) but got \(compiled.resultType)"
          : "must evaluate to one of [\(results.map(\.description).joined(separator: " "))]"
      }
    } catch {
      program = nil
      problem = "compilation failed: \(error)"
    }
  }

  var resultType: CELType { program?.resultType ?? .dyn }
}

/// What expressions may speak of, and of which type.
struct PolicyEnvironment {
  private(set) var types = PolicyTypes()
  private(set) var variables: [(name: String, type: CELType)] = []
  private let timeZoneFile: @Sendable (String) -> [UInt8]?

  /// - `object`, `parameters`: the types of objects and parameters; dyn where they are not known.
  init(
    object: CELType = .dyn, parameters: CELType? = nil, hasNamespace: Bool = true, hasPatches: Bool = false,
    schema: any CELTypeProvider = CELNoTypes(), timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }
  ) {
    self.timeZoneFile = timeZoneFile
    types.schema = schema
    types.hasPatches = hasPatches
    variables = [
      ("object", object), ("oldObject", object), ("request", PolicyTypes.request), ("authorizer", CELAuthorizer.type),
      ("authorizer.requestResource", .opaque(CELAuthorizer.Stage.resource.rawValue)),
    ]
    if let parameters { variables.append(("params", parameters)) }
    if hasNamespace { variables.append(("namespaceObject", PolicyTypes.namespace)) }
  }

  var environment: CELEnvironment {
    CELEnvironment.kubernetes.with(variables: variables, types: types, timeZoneFile: timeZoneFile)
  }

  /// Expressions may name `variables.<name>` from here on. A name that is none yet is an undefined field.
  mutating func declare(variable name: String, _ type: CELType) {
    if types.variables.isEmpty { variables.append(("variables", PolicyTypes.variables)) }
    types.variables[name] = type
    variables.append(("variables.\(name)", type))
  }

  func compile(_ text: String, _ results: CELType...) -> PolicyExpression { PolicyExpression(text, environment, results: results) }
}
