import Testing

@testable import APIServer

@Suite struct WarningTests {
  @Test(
    arguments: [
      ([], []), (["a"], ["299 - \"a\""]), (["unknown field \"x\\\""], ["299 - \"unknown field \\\"x\\\\\\\"\""]),
      (["a\r\nSet-Cookie: b", "ü"], ["299 - \"ü\""]), (["a\nb", "a\u{0}b", "a\u{7f}b", "a\u{85}b"], []),
    ] as [([String], [String])]) func warningsAreQuotedAndCannotEndTheirLine(texts: [String], values: [String])
  {
    #expect(WarningHeaders.values(texts) == values)
  }

  @Test func manyAndLongWarningsAreCut() {
    let long = String(repeating: "x", count: 1000)
    #expect(WarningHeaders.values([long, long])[1].count == 1008)
    let cut = WarningHeaders.values(Array(repeating: long, count: 100))
    #expect(cut.count == 16 && cut.allSatisfy { $0.count == 264 })
  }
}
