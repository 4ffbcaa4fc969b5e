import JSONCodec
import Testing

@Suite struct JSONTests {
  @Test(arguments: [
    "null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.5", "\"\"", "\"a\\nb\"", "[]", "{}",
    "[1,[2,{\"a\":null}]]", "{\"a\":{\"b\":[true,false]},\"c\":\"d\"}",
  ])
  func whatIsReadIsWrittenAgain(_ text: String) throws {
    #expect(try JSON.parse(text).text() == text)
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "01", "1.", "-", "1e", "nul", "\"\u{1}\"", "\"\\x\"", "[1] 2", "{a:1}", "'a'", "\"\\u12\"",
  ])
  func brokenTextIsRefused(_ text: String) {
    #expect(throws: JSONError.self) { try JSON.parse(text) }
  }

  @Test func nestingIsBounded() {
    let deep = String(repeating: "[", count: JSON.depthMax + 1)
    #expect(throws: JSONError.self) { try JSON.parse(deep) }
    let fits = String(repeating: "[", count: JSON.depthMax) + String(repeating: "]", count: JSON.depthMax)
    #expect(throws: Never.self) { try JSON.parse(fits) }
  }

  @Test func escapesAndSurrogates() throws {
    #expect(try JSON.parse(#""\u00e9\ud83d\ude00\/\"""#).string == "é😀/\"")
    // A lone surrogate becomes the replacement character, as in Go.
    #expect(try JSON.parse(#""\ud83dx""#).string == "\u{FFFD}x")
  }

  @Test func integersKeepAllBitsAndLargerOnesBecomeDoubles() throws {
    #expect(try JSON.parse("9007199254740993").int == 9_007_199_254_740_993)
    guard case .double = try JSON.parse("9223372036854775808") else { Issue.record("not a double"); return }
    #expect(try JSON.parse("1.0") == JSON.parse("1"))
    #expect(JSON.double(3).text() == "3")
  }

  @Test func aFieldThatStandsTwiceIsNamedByItsPath() throws {
    var findings = JSONFindings()
    let value = try JSON.parse(Array(#"{"spec":{"containers":[{"name":"a","name":"b"}]},"x":1,"x":2}"#.utf8), noting: &findings)
    #expect(findings.duplicateFields == ["spec.containers[0].name", "x"])
    #expect(value["spec"]["containers"][0]["name"].string == "b")
  }

  @Test func settingNullRemovesAField() {
    var value: JSON = ["a": 1, "b": ["c": 2]]
    value["a"] = .null
    value["b"]["c"] = .null
    #expect(value.text() == #"{"b":{}}"#)
    value["x"]["y"] = "new"
    #expect(value["x"]["y"].string == "new")
    value["b"] = .null
    #expect(value == ["x": ["y": "new"]])
  }

  @Test func largeObjectsAreFoundByIndex() {
    var object = JSONObject()
    for i in 0..<1000 { object["key\(i)"] = JSON(i) }
    #expect(object["key999"]?.int == 999)
    object["key500"] = nil
    #expect(object["key500"] == nil)
    #expect(object["key999"]?.int == 999)
    #expect(object.count == 999)
  }

  @Test func equalityDoesNotLookAtTheOrderOfFields() {
    #expect(JSON.object(JSONObject([("a", 1), ("b", 2)])) == ["b": 2, "a": 1])
    #expect(JSON.array([1, 2]) != [2, 1])
  }
}
