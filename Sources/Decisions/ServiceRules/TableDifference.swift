import NFTables

/// Collects what differs and puts it in an order that the kernel accepts: chains before what leads to them, keys out before the same
/// keys in with another value, chains away after what led to them.
struct TableDifference {
  let layout: RuleLayout
  private var added: [RuleLayout.SetName: [Element]] = [:]
  private var removed: [RuleLayout.SetName: [Element]] = [:]
  private var newChains: [(chain: String, rules: [Rule])] = []
  private var oldChains: [String] = []
  private var repairs: [Change] = []
  /// Class chains of which the kernel has the right rules already.
  private var sound: Set<String> = []

  init(layout: RuleLayout) { self.layout = layout }

  /// `old` and `new` nil: not there.
  mutating func add(_ key: RuleEntry.Key, from old: [UInt8]?, to new: [UInt8]?) {
    guard let entrance = key.set.entrance else {
      if old == new { return }
      if let old { removed[key.set, default: []].append(element(key, old)) }
      if let new { added[key.set, default: []].append(element(key, new)) }
      return
    }
    // A class's verdict follows from its key, so it is there or not.
    guard let ruleClass = RuleClass(bytes: key.bytes) else {
      if old != nil { removed[key.set, default: []].append(Element(key.bytes)) }
      return
    }
    let chain = layout.chainName(ruleClass, entrance)
    let isThere = old.map { $0.isEmpty || $0 == Array(chain.utf8) } ?? false
    if new != nil, !sound.contains(chain), !isThere || !repairs.isEmpty || old?.isEmpty == false {
      newChains.append((chain, layout.rules(ruleClass, entrance)))
    }
    if new == nil, old != nil { oldChains.append(chain) }
    if isThere == (new != nil) { return }
    let target = Element(key.bytes, value: .verdict(.goto(chain)))
    if old != nil { removed[key.set, default: []].append(Element(key.bytes)) }
    if new != nil { added[key.set, default: []].append(target) }
  }

  private func element(_ key: RuleEntry.Key, _ value: [UInt8]) -> Element {
    if key.set == .sourceRanges {
      let half = key.bytes.count / 2
      return Element(Array(key.bytes[..<half]), keyEnd: Array(key.bytes[half...]))
    }
    return Element(key.bytes, value: value.isEmpty ? .none : .data(value))
  }

  /// Takes chains and sets as they were found. False: sets are missing, or the base chains' rules are not ours.
  mutating func adopt(_ found: FoundTable) -> Bool {
    guard Set(RuleLayout.SetName.allCases.map(\.rawValue)).isSubset(of: found.sets) else { return false }
    var wanted: [String: [String]] = [:]
    for rule in layout.rules { wanted[rule.chain, default: []].append(rule.comment ?? "") }
    for chain in layout.chains where found.rules[chain.name] != wanted[chain.name] { return false }
    var right: [String: [String]] = [:]
    for key in found.elements.keys {
      guard let entrance = key.set.entrance, let ruleClass = RuleClass(bytes: key.bytes) else { continue }
      right[layout.chainName(ruleClass, entrance)] = layout.rules(ruleClass, entrance).map { $0.comment ?? "" }
    }
    for (chain, comments) in found.rules where wanted[chain] == nil {
      if right[chain] == comments {
        sound.insert(chain)
      } else {
        repairs.append(.flushChain(chain))
        oldChains.append(chain)
      }
    }
    return true
  }

  var changes: [Change] {
    var changes = repairs
    for (chain, rules) in newChains {
      changes.append(.addChain(Chain(chain)))
      changes += rules.map { .addRule($0) }
    }
    for set in RuleLayout.SetName.allCases {
      if let elements = removed[set] { changes.append(.deleteElements(set: set.rawValue, elements)) }
      if let elements = added[set] { changes.append(.addElements(set: set.rawValue, elements)) }
    }
    let needed = Set(newChains.map(\.chain))
    for chain in Set(oldChains).sorted() where !needed.contains(chain) { changes += [.flushChain(chain), .deleteChain(chain)] }
    return changes
  }
}

extension RuleLayout.SetName {
  /// For the verdict maps.
  var entrance: Entrance? {
    switch self {
    case .addressClasses: .address
    case .nodePortClasses: .nodePort
    default: nil
    }
  }
}
