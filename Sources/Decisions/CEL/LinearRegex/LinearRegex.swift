/// A regular expression in RE2's syntax whose matching time grows with text times pattern, never exponentially: all
/// alternatives are followed at once (Thompson, Pike). There are no back references and no look-around.
package struct LinearRegex: Sendable {
  package let pattern: String
  /// Names of the capturing groups, the whole match first; empty where a group has no name.
  package let groupNames: [String]
  let program: RegexProgram

  /// Work that one search may do, in instructions looked at: well under a second.
  package static let stepsMax = 20_000_000

  package init(_ pattern: String) throws(LinearRegexError) {
    var parser = RegexParser(pattern)
    let node = try parser.parse()
    self.pattern = pattern
    groupNames = parser.groupNames
    program = try RegexProgram.compile(node, groupCount: parser.groupNames.count)
  }

  /// A match: positions in code points.
  package struct Match: Sendable {
    package let range: Range<Int>
    /// By group number, the whole match first; nil where a group took no part.
    package let groups: [Range<Int>?]
  }

  /// The work got more than was allowed: there is no answer.
  package struct Exhausted: Error, Sendable, Equatable {
    package init() {}
  }

  /// Whether the pattern is found anywhere in the text. `steps` is the work that may be done; it is counted down.
  package func search(_ text: String, steps: inout Int) throws(Exhausted) -> Bool {
    var matcher = RegexMatcher(program, Array(text.unicodeScalars), stepsMax: steps)
    defer { steps = matcher.stepsLeft }
    return try matcher.isFound()
  }

  /// Whether the pattern is found anywhere in the text; false too where the search took more than `stepsMax`.
  package func matches(_ text: String) -> Bool {
    var steps = Self.stepsMax
    return (try? search(text, steps: &steps)) ?? false
  }

  /// The leftmost match, by RE2's preferences.
  package func firstMatch(in scalars: [Unicode.Scalar], steps: inout Int) throws(Exhausted) -> Match? {
    var matcher = RegexMatcher(program, scalars, stepsMax: steps)
    defer { steps = matcher.stepsLeft }
    return try matcher.find(from: 0)
  }

  /// Matches that do not overlap; an empty one right behind another one does not count.
  package func allMatches(in scalars: [Unicode.Scalar], max: Int = .max, steps: inout Int) throws(Exhausted) -> [Match] {
    var result: [Match] = []
    var at = 0
    var previousEnd = -1
    var matcher = RegexMatcher(program, scalars, stepsMax: steps)
    defer { steps = matcher.stepsLeft }
    while at <= scalars.count, result.count < max, let match = try matcher.find(from: at) {
      if match.range.isEmpty {
        if match.range.lowerBound != previousEnd { result.append(match) }
        at = match.range.upperBound + 1
      } else {
        result.append(match)
        at = match.range.upperBound
      }
      previousEnd = match.range.upperBound
    }
    return result
  }
}

/// Why a pattern is none; worded as Go's regexp package does.
package struct LinearRegexError: Error, Sendable, Equatable, CustomStringConvertible {
  package let reason: String
  /// The part of the pattern that is wrong.
  package let part: String
  package var description: String { "error parsing regexp: \(reason): `\(part)`" }
}

/// A parsed pattern.
indirect enum RegexNode: Sendable {
  case empty
  case scalar(Unicode.Scalar)
  case set(RegexSet)
  case assertion(RegexAssertion)
  case group(Int, RegexNode)
  case sequence([RegexNode])
  case alternatives([RegexNode])
  case repeated(RegexNode, min: Int, max: Int?, isGreedy: Bool)
}

enum RegexAssertion: Sendable {
  case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary
}

/// A set of code points. ASCII is a bitmap; the rest is ranges and general categories.
struct RegexSet: Sendable {
  private var ascii: (UInt64, UInt64) = (0, 0)
  private let ranges: [ClosedRange<UInt32>]
  private let properties: [(property: RegexProperty, isNegated: Bool)]
  private let isNegated: Bool
  private let ignoresCase: Bool

  init(
    ranges: [ClosedRange<UInt32>], properties: [(property: RegexProperty, isNegated: Bool)] = [], isNegated: Bool = false,
    ignoresCase: Bool = false
  ) {
    self.ranges = ranges
    self.properties = properties
    self.isNegated = isNegated
    self.ignoresCase = ignoresCase
    for value in UInt32(0)..<128 where slowContains(Unicode.Scalar(value)!) {
      if value < 64 { ascii.0 |= 1 << UInt64(value) } else { ascii.1 |= 1 << UInt64(value - 64) }
    }
  }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    let value = scalar.value
    if value < 64 { return ascii.0 >> UInt64(value) & 1 == 1 }
    if value < 128 { return ascii.1 >> UInt64(value - 64) & 1 == 1 }
    return slowContains(scalar)
  }

  private func slowContains(_ scalar: Unicode.Scalar) -> Bool {
    if ignoresCase {
      for variant in RegexCase.variants(scalar) where holds(variant) { return !isNegated }
      return isNegated
    }
    return holds(scalar) != isNegated
  }

  private func holds(_ scalar: Unicode.Scalar) -> Bool {
    for range in ranges where range.contains(scalar.value) { return true }
    for (property, isNegated) in properties where property.holds(scalar) != isNegated { return true }
    return false
  }
}

