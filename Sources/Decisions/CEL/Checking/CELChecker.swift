/// Finds the type of every node and the overloads that each call may mean.
struct CELChecker {
  /// What the checker found out, by the ids of nodes.
  struct Result: Sendable {
    var types: [Int: CELType] = [:]
    var overloads: [Int: [CELOverload]] = [:]
  }

  private let environment: CELEnvironment
  private var substitution = CELSubstitution()
  private var scopes: [[String: CELType]] = []
  private(set) var result = Result()
  private(set) var issues: [(offset: Int, message: String)] = []

  /// Mistakes beyond this number are not told.
  static let issuesMax = 100

  init(environment: CELEnvironment) { self.environment = environment }

  /// The type of the whole expression.
  mutating func check(_ expression: CELExpression) -> CELType {
    let visited = visit(expression)
    let type = substitution.apply(visited, freeAsDyn: true)
    for (id, type) in result.types { result.types[id] = substitution.apply(type, freeAsDyn: true) }
    issues.sort { $0.offset < $1.offset }
    return type
  }

  private mutating func report(_ node: CELExpression, _ message: String) { report(node.offset, message) }

  private mutating func report(_ offset: Int, _ message: String) {
    if issues.count < Self.issuesMax { issues.append((offset, message)) }
  }

  private mutating func undeclared(_ node: CELExpression, _ name: String) -> CELType {
    let shown = name.hasPrefix(".") ? String(name.dropFirst()) : name
    report(node, "undeclared reference to '\(shown)' (in container '\(environment.container)')")
    return .error
  }

  private func local(_ name: String) -> CELType? {
    for scope in scopes.reversed() {
      if let type = scope[name] { return type }
    }
    return nil
  }

  private func text(_ type: CELType) -> String { substitution.apply(type, freeAsDyn: true).description }

  private mutating func visit(_ node: CELExpression) -> CELType {
    let type = typeOf(node)
    result.types[node.id] = type
    return type
  }

  private mutating func typeOf(_ node: CELExpression) -> CELType {
    switch node.kind {
    case .literal(let value): return value.runtimeType
    case .identifier(let name):
      if let type = local(name) { return type }
      return declared(name) ?? undeclared(node, name)
    case .select(let operand, let field, let isTest): return select(node, operand, field, isTest: isTest)
    case .call(let function, let target, let arguments): return call(node, function, target, arguments)
    case .list(let items, let optional): return list(items, optional)
    case .map(let entries): return map(entries)
    case .structure(let name, let fields): return structure(node, name, fields)
    case .comprehension(let comprehension): return fold(comprehension)
    case .bind(let variable, let value, let body):
      let type = visit(value)
      scopes.append([variable: type])
      defer { scopes.removeLast() }
      return visit(body)
    }
  }

  private func declared(_ name: String) -> CELType? {
    switch environment.resolve(name) {
    case .variable(_, let type): type
    case .type(let type): .type(type)
    case nil: nil
    }
  }

  /// The declared type of a whole `a.b.c`, unless its first name is a local variable.
  private func qualified(_ node: CELExpression) -> CELType? {
    guard let name = node.qualifiedName else { return nil }
    if !name.hasPrefix("."), local(String(name.prefix { $0 != "." })) != nil { return nil }
    return declared(name)
  }

  // MARK: Fields

  private mutating func select(_ node: CELExpression, _ operand: CELExpression, _ field: String, isTest: Bool) -> CELType {
    if !isTest, let type = qualified(node) { return type }
    let type = fieldType(node, of: visit(operand), field, isOptional: false)
    return isTest ? .bool : type
  }

  private mutating func fieldType(_ node: CELExpression, of operand: CELType, _ field: String, isOptional: Bool) -> CELType {
    var target = substitution.apply(operand)
    var isWrapped = isOptional
    if let inner = target.optionalWrapped {
      target = substitution.apply(inner)
      isWrapped = true
    }
    var found = CELType.error
    switch target {
    case .dyn, .error: found = .dyn
    case .map(_, let value): found = value
    case .parameter:
      _ = substitution.assign(.dyn, to: target)
      found = .dyn
    case .object(let name):
      if let type = environment.types.field(field, of: name)?.type {
        found = type
      } else {
        report(node, "undefined field '\(field)'")
      }
    default: report(node, "type '\(text(target))' does not support field selection")
    }
    return isWrapped && found != .error ? .optional(found) : found
  }

  // MARK: Calls

  private mutating func call(
    _ node: CELExpression, _ function: String, _ target: CELExpression?, _ arguments: [CELExpression]
  ) -> CELType {
    if function == CELOperator.optionalSelect, arguments.count == 2 {
      guard case .literal(.string(let field)) = arguments[1].kind else { return .error }
      return fieldType(node, of: visit(arguments[0]), field, isOptional: true)
    }
    if let name = target?.qualifiedName, let overloads = environment.overloads("\(name).\(function)") {
      return resolve(node, "\(name).\(function)", overloads, isMember: false, arguments)
    }
    let name = function
    guard let overloads = target == nil ? environment.overloads(name) : environment.functions[name] else {
      if let target { _ = visit(target) }
      for argument in arguments { _ = visit(argument) }
      return undeclared(node, name)
    }
    return resolve(node, name, overloads, isMember: target != nil, (target.map { [$0] } ?? []) + arguments)
  }

