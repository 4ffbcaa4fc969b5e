// Numbers: cel-go's math extension. Encoders and regular expressions are here too: they are small.

extension CELLibrary {
  package static let math: CELLibrary = {
    var library = CELLibrary("math")
    library.addExtremes()
    library.addRounding()
    library.addBits()
    return library
  }()

  private mutating func addExtremes() {
    for (name, wanted) in [("math.@max", CELValue.Order.greater), ("math.@min", .less)] {
      let body: CELOverload.Body = { a, _ throws(CELError) in
        let list = a.count > 1 ? CELList(a) : { if case .list(let list) = a[0] { list } else { CELList([a[0]]) } }()
        guard list.count > 0 else { throw CELError("\(name) argument must not be empty") }
        var best = list[0]
        guard best.compareNumber(with: .int(0)) != nil else { throw .noSuchOverload }
        for i in 1..<list.count {
          let item = list[i]
          guard let order = item.compareNumber(with: best) else { throw .noSuchOverload }
          if order == wanted { best = item }
        }
        return best
      }
      let numbers: [CELType] = [.int, .uint, .double]
      for x in numbers {
        function(name, "\(name)_\(x)", [x], x, body)
        for y in numbers { function(name, "\(name)_\(x)_\(y)", [x, y], x == y ? x : .dyn, body) }
        function(name, "\(name)_list_\(x)", [.list(x)], x, cost: .items(of: 0), body)
      }
      function(name, "\(name)_list_dyn", [.list(.dyn)], .dyn, cost: .items(of: 0), body)
    }
  }

  private mutating func addRounding() {
    let roundings: [(String, FloatingPointRoundingRule)] = [
      ("ceil", .up), ("floor", .down), ("round", .toNearestOrAwayFromZero), ("trunc", .towardZero),
    ]
    for (name, rule) in roundings {
      function("math.\(name)", "math_\(name)_double", [.double], .double) { a, _ throws(CELError) in
        .double(try a.double(0).rounded(rule))
      }
    }
    function("math.isNaN", "math_isNaN_double", [.double], .bool) { a, _ throws(CELError) in .bool(try a.double(0).isNaN) }
    function("math.isInf", "math_isInf_double", [.double], .bool) { a, _ throws(CELError) in .bool(try a.double(0).isInfinite) }
    function("math.isFinite", "math_isFinite_double", [.double], .bool) { a, _ throws(CELError) in .bool(try a.double(0).isFinite) }
    function("math.abs", "math_abs_double", [.double], .double) { a, _ throws(CELError) in .double(try a.double(0).magnitude) }
    function("math.abs", "math_abs_int", [.int], .int) { a, _ throws(CELError) in
      guard let value = Int64(exactly: try a.int(0).magnitude) else { throw .integerOverflow }
      return .int(value)
    }
    function("math.abs", "math_abs_uint", [.uint], .uint) { a, _ throws(CELError) in a[0] }
    function("math.sign", "math_sign_double", [.double], .double) { a, _ throws(CELError) in
      let value = try a.double(0)
      return .double(value.isNaN ? value : value > 0 ? 1 : value < 0 ? -1 : 0)
    }
    function("math.sign", "math_sign_int", [.int], .int) { a, _ throws(CELError) in .int(try a.int(0).signum()) }
    function("math.sign", "math_sign_uint", [.uint], .uint) { a, _ throws(CELError) in .uint(try a.uint(0) > 0 ? 1 : 0) }
    function("math.sqrt", "math_sqrt_double", [.double], .double) { a, _ throws(CELError) in .double(try a.double(0).squareRoot()) }
    function("math.sqrt", "math_sqrt_int", [.int], .double) { a, _ throws(CELError) in .double(Double(try a.int(0)).squareRoot()) }
    function("math.sqrt", "math_sqrt_uint", [.uint], .double) { a, _ throws(CELError) in .double(Double(try a.uint(0)).squareRoot()) }
  }

