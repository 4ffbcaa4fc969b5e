// Lists and sets: Kubernetes' library and cel-go's extensions.

extension CELLibrary {
  package static let lists: CELLibrary = {
    var library = CELLibrary("lists")
    library.addAggregates()
    library.addListPositions()
    library.addListForms()
    return library
  }()

  private static let every = CELCallCost.items(of: 0)

  private mutating func addAggregates() {
    let ordered: [CELType] = [.int, .uint, .double, .bool, .string, .bytes, .timestamp, .duration]
    for type in ordered {
      member("isSorted", "list_\(type)_is_sorted_bool", [.list(type)], .bool, cost: Self.every) { a, _ throws(CELError) in
        let list = try a.list(0)
        var i = 1
        while i < list.count {
          guard let order = list[i - 1].compare(with: list[i]) else { throw .noSuchOverload }
          if order == .greater { return .bool(false) }
          i += 1
        }
        return .bool(true)
      }
      for (name, wanted) in [("min", CELValue.Order.less), ("max", .greater)] {
        member(name, "list_\(type)_\(name)_self", [.list(type)], type, cost: Self.every) { a, _ throws(CELError) in
          let list = try a.list(0)
          guard list.count > 0 else { throw CELError("\(name) called on empty list") }
          var best = list[0]
          for i in 1..<list.count {
            let item = list[i]
            guard let order = item.compare(with: best) else { throw .noSuchOverload }
            if order == wanted { best = item }
          }
          return best
        }
      }
    }
    let zeros: [(CELType, CELValue)] = [
      (.int, .int(0)), (.uint, .uint(0)), (.double, .double(0)), (.duration, .duration(CELDuration(nanoseconds: 0))),
    ]
    for (type, zero) in zeros {
      member("sum", "list_\(type)_sum_\(type)", [.list(type)], type, cost: Self.every) { a, _ throws(CELError) in
        var total = zero
        let list = try a.list(0)
        for i in 0..<list.count { total = try Self.add(total, list[i]) }
        return total
      }
    }
  }

  private static func add(_ a: CELValue, _ b: CELValue) throws(CELError) -> CELValue {
    switch (a, b) {
    case (.int(let x), .int(let y)):
      let (sum, overflow) = x.addingReportingOverflow(y)
      if overflow { throw .integerOverflow }
      return .int(sum)
    case (.uint(let x), .uint(let y)):
      let (sum, overflow) = x.addingReportingOverflow(y)
      if overflow { throw .unsignedOverflow }
      return .uint(sum)
    case (.double(let x), .double(let y)): return .double(x + y)
    case (.duration(let x), .duration(let y)):
      let (sum, overflow) = x.nanoseconds.addingReportingOverflow(y.nanoseconds)
      if overflow { throw CELError("duration overflow") }
      return .duration(CELDuration(nanoseconds: sum))
    default: throw .noSuchOverload
    }
  }

  private mutating func addListPositions() {
    let a = CELType.parameter("T")
    member("indexOf", "list_a_index_of_int", [.list(a), a], .int, cost: Self.every) { a, context throws(CELError) in
      let list = try a.list(0)
      for i in 0..<list.count { if try context.areEqual(list[i], a[1]) { return .int(Int64(i)) } }
      return .int(-1)
    }
    member("lastIndexOf", "list_a_last_index_of_int", [.list(a), a], .int, cost: Self.every) { a, context throws(CELError) in
      let list = try a.list(0)
      for i in (0..<list.count).reversed() { if try context.areEqual(list[i], a[1]) { return .int(Int64(i)) } }
      return .int(-1)
    }
    member("first", "list_first", [.list(a)], .optional(a)) { a, _ throws(CELError) in
      let list = try a.list(0)
      return .optional(list.count > 0 ? list[0] : nil)
    }
    member("last", "list_last", [.list(a)], .optional(a)) { a, _ throws(CELError) in
      let list = try a.list(0)
      return .optional(list.count > 0 ? list[list.count - 1] : nil)
    }
    member("slice", "list_slice", [.list(a), .int, .int], .list(a), cost: Self.every) { a, _ throws(CELError) in
      let list = try a.list(0)
      let (start, end) = (try a.int(1), try a.int(2))
      guard start >= 0, end >= 0 else { throw CELError("cannot slice(\(start), \(end)), negative indexes not supported") }
      guard start <= end else {
        throw CELError("cannot slice(\(start), \(end)), start index must be less than or equal to end index")
      }
      guard end <= list.count else { throw CELError("cannot slice(\(start), \(end)), list is length \(list.count)") }
      return .list((Int(start)..<Int(end)).map { list[$0] })
    }
  }

