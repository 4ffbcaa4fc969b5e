/// Reads RE2's syntax.
struct RegexParser {
  /// Counted repetition, also of repetitions within repetitions, goes up to here.
  static let repeatMax = 1000
  /// Groups within groups.
  static let depthMax = 1000

  private let scalars: [Unicode.Scalar]
  private let pattern: String
  private var at = 0
  private var depth = 0
  private var flags = Flags()
  private(set) var groupNames = [""]

  private struct Flags {
    var ignoresCase = false
    var dotMatchesNewline = false
    var isMultiline = false
    var isUngreedy = false
  }

  init(_ pattern: String) {
    self.pattern = pattern
    scalars = Array(pattern.unicodeScalars)
  }

  mutating func parse() throws(LinearRegexError) -> RegexNode {
    let node = try alternatives()
    guard at == scalars.count else { throw error("unexpected )", pattern) }
    return node
  }

  private func error(_ reason: String, _ part: String) -> LinearRegexError { LinearRegexError(reason: reason, part: part) }

  private func text(_ start: Int, _ end: Int? = nil) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars[start..<min(end ?? at, scalars.count)])
    return String(view)
  }

  private func peek(_ ahead: Int = 0) -> Unicode.Scalar? { at + ahead < scalars.count ? scalars[at + ahead] : nil }

  private mutating func take(_ word: String) -> Bool {
    let wanted = Array(word.unicodeScalars)
    guard at + wanted.count <= scalars.count, Array(scalars[at..<at + wanted.count]) == wanted else { return false }
    at += wanted.count
    return true
  }

  private mutating func alternatives() throws(LinearRegexError) -> RegexNode {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  /// How often the largest counted repetition within repeats a part.
  private static func repeats(_ node: RegexNode) -> Int {
    switch node {
    case .group(_, let inner): repeats(inner)
    case .sequence(let nodes), .alternatives(let nodes): nodes.map(repeats).max() ?? 1
    case .repeated(let inner, let min, let max, _): Swift.max(1, max ?? min) * repeats(inner)
    default: 1
    }
  }

  private mutating func sequence() throws(LinearRegexError) -> RegexNode {
    var items: [RegexNode] = []
    var canRepeat = false
    var lastOperator: Int?
    while let next = peek(), next != "|", next != ")" {
      let start = at
      if let (min, max) = try repetition() {
        let written = text(start)
        guard canRepeat, let last = items.popLast() else {
          throw error("missing argument to repetition operator", written)
        }
        if let lastOperator { throw error("invalid nested repetition operator", text(lastOperator)) }
        let isLazy = take("?")
        let node = RegexNode.repeated(last, min: min, max: max, isGreedy: isLazy == flags.isUngreedy)
        if min > 1 || (max ?? 0) > 1, Self.repeats(node) > Self.repeatMax { throw error("invalid repeat count", written) }
        items.append(node)
        lastOperator = start
        continue
      }
      lastOperator = nil
      if next == "(", peek(1) == "?", let changed = try flagGroup() {
        if let changed { items.append(changed) }
        canRepeat = changed != nil
        continue
      }
      items.append(try atom())
      canRepeat = true
    }
    return items.isEmpty ? .empty : items.count == 1 ? items[0] : .sequence(items)
  }

  /// `*`, `+`, `?`, `{2}`, `{2,}`, `{2,5}`; braces that are none of these stand for themselves.
  private mutating func repetition() throws(LinearRegexError) -> (Int, Int?)? {
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    if take("?") { return (0, 1) }
    guard peek() == "{" else { return nil }
    let start = at
    at += 1
    func number(_ parser: inout RegexParser) -> Int? {
      var value: Int?
      while let digit = parser.peek(), digit.isDigit {
        value = min((value ?? 0) * 10 + Int(digit.value - 48), 100_000)
        parser.at += 1
      }
      return value
    }
    guard let min = number(&self) else {
      at = start
      return nil
    }
    var max: Int? = min
    if take(",") { max = number(&self) }
    guard take("}") else {
      at = start
      return nil
    }
    if min > Self.repeatMax || (max ?? 0) > Self.repeatMax || (max.map { $0 < min } ?? false) {
      throw error("invalid repeat count", text(start))
    }
    return (min, max)
  }

  // MARK: Groups

  private mutating func enter() throws(LinearRegexError) {
    depth += 1
    if depth > Self.depthMax { throw error("expression nests too deeply", pattern) }
  }

  /// `(?i)`, `(?i:...)`, `(?:...)`. The outer nil: it is a named group. The inner nil: flags only, nothing to match.
  private mutating func flagGroup() throws(LinearRegexError) -> RegexNode?? {
    if peek(2) == "P" || (peek(2) == "<" && peek(3) != "=" && peek(3) != "!") { return nil }
    let start = at
    let saved = flags
    at += 2
    var isNegated = false
    var sawFlag = false
    while let letter = peek() {
      at += 1
      switch letter {
      case "i": flags.ignoresCase = !isNegated
      case "s": flags.dotMatchesNewline = !isNegated
      case "m": flags.isMultiline = !isNegated
      case "U": flags.isUngreedy = !isNegated
      case "-" where !isNegated:
        isNegated = true
        sawFlag = false
        continue
      case ")" where sawFlag || !isNegated: return .some(nil)
      case ":" where sawFlag || !isNegated:
        try enter()
        let inner = try alternatives()
        depth -= 1
        guard take(")") else { throw error("missing closing )", pattern) }
        flags = saved
        return .some(inner)
      default: throw error("invalid or unsupported Perl syntax", text(start))
      }
      sawFlag = true
    }
    throw error("missing closing )", pattern)
  }

  private mutating func group() throws(LinearRegexError) -> RegexNode {
    let start = at
    at += 1
    var name = ""
    if take("?P<") || take("?<") {
      while let next = peek(), next.isIdentifierPart { name.unicodeScalars.append(next); at += 1 }
      guard peek() == ">", !name.isEmpty else {
        while let next = peek(), next != ">" { _ = next; at += 1 }
        throw error("invalid named capture", text(start, at + 1))
      }
      at += 1
      guard !groupNames.contains(name) else { throw error("duplicate capture group name", name) }
    } else if peek() == "?" {
      throw error("invalid or unsupported Perl syntax", text(start, at + 2))
    }
    let number = groupNames.count
    groupNames.append(name)
    try enter()
    let saved = flags
    let inner = try alternatives()
    flags = saved
    depth -= 1
    guard take(")") else { throw error("missing closing )", pattern) }
    return .group(number, inner)
  }

  // MARK: Atoms

  private mutating func atom() throws(LinearRegexError) -> RegexNode {
    let next = scalars[at]
    switch next {
    case "(": return try group()
    case "[": return .set(try set())
    case ".":
      at += 1
      let ranges: [ClosedRange<UInt32>] = flags.dotMatchesNewline ? [0...0x10FFFF] : [0...9, 11...0x10FFFF]
      return .set(RegexSet(ranges: ranges))
    case "^":
      at += 1
      return .assertion(flags.isMultiline ? .lineStart : .textStart)
    case "$":
      at += 1
      return .assertion(flags.isMultiline ? .lineEnd : .textEnd)
    case "\\": return try escape()
    default:
      at += 1
      return literal(next)
    }
  }

  private func literal(_ scalar: Unicode.Scalar) -> RegexNode {
    guard flags.ignoresCase else { return .scalar(scalar) }
    let variants = RegexCase.variants(scalar)
    return variants.count == 1 ? .scalar(scalar) : .set(RegexSet(ranges: variants.map { $0.value...$0.value }))
  }

  private mutating func escape() throws(LinearRegexError) -> RegexNode {
    switch peek(1) {
    case "A": at += 2; return .assertion(.textStart)
    case "z": at += 2; return .assertion(.textEnd)
    case "b": at += 2; return .assertion(.wordBoundary)
    case "B": at += 2; return .assertion(.noWordBoundary)
    case "Q":
      at += 2
      var items: [RegexNode] = []
      while at < scalars.count, !take("\\E") {
        items.append(literal(scalars[at]))
        at += 1
      }
      return .sequence(items)
    default: break
    }
    if let (ranges, isNegated) = perlClass() {
      return .set(RegexSet(ranges: ranges, isNegated: isNegated, ignoresCase: flags.ignoresCase))
    }
    if let (property, isNegated) = try property() {
      return .set(RegexSet(ranges: [], properties: [(property, isNegated)], ignoresCase: flags.ignoresCase))
    }
    return literal(try escapedScalar())
  }

  /// `\d`, `\s`, `\w` and their opposites.
  private mutating func perlClass() -> ([ClosedRange<UInt32>], Bool)? {
    guard peek() == "\\", let letter = peek(1) else { return nil }
    let ranges: [ClosedRange<UInt32>]
    switch letter {
    case "d", "D": ranges = [0x30...0x39]
    case "s", "S": ranges = [9...10, 12...13, 32...32]
    case "w", "W": ranges = RegexRanges.word
    default: return nil
    }
    at += 2
    return (ranges, "DSW".unicodeScalars.contains(letter))
  }

  private mutating func property() throws(LinearRegexError) -> (RegexProperty, Bool)? {
    guard peek() == "\\", let letter = peek(1), letter == "p" || letter == "P" else { return nil }
    let start = at
    at += 2
    var isNegated = letter == "P"
    var name = ""
    if take("{") {
      if take("^") { isNegated.toggle() }
      while let next = peek(), next != "}" { name.unicodeScalars.append(next); at += 1 }
      guard take("}") else { throw error("invalid character class range", text(start)) }
    } else if let next = peek() {
      name = String(Character(next))
      at += 1
    }
    guard let property = RegexProperty(name: name) else { throw error("invalid character class range", text(start)) }
    return (property, isNegated)
  }

  private mutating func escapedScalar() throws(LinearRegexError) -> Unicode.Scalar {
    let start = at
    at += 1
    guard let letter = peek() else { throw error("trailing backslash at end of expression", "") }
    at += 1
    switch letter {
    case "a": return "\u{7}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "v": return "\u{B}"
    case "x": return try hexadecimal(start)
    case "0"..."7":
      guard letter == "0" || peek()?.isDigit == true else { throw error("invalid escape sequence", text(start)) }
      var value = letter.value - 48
      for _ in 0..<2 {
        guard let digit = peek(), ("0"..."7").contains(digit) else { break }
        value = value * 8 + digit.value - 48
        at += 1
      }
      return Unicode.Scalar(value) ?? "\u{FFFD}"
    default:
      guard letter.isASCII, !letter.isIdentifierPart || letter == "_" else {
        throw error("invalid escape sequence", text(start))
      }
      return letter
    }
  }

  private mutating func hexadecimal(_ start: Int) throws(LinearRegexError) -> Unicode.Scalar {
    let isBraced = take("{")
    var value: UInt32 = 0
    var count = 0
    while let digit = peek(), digit.isHexDigit, isBraced ? value <= 0x10FFFF : count < 2 {
      value = value * 16 + UInt32(Character(digit).hexDigitValue ?? 0)
      count += 1
      at += 1
    }
    guard isBraced ? count > 0 && take("}") : count == 2, let scalar = Unicode.Scalar(value) else {
      throw error("invalid escape sequence", text(start))
    }
    return scalar
  }

  // MARK: Sets

  private mutating func set() throws(LinearRegexError) -> RegexSet {
    let start = at
    at += 1
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    var properties: [(property: RegexProperty, isNegated: Bool)] = []
    var isFirst = true
    while let next = peek(), next != "]" || isFirst {
      isFirst = false
      if next == "[", peek(1) == ":" {
        if let (found, isOpposite) = try posixClass() {
          if isOpposite { ranges += RegexRanges.complement(found) } else { ranges += found }
          continue
        }
      }
      if let (found, isOpposite) = perlClass() {
        ranges += isOpposite ? RegexRanges.complement(found) : found
        continue
      }
      if let found = try property() {
        properties.append(found)
        continue
      }
      let rangeStart = at
      let low = try setScalar(start)
      var high = low
      if peek() == "-", let after = peek(1), after != "]" {
        at += 1
        high = try setScalar(start)
        if high < low { throw error("invalid character class range", text(rangeStart)) }
      }
      ranges.append(low.value...high.value)
    }
    guard take("]") else { throw error("missing closing ]", text(start, scalars.count)) }
    return RegexSet(ranges: ranges, properties: properties, isNegated: isNegated, ignoresCase: flags.ignoresCase)
  }

  private mutating func posixClass() throws(LinearRegexError) -> ([ClosedRange<UInt32>], Bool)? {
    var end = at + 2
    while end + 1 < scalars.count, !(scalars[end] == ":" && scalars[end + 1] == "]") { end += 1 }
    guard end + 1 < scalars.count else { return nil }
    var name = text(at + 2, end)
    let isOpposite = name.hasPrefix("^")
    if isOpposite { name.removeFirst() }
    guard let ranges = RegexRanges.posix[name] else { throw error("invalid character class range", text(at, end + 2)) }
    at = end + 2
    return (ranges, isOpposite)
  }

  private mutating func setScalar(_ start: Int) throws(LinearRegexError) -> Unicode.Scalar {
    guard let next = peek() else { throw error("missing closing ]", text(start, scalars.count)) }
    if next == "\\" { return try escapedScalar() }
    at += 1
    return next
  }
}
