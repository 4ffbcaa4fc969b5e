import CEL
import JSONCodec
import Testing

@Suite struct EnvironmentTests {
  /// A schema as a custom resource would have it.
  private let types = CELTypeTable([
    "self": [
      "replicas": CELField(type: .int, key: "replicas"), "name": CELField(type: .string, key: "name"),
      "foo__dash__bar": CELField(type: .string, key: "foo-bar"), "labels": CELField(type: .map(.string, .string), key: "labels"),
      "items": CELField(type: .list(.object("item")), key: "items"), "until": CELField(type: .timestamp, key: "until"),
      "tags": CELField(type: .list(.string), key: "tags", listKind: .set), "ratio": CELField(type: .double, key: "ratio"),
      "ports": CELField(type: .list(.object("item")), key: "ports", listKind: .map(keys: ["id"])),
    ],
    "item": ["id": CELField(type: .int, key: "id"), "value": CELField(type: .dyn, key: "value")],
  ])
  private let document: JSON = [
    "replicas": 3, "name": "web", "foo-bar": "x", "labels": ["app": "web"], "items": [["id": 1, "value": "a"], ["id": 2]],
    "until": "2030-01-01T00:00:00Z", "tags": ["a", "b"], "ratio": 2, "ports": [["id": 1, "value": "p"], ["id": 2]],
  ]

  private func check(_ expression: String) -> String {
    evaluate(
      expression, ["self": CELValue(document, type: .object("self"), types: types)], types: types, variables: [("self", .object("self"))])
  }

  @Test(arguments: [
    ("self.replicas > 2 && self.name == 'web'", "true"), ("self.foo__dash__bar", "'x'"), ("has(self.missing)", "undefined field 'missing'"),
    ("has(self.until) && self.until > timestamp('2029-01-01T00:00:00Z')", "true"),
    ("self.items.exists(i, i.id == 2 && !has(i.value))", "true"),
    ("self.items.map(i, i.id)", "[1, 2]"), ("self.labels.all(k, v, k == 'app')", "true"), ("'app' in self.labels", "true"),
    ("self.items[1].value", "no such key: value"), ("self.?name.orValue('none')", "'web'"), ("self.items[?5].hasValue()", "false"),
    ("self.items[5].id", "index out of bounds: 5"), ("self.ratio / 4.0", "0.5"), ("self.tags == ['b', 'a']", "true"),
    ("self.tags + ['a', 'c']", "['a', 'b', 'c']"),
    ("(self.ports + [self.items[1]]).size()", "2"), ("self.labels.transformMap(k, v, v + k)", "{'app': 'webapp'}"),
    ("self.replicas + 'x'", "found no matching overload for '_+_' applied to '(int, string)'"), ("type(self) == type(self)", "true"),
    ("self.items[0] == {'id': 1, 'value': 'a'}", "found no matching overload for '_==_' applied to '(item, map(string, dyn))'"),
    ("[1, 'a']", "expected type 'int' but found 'string'"),
  ])
  func readsObjects(expression: String, expected: String) {
    let result = check(expression)
    #expect(result == expected || (result.hasPrefix("ERROR: <input>:") && result.contains(expected)), "\(expression): \(result)")
  }

