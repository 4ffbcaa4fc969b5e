/// Reads RE2's syntax. Back references and look-around are errors there too.
struct PatternParser {
  /// As Go's: `x{1001}` is an error.
  static let repeatMax = 1_000
  static let depthMax = 200

  private let text: [Unicode.Scalar]
  private var at = 0
  private var depth = 0
  private var ignoresCase = false
  private var isMultiline = false
  private var dotMatchesNewline = false

  init(_ pattern: String) { text = Array(pattern.unicodeScalars) }

  mutating func parse() throws(PatternError) -> PatternNode {
    let node = try choice()
    guard at == text.count else { throw Self.error("unexpected )", text[...]) }
    return node
  }

  private static func error(_ what: String, _ part: ArraySlice<Unicode.Scalar>) -> PatternError {
    var shown = String.UnicodeScalarView()
    shown.append(contentsOf: part)
    return PatternError("error parsing regexp: \(what): `\(String(shown))`")
  }

  private var next: Unicode.Scalar? { at < text.count ? text[at] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    at += 1
    return true
  }

  private func looksAt(_ word: String) -> Bool {
    let scalars = Array(word.unicodeScalars)
    return at + scalars.count <= text.count && Array(text[at..<at + scalars.count]) == scalars
  }

  private mutating func choice() throws(PatternError) -> PatternNode {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(PatternError) -> PatternNode {
    var parts: [PatternNode] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      if looksAt("\\Q") {
        at += 2
        while at < text.count, !looksAt("\\E") {
          parts.append(literal(text[at]))
          at += 1
        }
        if at < text.count { at += 2 }
        continue
      }
      let start = at
      parts.append(try repeated(try atom(), from: start))
    }
    return .sequence(parts)
  }

  private mutating func repeated(_ node: PatternNode, from start: Int) throws(PatternError) -> PatternNode {
    var node = node
    var count = 0
    while let scalar = next {
      let operatorStart = at
      switch scalar {
      case "*": node = .repetition(node, min: 0, max: nil)
      case "+": node = .repetition(node, min: 1, max: nil)
      case "?": node = .repetition(node, min: 0, max: 1)
      case "{":
        guard let (min, max, end) = counts() else { return node }
        guard min <= Self.repeatMax, max ?? 0 <= Self.repeatMax, max.map({ $0 >= min }) ?? true else {
          throw Self.error("invalid repeat count", text[at..<end])
        }
        node = .repetition(node, min: min, max: max)
        at = end - 1
      default: return node
      }
      at += 1
      count += 1
      if count > 1 { throw Self.error("invalid nested repetition operator", text[(operatorStart - 1)..<at]) }
      _ = take("?")  // lazy or not, it matches the same texts
    }
    return node
  }

  /// `{2}`, `{2,}`, `{2,5}`; nil where the brace is just a brace.
  private func counts() -> (min: Int, max: Int?, end: Int)? {
    var i = at + 1
    func number() -> Int? {
      var value: Int?
      var j = i
      while j < text.count, (0x30...0x39).contains(text[j].value) {
        value = min((value ?? 0) * 10 + Int(text[j].value - 0x30), 1_000_000)
        j += 1
      }
      return value
    }
    func skipDigits() { while i < text.count, (0x30...0x39).contains(text[i].value) { i += 1 } }
    guard let low = number() else { return nil }
    skipDigits()
    guard i < text.count else { return nil }
    if text[i] == "}" { return (low, low, i + 1) }
    guard text[i] == "," else { return nil }
    i += 1
    let high = number()
    skipDigits()
    guard i < text.count, text[i] == "}" else { return nil }
    return (low, high, i + 1)
  }

  private func literal(_ scalar: Unicode.Scalar) -> PatternNode {
    .set(ScalarSet(ranges: [scalar.value...scalar.value], ignoresCase: ignoresCase))
  }

  private mutating func atom() throws(PatternError) -> PatternNode {
    let scalar = text[at]
    at += 1
    switch scalar {
    case "(": return try group()
    case "[": return .set(try set())
    case ".":
      return .set(ScalarSet(ranges: dotMatchesNewline ? [0...0x10FFFF] : [0...9, 11...0x10FFFF]))
    case "^": return .assertion(isMultiline ? .lineStart : .textStart)
    case "$": return .assertion(isMultiline ? .lineEnd : .textEnd)
    case "\\": return try escape()
    case "*", "+", "?": throw Self.error("missing argument to repetition operator", text[(at - 1)..<at])
    default: return literal(scalar)
    }
  }

