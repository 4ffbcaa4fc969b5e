/// Bounds of what an expression costs, in cel-go's units.
package struct CELCostEstimate: Sendable, Equatable {
  package var min: UInt64
  package var max: UInt64
  package init(min: UInt64, max: UInt64) {
    self.min = min
    self.max = max
  }

  static let zero = CELCostEstimate(min: 0, max: 0)
  static let one = CELCostEstimate(min: 1, max: 1)
  static let unknown = CELCostEstimate(min: 0, max: .max)

  static func + (a: Self, b: Self) -> Self { Self(min: saturatingSum(a.min, b.min), max: saturatingSum(a.max, b.max)) }
  static func * (a: Self, b: Self) -> Self { Self(min: saturatingProduct(a.min, b.min), max: saturatingProduct(a.max, b.max)) }
  func union(_ other: Self) -> Self { Self(min: Swift.min(min, other.min), max: Swift.max(max, other.max)) }
  /// A part of it, rounded up.
  func divided(by divisor: UInt64) -> Self {
    func part(_ value: UInt64) -> UInt64 { value / divisor + (value % divisor == 0 ? 0 : 1) }
    return Self(min: part(min), max: max == .max ? .max : part(max))
  }

  private static func saturatingSum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }
  private static func saturatingProduct(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (product, overflow) = a.multipliedReportingOverflow(by: b)
    return overflow ? .max : product
  }
}

extension CELProgram {
  /// What the expression may cost before anything is known but sizes: `sizes` tells the bounds of a string (code points), list or
  /// map (entries) by its path, such as `["self", "spec", "items", "@items", "name"]`; `@items`, `@keys` and `@values` are the
  /// parts of lists and maps. Nil where nothing bounds it: the cost is then out of bounds too.
  package func estimateCost(sizes: @escaping (_ path: [String]) -> ClosedRange<UInt64>?) -> CELCostEstimate {
    guard let checked else { return .unknown }
    var estimator = CELCostEstimator(checked: checked, environment: environment, sizeOfPath: sizes)
    return estimator.cost(expression)
  }
}

/// Walks an expression as cel-go's estimator does.
struct CELCostEstimator {
  let checked: CELChecker.Result
  let environment: CELEnvironment
  let sizeOfPath: ([String]) -> ClosedRange<UInt64>?
  /// Where a node's value comes from, by the node's id.
  private var paths: [Int: [String]] = [:]
  private var sizes: [Int: CELCostEstimate] = [:]
  private var scopes: [(name: String, path: [String]?, size: CELCostEstimate?)] = []

  init(checked: CELChecker.Result, environment: CELEnvironment, sizeOfPath: @escaping ([String]) -> ClosedRange<UInt64>?) {
    self.checked = checked
    self.environment = environment
    self.sizeOfPath = sizeOfPath
  }

  private func type(_ node: CELExpression) -> CELType { checked.types[node.id] ?? .dyn }

  /// The size of a node's value; a scalar's is 1.
  private func size(_ node: CELExpression) -> CELCostEstimate {
    if let known = sizes[node.id] { return known }
    if let path = paths[node.id], let bounds = sizeOfPath(path) {
      return CELCostEstimate(min: bounds.lowerBound, max: bounds.upperBound)
    }
    switch type(node) {
    case .null, .bool, .int, .uint, .double, .timestamp, .duration, .type: return .one
    default: return .unknown
    }
  }

  mutating func cost(_ node: CELExpression) -> CELCostEstimate {
    switch node.kind {
    case .literal(let value):
      let size = CELCallCost.size(value)
      sizes[node.id] = CELCostEstimate(min: size, max: size)
      return .zero
    case .identifier(let name):
      if let scope = scopes.last(where: { $0.name == name }) {
        paths[node.id] = scope.path
        sizes[node.id] = scope.size
      } else {
        paths[node.id] = [name]
      }
      return .one
    case .select(let operand, let field, let isTest):
      let inner = cost(operand)
      if isTest { return inner }
      if let path = paths[operand.id] { paths[node.id] = path + [field] }
      return inner + .one
    case .call(let function, let target, let arguments): return call(node, function, target, arguments)
    case .list(let items, _):
      sizes[node.id] = CELCostEstimate(min: UInt64(items.count), max: UInt64(items.count))
      return items.reduce(CELCostEstimate(min: 10, max: 10)) { $0 + cost($1) }
    case .map(let entries):
      sizes[node.id] = CELCostEstimate(min: UInt64(entries.count), max: UInt64(entries.count))
      return entries.reduce(CELCostEstimate(min: 30, max: 30)) { $0 + cost($1.key) + cost($1.value) }
    case .structure(_, let fields): return fields.reduce(CELCostEstimate(min: 40, max: 40)) { $0 + cost($1.value) }
    case .bind(let variable, let value, let body):
      let first = cost(value) + CELCostEstimate(min: 10, max: 10)
      scopes.append((variable, paths[value.id], sizes[value.id]))
      let second = cost(body)
      scopes.removeLast()
      paths[node.id] = paths[body.id]
      sizes[node.id] = sizes[body.id]
      return first + second
    case .comprehension(let loop): return fold(node, loop)
    }
  }

