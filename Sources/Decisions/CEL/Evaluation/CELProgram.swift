/// Where an expression's variables get their values.
package protocol CELActivation {
  /// Nil where there is no such variable; throws where it has no value, such as one that is computed when it is first asked for.
  func value(of variable: String) throws(CELError) -> CELValue?
}

/// Variables in a dictionary.
package struct CELBindings: CELActivation, ExpressibleByDictionaryLiteral, Sendable {
  package var values: [String: CELValue]
  package init(_ values: [String: CELValue] = [:]) { self.values = values }
  package init(dictionaryLiteral elements: (String, CELValue)...) {
    values = Dictionary(elements, uniquingKeysWith: { $1 })
  }
  package func value(of variable: String) -> CELValue? { values[variable] }
}

/// Kubernetes' limits on what expressions may cost.
package enum CELLimits {
  /// One evaluation.
  package static let perCall: UInt64 = 1_000_000
  /// All evaluations for one request.
  package static let perRequest: UInt64 = 10_000_000
  /// Estimated cost of one rule of a custom resource definition.
  package static let estimatedPerRule: UInt64 = 10_000_000
  /// Estimated cost of all rules of a custom resource definition.
  package static let estimatedPerDefinition: UInt64 = 100_000_000
}

/// An expression ready to be evaluated, any number of times and from any thread.
package struct CELProgram: Sendable {
  package let environment: CELEnvironment
  package let resultType: CELType
  package let source: CELSource
  let expression: CELExpression
  let checked: CELChecker.Result?
  private let plan: CELPlan
  private let slotCount: Int
  private let patterns: [String: LinearRegex]

  init(
    environment: CELEnvironment, expression: CELExpression, resultType: CELType, checked: CELChecker.Result?,
    source: CELSource
  ) {
    self.environment = environment
    self.expression = expression
    self.resultType = resultType
    self.checked = checked
    self.source = source
    var planner = CELPlanner(environment: environment, checked: checked)
    plan = planner.plan(expression)
    slotCount = planner.slotCount
    patterns = planner.patterns
  }

  /// Computes the value. `costLimit` bounds the work, in cel-go's units.
  package func evaluate(
    _ activation: any CELActivation, costLimit: UInt64 = CELLimits.perCall
  ) throws(CELError) -> CELValue {
    var spent: UInt64 = 0
    return try evaluate(activation, costLimit: costLimit, spent: &spent)
  }

  /// Computes the value and adds what it cost to `spent`, on failure too.
  package func evaluate(
    _ activation: any CELActivation, costLimit: UInt64 = CELLimits.perCall, spent: inout UInt64
  ) throws(CELError) -> CELValue {
    let context = CELContext(
      activation: activation, slotCount: slotCount, costLimit: costLimit, patterns: patterns, environment: environment)
    defer { spent += context.cost }
    return try context.evaluate(plan)
  }

  /// Variables that the expression mentions, so that callers prepare only those.
  package var usedVariables: Set<String> {
    var found: Set<String> = []
    Self.collect(plan, &found)
    return found
  }

  private static func collect(_ plan: CELPlan, _ found: inout Set<String>) {
    switch plan.kind {
    case .constant, .local, .unresolved: break
    case .variable(let name): found.insert(name)
    case .select(let a, _, _), .test(let a, _), .notStrictlyFalse(let a), .append(_, let a): collect(a, &found)
    case .index(let a, let b, _), .and(let a, let b), .or(let a, let b), .bind(_, let a, let b):
      collect(a, &found)
      collect(b, &found)
    case .conditional(let a, let b, let c): for part in [a, b, c] { collect(part, &found) }
    case .call(_, _, let parts), .list(let parts, _): for part in parts { collect(part, &found) }
    case .map(let entries):
      for entry in entries {
        collect(entry.key, &found)
        collect(entry.value, &found)
      }
    case .structure(_, let fields): for field in fields { collect(field.value, &found) }
    case .insert(_, let key, let value):
      if let key { collect(key, &found) }
      collect(value, &found)
    case .loop(let loop):
      for part in [loop.range, loop.initial, loop.condition, loop.step, loop.result] {
        if let part { collect(part, &found) }
      }
    }
  }
}
