// The functions that every implementation of the language has.

extension CELLibrary {
  /// What Kubernetes' environments have.
  package static let kubernetes: [CELLibrary] = [
    .standard, .optionals, .comprehensions, .strings, .lists, .sets, .math, .encoders, .regularExpressions, .urls, .quantities,
    .network, .semver, .formats, .authorization, .jsonPatch,
  ]

  package static let standard: CELLibrary = {
    var library = CELLibrary("standard")
    library.types = [
      "bool": .bool, "int": .int, "uint": .uint, "double": .double, "string": .string, "bytes": .bytes, "list": .list(.dyn),
      "map": .map(.dyn, .dyn), "type": .type(nil), "null_type": .null, "google.protobuf.Timestamp": .timestamp,
      "google.protobuf.Duration": .duration, "optional_type": .optional(.dyn),
    ]
    library.addLogic()
    library.addComparisons()
    library.addArithmetic()
    library.addTextAndCollections()
    library.addConversions()
    library.addTime()
    return library
  }()

  // MARK: Logic

  /// `&&`, `||`, `?:` and indexing are evaluated by plans of their own; these entries are for the checker.
  private mutating func addLogic() {
    let a = CELType.parameter("A")
    let b = CELType.parameter("B")
    let none: CELOverload.Body = { _, _ throws(CELError) in throw .noSuchOverload }
    function(CELOperator.and, "logical_and", [.bool, .bool], .bool, none)
    function(CELOperator.or, "logical_or", [.bool, .bool], .bool, none)
    function(CELOperator.conditional, "conditional", [.bool, a, a], a, none)
    function(CELOperator.notStrictlyFalse, "not_strictly_false", [.bool], .bool, none)
    function(CELOperator.index, "index_list", [.list(a), .int], a, none)
    function(CELOperator.index, "index_map", [.map(a, b), a], b, none)
    function(CELOperator.index, "optional_list_index_int", [.optional(.list(a)), .int], .optional(a), none)
    function(CELOperator.index, "optional_map_index_value", [.optional(.map(a, b)), a], .optional(b), none)
    function(CELOperator.optionalIndex, "list_optindex_optional_int", [.list(a), .int], .optional(a), none)
    function(CELOperator.optionalIndex, "optional_list_optindex_optional_int", [.optional(.list(a)), .int], .optional(a), none)
    function(CELOperator.optionalIndex, "map_optindex_optional_value", [.map(a, b), a], .optional(b), none)
    function(CELOperator.optionalIndex, "optional_map_optindex_optional_value", [.optional(.map(a, b)), a], .optional(b), none)
    function(CELOperator.not, "logical_not", [.bool], .bool) { a, _ throws(CELError) in .bool(try !a.bool(0)) }
    function("dyn", "to_dyn", [a], .dyn) { a, _ throws(CELError) in a[0] }
    function("type", "type", [a], .type(a)) { a, _ throws(CELError) in .type(a[0].runtimeType) }
  }

  // MARK: Comparisons

  private mutating func addComparisons() {
    let a = CELType.parameter("A")
    function(CELOperator.equals, "equals", [a, a], .bool, cost: .smaller) { a, context throws(CELError) in
      .bool(try context.areEqual(a[0], a[1]))
    }
    function(CELOperator.notEquals, "not_equals", [a, a], .bool, cost: .smaller) { a, context throws(CELError) in
      .bool(try !context.areEqual(a[0], a[1]))
    }
    addOrder(CELOperator.less, "less") { $0 == .less }
    addOrder(CELOperator.lessEquals, "less_equals") { $0 == .less || $0 == .equal }
    addOrder(CELOperator.greater, "greater") { $0 == .greater }
    addOrder(CELOperator.greaterEquals, "greater_equals") { $0 == .greater || $0 == .equal }
    function(CELOperator.isIn, "in_list", [a, .list(a)], .bool, cost: .size(of: 1)) { a, context throws(CELError) in
      let list = try a.list(1)
      for i in 0..<list.count { if try context.areEqual(a[0], list[i]) { return .bool(true) } }
      return .bool(false)
    }
    function(CELOperator.isIn, "in_map", [a, .map(a, .parameter("B"))], .bool) { a, _ throws(CELError) in
      .bool(try a.map(1).contains(a[0]))
    }
  }

  private mutating func addOrder(_ name: String, _ id: String, _ test: @escaping @Sendable (CELValue.Order) -> Bool) {
    let body: CELOverload.Body = { a, _ throws(CELError) in
      guard let order = a[0].compare(with: a[1]) else { throw .noSuchOverload }
      return .bool(test(order))
    }
    let same: [(CELType, CELCallCost)] = [
      (.bool, .fixed(1)), (.int, .fixed(1)), (.uint, .fixed(1)), (.double, .fixed(1)), (.string, .smaller), (.bytes, .smaller),
      (.timestamp, .fixed(1)), (.duration, .fixed(1)),
    ]
    for (type, cost) in same { function(name, "\(id)_\(type)", [type, type], .bool, cost: cost, body) }
    for (x, y) in [(CELType.int, CELType.uint), (.int, .double), (.uint, .int), (.uint, .double), (.double, .int), (.double, .uint)] {
      function(name, "\(id)_\(x)_\(y)", [x, y], .bool, body)
    }
  }

  // MARK: Arithmetic