  private mutating func group() throws(PatternError) -> PatternNode {
    let start = at - 1
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthMax else { throw Self.error("expression nests too deeply", text[...]) }
    let flags = (ignoresCase, isMultiline, dotMatchesNewline)
    if take("?") {
      if looksAt("P<") || (looksAt("<") && !looksAt("<=") && !looksAt("<!")) {
        while let scalar = next, scalar != ">" {
          _ = scalar
          at += 1
        }
        guard take(">") else { throw Self.error("invalid named capture", text[start...]) }
      } else if try setFlags(start) {
        return .empty
      }
    }
    let node = try choice()
    guard take(")") else { throw Self.error("missing closing )", text[...]) }
    (ignoresCase, isMultiline, dotMatchesNewline) = flags
    return node
  }

  /// `(?i)` and `(?i:`; true for the first, which has no content.
  private mutating func setFlags(_ start: Int) throws(PatternError) -> Bool {
    var value = true
    while let scalar = next {
      at += 1
      switch scalar {
      case "i": ignoresCase = value
      case "m": isMultiline = value
      case "s": dotMatchesNewline = value
      case "U": break
      case "-" where value: value = false
      case ":": return false
      case ")": return true
      default: throw Self.error("invalid or unsupported Perl syntax", text[start..<at])
      }
    }
    throw Self.error("missing closing )", text[...])
  }

  private mutating func escape() throws(PatternError) -> PatternNode {
    guard let scalar = next else { throw PatternError("error parsing regexp: trailing backslash at end of expression: ``") }
    switch scalar {
    case "A", "z", "b", "B":
      at += 1
      return .assertion(scalar == "A" ? .textStart : scalar == "z" ? .textEnd : scalar == "b" ? .wordEdge : .noWordEdge)
    default:
      if var set = try classEscape() {
        set.ignoresCase = ignoresCase
        return .set(set)
      }
      return literal(try character())
    }
  }

  /// `\d` and the like, after the backslash; nil for an escaped character.
  private mutating func classEscape() throws(PatternError) -> ScalarSet? {
    guard let scalar = next else { return nil }
    let ranges: [ClosedRange<UInt32>]
    switch scalar {
    case "d", "D": ranges = [0x30...0x39]
    case "w", "W": ranges = [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A]
    case "s", "S": ranges = [9...10, 12...13, 32...32]
    case "p", "P": return try unicodeClass()
    default: return nil
    }
    at += 1
    return ScalarSet(ranges: ranges, isNegated: scalar.properties.isUppercase)
  }

  /// `\pL`, `\p{Lu}`, `\P{N}`.
  private mutating func unicodeClass() throws(PatternError) -> ScalarSet {
    let start = at - 1
    var isNegated = text[at] == "P"
    at += 1
    var name = ""
    if take("{") {
      if take("^") { isNegated.toggle() }
      while let scalar = next, scalar != "}" {
        name.unicodeScalars.append(scalar)
        at += 1
      }
      guard take("}") else { throw Self.error("invalid character class range", text[start...]) }
    } else if let scalar = next {
      name.unicodeScalars.append(scalar)
      at += 1
    }
    guard let category = UnicodeCategories.named(name) else { throw Self.error("invalid character class range", text[start..<at]) }
    return ScalarSet(categories: [category], isNegated: isNegated)
  }

  /// One character after a backslash.
  private mutating func character() throws(PatternError) -> Unicode.Scalar {
    guard let scalar = next else { throw PatternError("error parsing regexp: trailing backslash at end of expression: ``") }
    let start = at - 1
    at += 1
    switch scalar {
    case "n": return "\n"
    case "t": return "\t"
    case "r": return "\r"
    case "f": return "\u{0C}"
    case "v": return "\u{0B}"
    case "a": return "\u{07}"
    case "x":
      var digits = ""
      if take("{") {
        while let digit = next, digit != "}" {
          digits.unicodeScalars.append(digit)
          at += 1
        }
        _ = take("}")
      } else {
        for _ in 0..<2 where at < text.count {
          digits.unicodeScalars.append(text[at])
          at += 1
        }
      }
      guard let value = UInt32(digits, radix: 16), let result = Unicode.Scalar(value) else {
        throw Self.error("invalid escape sequence", text[start..<at])
      }
      return result
    default:
      // Punctuation may be escaped; letters and digits that mean nothing may not.
      guard scalar.value < 0x80, !scalar.properties.isAlphabetic, scalar.properties.numericType == nil else {
        throw Self.error("invalid escape sequence", text[start..<at])
      }
      return scalar
    }
  }