  private mutating func resolve(
    _ node: CELExpression, _ name: String, _ overloads: [CELOverload], isMember: Bool, _ arguments: [CELExpression]
  ) -> CELType {
    let types = arguments.map { visit($0) }
    var matching: [CELOverload] = []
    var found: CELType?
    for overload in overloads where overload.isMember == isMember && overload.parameters.count == types.count {
      let declared = substitution.instantiate([overload.result] + overload.parameters)
      guard substitution.assign(types, to: Array(declared.dropFirst())) else { continue }
      matching.append(overload)
      let type = substitution.apply(declared[0])
      if let earlier = found {
        if !earlier.isDynOrError, earlier != type { found = .dyn }
      } else {
        found = type
      }
    }
    guard let found else {
      if !types.contains(.error) {
        let shown = types.map(text)
        let signature =
          isMember ? "\(shown[0]).(\(shown.dropFirst().joined(separator: ", ")))" : "(\(shown.joined(separator: ", ")))"
        report(node, "found no matching overload for '\(name)' applied to '\(signature)'")
      }
      return .error
    }
    result.overloads[node.id] = matching
    return found
  }

  // MARK: Aggregates

  /// The type of a literal's items so far; differing ones are `dyn`, or a mistake where they must agree.
  private mutating func join(_ earlier: CELType?, _ type: CELType, _ node: CELExpression) -> CELType {
    guard let earlier else { return type }
    if substitution.assign(earlier, to: type) {
      return CELSubstitution.moreGeneral(substitution.apply(earlier), substitution.apply(type))
    }
    if environment.needsHomogeneousLiterals {
      report(node, "expected type '\(text(earlier))' but found '\(text(type))'")
    }
    return .dyn
  }

  private mutating func optionalItem(_ node: CELExpression, _ type: CELType) -> CELType {
    let type = substitution.apply(type)
    if let inner = type.optionalWrapped { return inner }
    if !type.isDynOrError { report(node, "expected type 'optional_type(\(text(type)))' but found '\(text(type))'") }
    return .dyn
  }

  private mutating func list(_ items: [CELExpression], _ optional: Set<Int>) -> CELType {
    var element: CELType?
    for (i, item) in items.enumerated() {
      var type = visit(item)
      if optional.contains(i) { type = optionalItem(item, type) }
      element = join(element, type, item)
    }
    return .list(element ?? substitution.fresh())
  }

  private mutating func map(_ entries: [CELExpression.Entry]) -> CELType {
    var key: CELType?
    var value: CELType?
    for entry in entries {
      key = join(key, visit(entry.key), entry.key)
      var type = visit(entry.value)
      if entry.isOptional { type = optionalItem(entry.value, type) }
      value = join(value, type, entry.value)
    }
    guard let key, let value else { return .map(substitution.fresh(), substitution.fresh()) }
    return .map(key, value)
  }

  private mutating func structure(_ node: CELExpression, _ name: String, _ fields: [CELExpression.Field]) -> CELType {
    guard let type = environment.objectType(name) else {
      for field in fields { _ = visit(field.value) }
      return undeclared(node, name)
    }
    for field in fields {
      var valueType = visit(field.value)
      if field.isOptional { valueType = optionalItem(field.value, valueType) }
      guard let declared = environment.types.field(field.name, of: type)?.type else {
        report(field.offset, "undefined field '\(field.name)'")
        continue
      }
      if !substitution.assign(valueType, to: declared) {
        report(field.offset, "expected type of field '\(field.name)' is '\(declared)' but provided type is '\(text(valueType))'")
      }
    }
    return .object(type)
  }

  // MARK: Loops

  private mutating func fold(_ loop: CELExpression.Comprehension) -> CELType {
    let visited = visit(loop.range)
    let range = substitution.apply(visited)
    let initial = visit(loop.initial)
    var first = CELType.error
    var second = CELType.error
    switch range {
    case .list(let element): (first, second) = loop.variable2 == nil ? (element, .error) : (.int, element)
    case .map(let key, let value): (first, second) = (key, value)
    case .dyn, .error, .parameter:
      _ = substitution.assign(.dyn, to: range)
      (first, second) = (.dyn, .dyn)
    default:
      report(
        loop.range,
        "expression of type '\(text(range))' cannot be range of a comprehension (must be list, map, or dynamic)")
    }
    scopes.append([loop.accumulator: initial])
    defer { scopes.removeLast() }
    var variables = [loop.variable: first]
    if let name = loop.variable2 { variables[name] = second }
    scopes.append(variables)
    expect(.bool, visit(loop.condition), loop.condition)
    expect(initial, visit(loop.step), loop.step)
    scopes.removeLast()
    return visit(loop.result)
  }

  private mutating func expect(_ wanted: CELType, _ type: CELType, _ node: CELExpression) {
    if !substitution.assign(type, to: wanted) {
      report(node, "expected type '\(text(wanted))' but found '\(text(type))'")
    }
  }
}