  private mutating func addArithmetic() {
    addIntegerArithmetic(.int, .integerOverflow) { (value: CELValue) -> Int64? in
      if case .int(let number) = value { number } else { nil }
    } _: {
      .int($0)
    }
    addIntegerArithmetic(.uint, .unsignedOverflow) { (value: CELValue) -> UInt64? in
      if case .uint(let number) = value { number } else { nil }
    } _: {
      .uint($0)
    }
    function(CELOperator.add, "add_double", [.double, .double], .double) { a, _ throws(CELError) in .double(try a.double(0) + a.double(1)) }
    function(CELOperator.subtract, "subtract_double", [.double, .double], .double) { a, _ throws(CELError) in
      .double(try a.double(0) - a.double(1))
    }
    function(CELOperator.multiply, "multiply_double", [.double, .double], .double) { a, _ throws(CELError) in
      .double(try a.double(0) * a.double(1))
    }
    function(CELOperator.divide, "divide_double", [.double, .double], .double) { a, _ throws(CELError) in
      .double(try a.double(0) / a.double(1))
    }
    function(CELOperator.negate, "negate_double", [.double], .double) { a, _ throws(CELError) in .double(-(try a.double(0))) }
    function(CELOperator.negate, "negate_int64", [.int], .int) { a, _ throws(CELError) in
      let (value, overflow) = Int64(0).subtractingReportingOverflow(try a.int(0))
      if overflow { throw .integerOverflow }
      return .int(value)
    }
  }

  private mutating func addIntegerArithmetic<T: FixedWidthInteger & Sendable>(
    _ type: CELType, _ overflow: CELError, _ number: @escaping @Sendable (CELValue) -> T?, _ make: @escaping @Sendable (T) -> CELValue
  ) {
    func add(_ name: String, _ id: String, _ compute: @escaping @Sendable (T, T) throws(CELError) -> (T, Bool)) {
      function(name, "\(id)_\(type)64", [type, type], type) { a, _ throws(CELError) in
        guard let x = number(a[0]), let y = number(a[1]) else { throw .noSuchOverload }
        let (value, overflowed) = try compute(x, y)
        if overflowed { throw overflow }
        return make(value)
      }
    }
    add(CELOperator.add, "add") { x, y throws(CELError) in x.addingReportingOverflow(y) }
    add(CELOperator.subtract, "subtract") { x, y throws(CELError) in x.subtractingReportingOverflow(y) }
    add(CELOperator.multiply, "multiply") { x, y throws(CELError) in x.multipliedReportingOverflow(by: y) }
    add(CELOperator.divide, "divide") { x, y throws(CELError) in
      if y == 0 { throw CELError("division by zero") }
      return x.dividedReportingOverflow(by: y)
    }
    add(CELOperator.modulo, "modulo") { x, y throws(CELError) in
      if y == 0 { throw CELError("modulus by zero") }
      return x.remainderReportingOverflow(dividingBy: y)
    }
  }

  // MARK: Text and collections

  private mutating func addTextAndCollections() {
    let a = CELType.parameter("A")
    let b = CELType.parameter("B")
    function(CELOperator.add, "add_string", [.string, .string], .string, cost: .sum) { a, _ throws(CELError) in
      .string(try a.string(0) + a.string(1))
    }
    function(CELOperator.add, "add_bytes", [.bytes, .bytes], .bytes, cost: .sum) { a, _ throws(CELError) in
      .bytes(try a.bytes(0) + a.bytes(1))
    }
    function(CELOperator.add, "add_list", [.list(a), .list(a)], .list(a)) { a, _ throws(CELError) in
      guard let joined = try a.list(0).joined(with: try a.list(1)) else { throw .costLimit }
      return .list(joined)
    }
    for (type, id) in [(CELType.string, "string"), (.bytes, "bytes"), (.list(a), "list"), (.map(a, b), "map")] {
      let body: CELOverload.Body = { a, _ throws(CELError) in .int(Int64(clamping: CELCallCost.size(a[0]))) }
      function("size", "size_\(id)", [type], .int, body)
      member("size", "\(id)_size", [type], .int, body)
    }
    member("contains", "contains_string", [.string, .string], .bool, cost: .substring) { a, _ throws(CELError) in
      .bool(CELText.find(Array(try a.string(1).utf8), in: Array(try a.string(0).utf8), from: 0) != nil)
    }
    member("startsWith", "starts_with_string", [.string, .string], .bool, cost: .traversal(of: 1, times: 1)) { a, _ throws(CELError) in
      .bool(try a.string(0).utf8.starts(with: try a.string(1).utf8))
    }
    member("endsWith", "ends_with_string", [.string, .string], .bool, cost: .traversal(of: 1, times: 1)) { a, _ throws(CELError) in
      .bool(try a.string(0).utf8.reversed().starts(with: try a.string(1).utf8.reversed()))
    }
    let matches: CELOverload.Body = { a, context throws(CELError) in
      let text = try a.string(0)
      return .bool(
        try context.searching(try a.string(1), flatPrice: CELCallCost.regex.actual(a, .null)) {
          regex, steps throws(LinearRegex.Exhausted) in
          try regex.search(text, steps: &steps)
        })
    }
    function("matches", "matches", [.string, .string], .bool, cost: .regex, matches)
    member("matches", "matches_string", [.string, .string], .bool, cost: .regex, matches)
  }
}
