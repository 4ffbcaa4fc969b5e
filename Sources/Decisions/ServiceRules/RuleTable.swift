import NFTables

/// The table of one family as it should be, and what of it the kernel has not been told yet.
package struct RuleTable: Sendable {
  package let layout: RuleLayout
  private var entries: [ObjectName: [RuleEntry]] = [:]
  private var holders: [RuleEntry.Key: Holders] = [:]
  /// Keys that changed since `takeChanges`, with what the kernel holds there; nil: nothing.
  private var before: [RuleEntry.Key: [UInt8]?] = [:]

  /// Who wants an element. Two services can want one key with different values, such as one external address; the first by name wins.
  private enum Holders {
    case one(ObjectName, [UInt8])
    case several([ObjectName: [UInt8]])

    var value: [UInt8] {
      switch self {
      case .one(_, let value): value
      case .several(let all): all.min { $0.key < $1.key }?.value ?? []
      }
    }
  }

  package init(layout: RuleLayout) { self.layout = layout }

  package var elementCount: Int { holders.count }
  package var hasChanges: Bool { !before.isEmpty }

  /// Says what a service needs; nothing where it is gone.
  package mutating func set(_ service: ObjectName, to wanted: [RuleEntry]) {
    let old = entries[service] ?? []
    if old == wanted { return }
    entries[service] = wanted.isEmpty ? nil : wanted
    // Long lists differ in little, so what stands at the same place on both sides is passed over quickly.
    var gone: [RuleEntry] = []
    var new: [RuleEntry] = []
    for index in 0..<max(old.count, wanted.count) {
      let left = index < old.count ? old[index] : nil
      let right = index < wanted.count ? wanted[index] : nil
      if left == right { continue }
      if let left { gone.append(left) }
      if let right { new.append(right) }
    }
    let stays = Set(wanted.count == new.count ? [] : wanted.map(\.key))
    for entry in gone where !stays.contains(entry.key) { release(entry.key, by: service) }
    for entry in new { hold(entry, by: service) }
  }

  private mutating func note(_ key: RuleEntry.Key) {
    if before[key] == nil { before.updateValue(holders[key]?.value, forKey: key) }
  }

  private mutating func hold(_ entry: RuleEntry, by service: ObjectName) {
    note(entry.key)
    switch holders[entry.key] {
    case nil: holders[entry.key] = .one(service, entry.value)
    case .one(let other, _) where other == service: holders[entry.key] = .one(service, entry.value)
    case .one(let other, let value): holders[entry.key] = .several([other: value, service: entry.value])
    case .several(var all):
      holders[entry.key] = nil
      all[service] = entry.value
      holders[entry.key] = .several(all)
    }
  }

  private mutating func release(_ key: RuleEntry.Key, by service: ObjectName) {
    note(key)
    switch holders[key] {
    case .one(let holder, _) where holder == service: holders[key] = nil
    case .several(var all):
      holders[key] = nil
      all[service] = nil
      if let last = all.first, all.count == 1 {
        holders[key] = .one(last.key, last.value)
      } else if !all.isEmpty {
        holders[key] = .several(all)
      }
    default: break
    }
  }

  /// What has changed since the last call, as the smallest transaction; empty where nothing has.
  package mutating func takeChanges() -> [Change] {
    var difference = TableDifference(layout: layout)
    for (key, old) in before { difference.add(key, from: old, to: holders[key]?.value) }
    before = [:]
    return difference.changes
  }

  /// What brings a table to this state that holds `found`; everything is told then. Nil: its rules are none of ours, replace it.
  package mutating func changes(from found: FoundTable) -> [Change]? {
    var difference = TableDifference(layout: layout)
    guard difference.adopt(found) else { return nil }
    for (key, value) in found.elements {
      difference.add(key, from: value, to: holders[key]?.value)
    }
    for (key, holder) in holders where found.elements[key] == nil { difference.add(key, from: nil, to: holder.value) }
    before = [:]
    return difference.changes
  }

  /// Everything from nothing, whatever the kernel's table holds now.
  package mutating func replacement() -> [Change] {
    var difference = TableDifference(layout: layout)
    for (key, holder) in holders { difference.add(key, from: nil, to: holder.value) }
    before = [:]
    return [.addTable, .deleteTable, .addTable] + layout.foundation + difference.changes
  }

  /// The elements that packets meet, for people and for tests.
  package var elements: [RuleEntry.Key: [UInt8]] { holders.mapValues(\.value) }
}

/// A table as it was read back from the kernel.
package struct FoundTable: Sendable {
  /// The comments of each chain's rules in their order.
  package var rules: [String: [String]]
  /// Sets that are there.
  package var sets: Set<String>
  /// Without those that packets made. A verdict's value is its chain's name.
  package var elements: [RuleEntry.Key: [UInt8]]

  package init(rules: [String: [String]] = [:], sets: Set<String> = [], elements: [RuleEntry.Key: [UInt8]] = [:]) {
    self.rules = rules
    self.sets = sets
    self.elements = elements
  }
}
