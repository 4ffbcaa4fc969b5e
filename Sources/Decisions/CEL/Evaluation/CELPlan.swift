/// A node ready to be evaluated: names are resolved to slots and variables, calls to overloads.
final class CELPlan: Sendable {
  let kind: Kind
  init(_ kind: Kind) { self.kind = kind }

  indirect enum Kind: Sendable {
    case constant(CELValue)
    case local(Int)
    case variable(String)
    case unresolved(String)
    case select(CELPlan, String, isOptional: Bool)
    case test(CELPlan, String)
    case index(CELPlan, CELPlan, isOptional: Bool)
    case and(CELPlan, CELPlan)
    case or(CELPlan, CELPlan)
    case conditional(CELPlan, CELPlan, CELPlan)
    case notStrictlyFalse(CELPlan)
    case call(String, [CELOverload], [CELPlan])
    case list([CELPlan], optional: Set<Int>)
    case map([(key: CELPlan, value: CELPlan, isOptional: Bool)])
    case structure(String, [(name: String, value: CELPlan, isOptional: Bool)])
    case bind(slot: Int, CELPlan, body: CELPlan)
    case loop(Loop)
    /// Within a loop: adds an item to the list in the slot, in place.
    case append(slot: Int, CELPlan)
    /// Within a loop: adds entries to the map in the slot, in place; without a key the value is a map.
    case insert(slot: Int, key: CELPlan?, CELPlan)
  }

  struct Loop: Sendable {
    let range: CELPlan
    let slot: Int
    let slot2: Int?
    let accumulator: Int
    let initial: CELPlan
    /// Nil where the loop always runs to the end.
    let condition: CELPlan?
    let step: CELPlan
    let result: CELPlan
  }

  /// Names, fields and items of names: cel-go counts them as one attribute.
  var isAttribute: Bool {
    switch kind {
    case .local, .variable, .unresolved, .select, .index: true
    default: false
    }
  }
}

/// Turns a parsed expression into a plan.
struct CELPlanner {
  let environment: CELEnvironment
  let checked: CELChecker.Result?
  private var scopes: [(name: String, slot: Int)] = []
  private(set) var slotCount = 0
  /// Patterns that stand in the expression itself, compiled once.
  private(set) var patterns: [String: LinearRegex] = [:]

  init(environment: CELEnvironment, checked: CELChecker.Result?) {
    self.environment = environment
    self.checked = checked
  }

  private mutating func push(_ name: String) -> Int {
    let slot = scopes.count
    scopes.append((name, slot))
    slotCount = max(slotCount, scopes.count)
    return slot
  }

  private func local(_ name: String) -> Int? { scopes.last { $0.name == name }?.slot }

  mutating func plan(_ node: CELExpression) -> CELPlan { CELPlan(kind(node)) }

  private func named(_ name: String) -> CELPlan.Kind? {
    switch environment.resolve(name) {
    case .variable(let name, _): .variable(name)
    case .type(let type): .constant(.type(type))
    case nil: nil
    }
  }

  private mutating func kind(_ node: CELExpression) -> CELPlan.Kind {
    switch node.kind {
    case .literal(let value): return .constant(value)
    case .identifier(let name):
      if let slot = local(name) { return .local(slot) }
      return named(name) ?? .unresolved(name)
    case .select(let operand, let field, let isTest):
      if isTest { return .test(plan(operand), field) }
      if let name = node.qualifiedName, name.hasPrefix(".") || local(String(name.prefix { $0 != "." })) == nil,
        let found = named(name)
      {
        return found
      }
      return .select(plan(operand), field, isOptional: false)
    case .call(let function, let target, let arguments): return call(node, function, target, arguments)
    case .list(let items, let optional): return .list(items.map { plan($0) }, optional: optional)
    case .map(let entries): return .map(entries.map { (plan($0.key), plan($0.value), $0.isOptional) })
    case .structure(let name, let fields):
      guard let type = environment.objectType(name) else { return .unresolved(name) }
      return .structure(type, fields.map { ($0.name, plan($0.value), $0.isOptional) })
    case .bind(let variable, let value, let body):
      let planned = plan(value)
      let slot = push(variable)
      defer { scopes.removeLast() }
      return .bind(slot: slot, planned, body: plan(body))
    case .comprehension(let loop): return self.loop(loop)
    }
  }

