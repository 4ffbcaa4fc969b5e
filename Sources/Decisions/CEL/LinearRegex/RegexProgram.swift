/// A pattern as instructions for a machine that follows all alternatives at once.
struct RegexProgram: Sendable {
  enum Instruction: Sendable {
    case scalar(Unicode.Scalar)
    case set(Int)
    case assertion(RegexAssertion)
    /// The first way is preferred.
    case split(Int, Int)
    case jump(Int)
    case save(Int)
    case match
  }

  /// Counted repetitions are written out; a pattern that gets longer than this is refused.
  static let instructionsMax = 20_000

  private(set) var instructions: [Instruction] = []
  private(set) var sets: [RegexSet] = []
  let slotCount: Int
  /// The pattern can only match at the text's start.
  private(set) var isAnchored = false

  static func compile(_ node: RegexNode, groupCount: Int) throws(LinearRegexError) -> RegexProgram {
    var program = RegexProgram(slotCount: groupCount * 2)
    program.isAnchored = startsAtText(node)
    try program.add(.save(0))
    try program.emit(node)
    try program.add(.save(1))
    try program.add(.match)
    return program
  }

  private init(slotCount: Int) { self.slotCount = slotCount }

  private static func startsAtText(_ node: RegexNode) -> Bool {
    switch node {
    case .assertion(.textStart): true
    case .sequence(let nodes): nodes.first.map(startsAtText) ?? false
    case .group(_, let inner): startsAtText(inner)
    case .alternatives(let nodes): nodes.allSatisfy(startsAtText)
    default: false
    }
  }

  private mutating func add(_ instruction: Instruction) throws(LinearRegexError) {
    guard instructions.count < Self.instructionsMax else {
      throw LinearRegexError(reason: "expression too large", part: "more than \(Self.instructionsMax) instructions")
    }
    instructions.append(instruction)
  }

  private mutating func emit(_ node: RegexNode) throws(LinearRegexError) {
    switch node {
    case .empty: break
    case .scalar(let scalar): try add(.scalar(scalar))
    case .set(let set):
      sets.append(set)
      try add(.set(sets.count - 1))
    case .assertion(let assertion): try add(.assertion(assertion))
    case .group(let number, let inner):
      try add(.save(number * 2))
      try emit(inner)
      try add(.save(number * 2 + 1))
    case .sequence(let nodes): for node in nodes { try emit(node) }
    case .alternatives(let nodes): try alternatives(nodes)
    case .repeated(let inner, let min, let max, let isGreedy): try repeated(inner, min, max, isGreedy)
    }
  }

  private mutating func alternatives(_ nodes: [RegexNode]) throws(LinearRegexError) {
    var jumps: [Int] = []
    for (i, node) in nodes.enumerated() {
      guard i < nodes.count - 1 else {
        try emit(node)
        break
      }
      let split = instructions.count
      try add(.split(split + 1, 0))
      try emit(node)
      jumps.append(instructions.count)
      try add(.jump(0))
      instructions[split] = .split(split + 1, instructions.count)
    }
    for jump in jumps { instructions[jump] = .jump(instructions.count) }
  }

  private mutating func repeated(
    _ inner: RegexNode, _ min: Int, _ max: Int?, _ isGreedy: Bool
  ) throws(LinearRegexError) {
    func branch(_ inside: Int, _ outside: Int) -> Instruction { isGreedy ? .split(inside, outside) : .split(outside, inside) }
    for i in 0..<min {
      let start = instructions.count
      try emit(inner)
      if max == nil, i == min - 1 {  // the last one that must be there repeats itself
        try add(branch(start, instructions.count + 1))
        return
      }
    }
    guard let max else {
      let split = instructions.count
      try add(.jump(0))
      try emit(inner)
      try add(.jump(split))
      instructions[split] = branch(split + 1, instructions.count)
      return
    }
    var splits: [Int] = []
    for _ in min..<Swift.max(min, max) {
      splits.append(instructions.count)
      try add(.jump(0))
      try emit(inner)
    }
    for split in splits { instructions[split] = branch(split + 1, instructions.count) }
  }
}

/// Runs a program over a text.
struct RegexMatcher {
  private let program: RegexProgram
  private let scalars: [Unicode.Scalar]
  private(set) var stepsLeft: Int
  private var stack: [Work] = []

  /// The instructions that are alive at a position, in order of preference.
  private struct Threads {
    var order: [Int] = []
    private var position: [Int]
    /// Where the groups of each thread began and ended, by rank in `order`.
    var slots: [[Int]] = []

    init(_ count: Int) { position = Array(repeating: 0, count: count) }

