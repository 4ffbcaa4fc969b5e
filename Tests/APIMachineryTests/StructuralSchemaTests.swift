import JSONCodec
import Testing

@testable import APIMachinery

@Suite struct StructuralSchemaTests {
  // MARK: pruning

  @Test func unknownFieldsGoAndAreNamed() throws {
    var object = cronTab(["cronSpec": "* * * * *", "foo": 1, "ports": [["port": 1, "x": true]], "free": ["any": ["thing": [1, 2]]]])
    object["other"] = 1
    let unknown = try prune(&object, type: cronTabs.type)
    #expect(unknown.map(\.path) == ["other", "spec.foo", "spec.ports[0].x"])
    #expect(object["spec"] == ["cronSpec": "* * * * *", "ports": [["port": 1]], "free": ["any": ["thing": [1, 2]]]])
    #expect(object["other"].isNull && object["kind"] == "CronTab")
  }

  @Test func embeddedResourcesKeepTheirMetaFields() throws {
    var object = cronTab([
      "template": [
        "apiVersion": "v1", "kind": "Thing", "metadata": ["name": "t", "unknownSubMeta": 1, "labels": ["a": "b"]],
        "spec": ["a": "x", "b": "y"],
      ]
    ])
    object["metadata"]["unknownMeta"] = 1
    let unknown = try prune(&object, type: cronTabs.type)
    #expect(unknown.map(\.path) == ["metadata.unknownMeta", "spec.template.spec.b", "spec.template.metadata.unknownSubMeta"])
    #expect(object["spec"]["template"]["metadata"] == ["name": "t", "labels": ["a": "b"]])
    #expect(object["spec"]["template"]["kind"] == "Thing")
  }

