import GRDB

/// The questions that the history answers, each on one connection. Callers check the revision against what is compacted
/// after reading: what a snapshot no longer holds was announced before it was removed.
enum HistoryReader {
  static func get(_ key: String, at revision: Revision, _ database: Database) throws -> StoredValue? {
    try Query.run(database, Schema.latestAt) { query in
      query.bind(1, key)
      query.bind(2, revision)
      guard try query.step(), query.integer(1) != Schema.RowKind.deleted.rawValue else { return nil }
      return StoredValue(key: key, revision: query.integer(0), value: query.blob(2))
    }
  }

  // MARK: Lists

  /// A list at a revision: the current state of keys that did not change since, merged with the former state of those
  /// that did. The cost is the page, the count, and one pass over what happened after the revision.
  static func list(prefix: String, after startKey: String?, limit: Int?, at revision: Revision, _ database: Database) throws -> Page {
    let range = KeyRange(prefix: prefix, after: startKey)
    let since = try changesSince(revision, range, database)
    let wanted = limit ?? Int.max
    var items: [StoredValue] = []
    var former = since.former[...]
    func appendFormer(before key: String?) throws {
      while items.count < wanted, let next = former.first, key.map({ utf8Precedes(next.key, $0) }) ?? true {
        former.removeFirst()
        items.append(StoredValue(key: next.key, revision: next.revision, value: try value(of: next.revision, database)))
      }
    }
    try Query.run(database, Schema.liveItems) { query in
      query.bind(1, text: range.from)
      query.bind(2, text: range.end)
      while items.count < wanted, try query.step() {
        let key = query.text(0)
        try appendFormer(before: key)
        guard items.count < wanted else { break }
        if since.changed.contains(key) { continue }
        items.append(StoredValue(key: key, revision: query.integer(1), value: query.blob(2)))
      }
    }
    try appendFormer(before: nil)
    guard items.count == wanted else { return Page(items: items, revision: revision, remaining: 0) }
    let total = try liveCount(range, database) + since.countDifference
    return Page(items: items, revision: revision, remaining: total - items.count)
  }

  /// Keys in a range that changed after a revision.
  private struct Since {
    var changed: Set<String> = []
    /// Of those, the ones that existed at the revision, with the revision of their state then; in byte order.
    var former: [(key: String, revision: Revision)] = []
    /// Keys that existed at the revision less those that exist now.
    var countDifference = 0
  }

  private static func changesSince(_ revision: Revision, _ range: KeyRange, _ database: Database) throws -> Since {
    var result = Since()
    var existsNow: [String: Bool] = [:]
    try Query.run(database, Schema.keysChangedAfter) { query in
      query.bind(1, revision)
      query.bind(2, text: range.from)
      query.bind(3, text: range.end)
      while try query.step() {
        let kind = query.integer(0)
        let key = query.text(2)
        existsNow[key] = kind != Schema.RowKind.deleted.rawValue
        if result.changed.insert(key).inserted, kind != Schema.RowKind.created.rawValue {
          result.former.append((key, query.integer(1)))
        }
      }
    }
    result.former.sort { utf8Precedes($0.key, $1.key) }
    result.countDifference = result.former.count - existsNow.values.count { $0 }
    return result
  }

  private static func liveCount(_ range: KeyRange, _ database: Database) throws -> Int {
    try Query.run(database, Schema.liveCount) { query in
      query.bind(1, text: range.from)
      query.bind(2, text: range.end)
      return try query.step() ? Int(query.integer(0)) : 0
    }
  }

  private static func value(of revision: Revision, _ database: Database) throws -> [UInt8] {
    try Query.run(database, Schema.value) { query in
      query.bind(1, revision)
      return try query.step() ? query.blob(0) : []
    }
  }

  /// String's own order is by Unicode canonical equivalence; keys are ordered by bytes.
  private static func utf8Precedes(_ first: String, _ second: String) -> Bool {
    first.utf8.lexicographicallyPrecedes(second.utf8)
  }

  // MARK: Changes

  /// Matching changes in (`after`, `through`], and how far that is complete: short of `through` when a limit was met.
  static func changes(
    prefix: String, after: Revision, through: Revision, eventsMax: Int, bytesMax: Int, _ database: Database
  ) throws -> WatchBatch {
    let range = KeyRange(prefix: prefix)
    var events: [ChangeEvent] = []
    var bytes = 0
    try Query.run(database, Schema.changes) { query in
      query.bind(1, after)
      query.bind(2, through)
      query.bind(3, text: range.from)
      query.bind(4, text: range.end)
      while events.count < eventsMax, bytes < bytesMax, try query.step() {
        let key = query.text(2)
        let event = ChangeEvent(
          kind: query.integer(1) == Schema.RowKind.deleted.rawValue ? .delete : .put, key: key,
          revision: query.integer(0), value: query.blob(3),
          previous: query.isNull(4) ? nil : StoredValue(key: key, revision: query.integer(4), value: query.blob(5)))
        events.append(event)
        bytes += event.byteCount
      }
    }
    let full = events.count >= eventsMax || bytes >= bytesMax
    return WatchBatch(events: events, completeTo: full ? events[events.count - 1].revision : through)
  }
}

extension ChangeEvent {
  /// What it weighs in memory, about: the values.
  var byteCount: Int { value.count + (previous?.value.count ?? 0) }
}
