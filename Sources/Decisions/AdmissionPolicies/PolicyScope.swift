import CEL
import JSONCodec

/// A request as expressions see it.
package struct PolicyInput: Sendable {
  package var object: JSON?
  package var old: JSON?
  /// admission.k8s.io/v1 AdmissionRequest; objects in it are not looked at.
  package var request: JSON
  /// Nil for what is in no namespace.
  package var namespace: JSON?
  package var parameters: JSON?
  package var authorizer: CELAuthorizer
  /// What `authorizer.requestResource` asks about.
  package var requestResource: CELAuthorizationCheck

  package init(
    object: JSON?, old: JSON?, request: JSON, namespace: JSON?, parameters: JSON? = nil, authorizer: CELAuthorizer,
    requestResource: CELAuthorizationCheck
  ) {
    self.object = object
    self.old = old
    self.request = request
    self.namespace = namespace
    self.parameters = parameters
    self.authorizer = authorizer
    self.requestResource = requestResource
  }
}

/// Evaluates the expressions of one policy for one request: gives them their variables and keeps account of what they cost.
final class PolicyScope: CELActivation {
  /// What all matchConditions of a policy or webhook may cost together: a quarter of what the rest may.
  static let conditionsBudget = CELLimits.perRequest / 4

  private let input: PolicyInput
  private let variables: PolicyVariables
  /// Values of variables, which are computed when they are first asked for, and once.
  private var values: [String: Result<CELValue, CELError>] = [:]
  private var bound: [String: CELValue] = [:]
  private var budget: UInt64
  private var spentOnVariables: UInt64 = 0

  init(_ input: PolicyInput, variables: PolicyVariables = PolicyVariables(), budget: UInt64 = CELLimits.perRequest) {
    self.input = input
    self.variables = variables
    self.budget = budget
  }

  func value(of variable: String) throws(CELError) -> CELValue? {
    if let known = bound[variable] { return known }
    if variable.hasPrefix("variables.") { return try computed(String(variable.dropFirst("variables.".count))) }
    let value: CELValue
    switch variable {
    case "object": value = CELValue(input.object ?? .null)
    case "oldObject": value = CELValue(input.old ?? .null)
    case "params": value = CELValue(input.parameters ?? .null)
    case "request": value = CELValue(input.request, type: PolicyTypes.request, types: PolicyTypes())
    case "namespaceObject": value = CELValue(input.namespace ?? .null, type: PolicyTypes.namespace, types: PolicyTypes())
    case "authorizer": value = .opaque(input.authorizer)
    case "authorizer.requestResource": value = .opaque(input.authorizer.requestResource(input.requestResource))
    case "variables": value = .map(CELMap())
    default: return nil
    }
    bound[variable] = value
    return value
  }

  private func computed(_ name: String) throws(CELError) -> CELValue? {
    guard variables[name] != nil else { return nil }
    if let known = values[name] { return try known.get() }
    for next in variables.order(for: name, known: { values[$0] != nil }) {
      // What fails is told where it is used.
      if let expression = variables[next] { values[next] = try compute(next, expression) }
    }
    return try values[name]?.get()
  }

  private func compute(_ name: String, _ expression: PolicyExpression) throws(CELError) -> Result<CELValue, CELError> {
    guard let program = expression.program else {
      return .failure(CELError("composited variable \"\(name)\" fails to compile: \(expression.problem ?? "")"))
    }
    // Not counted in place: the expression asks for other variables.
    var cost: UInt64 = 0
    defer { spentOnVariables += cost }
    do {
      return .success(try program.evaluate(self, spent: &cost))
    } catch let error where error.code == .costLimit {
      throw error
    } catch {
      return .failure(CELError("composited variable \"\(name)\" fails to evaluate: \(error)"))
    }
  }

  /// Why an expression has no value.
  struct Failure: Error {
    let message: String
    /// Nothing more can be evaluated for this request.
    let isOutOfBudget: Bool
  }

  func evaluate(_ expression: PolicyExpression) throws(Failure) -> CELValue {
    guard let program = expression.program else {
      throw Failure(message: "compilation error: \(expression.problem ?? "")", isOutOfBudget: false)
    }
    let outOfBudget = Failure(
      message: "validation failed due to running out of cost budget, no further validation rules will be run", isOutOfBudget: true)
    guard budget > 0 else { throw outOfBudget }
    var cost: UInt64 = 0
    spentOnVariables = 0
    let result: Result<CELValue, CELError>
    do { result = .success(try program.evaluate(self, spent: &cost)) } catch { result = .failure(error) }
    cost += spentOnVariables
    guard cost <= budget else {
      budget = 0
      throw outOfBudget
    }
    budget -= cost
    switch result {
    case .success(let value): return value
    case .failure(let error):
      throw Failure(message: "expression '\(expression.text)' resulted in error: \(error)", isOutOfBudget: false)
    }
  }
}
