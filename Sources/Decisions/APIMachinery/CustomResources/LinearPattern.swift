/// The matcher that is used where no other is plugged in: a set of states is carried through the text once, so that the time is
/// the text's length times the pattern's, whatever the pattern.
///
/// Source: the method is Thompson's; the syntax is RE2's, without named Unicode scripts.
package let linearPatterns: PatternCompiler = { (pattern: String) throws(PatternError) -> any PatternMatcher in
  try LinearPattern(pattern)
}

struct LinearPattern: PatternMatcher {
  /// Instructions of one pattern; Go refuses patterns of about the same size.
  static let instructionsMax = 10_000

  enum Instruction {
    case set(ScalarSet)
    case split(Int, Int)
    case jump(Int)
    case assert(PatternNode.Assertion)
    case accept
  }

  private var program: [Instruction] = []
  /// Nothing repeated a million times is still work.
  private var steps = 0

  init(_ pattern: String) throws(PatternError) {
    var parser = PatternParser(pattern)
    try emit(try parser.parse(), pattern)
    program.append(.accept)
  }

  private mutating func emit(_ node: PatternNode, _ pattern: String) throws(PatternError) {
    steps += 1
    guard max(program.count, steps / 10) < Self.instructionsMax else { throw PatternError("error parsing regexp: expression too large") }
    switch node {
    case .empty: break
    case .set(let set): program.append(.set(set))
    case .assertion(let assertion): program.append(.assert(assertion))
    case .sequence(let parts): for part in parts { try emit(part, pattern) }
    case .choice(let parts): try emitChoice(parts, pattern)
    case .repetition(let part, let min, let max):
      for _ in 0..<min { try emit(part, pattern) }
      if let max {
        var forks: [Int] = []
        for _ in min..<Swift.max(min, max) {
          forks.append(program.count)
          program.append(.jump(0))
          try emit(part, pattern)
        }
        for fork in forks { program[fork] = .split(fork + 1, program.count) }
      } else {
        let fork = program.count
        program.append(.jump(0))
        try emit(part, pattern)
        program.append(.jump(fork))
        program[fork] = .split(fork + 1, program.count)
      }
    }
  }

  private mutating func emitChoice(_ parts: [PatternNode], _ pattern: String) throws(PatternError) {
    var ends: [Int] = []
    for (i, part) in parts.enumerated() {
      let fork = program.count
      let isLast = i == parts.count - 1
      if !isLast { program.append(.jump(0)) }
      try emit(part, pattern)
      if !isLast {
        ends.append(program.count)
        program.append(.jump(0))
        program[fork] = .split(fork + 1, program.count)
      }
    }
    for end in ends { program[end] = .jump(program.count) }
  }

  func matches(_ text: String) -> Bool {
    let scalars = Array(text.unicodeScalars)
    var states = StateSet(program.count)
    var next = StateSet(program.count)
    for position in 0...scalars.count {
      // A match may begin anywhere.
      if follow(0, position, scalars, &states) { return true }
      if position == scalars.count { return false }
      next.removeAll()
      for state in states.members {
        if case .set(let set) = program[state], set.contains(scalars[position]) {
          if follow(state + 1, position + 1, scalars, &next) { return true }
        }
      }
      swap(&states, &next)
    }
    return false
  }

  /// Adds a state and those that need no character to get to. True where the pattern has matched.
  private func follow(_ start: Int, _ position: Int, _ text: [Unicode.Scalar], _ states: inout StateSet) -> Bool {
    var pending = [start]
    while let state = pending.popLast() {
      guard states.insert(state) else { continue }
      switch program[state] {
      case .accept: return true
      case .set: break
      case .jump(let target): pending.append(target)
      case .split(let a, let b): pending += [b, a]
      case .assert(let assertion): if assertion.holds(at: position, in: text) { pending.append(state + 1) }
      }
    }
    return false
  }

  private struct StateSet {
    private(set) var members: [Int] = []
    private var marks: [UInt32]
    private var round: UInt32 = 1

    init(_ count: Int) { marks = [UInt32](repeating: 0, count: count) }

    mutating func insert(_ state: Int) -> Bool {
      if marks[state] == round { return false }
      marks[state] = round
      members.append(state)
      return true
    }

    mutating func removeAll() {
      members.removeAll(keepingCapacity: true)
      round += 1
      if round == 0 {
        round = 1
        for i in marks.indices { marks[i] = 0 }
      }
    }
  }
}

/// A set of characters.
struct ScalarSet: Sendable {
  var ranges: [ClosedRange<UInt32>] = []
  var categories: [@Sendable (Unicode.Scalar) -> Bool] = []
  var isNegated = false
  var ignoresCase = false

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    holds(scalar) != isNegated
  }

  private func holds(_ scalar: Unicode.Scalar) -> Bool {
    if has(scalar) { return true }
    guard ignoresCase else { return false }
    let lower = scalar.properties.lowercaseMapping.unicodeScalars
    let upper = scalar.properties.uppercaseMapping.unicodeScalars
    return (lower.count == 1 && has(lower.first!)) || (upper.count == 1 && has(upper.first!))
  }

  private func has(_ scalar: Unicode.Scalar) -> Bool {
    for range in ranges where range.contains(scalar.value) { return true }
    for category in categories where category(scalar) { return true }
    return false
  }
}

indirect enum PatternNode {
  enum Assertion {
    case textStart, textEnd, lineStart, lineEnd, wordEdge, noWordEdge

    func holds(at position: Int, in text: [Unicode.Scalar]) -> Bool {
      func isWord(_ i: Int) -> Bool {
        guard text.indices.contains(i) else { return false }
        return ScalarSet(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A]).contains(text[i])
      }
      switch self {
      case .textStart: return position == 0
      case .textEnd: return position == text.count
      case .lineStart: return position == 0 || text[position - 1] == "\n"
      case .lineEnd: return position == text.count || text[position] == "\n"
      case .wordEdge: return isWord(position - 1) != isWord(position)
      case .noWordEdge: return isWord(position - 1) == isWord(position)
      }
    }
  }

  case empty
  case set(ScalarSet)
  case assertion(Assertion)
  case sequence([PatternNode])
  case choice([PatternNode])
  case repetition(PatternNode, min: Int, max: Int?)
}