  @Test(arguments: [
    (
      "a + x",
      "ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a + x\n | ^\n"
        + "ERROR: <input>:1:5: undeclared reference to 'x' (in container '')\n | a + x\n | ....^"
    ),
    ("foo(1)", "ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')\n | foo(1)\n | ...^"),
    (
      "1 +",
      "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting "
        + "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^"
    ),
    ("1 &&\n 'x'", "ERROR: <input>:1:3: found no matching overload for '_&&_' applied to '(int, string)'\n | 1 &&\n | ..^"),
    (
      "'a'.startsWith(1)",
      "ERROR: <input>:1:15: found no matching overload for 'startsWith' applied to 'string.(int)'\n | 'a'.startsWith(1)\n | ..............^"
    ),
    (
      "1.exists(x, x)",
      "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | 1.exists(x, x)\n | ^"
    ),
    ("has(1)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(1)\n | ....^"),
    ("[1].all(1, true)", "ERROR: <input>:1:9: argument must be a simple name\n | [1].all(1, true)\n | ........^"),
    ("'日' + 1", "ERROR: <input>:1:5: found no matching overload for '_+_' applied to '(string, int)'\n | '日' + 1\n | .．..^"),
    ("for", "ERROR: <input>:1:1: reserved identifier: for\n | for\n | ^"),
  ])
  func saysWhatIsWrong(expression: String, message: String) { #expect(evaluate(expression) == message) }

  @Test func tellsTypesAndVariables() throws {
    let environment = CELEnvironment(variables: [("self", .object("self")), ("oldSelf", .object("self"))], types: types)
    let program = try environment.compile("self.items.map(i, i.id)")
    #expect(program.resultType == .list(.int))
    #expect(program.usedVariables == ["self"])
    #expect(try environment.compile("oldSelf.name == self.name").usedVariables == ["self", "oldSelf"])
    #expect(CELFieldName.escape("a.b-c/d__e") == "a__dot__b__dash__c__slash__d__underscores__e")
    #expect(CELFieldName.escape("in") == "__in__")
    #expect(CELFieldName.escape("1a") == nil)
  }

  // MARK: Cost

  @Test(
    arguments: [
      ("1", 0), ("x", 1), ("x.y", 2), ("x.y.z", 3), ("has(x.y)", 1), ("x.l[0]", 3), ("1 + 2", 1), ("'aaaaaaaaaa' + 'b'", 2), ("[1, 2]", 10),
      ("{'a': 1}", 30),
      ("[1, 2, 3].all(i, i > 0)", 26), ("[1, 2, 3].map(i, i)", 60), ("'abcdefghij'.matches('^a.*j$')", 4), ("true ? 1 : x", 0),
    ] as [(String, UInt64)])
  func chargesAsCelGo(expression: String, cost: UInt64) throws {
    let environment = CELEnvironment(variables: [("x", .dyn)])
    var spent: UInt64 = 0
    let x = CELValue(["y": ["z": 1], "l": [1]] as JSON)
    _ = try environment.compile(expression).evaluate(CELBindings(["x": x]), spent: &spent)
    // all: 10 for the list; each turn 2 for the condition's test of the accumulator, 1 for the accumulator, 1 for i, 1 for the
    // comparison; 1 for the result. map: 10 for each of two lists; each turn the accumulator, i, a list of one, joining; the result.
    #expect(spent == cost, "\(expression)")
  }

  @Test func costIsLimited() {
    let nested = "[0,1,2,3,4,5,6,7,8,9]"
    let bomb = (0..<7).reduce("true") { inner, i in "\(nested).all(x\(i), \(inner))" }
    #expect(evaluate(bomb) == "operation cancelled: actual cost limit exceeded")
    #expect(evaluate("\(nested).all(x, x < 10) || true", costLimit: 20) == "operation cancelled: actual cost limit exceeded")
  }

  @Test func estimatesFromBounds() throws {
    let environment = CELEnvironment(variables: [("self", .object("self"))], types: types)
    func estimate(_ text: String, items: UInt64 = 10, characters: UInt64 = 100) throws -> CELCostEstimate {
      try environment.compile(text).estimateCost { path in
        switch path.last {
        case "items", "labels": 0...items
        case "name", "foo__dash__bar", "@keys", "@values": 0...characters
        default: nil
        }
      }
    }
    #expect(try estimate("self.replicas > 1") == CELCostEstimate(min: 3, max: 3))
    #expect(try estimate("self.name == 'abc'") == CELCostEstimate(min: 3, max: 3))
    #expect(try estimate("self.name.matches('^[a-z]+$')").max == 2 + 11 * 2)
    let once = try estimate("self.items.all(i, i.id > 0)")
    let more = try estimate("self.items.all(i, i.id > 0)", items: 20)
    #expect(more.max > once.max && once.max < 100)
    let nested = try estimate("self.items.all(i, self.items.all(j, self.items.all(k, i.id + j.id > k.id)))", items: 1000)
    #expect(nested.max > CELLimits.estimatedPerRule)
    #expect(try estimate("self.tags.all(t, t == 'a')").max == .max)
  }
}

/// Input from somebody who means harm: every case must end soon, with an error or an answer.
@Suite(.timeLimit(.minutes(5))) struct HostileTests {
  /// A tenth of Kubernetes' limit: what is proportional to it takes a tenth of the time.
  private func limited(_ expression: String, _ bindings: CELBindings = [:]) -> String {
    evaluate(expression, bindings, costLimit: 100_000)
  }

  @Test func deepNestingIsRefused() {
    for text in [
      String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000), String(repeating: "[", count: 5000),
      "1" + String(repeating: " + 1", count: 5000), "a" + String(repeating: ".b", count: 5000), "a" + String(repeating: "[0]", count: 5000),
      String(repeating: "true ? 1 : ", count: 5000) + "1", String(repeating: "{'a': ", count: 5000),
    ] {
      #expect(limited(text).contains("expression recursion limit exceeded: 250"))
    }
    #expect(limited(String(repeating: "!", count: 50_000) + "true") == "true")
    #expect(limited(Array(repeating: "true", count: 10_000).joined(separator: " && ")) == "true")
    #expect(
      limited(String(repeating: " ", count: 100_001)).contains("expression code point size exceeds limit: size: 100001, limit 100000"))
    #expect(limited(String(repeating: "(", count: 240) + "1" + String(repeating: ")", count: 240)) == "1")
  }

  /// Values that double with every step, for next to no cost: as text, as lists, shared.
  @Test func doublingIsBounded() {
    func doubling(_ first: String, _ step: (String) -> String, _ last: (String) -> String) -> String {
      (0..<60).reversed().reduce(last("x60")) { body, i in "cel.bind(x\(i + 1), \(step("x\(i)")), \(body))" }
        .replacing("x0", with: first)
    }
    #expect(limited(doubling("'abcdefgh'", { "\($0) + \($0)" }, { "\($0).size()" })).contains("cost limit"))
    _ = limited(doubling("[1]", { "\($0) + \($0)" }, { "\($0).size()" }))
    #expect(limited(doubling("[1]", { "\($0) + \($0)" }, { "\($0).all(i, i == 1)" })).contains("cost limit"))
    #expect(limited(doubling("[1]", { "\($0) + \($0)" }, { "\($0).sum()" })).contains("cost limit"))
    #expect(limited(doubling("[1]", { "[\($0), \($0)]" }, { "\($0) == \($0)" })).contains("limit"))
    #expect(limited(doubling("[dyn(1)]", { "[dyn(\($0)), dyn(\($0))]" }, { "\($0) == \($0)" })).contains("cost limit"))
    #expect(limited(doubling("[dyn(1)]", { "[dyn(\($0)), dyn(\($0))]" }, { "'%s'.format([\($0)])" })).contains("cost limit"))
    #expect(limited(doubling("[dyn(1)]", { "[dyn(\($0)), dyn(\($0))]" }, { "\($0) in [\($0)]" })).contains("cost limit"))
  }

  @Test func largeRequestsAreRefused() {
    #expect(limited("lists.range(9223372036854775807).size()").contains("cost limit"))
    #expect(limited("[lists.range(10000)].map(x, [x].map(y, y)).size()") == "1")
    let long = CELValue.string(String(repeating: "a", count: 100_000))
    #expect(limited("s.replace('', s)", ["s": long]).contains("cost limit"))
    #expect(limited("s.matches('^(a+)+$')", ["s": long]) == "true")
    #expect(limited("s.matches('(a?){500}b')", ["s": long]).contains("cost limit"))
    #expect(limited("s.contains(s + 'b')", ["s": long]).contains("cost limit"))
  }

  @Test func nothingCrashes() {
    let pieces = [
      "1", "-", "'", "\"", "[", "]", "{", "}", "(", ")", ".", "?", ":", "x", "in", "b'", "r\"", "\\", "\n", "0x", "1u", "e", "é", "`", "&&",
      "|", "\u{0}",
    ]
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let text = (0..<Int.random(in: 1...12, using: &generator)).map { _ in pieces.randomElement(using: &generator)! }.joined()
      _ = try? CELEnvironment(libraries: []).compileUnchecked(text)
    }
  }
}