    func contains(_ pc: Int) -> Bool {
      let rank = position[pc]
      return rank < order.count && order[rank] == pc
    }

    mutating func insert(_ pc: Int, _ groups: [Int]) {
      position[pc] = order.count
      order.append(pc)
      slots.append(groups)
    }

    mutating func removeAll() {
      order.removeAll(keepingCapacity: true)
      slots.removeAll(keepingCapacity: true)
    }
  }

  private enum Work {
    case visit(Int)
    case restore(slot: Int, value: Int)
  }

  init(_ program: RegexProgram, _ scalars: [Unicode.Scalar], stepsMax: Int) {
    self.program = program
    self.scalars = scalars
    stepsLeft = stepsMax
  }

  /// Whether there is a match anywhere.
  mutating func isFound() throws(LinearRegex.Exhausted) -> Bool {
    let found = run(from: 0, wantsGroups: false)
    if stepsLeft < 0 { throw LinearRegex.Exhausted() }
    return found != nil
  }

  mutating func find(from start: Int) throws(LinearRegex.Exhausted) -> LinearRegex.Match? {
    let found = run(from: start, wantsGroups: true)
    if stepsLeft < 0 { throw LinearRegex.Exhausted() }
    guard let slots = found else { return nil }
    var groups: [Range<Int>?] = []
    for i in stride(from: 0, to: slots.count, by: 2) {
      groups.append(slots[i] >= 0 && slots[i + 1] >= slots[i] ? slots[i]..<slots[i + 1] : nil)
    }
    return LinearRegex.Match(range: slots[0]..<slots[1], groups: groups)
  }

  private mutating func run(from start: Int, wantsGroups: Bool) -> [Int]? {
    let blank = wantsGroups ? Array(repeating: -1, count: program.slotCount) : []
    var best: [Int]?
    var current = Threads(program.instructions.count)
    var next = Threads(program.instructions.count)
    var at = start
    while true {
      if best == nil, !program.isAnchored || at == 0 { follow(0, at, blank, into: &current) }
      if current.order.isEmpty, best != nil || program.isAnchored { return best }
      next.removeAll()
      for rank in current.order.indices {
        let pc = current.order[rank]
        stepsLeft -= 1
        switch program.instructions[pc] {
        case .scalar(let wanted):
          if at < scalars.count, scalars[at] == wanted { follow(pc + 1, at + 1, current.slots[rank], into: &next) }
        case .set(let set):
          if at < scalars.count, program.sets[set].contains(scalars[at]) {
            follow(pc + 1, at + 1, current.slots[rank], into: &next)
          }
        case .match:
          best = current.slots[rank]
          if !wantsGroups { return best }
        default: break
        }
        if case .match = program.instructions[pc] { break }  // what follows is less preferred
      }
      if stepsLeft < 0 || at >= scalars.count { return best }
      swap(&current, &next)
      at += 1
    }
  }

  /// Adds an instruction and all that can be reached from it without reading.
  private mutating func follow(_ start: Int, _ at: Int, _ groups: [Int], into threads: inout Threads) {
    var groups = groups
    stack.append(.visit(start))
    while let work = stack.popLast() {
      guard case .visit(let pc) = work else {
        if case .restore(let slot, let value) = work { groups[slot] = value }
        continue
      }
      if threads.contains(pc) { continue }
      threads.insert(pc, groups)
      stepsLeft -= 1
      switch program.instructions[pc] {
      case .jump(let target): stack.append(.visit(target))
      case .split(let first, let second):
        stack.append(.visit(second))
        stack.append(.visit(first))
      case .save(let slot):
        if !groups.isEmpty {
          stack.append(.restore(slot: slot, value: groups[slot]))
          groups[slot] = at
        }
        stack.append(.visit(pc + 1))
      case .assertion(let assertion): if holds(assertion, at) { stack.append(.visit(pc + 1)) }
      case .scalar, .set, .match: break
      }
    }
  }

  private func isWord(_ at: Int) -> Bool {
    guard at >= 0, at < scalars.count else { return false }
    return scalars[at].isIdentifierPart
  }

  private func holds(_ assertion: RegexAssertion, _ at: Int) -> Bool {
    switch assertion {
    case .textStart: at == 0
    case .textEnd: at == scalars.count
    case .lineStart: at == 0 || scalars[at - 1] == "\n"
    case .lineEnd: at == scalars.count || scalars[at] == "\n"
    case .wordBoundary: isWord(at - 1) != isWord(at)
    case .noWordBoundary: isWord(at - 1) == isWord(at)
    }
  }
}
