import JSONCodec
import Testing

@testable import CEL

/// Every function with values at the edges of their types: an error or an answer, never a trap.
@Suite struct StormTests {
  private static let texts = [
    "", "a", "日本", "e\u{301}", "%s %d %.3f %e %x %X %o %b", "%.1001f", "%", "1e-9223372036854775808", "1e1000", "-", "+", ".", "::", "::1",
    "1.2.3.4",
    "10.0.0.0/8", "::/128", "1.2.3", "v1", "[", "(a|b)*", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z", "-0:0", "+23:59",
    "Europe/Berlin", "-9223372036854775808", "18446744073709551615", "9223372036854775807ns", "-2562047h47m16.854775808s", "NaN", "inf",
    "0x1p3",
    "https://[::1]:80/a%20b?x=%zz", "https://h:", "//x", "999999999999999999999999999999999999Ei", "0.0000000000000001n", "=", "====",
    "a/b/c",
    "\u{0}", "\u{10FFFF}", "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  ]
  private static let scalars: [CELValue] =
    [.null, .bool(true), .bool(false)]
    + [Int64.min, -1, 0, 1, 63, 64, 1000, Int64.max].map(CELValue.int) + [0, 1, UInt64.max].map(CELValue.uint)
    + [-Double.infinity, -1e308, -0x1p63, -0.5, -0.0, 0, Double.leastNonzeroMagnitude].map(CELValue.double)
    + [0.5, 0x1p63, 0x1p64, 1e308, Double.infinity, .nan].map(CELValue.double)
    + [[], [0], [0xFF, 0xFE], [0x41]].map(CELValue.bytes)
    + [Int64.min, -1, 0, Int64.max].map { .duration(CELDuration(nanoseconds: $0)) }
    + [CELTimestamp.secondsMin, 0, CELTimestamp.secondsMax].compactMap { CELTimestamp(seconds: $0).map(CELValue.timestamp) }

  /// A context of its own for each call, with little to spend.
  private static func freshContext() -> CELContext {
    CELContext(
      activation: CELBindings(), slotCount: 0, costLimit: 20_000, patterns: [:],
      environment: CELEnvironment.kubernetes.with(variables: [], types: CELNoTypes(), timeZoneFile: readTimeZone))
  }

  private static let all: [CELValue] = {
    var map = CELMap()
    _ = map.insert(.string("a"), .double(.nan))
    _ = map.insert(.int(1), .null)
    var values = scalars + texts.map(CELValue.string)
    values += [.list([]), .list(scalars), .list([.list([.int(1)]), .list([])]), .strings(["b", "a"]), .list([.int(.max), .int(.min)])]
    values += [.list([.double(.nan), .double(1)]), .map(map), .map(CELMap()), .optional(nil), .optional(.int(1)), .type(.int)]
    values.append(.object(CELObject(typeName: "t", json: JSONObject([("a-b", 1)]), types: CELNoTypes())))
    values.append(.opaque(CELAuthorizer { _ in CELAuthorizationDecision(isAllowed: true) }))
    // What the constructors of the libraries make of the texts.
    for overload in CELLibrary.kubernetes.flatMap(\.overloads) where overload.parameters == [.string] {
      guard case .opaque = overload.result else { continue }
      for text in texts { if let made = try? overload.body([.string(text)], freshContext()) { values.append(made) } }
    }
    return values
  }()

  @Test func everyFunctionSurvivesEdges() {
    var calls = 0
    var generator = SystemRandomNumberGenerator()
    for overload in CELLibrary.kubernetes.flatMap(\.overloads) {
      let fitting = overload.parameters.indices.map { i in
        Self.all.filter { value in
          let alone = CELOverload("", "", isMember: false, [overload.parameters[i]], .dyn, cost: .fixed(1), body: overload.body)
          return alone.accepts([value])
        }
      }
      guard !fitting.isEmpty, fitting.allSatisfy({ !$0.isEmpty }) else { continue }
      let combinations = fitting.reduce(1) { $0 * $1.count }
      for n in 0..<min(combinations, 400) {
        var rest = combinations <= 400 ? n : Int.random(in: 0..<combinations, using: &generator)
        let arguments = fitting.map { values in
          defer { rest /= values.count }
          return values[rest % values.count]
        }
        let context = Self.freshContext()
        let value = try? overload.body(arguments, context)
        _ = overload.cost.actual(arguments, value ?? .null)
        if let value {
          _ = try? value.json()
          _ = value == value
          _ = value.isZero
        }
        calls += 1
      }
    }
    #expect(calls > 10_000)
  }

  /// Random expressions of valid words: compiled, and evaluated where they compile.
  @Test func randomExpressionsSurvive() {
    let atoms = [
      "1", "-9223372036854775808", "0u", "1.5", "''", "'a.b'", "b'x'", "null", "true", "[]", "[1, 2]", "{}", "{'a': 1}", "x", "int",
      "duration('1h')",
      "timestamp(0)", "optional.none()", "quantity('1')", "ip('::1')", "semver('1.2.3')", "url('/a')",
    ]
    let names = Set(CELLibrary.kubernetes.flatMap(\.overloads).map(\.function)).filter { $0.first?.isLetter == true && !$0.contains("@") }
      .sorted()
    let operators = ["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"]
    let environment = CELEnvironment.kubernetes.with(variables: [("x", .dyn)], types: CELNoTypes())
    var generator = SystemRandomNumberGenerator()
    func expression(_ depth: Int) -> String {
      let atom = atoms.randomElement(using: &generator) ?? "1"
      guard depth > 0 else { return atom }
      func part() -> String { expression(depth - 1) }
      switch Int.random(in: 0..<9, using: &generator) {
      case 0: return "(\(part())) \(operators.randomElement(using: &generator) ?? "+") (\(part()))"
      case 1: return "\(names.randomElement(using: &generator) ?? "size")(\(part()))"
      case 2: return "(\(part())).\(names.randomElement(using: &generator) ?? "size")(\(part()))"
      case 3: return "(\(part())).\(names.randomElement(using: &generator) ?? "size")()"
      case 4: return "(\(part())) ? \(part()) : \(part())"
      case 5:
        return
          "(\(part())).\(["map", "filter", "all", "exists_one", "sortBy", "optMap"].randomElement(using: &generator) ?? "map")(i, \(part()))"
      case 6: return "(\(part()))[\(part())]"
      case 7: return "[\(part()), ?\(part())]"
      default: return "cel.bind(v, \(part()), {\(part()): v})"
      }
    }
    var evaluated = 0
    for _ in 0..<5_000 {
      let text = expression(3)
      if let program = try? environment.compileUnchecked(text) {
        _ = try? program.evaluate(CELBindings(["x": .list([.int(1)])]), costLimit: 10_000)
        evaluated += 1
      }
      if let program = try? environment.compile(text) {
        _ = program.estimateCost { _ in 0...10 }
        _ = try? program.evaluate(CELBindings(["x": .null]), costLimit: 10_000)
      }
    }
    #expect(evaluated > 1_000)
  }
}
