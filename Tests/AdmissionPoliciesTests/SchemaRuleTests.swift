import APIMachinery
import AdmissionPolicies
import JSONCodec
import Testing

/// `x-kubernetes-validations`, through the hooks that custom resources use.
@Suite struct SchemaRuleTests {
  private let hooks = CustomResourceHooks.expressions()

  private func errors(_ schema: JSON, _ object: JSON, old: JSON? = nil) throws -> [String] {
    let rules = try #require(hooks.compileRules(StructuralSchema(schema)))
    return rules.errors(object: object, old: old).map(\.description)
  }

  private func problems(_ schema: JSON, old: JSON? = nil) -> [String] {
    hooks.ruleProblems(StructuralSchema(schema), old.map { StructuralSchema($0) }, "schema").map(\.description)
  }

  private func spec(_ properties: JSON, rules: JSON) -> JSON {
    [
      "type": "object",
      "properties": ["spec": ["type": "object", "properties": properties, "x-kubernetes-validations": rules]],
    ]
  }

  @Test func aFalseRuleIsToldWithItsPathAndText() throws {
    let schema = spec(
      ["min": ["type": "integer"], "max": ["type": "integer"]],
      rules: [["rule": " self.min <= self.max "], ["rule": "self.min > 0", "message": "min must be positive", "fieldPath": ".min"]])
    #expect(try errors(schema, ["spec": ["min": 1, "max": 2]]) == [])
    #expect(
      try errors(schema, ["spec": ["min": 0, "max": -1]]) == [
        "spec: Invalid value: \"object\": failed rule: self.min <= self.max", "spec.min: Invalid value: \"object\": min must be positive",
      ])
    #expect(
      try errors(schema, ["spec": ["min": 1]]) == [
        "spec: Invalid value: \"object\": no such key: max evaluating rule: self.min <= self.max"
      ])
  }

  @Test func aReasonDecidesTheKindOfError() throws {
    for (reason, text) in [
      ("FieldValueForbidden", "spec: Forbidden: no"), ("FieldValueRequired", "spec: Required value: no"),
      ("FieldValueDuplicate", "spec: Duplicate value: \"object\""), ("FieldValueInvalid", "spec: Invalid value: \"object\": no"),
    ] {
      let schema = spec(["a": ["type": "string"]], rules: [["rule": "false", "message": "no", "reason": .string(reason)]])
      #expect(try errors(schema, ["spec": ["a": "b"]]) == [text])
    }
  }

  @Test func aMessageIsComputedOrFallsBack() throws {
    let rules: JSON = [
      ["rule": "self.n < 3", "messageExpression": "'n is ' + string(self.n)"],
      ["rule": "self.n < 4", "message": "plain", "messageExpression": "'two\\nlines'"],
      ["rule": "self.n < 5", "messageExpression": "self.gone"],
    ]
    let schema = spec(["n": ["type": "integer"], "gone": ["type": "string"]], rules: rules)
    #expect(
      try errors(schema, ["spec": ["n": 9]]) == [
        "spec: Invalid value: \"object\": n is 9", "spec: Invalid value: \"object\": plain",
        "spec: Invalid value: \"object\": failed rule: self.n < 5",
      ])
  }

  @Test func transitionRulesLookAtUpdatesOnly() throws {
    let schema = spec(
      ["name": ["type": "string", "x-kubernetes-validations": [["rule": "self == oldSelf", "message": "fixed"]]]], rules: [])
    #expect(try errors(schema, ["spec": ["name": "a"]]) == [])
    #expect(try errors(schema, ["spec": ["name": "b"]], old: ["spec": .object(JSONObject())]) == [])
    #expect(
      try errors(schema, ["spec": ["name": "b"]], old: ["spec": ["name": "a"]]) == ["spec.name: Invalid value: \"string\": fixed"])
  }

  @Test func anOptionalOldSelfIsThereOnCreatesToo() throws {
    let schema = spec(
      ["n": ["type": "integer"]],
      rules: [["rule": "!oldSelf.hasValue() || oldSelf.value().n <= self.n", "optionalOldSelf": true, "message": "shrinks"]])
    #expect(try errors(schema, ["spec": ["n": 1]]) == [])
    #expect(try errors(schema, ["spec": ["n": 1]], old: ["spec": ["n": 2]]) == ["spec: Invalid value: \"object\": shrinks"])
  }

  @Test func itemsOfMapListsAreTheSameByTheirKeys() throws {
    let item: JSON = [
      "type": "object", "required": ["name"], "properties": ["name": ["type": "string"], "size": ["type": "integer"]],
      "x-kubernetes-validations": [["rule": "self.size >= oldSelf.size", "message": "shrinks"]],
    ]
    let schema: JSON = [
      "type": "object",
      "properties": [
        "items": ["type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item]
      ],
    ]
    let old: JSON = ["items": [["name": "a", "size": 1], ["name": "b", "size": 5]]]
    #expect(
      try errors(schema, ["items": [["name": "b", "size": 4], ["name": "a", "size": 1], ["name": "c", "size": 0]]], old: old) == [
        "items[0]: Invalid value: \"object\": shrinks"
      ])
  }

  @Test func whatWasWrongAndDidNotChangeIsLetPass() throws {
    let schema: JSON = [
      "type": "object",
      "properties": [
        "a": ["type": "string", "x-kubernetes-validations": [["rule": "self == 'good'"]]],
        "b": ["type": "string", "x-kubernetes-validations": [["rule": "self == 'good'"]]],
      ],
    ]
    #expect(
      try errors(schema, ["a": "bad", "b": "worse"], old: ["a": "bad", "b": "bad"]) == [
        "b: Invalid value: \"string\": failed rule: self == 'good'"
      ])
  }

  @Test func namesThatAreNoIdentifiersAndKeysOfMaps() throws {
    let schema: JSON = [
      "type": "object",
      "properties": [
        "foo-bar": ["type": "string"],
        "in": ["type": "integer"],
        "labels": [
          "type": "object",
          "additionalProperties": ["type": "string", "x-kubernetes-validations": [["rule": "self.size() < 3", "message": "long"]]],
        ],
      ],
      "x-kubernetes-validations": [["rule": "self.foo__dash__bar == 'x' && self.__in__ == 1 && self.metadata.name == 'n'"]],
    ]
    #expect(try errors(schema, ["foo-bar": "x", "in": 1, "metadata": ["name": "n"], "labels": ["k": "ab"]]) == [])
    #expect(
      try errors(schema, ["foo-bar": "x", "in": 1, "metadata": ["name": "n"], "labels": ["k": "abc"]]) == [
        "labels[k]: Invalid value: \"string\": long"
      ])
  }

  @Test func aRuleThatCostsTooMuchEndsTheWalk() throws {
    let schema: JSON = [
      "type": "object", "properties": ["list": ["type": "array", "items": ["type": "integer"]]],
      "x-kubernetes-validations": [
        ["rule": "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c > 0)))"], ["rule": "false", "message": "never reached"],
      ],
    ]
    let list = JSON.array((1...200).map { JSON($0) })
    let found = try errors(schema, ["list": list])
    #expect(found.count == 1 && found[0].contains("operation cancelled: actual cost limit exceeded"), "\(found)")
  }

  // MARK: definitions

  @Test func mistakesAreToldWhereTheyStand() {
    let found = problems(
      spec(["a": ["type": "string"]], rules: [["rule": "self.b == 1"], ["rule": "self.a"], ["rule": "true", "messageExpression": "1"]]))
    #expect(found.count == 3, "\(found)")
    #expect(found[0].hasPrefix("schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self.b == 1\""))
    #expect(found[0].contains("compilation failed: ERROR: <input>:1:5: undefined field 'b'"))
    #expect(found[1].hasSuffix("cel expression must evaluate to a bool"))
    #expect(found[2].contains("[2].messageExpression: ") && found[2].hasSuffix("messageExpression must evaluate to a string"))
  }

  @Test func oldSelfNeedsPlacesThatCanBeTold() {
    let list: JSON = [
      "type": "object",
      "properties": [
        "items": ["type": "array", "maxItems": 3, "items": ["type": "integer", "x-kubernetes-validations": [["rule": "self >= oldSelf"]]]]
      ],
    ]
    #expect(
      problems(list) == [
        "schema.properties[items].items.x-kubernetes-validations[0].rule: Invalid value: \"self >= oldSelf\": "
          + "oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[items]"
      ])
    #expect(
      problems(spec(["a": ["type": "string"]], rules: [["rule": "true", "optionalOldSelf": true]])) == [
        "schema.properties[spec].x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
      ])
  }

  @Test func unboundedCostsAreRefusedAndBoundsHelp() {
    func schema(_ limits: JSON) -> JSON {
      var item: JSON = ["type": "string"]
      var list: JSON = ["type": "array"]
      item["maxLength"] = limits["maxLength"]
      list["maxItems"] = limits["maxItems"]
      list["items"] = item
      return spec(["list": list], rules: [["rule": "self.list.all(x, self.list.all(y, x == y || x.contains(y)))"]])
    }
    let found = problems(schema(.object(JSONObject())))
    #expect(
      found.first?.contains("[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x") == true, "\(found)")
    #expect(
      found.last?.contains("schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema") == true)
    #expect(problems(schema(["maxItems": 10, "maxLength": 10])) == [])
    // What is stored with such costs can still be changed.
    #expect(problems(schema(.object(JSONObject())), old: schema(.object(JSONObject()))) == [])
  }

  @Test func defaultsKeepTheRules() {
    let inner: JSON = [
      "type": "object", "default": ["n": 0], "properties": ["n": ["type": "integer"]], "x-kubernetes-validations": [["rule": "self.n > 0"]],
    ]
    let schema: JSON = ["type": "object", "properties": ["spec": inner]]
    #expect(problems(schema) == ["schema.properties[spec].default: Invalid value: \"object\": failed rule: self.n > 0"])
  }

  @Test func fieldsThatNoExpressionCanNameHaveRulesToo() throws {
    let inner: JSON = ["type": "object", "properties": ["n": ["type": "integer"]], "x-kubernetes-validations": [["rule": "self.n > 0"]]]
    let schema: JSON = ["type": "object", "properties": ["1st$": inner]]
    #expect(problems(schema) == [])
    #expect(try errors(schema, ["1st$": ["n": 0]]) == ["1st$: Invalid value: \"object\": failed rule: self.n > 0"])
  }
}