/// Letters that differ in case only.
enum RegexCase {
  static func variants(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
    if scalar.isASCII {
      switch scalar {
      case "k", "K": return ["k", "K", "\u{212A}"]
      case "s", "S": return ["s", "S", "\u{17F}"]
      case "a"..."z": return [scalar, Unicode.Scalar(scalar.value - 32)!]
      case "A"..."Z": return [scalar, Unicode.Scalar(scalar.value + 32)!]
      default: return [scalar]
      }
    }
    var result = [scalar]
    for text in [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping] {
      let mapped = text.unicodeScalars
      guard mapped.count == 1, let first = mapped.first, !result.contains(first) else { continue }
      result.append(first)
      for again in [first.properties.lowercaseMapping, first.properties.uppercaseMapping] {
        let mapped = again.unicodeScalars
        if mapped.count == 1, let next = mapped.first, !result.contains(next) { result.append(next) }
      }
    }
    return result
  }
}

/// `\p{...}`: a general category, or a script by its main blocks.
enum RegexProperty: Sendable {
  case any
  case categories(Set<Unicode.GeneralCategory>)
  case ranges([ClosedRange<UInt32>])

  func holds(_ scalar: Unicode.Scalar) -> Bool {
    switch self {
    case .any: true
    case .categories(let set): set.contains(scalar.properties.generalCategory)
    case .ranges(let ranges): ranges.contains { $0.contains(scalar.value) }
    }
  }

  init?(name: String) {
    if name == "Any" {
      self = .any
    } else if let categories = Self.categories[name] {
      self = .categories(categories)
    } else if let ranges = Self.scripts[name] {
      self = .ranges(ranges)
    } else {
      return nil
    }
  }

  private static let categories: [String: Set<Unicode.GeneralCategory>] = {
    var table: [String: Set<Unicode.GeneralCategory>] = [
      "Lu": [.uppercaseLetter], "Ll": [.lowercaseLetter], "Lt": [.titlecaseLetter], "Lm": [.modifierLetter], "Lo": [.otherLetter],
      "Mn": [.nonspacingMark], "Mc": [.spacingMark], "Me": [.enclosingMark], "Nd": [.decimalNumber], "Nl": [.letterNumber],
      "No": [.otherNumber], "Pc": [.connectorPunctuation], "Pd": [.dashPunctuation], "Ps": [.openPunctuation],
      "Pe": [.closePunctuation], "Pi": [.initialPunctuation], "Pf": [.finalPunctuation], "Po": [.otherPunctuation],
      "Sm": [.mathSymbol], "Sc": [.currencySymbol], "Sk": [.modifierSymbol], "So": [.otherSymbol], "Zs": [.spaceSeparator],
      "Zl": [.lineSeparator], "Zp": [.paragraphSeparator], "Cc": [.control], "Cf": [.format], "Cs": [.surrogate],
      "Co": [.privateUse],
    ]
    for (name, set) in table { table[String(name.prefix(1)), default: []].formUnion(set) }
    return table
  }()

  /// Main blocks of the scripts that patterns ask for.
  private static let scripts: [String: [ClosedRange<UInt32>]] = [
    "Latin": [
      0x41...0x5A, 0x61...0x7A, 0xAA...0xAA, 0xBA...0xBA, 0xC0...0xD6, 0xD8...0xF6, 0xF8...0x2B8, 0x1E00...0x1EFF,
      0x2C60...0x2C7F, 0xA722...0xA787, 0xAB30...0xAB64, 0xFF21...0xFF3A, 0xFF41...0xFF5A,
    ],
    "Greek": [
      0x370...0x373, 0x375...0x377, 0x37A...0x37D, 0x37F...0x37F, 0x384...0x384, 0x386...0x386, 0x388...0x3E1, 0x3F0...0x3FF,
      0x1F00...0x1FFE,
    ],
    "Cyrillic": [0x400...0x484, 0x487...0x52F, 0x1C80...0x1C88, 0x1D2B...0x1D2B, 0x2DE0...0x2DFF, 0xA640...0xA69F],
    "Hebrew": [0x591...0x5F4, 0xFB1D...0xFB4F],
    "Arabic": [0x600...0x604, 0x606...0x6FF, 0x750...0x77F, 0x8A0...0x8FF, 0xFB50...0xFDFF, 0xFE70...0xFEFC],
    "Thai": [0xE01...0xE3A, 0xE40...0xE5B],
    "Han": [
      0x2E80...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029, 0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF,
      0xF900...0xFAD9, 0x20000...0x323AF,
    ],
    "Hiragana": [0x3041...0x3096, 0x309D...0x309F],
    "Katakana": [0x30A1...0x30FA, 0x30FD...0x30FF, 0x31F0...0x31FF, 0xFF66...0xFF6F, 0xFF71...0xFF9D],
    "Hangul": [0x1100...0x11FF, 0x3131...0x318E, 0xA960...0xA97C, 0xAC00...0xD7A3],
    "Devanagari": [0x900...0x950, 0x955...0x963, 0x966...0x97F],
  ]
}