  private mutating func addListForms() {
    let t = CELType.parameter("T")
    member("reverse", "list_reverse", [.list(t)], .list(t), cost: Self.every) { a, _ throws(CELError) in
      .list(Array(try a.list(0).values.reversed()))
    }
    let flatten: CELOverload.Body = { a, context throws(CELError) in
      let depth = a.count > 1 ? try a.int(1) : 1
      guard depth >= 0 else { throw CELError("level must be non-negative") }
      var result: [CELValue] = []
      try Self.flatten(try a.list(0), depth, into: &result, context)
      return .list(result)
    }
    member("flatten", "list_flatten", [.list(.list(t))], .list(t), flatten)
    member("flatten", "list_flatten_list_int", [.list(.dyn), .int], .list(.dyn), flatten)
    member("distinct", "list_distinct", [.list(t)], .list(t), cost: Self.every) { a, context throws(CELError) in
      let list = try a.list(0)
      var seen: Set<CELMapKey> = []
      var others: [CELValue] = []
      var result: [CELValue] = []
      for i in 0..<list.count {
        let item = list[i]
        if let key = CELMapKey(item) {
          if seen.insert(key).inserted { result.append(item) }
          continue
        }
        var isNew = true
        for other in others where isNew { isNew = try !context.areEqual(other, item) }
        if isNew {
          others.append(item)
          result.append(item)
        }
      }
      return .list(result)
    }
    function("lists.range", "lists_range", [.int], .list(.int)) { a, context throws(CELError) in
      let count = max(0, try a.int(0))
      try context.charge(UInt64(count))
      return .list((0..<count).map(CELValue.int))
    }
    for type in [CELType.int, .uint, .double, .bool, .string, .bytes, .timestamp, .duration] {
      member("sort", "list_\(type)_sort", [.list(type)], .list(type), cost: Self.every) { a, _ throws(CELError) in
        let values = try a.list(0).values
        return .list(try Self.order(values).map { values[$0] })
      }
      function(
        "@sortByAssociatedKeys", "list_\(type)_sortByAssociatedKeys", [.list(t), .list(type)], .list(t), cost: Self.every
      ) { a, _ throws(CELError) in
        let values = try a.list(0)
        let keys = try a.list(1)
        guard keys.count == values.count else { throw .noSuchOverload }
        return .list(try Self.order(keys.values).map { values[$0] })
      }
    }
  }

  private static func flatten(
    _ list: CELList, _ depth: Int64, into result: inout [CELValue], _ context: CELContext
  ) throws(CELError) {
    try context.charge(UInt64(list.count))
    for i in 0..<list.count {
      let item = list[i]
      if depth > 0, case .list(let inner) = item {
        try flatten(inner, depth - 1, into: &result, context)
      } else {
        result.append(item)
      }
    }
  }

  /// The places of values in their order; equal ones keep theirs.
  private static func order(_ values: [CELValue]) throws(CELError) -> [Int] {
    guard let first = values.first else { return [] }
    for value in values where value.compare(with: first) == nil || value.runtimeType != first.runtimeType {
      throw CELError("list elements must have the same type")
    }
    return values.indices.sorted { a, b in
      switch values[a].compare(with: values[b]) {
      case .less: true
      case .equal: a < b
      default: false
      }
    }
  }

  // MARK: Sets

  package static let sets: CELLibrary = {
    var library = CELLibrary("sets")
    let list = CELType.list(.parameter("T"))
    library.function("sets.contains", "list_sets_contains_list", [list, list], .bool, cost: .product) { a, context throws(CELError) in
      .bool(try containsAll(try a.list(0), try a.list(1), context))
    }
    library.function("sets.equivalent", "list_sets_equivalent_list", [list, list], .bool, cost: .product) {
      a, context throws(CELError) in
      let (x, y) = (try a.list(0), try a.list(1))
      guard try containsAll(x, y, context) else { return .bool(false) }
      return .bool(try containsAll(y, x, context))
    }
    library.function("sets.intersects", "list_sets_intersects_list", [list, list], .bool, cost: .product) {
      a, context throws(CELError) in
      let (x, y) = (try a.list(0), try a.list(1))
      for i in 0..<x.count { if try contains(y, x[i], context) { return .bool(true) } }
      return .bool(false)
    }
    return library
  }()

  private static func contains(_ list: CELList, _ value: CELValue, _ context: CELContext) throws(CELError) -> Bool {
    for i in 0..<list.count { if try context.areEqual(list[i], value) { return true } }
    return false
  }

  private static func containsAll(_ list: CELList, _ part: CELList, _ context: CELContext) throws(CELError) -> Bool {
    for i in 0..<part.count { if try !contains(list, part[i], context) { return false } }
    return true
  }
}