  private mutating func call(
    _ node: CELExpression, _ function: String, _ target: CELExpression?, _ arguments: [CELExpression]
  ) -> CELPlan.Kind {
    if target == nil {
      switch (function, arguments.count) {
      case (CELOperator.and, 2): return .and(plan(arguments[0]), plan(arguments[1]))
      case (CELOperator.or, 2): return .or(plan(arguments[0]), plan(arguments[1]))
      case (CELOperator.conditional, 3):
        return .conditional(plan(arguments[0]), plan(arguments[1]), plan(arguments[2]))
      case (CELOperator.notStrictlyFalse, 1): return .notStrictlyFalse(plan(arguments[0]))
      case (CELOperator.index, 2): return .index(plan(arguments[0]), plan(arguments[1]), isOptional: false)
      case (CELOperator.optionalIndex, 2): return .index(plan(arguments[0]), plan(arguments[1]), isOptional: true)
      case (CELOperator.optionalSelect, 2):
        guard case .literal(.string(let field)) = arguments[1].kind else { break }
        return .select(plan(arguments[0]), field, isOptional: true)
      default: break
      }
    }
    var name = function
    var isMember = target != nil
    if let qualified = target?.qualifiedName, environment.overloads("\(qualified).\(function)") != nil {
      name = "\(qualified).\(function)"
      isMember = false
    }
    let all = (isMember && target != nil ? [target!] : []) + arguments
    let overloads =
      checked?.overloads[node.id]
      ?? (environment.overloads(name) ?? []).filter { $0.isMember == isMember && $0.parameters.count == all.count }
    for overload in overloads {
      if case .regex = overload.cost, all.count > 1, case .literal(.string(let pattern)) = all[1].kind,
        patterns[pattern] == nil
      {
        patterns[pattern] = try? LinearRegex(pattern)
      }
    }
    return .call(name, overloads, all.map { plan($0) })
  }

  private mutating func loop(_ loop: CELExpression.Comprehension) -> CELPlan.Kind {
    let range = plan(loop.range)
    let initial = plan(loop.initial)
    let accumulator = push(loop.accumulator)
    defer { scopes.removeLast() }
    let slot = push(loop.variable)
    let slot2 = loop.variable2.map { push($0) }
    var condition: CELPlan?
    if case .literal(.bool(true)) = loop.condition.kind {} else { condition = plan(loop.condition) }
    let step = self.step(loop.step, loop, accumulator)
    scopes.removeLast(slot2 == nil ? 1 : 2)
    return .loop(
      .init(
        range: range, slot: slot, slot2: slot2, accumulator: accumulator, initial: initial, condition: condition,
        step: step, result: plan(loop.result)))
  }

  /// Steps that add to the accumulator do it in place: to copy it each time would make `map` quadratic.
  private mutating func step(_ node: CELExpression, _ loop: CELExpression.Comprehension, _ accumulator: Int) -> CELPlan {
    func isAccumulator(_ node: CELExpression) -> Bool {
      if case .identifier(let name) = node.kind { name == loop.accumulator } else { false }
    }
    guard case .call(let function, nil, let arguments) = node.kind else { return plan(node) }
    if function == CELOperator.conditional {
      return CELPlan(
        .conditional(plan(arguments[0]), step(arguments[1], loop, accumulator), step(arguments[2], loop, accumulator)))
    }
    guard let first = arguments.first, isAccumulator(first) else { return plan(node) }
    if function == CELOperator.add, case .list(let items, _) = arguments[1].kind, items.count == 1,
      case .list = loop.initial.kind
    {
      return CELPlan(.append(slot: accumulator, plan(items[0])))
    }
    if function == "cel.@mapInsert" {
      let key = arguments.count == 3 ? plan(arguments[1]) : nil
      return CELPlan(.insert(slot: accumulator, key: key, plan(arguments.last!)))
    }
    return plan(node)
  }
}
