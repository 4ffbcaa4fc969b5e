// Optional values, and what the two-variable macros need.

extension CELLibrary {
  package static let optionals: CELLibrary = {
    var library = CELLibrary("optional")
    let a = CELType.parameter("A")
    let optional = CELType.optional(a)
    library.function("optional.of", "optional_of", [a], optional) { a, _ throws(CELError) in .optional(a[0]) }
    library.function("optional.ofNonZeroValue", "optional_ofNonZeroValue", [a], optional) { a, _ throws(CELError) in
      .optional(a[0].isZero ? nil : a[0])
    }
    library.function("optional.none", "optional_none", [], optional) { _, _ throws(CELError) in .optional(nil) }
    library.member("hasValue", "optional_hasValue", [optional], .bool) { a, _ throws(CELError) in .bool(try a.optional(0) != nil) }
    library.member("value", "optional_value", [optional], a) { a, _ throws(CELError) in
      guard let value = try a.optional(0) else { throw CELError("optional.none() dereference") }
      return value
    }
    library.member("or", "optional_or_optional", [optional, optional], optional) { a, _ throws(CELError) in
      try a.optional(0) == nil ? a[1] : a[0]
    }
    library.member("orValue", "optional_orValue_value", [optional, a], a) { a, _ throws(CELError) in
      try a.optional(0) ?? a[1]
    }
    return library
  }()

  package static let comprehensions: CELLibrary = {
    var library = CELLibrary("comprehensions")
    let map = CELType.map(.parameter("K"), .parameter("V"))
    library.function("cel.@mapInsert", "@mapInsert_map_key_value", [map, .parameter("K"), .parameter("V")], map) {
      a, _ throws(CELError) in
      var result = try a.map(0)
      guard result.insert(a[1], a[2]) else { throw CELError("insert failed: key \(CELFormat.plain(a[1])) already exists") }
      return .map(result)
    }
    library.function("cel.@mapInsert", "@mapInsert_map_map", [map, map], map) { a, _ throws(CELError) in
      var result = try a.map(0)
      let more = try a.map(1)
      for key in more.keys {
        guard result.insert(key, more[key] ?? .null) else {
          throw CELError("insert failed: key \(CELFormat.plain(key)) already exists")
        }
      }
      return .map(result)
    }
    return library
  }()
}