  /// After the opening bracket.
  private mutating func set() throws(PatternError) -> ScalarSet {
    let start = at - 1
    var set = ScalarSet(ignoresCase: ignoresCase)
    set.isNegated = take("^")
    var isFirst = true
    while let scalar = next, scalar != "]" || isFirst {
      isFirst = false
      if looksAt("[:") {
        try posixClass(&set)
        continue
      }
      at += 1
      if scalar == "\\", let inner = try classEscape() {
        set.categories.append { inner.contains($0) }
        continue
      }
      let low = scalar == "\\" ? try character() : scalar
      guard next == "-", at + 1 < text.count, text[at + 1] != "]" else {
        set.ranges.append(low.value...low.value)
        continue
      }
      at += 1
      var high = text[at]
      at += 1
      if high == "\\" { high = try character() }
      guard low.value <= high.value else { throw Self.error("invalid character class range", text[start..<at]) }
      set.ranges.append(low.value...high.value)
    }
    guard take("]") else { throw Self.error("missing closing ]", text[start...]) }
    return set
  }

  /// `[:alpha:]` and `[:^alpha:]`.
  private mutating func posixClass(_ set: inout ScalarSet) throws(PatternError) {
    let start = at
    at += 2
    var name = ""
    while let scalar = next, scalar != ":" {
      name.unicodeScalars.append(scalar)
      at += 1
    }
    guard take(":"), take("]") else { throw Self.error("invalid character class range", text[start...]) }
    let isNegated = name.hasPrefix("^")
    let classes: [String: [ClosedRange<UInt32>]] = [
      "alnum": [0x30...0x39, 0x41...0x5A, 0x61...0x7A], "alpha": [0x41...0x5A, 0x61...0x7A], "ascii": [0...0x7F],
      "blank": [9...9, 32...32],
      "cntrl": [0...31, 127...127], "digit": [0x30...0x39], "graph": [33...126], "lower": [0x61...0x7A], "print": [32...126],
      "punct": [33...47, 58...64, 91...96, 123...126], "space": [9...13, 32...32], "upper": [0x41...0x5A],
      "word": [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A], "xdigit": [0x30...0x39, 0x41...0x46, 0x61...0x66],
    ]
    guard let ranges = classes[isNegated ? String(name.dropFirst()) : name] else {
      throw Self.error("invalid character class range", text[start..<at])
    }
    let inner = ScalarSet(ranges: ranges, isNegated: isNegated)
    if isNegated { set.categories.append { inner.contains($0) } } else { set.ranges += ranges }
  }
}

/// Unicode's general categories by the names that patterns use.
private enum UnicodeCategories {
  static func named(_ name: String) -> (@Sendable (Unicode.Scalar) -> Bool)? {
    let all: [(String, Unicode.GeneralCategory)] = [
      ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter), ("Lo", .otherLetter),
      ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark), ("Nd", .decimalNumber), ("Nl", .letterNumber),
      ("No", .otherNumber), ("Pc", .connectorPunctuation), ("Pd", .dashPunctuation), ("Ps", .openPunctuation),
      ("Pe", .closePunctuation), ("Pi", .initialPunctuation), ("Pf", .finalPunctuation), ("Po", .otherPunctuation),
      ("Sm", .mathSymbol), ("Sc", .currencySymbol), ("Sk", .modifierSymbol), ("So", .otherSymbol), ("Zs", .spaceSeparator),
      ("Zl", .lineSeparator), ("Zp", .paragraphSeparator), ("Cc", .control), ("Cf", .format), ("Co", .privateUse), ("Cs", .surrogate),
    ]
    let chosen = all.filter { !name.isEmpty && $0.0.hasPrefix(name) }.map(\.1)
    if chosen.isEmpty { return nil }
    return { (scalar: Unicode.Scalar) -> Bool in chosen.contains(scalar.properties.generalCategory) }
  }
}
