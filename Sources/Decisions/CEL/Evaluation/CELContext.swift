/// One evaluation: local variables, what it has cost so far, patterns it has compiled. Lives on one thread.
package final class CELContext {
  /// A local variable. A failure is kept as a value until somebody reads it: `all` and `exists` may not need to.
  private enum Slot {
    case value(CELValue)
    case failure(CELError)
  }

  private let activation: any CELActivation
  private var slots: [Slot]
  private let costLimit: UInt64
  private var patterns: [String: LinearRegex]
  private var zones: [String: CELTimeZone] = [:]
  let environment: CELEnvironment
  private(set) var cost: UInt64 = 0

  /// Patterns that come from values, at most this many kept compiled.
  private static let patternsMax = 64

  init(
    activation: any CELActivation, slotCount: Int, costLimit: UInt64, patterns: [String: LinearRegex],
    environment: CELEnvironment
  ) {
    self.activation = activation
    slots = Array(repeating: .value(.null), count: slotCount)
    self.costLimit = costLimit
    self.patterns = patterns
    self.environment = environment
  }

  /// The compiled pattern; compiling costs time that grows with its length only.
  func regex(_ pattern: String) throws(CELError) -> LinearRegex {
    if let known = patterns[pattern] { return known }
    do throws(LinearRegexError) {
      let compiled = try LinearRegex(pattern)
      if patterns.count < Self.patternsMax { patterns[pattern] = compiled }
      return compiled
    } catch {
      throw CELError(error.description)
    }
  }

  /// Searches with a pattern and charges for the work beyond the flat price, which knows nothing of how a pattern branches.
  func searching<T>(
    _ pattern: String, flatPrice: UInt64, _ search: (LinearRegex, inout Int) throws(LinearRegex.Exhausted) -> T
  ) throws(CELError) -> T {
    let stepsPerCost = 100
    let regex = try self.regex(pattern)
    let rest = (costLimit > cost ? costLimit - cost : 0) + flatPrice
    let allowed = min(LinearRegex.stepsMax, Int(min(rest, UInt64(LinearRegex.stepsMax))) * stepsPerCost)
    var steps = allowed
    let result: T
    do throws(LinearRegex.Exhausted) {
      result = try search(regex, &steps)
    } catch {
      throw .costLimit
    }
    let price = UInt64(max(0, allowed - steps) / stepsPerCost)
    if price > flatPrice { try charge(price - flatPrice) }
    return result
  }

  func timeZone(_ name: String) throws(CELError) -> CELTimeZone {
    if let known = zones[name] { return known }
    guard let zone = CELTimeZone(name: name, file: environment.timeZoneFile) else {
      throw CELError("unknown time zone \(name)")
    }
    zones[name] = zone
    return zone
  }

  /// Compares and charges for what was looked at beyond the flat price, so that values that share parts cannot hang us.
  func areEqual(_ a: CELValue, _ b: CELValue) throws(CELError) -> Bool {
    let visitsPerCost = 20
    let rest = costLimit > cost ? costLimit - cost : 0
    var equality = CELEquality(visitsMax: Int(min(rest, UInt64(Int.max / visitsPerCost))) * visitsPerCost)
    let result = equality.areEqual(a, b)
    if equality.isExhausted { throw .costLimit }
    try charge(UInt64(equality.visits / visitsPerCost))
    return result
  }

  func charge(_ amount: UInt64) throws(CELError) {
    let (sum, overflow) = cost.addingReportingOverflow(amount)
    cost = overflow ? .max : sum
    if cost > costLimit { throw .costLimit }
  }

  // MARK: Nodes

  /// cel-go's costs of what is no call.
  private enum Cost {
    static let attribute: UInt64 = 1
    static let call: UInt64 = 1
    static let list: UInt64 = 10
    static let map: UInt64 = 30
    static let structure: UInt64 = 40
  }

  func evaluate(_ plan: CELPlan) throws(CELError) -> CELValue {
    switch plan.kind {
    case .constant(let value): return value
    case .local(let slot):
      try charge(Cost.attribute)
      return try read(slot)
    case .variable(let name):
      try charge(Cost.attribute)
      guard let value = try activation.value(of: name) else { throw CELError("no such attribute(s): \(name)") }
      return value
    case .unresolved(let name): throw CELError("no such attribute(s): \(name)")
    case .select(let operand, let field, let isOptional):
      let value = try evaluate(operand)
      try charge(operand.isAttribute ? 1 : 2)
      return isOptional ? .optional(try CELAccess.optionalField(value, field)) : try CELAccess.field(value, field)
    case .test(let operand, let field): return .bool(try CELAccess.hasField(try evaluate(operand), field))
    case .index(let operand, let index, let isOptional):
      let value = try evaluate(operand)
      let key = try evaluate(index)
      try charge(operand.isAttribute ? 1 : 2)
      return isOptional ? .optional(try CELAccess.optionalItem(value, key)) : try CELAccess.item(value, key)
    case .and(let left, let right): return try logical(left, right, decisive: false)
    case .or(let left, let right): return try logical(left, right, decisive: true)
    case .conditional(let condition, let yes, let no):
      guard case .bool(let value) = try evaluate(condition) else { throw .noSuchOverload }
      return try evaluate(value ? yes : no)
    case .notStrictlyFalse(let operand):
      try charge(Cost.call)
      return .bool(try !isFalse(operand))
    case .call(_, let overloads, let operands): return try call(overloads, operands)
    case .list(let items, let optional): return try list(items, optional)
    case .map(let entries): return try map(entries)
    case .structure(let name, let fields): return try structure(name, fields)
    case .bind(let slot, let value, let body):
      try charge(Cost.list)
      slots[slot] = try capture(value)
      return try evaluate(body)
    case .loop(let loop): return try fold(loop)
    case .append(let slot, _), .insert(let slot, _, _):
      try step(plan, into: slot)
      return try read(slot)
    }
  }

  private func read(_ slot: Int) throws(CELError) -> CELValue {
    switch slots[slot] {
    case .value(let value): return value
    case .failure(let error): throw error
    }
  }

  private func capture(_ plan: CELPlan) throws(CELError) -> Slot {
    do throws(CELError) {
      return .value(try evaluate(plan))
    } catch {
      if error.code == .costLimit { throw error }
      return .failure(error)
    }
  }

  private func isFalse(_ plan: CELPlan) throws(CELError) -> Bool {
    if case .value(.bool(false)) = try capture(plan) { return true }
    return false
  }

  /// `&&` and `||`: a decisive side decides even where the other one fails.
  private func logical(_ left: CELPlan, _ right: CELPlan, decisive: Bool) throws(CELError) -> CELValue {
    let first = try capture(left)
    if case .value(.bool(let value)) = first, value == decisive { return .bool(decisive) }
    let second = try capture(right)
    if case .value(.bool(let value)) = second, value == decisive { return .bool(decisive) }
    for side in [first, second] {
      if case .failure(let error) = side { throw error }
      if case .value(let value) = side {
        if case .bool = value { continue }
        throw .noSuchOverload
      }
    }
    return .bool(!decisive)
  }

  private func call(_ overloads: [CELOverload], _ operands: [CELPlan]) throws(CELError) -> CELValue {
    var arguments: [CELValue] = []
    arguments.reserveCapacity(operands.count)
    for operand in operands { arguments.append(try evaluate(operand)) }
    for overload in overloads where overload.accepts(arguments) {
      // What grows with the arguments is charged before the work, so that a limit bounds it.
      if case .result = overload.cost {
        let value = try overload.body(arguments, self)
        try charge(overload.cost.actual(arguments, value))
        return value
      }
      try charge(overload.cost.actual(arguments, .null))
      return try overload.body(arguments, self)
    }
    throw .noSuchOverload
  }

  // MARK: Aggregates

  private func optionalItem(_ value: CELValue) throws(CELError) -> CELValue? {
    guard case .optional(let inner) = value else {
      throw CELError("cannot initialize optional list element from non-optional value")
    }
    return inner
  }

  private func list(_ items: [CELPlan], _ optional: Set<Int>) throws(CELError) -> CELValue {
    var values: [CELValue] = []
    values.reserveCapacity(items.count)
    for (i, item) in items.enumerated() {
      let value = try evaluate(item)
      if optional.contains(i) {
        if let inner = try optionalItem(value) { values.append(inner) }
      } else {
        values.append(value)
      }
    }
    try charge(Cost.list)
    return .list(values)
  }

  private func map(_ entries: [(key: CELPlan, value: CELPlan, isOptional: Bool)]) throws(CELError) -> CELValue {
    var map = CELMap()
    for entry in entries {
      let key = try evaluate(entry.key)
      var value = try evaluate(entry.value)
      if entry.isOptional {
        guard let inner = try optionalItem(value) else { continue }
        value = inner
      }
      try insert(&map, key, value)
    }
    try charge(Cost.map)
    return .map(map)
  }

  private func insert(_ map: inout CELMap, _ key: CELValue, _ value: CELValue) throws(CELError) {
    switch key {
    case .bool, .int, .uint, .string: break
    default: throw CELError("unsupported key type: \(key.runtimeType.runtimeName)")
    }
    guard map.insert(key, value) else { throw CELError("Failed with repeated key: \(CELFormat.plain(key))") }
  }

  private func structure(
    _ name: String, _ fields: [(name: String, value: CELPlan, isOptional: Bool)]
  ) throws(CELError) -> CELValue {
    var values: [(name: String, value: CELValue)] = []
    for field in fields {
      guard environment.types.field(field.name, of: name) != nil else { throw CELError("no such field '\(field.name)'") }
      var value = try evaluate(field.value)
      if field.isOptional {
        guard let inner = try optionalItem(value) else { continue }
        value = inner
      }
      values.append((field.name, value))
    }
    try charge(Cost.structure)
    return .object(CELObject(typeName: name, fields: values, types: environment.types))
  }

  // MARK: Loops

  private func fold(_ loop: CELPlan.Loop) throws(CELError) -> CELValue {
    let range = try evaluate(loop.range)
    slots[loop.accumulator] = try capture(loop.initial)
    switch range {
    case .list(let list):
      for i in 0..<list.count {
        let second = loop.slot2 == nil ? nil : list[i]
        guard try turn(loop, second == nil ? list[i] : .int(Int64(i)), second) else { break }
      }
    case .map(let map):
      for key in map.keys {
        guard try turn(loop, key, loop.slot2 == nil ? nil : map[key] ?? .null) else { break }
      }
    case .object(let object):
      for name in object.names {
        guard try turn(loop, .string(name), loop.slot2 == nil ? nil : object.value(name) ?? .null) else { break }
      }
    default: throw .noSuchOverload
    }
    return try evaluate(loop.result)
  }

  /// One turn; false where the loop ends early.
  private func turn(_ loop: CELPlan.Loop, _ first: CELValue, _ second: CELValue?) throws(CELError) -> Bool {
    slots[loop.slot] = .value(first)
    if let slot2 = loop.slot2, let second { slots[slot2] = .value(second) }
    if let condition = loop.condition {
      guard case .bool(true) = try evaluate(condition) else { return false }
    }
    do throws(CELError) {
      try step(loop.step, into: loop.accumulator)
    } catch {
      if error.code == .costLimit || loop.condition == nil { throw error }
      slots[loop.accumulator] = .failure(error)
    }
    return true
  }

  /// Computes the accumulator's next value; lists and maps grow in place.
  private func step(_ plan: CELPlan, into slot: Int) throws(CELError) {
    switch plan.kind {
    case .conditional(let condition, let yes, let no):
      guard case .bool(let value) = try evaluate(condition) else { throw .noSuchOverload }
      try step(value ? yes : no, into: slot)
    case .append(slot, let item):
      try charge(Cost.attribute)
      let value = try evaluate(item)
      try charge(Cost.list + 1)
      guard case .value(.list(var list)) = slots[slot], case .values(var values) = list.storage else {
        throw .noSuchOverload
      }
      slots[slot] = .value(.null)  // gives up the other references, so that the change happens in place
      list.storage = .values([])
      values.append(value)
      list.storage = .values(values)
      slots[slot] = .value(.list(list))
    case .insert(slot, let key, let value):
      try charge(Cost.attribute + 1)
      let key = try key.map { plan throws(CELError) in try evaluate(plan) }
      let value = try evaluate(value)
      guard case .value(.map(var map)) = slots[slot] else { throw .noSuchOverload }
      slots[slot] = .value(.null)
      if let key {
        try insert(&map, key, value)
      } else {
        guard case .map(let more) = value else { throw .noSuchOverload }
        for key in more.keys { try insert(&map, key, more[key] ?? .null) }
      }
      slots[slot] = .value(.map(map))
    default: slots[slot] = .value(try evaluate(plan))
    }
  }
}
