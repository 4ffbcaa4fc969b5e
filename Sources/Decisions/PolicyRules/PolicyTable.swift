import NFTables

/// The table of one family as a value, with what each chain and set holds.
package struct PolicyTable: Hashable, Sendable {
  package struct SetContent: Hashable, Sendable {
    package var set: NamedSet
    package var elements: Set<Element>
  }

  package struct ChainContent: Hashable, Sendable {
    package var chain: Chain
    package var rules: [Rule]
  }

  package let table: Table
  package internal(set) var sets: [String: SetContent] = [:]
  package internal(set) var chains: [String: ChainContent] = [:]

  init(_ table: Table) { self.table = table }

  mutating func put(_ set: NamedSet, _ elements: Set<Element>) { sets[set.name] = SetContent(set: set, elements: elements) }

  mutating func put(_ chain: Chain, _ rules: [Rule]) { chains[chain.name] = ChainContent(chain: chain, rules: rules) }

  /// What gives the kernel this table, whatever it holds under the name.
  package var replacement: [Change] { [.addTable, .deleteTable, .addTable] + changes(from: PolicyTable(table)) }

  /// What makes this table of the one that the kernel was told before: one transaction, in which nothing refers to what is not there.
  package func changes(from old: PolicyTable) -> [Change] {
    var changes: [Change] = []
    let (newSets, goneSets) = Self.names(old.sets, sets)
    let (newChains, goneChains) = Self.names(old.chains, chains)
    changes += newSets.compactMap { sets[$0].map { .addSet($0.set) } }
    changes += newChains.compactMap { chains[$0].map { .addChain($0.chain) } }
    for (name, content) in chains.sorted(by: { $0.key < $1.key }) where old.chains[name]?.rules != content.rules {
      if old.chains[name] != nil { changes.append(.flushChain(name)) }
      changes += content.rules.map { .addRule($0) }
    }
    for (name, content) in sets.sorted(by: { $0.key < $1.key }) {
      changes += Self.changes(of: name, from: old.sets[name]?.elements ?? [], to: content.elements)
    }
    changes += goneChains.map { .flushChain($0) } + goneChains.map { .deleteChain($0) }
    changes += goneSets.map { .deleteSet($0) }
    return changes
  }

  private static func names<Content>(_ old: [String: Content], _ new: [String: Content]) -> (new: [String], gone: [String]) {
    (new.keys.filter { old[$0] == nil }.sorted(), old.keys.filter { new[$0] == nil }.sorted())
  }

  private static func changes(of set: String, from old: Set<Element>, to new: Set<Element>) -> [Change] {
    if old == new { return [] }
    let gone = old.subtracting(new)
    let added = new.subtracting(old)
    var changes: [Change] = []
    if !gone.isEmpty { changes.append(.deleteElements(set: set, ordered(gone))) }
    if !added.isEmpty { changes.append(.addElements(set: set, ordered(added))) }
    return changes
  }

  /// The end of a range stands before the beginning of the next at the same key.
  private static func ordered(_ elements: Set<Element>) -> [Element] {
    elements.sorted {
      if $0.key == $1.key { return $0.isIntervalEnd && !$1.isIntervalEnd }
      return $0.key.lexicographicallyPrecedes($1.key)
    }
  }
}
