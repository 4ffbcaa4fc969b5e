// Macros: calls that become loops, tests or bindings while they are parsed. The expansions are cel-go's, so that costs agree.

extension CELParser {
  private static let accumulator = "@result"

  /// The expansion; nil where the call is no macro.
  mutating func expandMacro(
    _ name: String, target: CELExpression?, _ arguments: [CELExpression], offset: Int
  ) throws(CELSyntaxError) -> CELExpression? {
    guard let target else {
      guard name == "has", arguments.count == 1 else { return nil }
      return try has(arguments[0], offset)
    }
    if case .identifier(let namespace) = target.kind {
      if namespace == "cel", name == "bind", arguments.count == 3 {
        let variable = try variableName(arguments[0])
        return node(offset, .bind(variable: variable, arguments[1], body: arguments[2]))
      }
      if namespace == "cel", allowsBlocks, let expanded = try block(name, arguments, offset) { return expanded }
      if namespace == "math", name == "greatest" || name == "least" {
        return try extreme(name, arguments, offset)
      }
    }
    switch (name, arguments.count) {
    case ("all", 2), ("all", 3), ("exists", 2), ("exists", 3), ("exists_one", 2), ("exists_one", 3), ("existsOne", 2),
      ("existsOne", 3):
      return try quantifier(name, target, arguments, offset)
    case ("map", 2), ("map", 3):
      return try collect(target, [arguments[0]], filter: arguments.count == 3 ? arguments[1] : nil, arguments.last!, offset)
    case ("filter", 2): return try collect(target, [arguments[0]], filter: arguments[1], arguments[0], offset)
    case ("transformList", 3), ("transformList", 4):
      let filter = arguments.count == 4 ? arguments[2] : nil
      return try collect(target, Array(arguments[..<2]), filter: filter, arguments.last!, offset)
    case ("transformMap", 3), ("transformMap", 4), ("transformMapEntry", 3), ("transformMapEntry", 4):
      return try transformMap(name, target, arguments, offset)
    case ("sortBy", 2): return try sortBy(target, arguments, offset)
    case ("optMap", 2), ("optFlatMap", 2): return try optionalMap(name, target, arguments, offset)
    default: return nil
    }
  }

  private func variableName(_ expression: CELExpression) throws(CELSyntaxError) -> String {
    guard case .identifier(let name) = expression.kind, !name.hasPrefix(".") else {
      throw CELSyntaxError(offset: expression.offset, message: "argument must be a simple name")
    }
    return name
  }

  private mutating func has(_ argument: CELExpression, _ offset: Int) throws(CELSyntaxError) -> CELExpression {
    switch argument.kind {
    case .select(let operand, let field, false): return node(offset, .select(operand, field: field, isTest: true))
    default: throw CELSyntaxError(offset: argument.offset, message: "invalid argument to has() macro")
    }
  }

  private mutating func fold(
    _ range: CELExpression, _ variables: [String], from initial: CELExpression, while condition: CELExpression,
    _ step: CELExpression, result: CELExpression? = nil, _ offset: Int
  ) -> CELExpression {
    let result = result ?? node(offset, .identifier(Self.accumulator))
    return node(
      offset,
      .comprehension(
        .init(
          range: range, variable: variables[0], variable2: variables.count > 1 ? variables[1] : nil,
          accumulator: Self.accumulator, initial: initial, condition: condition, step: step, result: result)))
  }

  private mutating func variableNames(_ arguments: some Sequence<CELExpression>) throws(CELSyntaxError) -> [String] {
    var names: [String] = []
    for argument in arguments {
      let name = try variableName(argument)
      if names.contains(name) {
        throw CELSyntaxError(offset: argument.offset, message: "duplicate variable name: \(name)")
      }
      names.append(name)
    }
    return names
  }