  private mutating func addBits() {
    let pairs: [(String, @Sendable (UInt64, UInt64) -> UInt64)] = [
      ("bitAnd", { $0 & $1 }), ("bitOr", { $0 | $1 }), ("bitXor", { $0 ^ $1 }),
    ]
    for (name, combine) in pairs {
      function("math.\(name)", "math_\(name)_int_int", [.int, .int], .int) { a, _ throws(CELError) in
        .int(Int64(bitPattern: combine(UInt64(bitPattern: try a.int(0)), UInt64(bitPattern: try a.int(1)))))
      }
      function("math.\(name)", "math_\(name)_uint_uint", [.uint, .uint], .uint) { a, _ throws(CELError) in
        .uint(combine(try a.uint(0), try a.uint(1)))
      }
    }
    function("math.bitNot", "math_bitNot_int_int", [.int], .int) { a, _ throws(CELError) in .int(~(try a.int(0))) }
    function("math.bitNot", "math_bitNot_uint_uint", [.uint], .uint) { a, _ throws(CELError) in .uint(~(try a.uint(0))) }
    // Swift's smart shifts give 0 past the width; to the right signs are not carried along.
    let shifts: [(String, @Sendable (UInt64, Int64) -> UInt64)] = [("bitShiftLeft", { $0 << $1 }), ("bitShiftRight", { $0 >> $1 })]
    for (name, shift) in shifts {
      function("math.\(name)", "math_\(name)_int_int", [.int, .int], .int) { a, _ throws(CELError) in
        let places = try a.int(1)
        guard places >= 0 else { throw CELError("math.\(name)() negative offset: \(places)") }
        return .int(Int64(bitPattern: shift(UInt64(bitPattern: try a.int(0)), places)))
      }
      function("math.\(name)", "math_\(name)_uint_int", [.uint, .int], .uint) { a, _ throws(CELError) in
        let places = try a.int(1)
        guard places >= 0 else { throw CELError("math.\(name)() negative offset: \(places)") }
        return .uint(shift(try a.uint(0), places))
      }
    }
  }

  // MARK: Encoders

  package static let encoders: CELLibrary = {
    var library = CELLibrary("encoders")
    library.function("base64.encode", "base64_encode_bytes", [.bytes], .string, cost: .traversal(of: 0, times: 1)) {
      a, _ throws(CELError) in .string(Base64.encode(try a.bytes(0)))
    }
    library.function("base64.decode", "base64_decode_string", [.string], .bytes, cost: .traversal(of: 0, times: 1)) {
      a, _ throws(CELError) in
      guard let bytes = Base64.decode(try a.string(0)) else { throw CELError("illegal base64 data") }
      return .bytes(bytes)
    }
    return library
  }()

  // MARK: Regular expressions

  package static let regularExpressions: CELLibrary = {
    var library = CELLibrary("regex")
    library.member("find", "string_find_string", [.string, .string], .string, cost: .regex) { a, context throws(CELError) in
      let scalars = Array(try a.string(0).unicodeScalars)
      let match = try context.searching(try a.string(1), flatPrice: CELCallCost.regex.actual(a, .null)) {
        regex, steps throws(LinearRegex.Exhausted) in
        try regex.firstMatch(in: scalars, steps: &steps)
      }
      return .string(match.map { CELText.string(scalars[$0.range]) } ?? "")
    }
    let findAll: CELOverload.Body = { a, context throws(CELError) in
      let scalars = Array(try a.string(0).unicodeScalars)
      let limit = a.count > 2 ? try a.int(2) : -1
      let matches = try context.searching(try a.string(1), flatPrice: CELCallCost.regex.actual(a, .null)) {
        regex, steps throws(LinearRegex.Exhausted) in
        try regex.allMatches(in: scalars, max: limit < 0 ? .max : Int(limit), steps: &steps)
      }
      return .strings(matches.map { CELText.string(scalars[$0.range]) })
    }
    library.member("findAll", "string_find_all_string", [.string, .string], .list(.string), cost: .regex, findAll)
    library.member("findAll", "string_find_all_string_int", [.string, .string, .int], .list(.string), cost: .regex, findAll)
    return library
  }()
}