  private mutating func fold(_ node: CELExpression, _ loop: CELExpression.Comprehension) -> CELCostEstimate {
    let before = cost(loop.range) + cost(loop.initial)
    let range = size(loop.range)
    let path = paths[loop.range.id]
    let isMap = if case .map = type(loop.range) { true } else { false }
    let firstPath = path.map { $0 + [isMap ? "@keys" : "@items"] }
    scopes.append((loop.accumulator, nil, sizes[loop.initial.id]))
    if let second = loop.variable2 {
      scopes.append((loop.variable, isMap ? firstPath : nil, isMap ? nil : .one))
      scopes.append((second, path.map { $0 + [isMap ? "@values" : "@items"] }, nil))
    } else {
      scopes.append((loop.variable, firstPath, nil))
    }
    let turn = cost(loop.condition) + cost(loop.step)
    scopes.removeLast(loop.variable2 == nil ? 1 : 2)
    let after = cost(loop.result)
    scopes.removeLast()
    if case .list = loop.initial.kind { sizes[node.id] = CELCostEstimate(min: 0, max: range.max) }
    if case .map = loop.initial.kind { sizes[node.id] = CELCostEstimate(min: 0, max: range.max) }
    return before + range * turn + after
  }

  private mutating func call(
    _ node: CELExpression, _ function: String, _ target: CELExpression?, _ arguments: [CELExpression]
  ) -> CELCostEstimate {
    if function == CELOperator.optionalSelect, arguments.count == 2, case .literal(.string(let field)) = arguments[1].kind {
      let inner = cost(arguments[0])
      if let path = paths[arguments[0].id] { paths[node.id] = path + [field] }
      return inner + .one
    }
    let overloads = checked.overloads[node.id] ?? []
    let isMember = overloads.first?.isMember ?? false
    let all = (isMember ? [target].compactMap { $0 } : []) + arguments
    let costs = all.map { cost($0) }
    switch (function, costs.count) {
    case (CELOperator.and, 2), (CELOperator.or, 2):
      return CELCostEstimate(min: costs[0].min, max: (costs[0] + costs[1]).max)
    case (CELOperator.conditional, 3):
      sizes[node.id] = size(all[1]).union(size(all[2]))
      return costs[0] + costs[1].union(costs[2])
    case (CELOperator.index, 2), (CELOperator.optionalIndex, 2):
      if let path = paths[all[0].id] {
        let isMap = if case .map = type(all[0]) { true } else { false }
        paths[node.id] = path + [isMap ? "@values" : "@items"]
      }
    default: break
    }
    let own = overloads.map { estimate($0, all) }
    if function == CELOperator.add, all.count == 2 { sizes[node.id] = size(all[0]) + size(all[1]) }
    if sizes[node.id] == nil { sizes[node.id] = resultSize(function, all) }
    let union = own.dropFirst().reduce(own.first ?? .zero) { $0.union($1) }
    return costs.reduce(union, +)
  }

  /// Sizes of results that follow from those of the arguments.
  private func resultSize(_ function: String, _ arguments: [CELExpression]) -> CELCostEstimate? {
    guard let first = arguments.first else { return nil }
    let from = size(first)
    let upTo = CELCostEstimate(min: 0, max: from.max)
    switch function {
    case "lowerAscii", "upperAscii", "reverse", "sort", "dyn": return from
    case "substring", "trim", "find", "findAll", "charAt", "slice", "distinct", "split": return upTo
    case "bytes": return CELCostEstimate(min: from.min, max: (from * CELCostEstimate(min: 4, max: 4)).max)
    default: return nil
    }
  }

  private func estimate(_ overload: CELOverload, _ arguments: [CELExpression]) -> CELCostEstimate {
    func size(_ i: Int) -> CELCostEstimate { i < arguments.count ? self.size(arguments[i]) : .one }
    switch overload.cost {
    case .fixed(let cost): return CELCostEstimate(min: cost, max: cost)
    case .traversal(let i, let times): return size(i).divided(by: 10) * CELCostEstimate(min: times, max: times)
    case .size(let i): return size(i)
    case .smaller:
      let smallest = min(size(0).max, size(1).max)
      return CELCostEstimate(min: smallest > 0 ? 1 : 0, max: smallest).divided(by: 10)
    case .sum: return (size(0) + size(1)).divided(by: 10)
    case .regex: return (size(0) + .one).divided(by: 10) * size(1).divided(by: 4)
    case .substring: return size(0).divided(by: 10) * size(1).divided(by: 10)
    case .items(let i):
      guard i < arguments.count, let path = paths[arguments[i].id], let item = sizeOfPath(path + ["@items"]) else { return size(i) }
      let each = CELCostEstimate(min: item.lowerBound, max: item.upperBound).divided(by: 10)
      return size(i) * CELCostEstimate(min: max(1, each.min), max: max(1, each.max))
    case .product: return size(0) * size(1)
    case .result(let times):
      // Joining: every item and a separator for each.
      var item = CELCostEstimate.unknown
      if let path = paths[arguments[0].id], let bounds = sizeOfPath(path + ["@items"]) {
        item = CELCostEstimate(min: bounds.lowerBound, max: bounds.upperBound)
      }
      let separator = arguments.count > 1 ? size(1) : .zero
      return (size(0) * (item + separator)).divided(by: 10) * CELCostEstimate(min: times, max: times)
    }
  }
}