  @Test func nullsOfFieldsThatAreNotNullableAreNotSet() throws {
    let schema = StructuralSchema([
      "type": "object",
      "properties": [
        "a": ["type": "string", "default": "A"], "b": ["type": "string", "nullable": true, "default": "B"], "c": ["type": "string"],
      ],
    ])
    var object = try JSON.parse(#"{"a":null,"b":null,"c":null}"#)
    _ = try pruneCustom(&object, schema, kind: "X")
    schema.fillDefaults(&object)
    #expect(object.text() == #"{"b":null,"a":"A"}"#)
  }

  @Test func metadataOfTheWrongFormIsA400() {
    var object = cronTab([:], ["labels": "no map"])
    #expect(throws: SchemaError.self) { try prune(&object, type: cronTabs.type) }
  }

  // MARK: defaulting

  @Test func defaultsAreFilledInsideDefaults() {
    var object = cronTab(["cronSpec": "x", "ports": [["port": 1]]])
    applyDefaults(&object, resource: cronTabs)
    #expect(object["spec"]["image"] == "busybox" && object["spec"]["limits"] == ["cpu": 1])
    #expect(object["spec"]["ports"] == [["port": 1, "protocol": "TCP"]])
    var without = cronTab(["cronSpec": "x"])
    without["spec"] = .null
    applyDefaults(&without, resource: cronTabs)
    #expect(without["spec"].isNull)
  }

  // MARK: validation

  private func errors(_ spec: JSON, old: JSON? = nil) -> [String] {
    validate(cronTab(spec), old: old.map { cronTab($0) }, resource: cronTabs).map(\.description)
  }

  static let refusals: [(String, String)] = [
    (#"{"image":"x"}"#, "spec.cronSpec: Required value"),
    (#"{"cronSpec":5}"#, #"spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer""#),
    (#"{"replicas":"x"}"#, #"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#),
    (#"{"replicas":11}"#, "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"),
    (#"{"replicas":0}"#, "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1"),
    (#"{"policy":"Never"}"#, #"spec.policy: Unsupported value: "Never": supported values: "Allow", "Forbid""#),
    (#"{"size":true}"#, #"spec.size: Invalid value: "boolean": spec.size in body must be of type integer,string: "boolean""#),
    (#"{"tags":["a","b","a"]}"#, #"spec.tags[2]: Duplicate value: "a""#),
    (#"{"ports":[{"port":1,"protocol":"TCP"},{"port":1}]}"#, #"spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}"#),
    (#"{"ports":[{"name":"a"}]}"#, "spec.ports[0].port: Required value"),
    (#"{"template":{"kind":"X","spec":{}}}"#, "spec.template.apiVersion: Required value: must not be empty"),
  ]

  @Test(arguments: refusals)
  func wordsAreUpstreams(_ text: String, _ expected: String) throws {
    var spec = try JSON.parse(text)
    if !text.contains("image"), spec["cronSpec"].isNull { spec["cronSpec"] = "* * * * *" }
    #expect(errors(spec) == [expected])
  }

  @Test func patternsMatchInsideTheText() {
    #expect(errors(["cronSpec": "*/5 * * * *"]).isEmpty)
    let expected =
      #"spec.cronSpec: Invalid value: "every day": spec.cronSpec in body should match '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'"#
    #expect(errors(["cronSpec": "every day"]) == [expected])
  }

  @Test func whatDidNotChangeMayStayWrong() {
    let old: JSON = ["cronSpec": "bad", "replicas": 50, "tags": ["a", "a"]]
    #expect(errors(old, old: old).isEmpty)
    var new = old
    new["image"] = "y"
    #expect(errors(new, old: old).isEmpty)
    new["replicas"] = 60
    #expect(errors(new, old: old).count == 1)
  }

  private func check(_ schema: JSON, _ value: JSON) -> [String] {
    StructuralSchema(["type": "object", "properties": ["f": schema]]).errors(of: .object(JSONObject([("f", value)]))).map(\.message)
  }

  @Test func limitsOfEveryKind() {
    #expect(check(["type": "string", "maxLength": 2], "äöü") == ["Too long: may not be more than 2 bytes"])
    #expect(check(["type": "string", "minLength": 1], "") == [#"Invalid value: "": f in body should be at least 1 chars long"#])
    #expect(
      check(["type": "array", "maxItems": 1, "items": ["type": "string"]], ["a", "b"]) == ["Too many: 2: must have at most 1 items"])
    #expect(
      check(["type": "array", "minItems": 1, "items": ["type": "string"]], []) == [
        "Invalid value: 0: f in body should have at least 1 items"
      ])
    #expect(check(["type": "object", "minProperties": 1], [:]) == ["Invalid value: 0: f in body should have at least 1 properties"])
    #expect(check(["type": "object", "maxProperties": 1], ["a": 1, "b": 2]) == ["Too many: 2: must have at most 1 items"])
    #expect(check(["type": "integer", "multipleOf": 3], 10) == ["Invalid value: 10: f in body should be a multiple of 3"])
    #expect(
      check(["type": "number", "maximum": 2.5, "exclusiveMaximum": true], 2.5) == ["Invalid value: 2.5: f in body should be less than 2.5"])
    #expect(
      check(["type": "number", "minimum": 0, "exclusiveMinimum": true], 0) == ["Invalid value: 0: f in body should be greater than 0"])
    #expect(check(["type": "integer"], 1.5) == [#"Invalid value: "number": f in body must be of type integer: "number""#])
    #expect(check(["type": "integer"], .double(2)).isEmpty && check(["type": "number"], 2).isEmpty)
    #expect(check(["type": "string"], .null) == [#"Invalid value: "null": f in body must be of type string: "null""#])
    #expect(check(["type": "string", "nullable": true], .null).isEmpty)
  }

  @Test func severalSchemasAtOnce() {
    let one: JSON = ["required": ["a"]]
    let two: JSON = ["required": ["b"]]
    let base: JSON = ["type": "object", "properties": ["a": ["type": "integer"], "b": ["type": "integer"]]]
    func with(_ key: String, _ value: JSON) -> JSON {
      var schema = base
      schema[key] = value
      return schema
    }
    #expect(check(with("oneOf", [one, two]), ["a": 1]).isEmpty)
    #expect(
      check(with("oneOf", [one, two]), ["a": 1, "b": 1]) == [
        #"Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
      ])
    #expect(check(with("anyOf", [one, two]), [:]).first == #"Invalid value: "": "f" must validate at least one schema (anyOf)"#)
    #expect(
      check(with("allOf", [one, two]), ["a": 1]) == ["Required value", #"Invalid value: "": "f" must validate all the schemas (allOf)"#])
    #expect(check(with("not", one), ["a": 1]) == [#"Invalid value: "": "f" must not validate the schema (not)"#])
  }

  static let formatCases: [(String, String, String)] = [
    ("date-time", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05"), ("date-time", "2024-02-29T03:04:05.123+01:00", "2023-02-29T03:04:05Z"),
    ("date", "2024-02-29", "2023-02-29"), ("duration", "1h30m", "an hour"), ("byte", "YQ==", "a"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"), ("ipv4", "1.2.3.4", "1.2.3"), ("ipv6", "::1", "1.2.3.4"),
    ("cidr", "10.0.0.0/8", "10.0.0.0"), ("uri", "https://a.b/c?d", "no uri"), ("email", "a@b.c", "a.b.c"),
    ("hostname", "a-b.c", "-a"), ("mac", "00:11:22:33:44:55", "00:11"), ("hexcolor", "#aabbcc", "#ab"), ("unheard-of", "x", ""),
  ]

  @Test(arguments: formatCases.indices)
  func formats(_ i: Int) {
    let (format, good, bad) = Self.formatCases[i]
    #expect(check(["type": "string", "format": .string(format)], .string(good)).isEmpty)
    guard !bad.isEmpty else { return }
    let quoted = JSON.string(bad).text()
    #expect(
      check(["type": "string", "format": .string(format)], .string(bad)) == [
        "Invalid value: \(quoted): f in body must be of type \(format): \(quoted)"
      ])
  }

  @Test func numbersOutOfTheirFormatAreRefused() {
    #expect(check(["type": "integer", "format": "int32"], 2_147_483_647).isEmpty)
    #expect(
      check(["type": "integer", "format": "int32"], 2_147_483_648) == [
        #"Invalid value: "": Checked value must be of type integer with format int32 in f"#
      ])
  }

  @Test func deepSchemasAreCutAndRefused() {
    var schema: JSON = ["type": "string"]
    for _ in 0..<400 { schema = ["type": "object", "properties": ["a": schema]] }
    let errors = StructuralSchema(schema).structuralErrors(path: "s")
    #expect(errors.count == 1 && errors[0].message.contains("nested deeper"))
  }
}

@Suite struct LinearPatternTests {
  static let cases: [(String, String, Bool)] = [
    ("^a+$", "aaa", true), ("^a+$", "aab", false), ("b", "abc", true), ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "my-name", true),
    ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "-name", false), (#"^\d{2,3}$"#, "12", true), (#"^\d{2,3}$"#, "1234", false),
    ("^(foo|bar)?$", "", true),
    ("^(foo|bar)$", "baz", false), ("(?i)^ABC$", "abc", true), ("^(?i:A)b$", "ab", true), ("^(?i:A)b$", "aB", false),
    ("^[[:alpha:]]+$", "abc", true), (#"^\pL+$"#, "äß", true), (#"^\p{Lu}$"#, "a", false), (#"^[^\s]+$"#, "a b", false),
    (#"\bfoo\b"#, "a foo b", true),
    (#"\bfoo\b"#, "afoob", false), ("^a{0}$", "", true), (#"^\Qa.b\E$"#, "a.b", true), (#"^\Qa.b\E$"#, "axb", false), ("^.$", "\n", false),
    ("(?s)^.$", "\n", true), ("^x{2,}$", "xxx", true), ("^x{,2}$", "x{,2}", true), (#"^\x41\x{1F600}$"#, "A😀", true), ("^[]a]$", "]", true),
    ("^(?P<n>a)b$", "ab", true), ("^a*?b$", "aab", true), ("", "anything", true),
  ]

  @Test(arguments: cases.indices)
  func matches(_ i: Int) throws {
    let (pattern, text, expected) = Self.cases[i]
    #expect(try LinearPattern(pattern).matches(text) == expected)
  }

  @Test(arguments: [
    "(", ")", "[a", "a**", "*", "a{1001}", "(?=a)", "(?<!a)", #"\1"#, "[z-a]", #"\"#, "((a{100}){100}){100}", "(((){1000}){1000}){1000}",
  ])
  func badPatternsAreRefused(_ pattern: String) {
    #expect(throws: PatternError.self) { try LinearPattern(pattern) }
  }

  /// What takes a matcher that tries its way back more than the age of the world.
  @Test func noPatternTakesLong() throws {
    let pattern = try LinearPattern("^(a+)+(a|aa)*(a*)*$")
    let text = String(repeating: "a", count: 5_000) + "b"
    let time = ContinuousClock().measure { #expect(!pattern.matches(text)) }
    #expect(time < .seconds(5))
  }
}