  private mutating func quantifier(
    _ name: String, _ range: CELExpression, _ arguments: [CELExpression], _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression {
    let variables = try variableNames(arguments.dropLast())
    let predicate = arguments.last!
    let accumulated = node(offset, .identifier(Self.accumulator))
    let yes = node(offset, .literal(.bool(true)))
    switch name {
    case "all":
      let condition = call(offset, CELOperator.notStrictlyFalse, accumulated)
      let step = call(offset, CELOperator.and, accumulated, predicate)
      return fold(range, variables, from: yes, while: condition, step, offset)
    case "exists":
      let no = node(offset, .literal(.bool(false)))
      let condition = call(offset, CELOperator.notStrictlyFalse, call(offset, CELOperator.not, accumulated))
      let step = call(offset, CELOperator.or, accumulated, predicate)
      return fold(range, variables, from: no, while: condition, step, offset)
    default:
      let zero = node(offset, .literal(.int(0)))
      let one = node(offset, .literal(.int(1)))
      let increased = call(offset, CELOperator.add, accumulated, one)
      let step = call(offset, CELOperator.conditional, predicate, increased, accumulated)
      let result = call(offset, CELOperator.equals, accumulated, one)
      return fold(range, variables, from: zero, while: yes, step, result: result, offset)
    }
  }

  /// `map`, `filter` and `transformList`: a list of what the transformation gives for the elements that pass the filter.
  private mutating func collect(
    _ range: CELExpression, _ names: [CELExpression], filter: CELExpression?, _ transformed: CELExpression, _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression {
    let variables = try variableNames(names)
    let accumulated = node(offset, .identifier(Self.accumulator))
    let empty = node(offset, .list([], optional: []))
    let item = node(offset, .list([transformed], optional: []))
    var step = call(offset, CELOperator.add, accumulated, item)
    if let filter { step = call(offset, CELOperator.conditional, filter, step, accumulated) }
    return fold(range, variables, from: empty, while: node(offset, .literal(.bool(true))), step, offset)
  }

  private mutating func transformMap(
    _ name: String, _ range: CELExpression, _ arguments: [CELExpression], _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression {
    let variables = try variableNames(arguments[..<2])
    let accumulated = node(offset, .identifier(Self.accumulator))
    var step: CELExpression
    if name == "transformMap" {
      let key = node(offset, .identifier(variables[0]))
      step = call(offset, "cel.@mapInsert", accumulated, key, arguments.last!)
    } else {
      step = call(offset, "cel.@mapInsert", accumulated, arguments.last!)
    }
    if arguments.count == 4 { step = call(offset, CELOperator.conditional, arguments[2], step, accumulated) }
    return fold(
      range, variables, from: node(offset, .map([])), while: node(offset, .literal(.bool(true))), step, offset)
  }

  /// The target is bound to a name first: to repeat it, as a plain expansion would, doubles the work with each link of a chain.
  private mutating func optionalMap(
    _ name: String, _ target: CELExpression, _ arguments: [CELExpression], _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression {
    let variable = try variableName(arguments[0])
    let held = node(offset, .identifier("@target"))
    let value = node(offset, .call("value", target: held, []))
    let mapped = node(offset, .bind(variable: variable, value, body: arguments[1]))
    let some = name == "optFlatMap" ? mapped : call(offset, "optional.of", mapped)
    let test = node(offset, .call("hasValue", target: held, []))
    let choice = call(offset, CELOperator.conditional, test, some, call(offset, "optional.none"))
    return node(offset, .bind(variable: "@target", target, body: choice))
  }

  private mutating func sortBy(
    _ target: CELExpression, _ arguments: [CELExpression], _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression {
    let held = node(offset, .identifier("@list"))
    let keys = try collect(held, [arguments[0]], filter: nil, arguments[1], offset)
    let sorted = call(offset, "@sortByAssociatedKeys", held, keys)
    return node(offset, .bind(variable: "@list", target, body: sorted))
  }

  /// `cel.block([a, b], body)`: names for values that `cel.index(0)`, `cel.index(1)` stand for.
  private mutating func block(
    _ name: String, _ arguments: [CELExpression], _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression? {
    var numbers: [Int64] = []
    for argument in arguments { if case .literal(.int(let number)) = argument.kind { numbers.append(number) } }
    switch (name, arguments.count) {
    case ("block", 2):
      guard case .list(let items, _) = arguments[0].kind else {
        throw CELSyntaxError(offset: offset, message: "cel.block requires the first arg to be a list literal")
      }
      return items.enumerated().reversed().reduce(arguments[1]) { body, item in
        node(offset, .bind(variable: "@index\(item.offset)", item.element, body: body))
      }
    case ("index", 1) where numbers.count == 1: return node(offset, .identifier("@index\(numbers[0])"))
    case ("iterVar", 2) where numbers.count == 2: return node(offset, .identifier("@it:\(numbers[0]):\(numbers[1])"))
    case ("accuVar", 2) where numbers.count == 2: return node(offset, .identifier("@ac:\(numbers[0]):\(numbers[1])"))
    default: return nil
    }
  }

  private mutating func extreme(
    _ name: String, _ arguments: [CELExpression], _ offset: Int
  ) throws(CELSyntaxError) -> CELExpression {
    let function = name == "greatest" ? "math.@max" : "math.@min"
    guard !arguments.isEmpty else {
      throw CELSyntaxError(offset: offset, message: "math.\(name)() requires at least one argument")
    }
    for argument in arguments {
      let message: String
      switch argument.kind {
      case .literal(.int), .literal(.uint), .literal(.double), .identifier, .select, .call, .comprehension, .bind: continue
      case .list(let items, _) where arguments.count == 1:
        guard items.isEmpty else { continue }
        message = "math.\(name)() invalid single argument value"
      default:
        message =
          arguments.count == 1
          ? "math.\(name)() invalid single argument value" : "math.\(name)() simple literal arguments must be numeric"
      }
      throw CELSyntaxError(offset: argument.offset, message: message)
    }
    if arguments.count <= 2 { return node(offset, .call(function, target: nil, arguments)) }
    return call(offset, function, node(offset, .list(arguments, optional: [])))
  }
}
