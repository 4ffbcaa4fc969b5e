import CEL
import Testing

@Suite struct RegexTests {
  @Test(arguments: [
    ("abc", "xabcx", true), ("^abc$", "xabc", false), ("a|b|", "zzz", true), ("^(a|b)+$", "abba", true), ("^a{2,3}$", "aaaa", false),
    ("^a{2,}$", "aaaa", true), ("^a{0}$", "", true), ("^[a-c]+$", "abcd", false), ("^[^a-c]+$", "xyz", true),
    ("\\bfoo\\b", "a foo b", true),
    ("\\Bfoo", "foo", false), ("(?i)HeLLo", "hEllO", true), ("(?i)[k]", "\u{212A}", true), ("a.c", "a\nc", false),
    ("(?s)a.c", "a\nc", true),
    ("(?m)^b$", "a\nb\nc", true), ("^b$", "a\nb\nc", false), ("\\p{Lu}+", "abcD", true), ("^\\pL+$", "größe", true),
    ("^\\PL+$", "123", true),
    ("^\\p{Greek}+$", "αβγ", true), ("^[\\p{Greek}\\d]+$", "α1", true), ("[[:digit:]]{3}", "ab123", true), ("[[:^alpha:]]", "abc", false),
    ("^[]a]+$", "]a", true), ("^[a-]+$", "a-", true), ("x{,3}", "x{,3}", true), ("\\Qa.b\\E", "a.b", true), ("\\x{1F600}", "😀", true),
    ("^\\d+\\s\\w+$", "12 ab_", true), ("^(?:ab)?c$", "c", true), ("(?P<n>a)(?<m>b)", "ab", true), ("^(?i:a)b$", "Ab", true),
    ("^(?i:a)b$", "AB", false), ("\\A\\z", "", true), ("^(a*)*$", "aaa", true), ("(|a)*b", "aab", true), ("^$", "a", false),
    ("(?U)^a+?$", "aa", true),
    ("^.{0,1000}$", "é", true),
  ])
  func finds(pattern: String, text: String, expected: Bool) throws {
    #expect(try LinearRegex(pattern).matches(text) == expected, "\(pattern) in \(text)")
  }

  @Test(arguments: [
    ("(abc", "missing closing ): `(abc`"), ("abc)", "unexpected ): `abc)`"), ("[abc", "missing closing ]: `[abc`"),
    ("*a", "missing argument to repetition operator: `*`"), ("a**", "invalid nested repetition operator: `**`"),
    ("[z-a]", "invalid character class range: `z-a`"), ("\\y", "invalid escape sequence: `\\y`"), ("\\1", "invalid escape sequence: `\\1`"),
    ("a{1001}", "invalid repeat count: `{1001}`"), ("(a{100}){100}", "invalid repeat count: `{100}`"),
    ("a{3,2}", "invalid repeat count: `{3,2}`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"), ("(?P<n", "invalid named capture: `(?P<n`"),
    ("\\p{Nonsense}", "invalid character class range: `\\p{Nonsense}`"), ("a\\", "trailing backslash at end of expression: ``"),
  ])
  func refuses(pattern: String, message: String) {
    #expect { try LinearRegex(pattern) } throws: { "\($0)" == "error parsing regexp: \(message)" }
  }

  @Test func capturesPreferTheLeftAndTheGreedy() throws {
    func groups(_ pattern: String, _ text: String) throws -> [String?] {
      let scalars = Array(text.unicodeScalars)
      var steps = LinearRegex.stepsMax
      let match = try #require(try LinearRegex(pattern).firstMatch(in: scalars, steps: &steps))
      return match.groups.map { range in
        range.map { String(String.UnicodeScalarView(scalars[$0])) }
      }
    }
    #expect(try groups("(a+)(b*)", "xaabbc") == ["aabb", "aa", "bb"])
    #expect(try groups("(a+?)(b*?)", "xaabbc") == ["a", "a", ""])
    #expect(try groups("(a)|(b)", "b") == ["b", nil, "b"])
    #expect(try groups("(\\w+)@(\\w+)\\.com", "me: joe@mail.com") == ["joe@mail.com", "joe", "mail"])
    #expect(try groups("a|ab", "ab") == ["a"])
    var steps = LinearRegex.stepsMax
    let all = try LinearRegex("a*").allMatches(in: Array("baac".unicodeScalars), steps: &steps).map {
      [$0.range.lowerBound, $0.range.upperBound]
    }
    #expect(all == [[0, 0], [1, 3], [4, 4]])
  }

  /// Patterns that take a backtracking engine longer than the universe lasts.
  @Test(
    .timeLimit(.minutes(5)),
    arguments: ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(a*)*b$", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)(.*)(.*)[^a]"])
  func bombsAreHarmless(pattern: String) throws {
    let text = String(repeating: "a", count: 5_000) + "\n!"
    _ = try LinearRegex(pattern).matches(text)
  }

  @Test func hugePatternsAreRefused() {
    #expect(throws: LinearRegexError.self) { try LinearRegex(String(repeating: "(", count: 5000) + String(repeating: ")", count: 5000)) }
    #expect(throws: LinearRegexError.self) { try LinearRegex(String(repeating: "a{1000}", count: 100)) }
    #expect(throws: Never.self) { try LinearRegex("^[a-z0-9]{1,253}$") }
  }

  @Test func workIsBounded() throws {
    let regex = try LinearRegex("(a{1,900}b?){1}c")
    var steps = 1_000_000
    #expect(throws: LinearRegex.Exhausted()) { try regex.search(String(repeating: "a", count: 20_000), steps: &steps) }
  }
}
