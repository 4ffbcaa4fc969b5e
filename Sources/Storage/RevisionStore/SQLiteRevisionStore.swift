import Logging

/// The store in one SQLite database: write-ahead log, an fsync before every answer, one writer, a few readers.
///
/// Beside `path` it keeps `path-wal`, `path-shm` and `path.lock`. Survives the end of the process at any moment with every
/// acknowledged write.
package final class SQLiteRevisionStore: RevisionStore {
  /// Lists of up to this many items are read without a change of threads.
  private static let shortListMax = 50

  private let path: String
  private let lock: StoreLock
  private let readers: ReaderPool
  private let hub: WatchHub
  private let writer: StoreWriter
  private let limits: StoreLimits

  /// Opens the database, or makes it; its directory must exist.
  /// - Parameter now: a clock that never goes back; its start does not matter. It measures the age of history.
  /// - Throws: `RevisionStoreError`: `locked`, `corrupt`, `notPermitted`, `incompatible`, `diskFull`, `io`.
  package init(
    path: String, limits: StoreLimits = StoreLimits(), logger: Logger = Logger(label: "revision-store"),
    now: @escaping @Sendable () -> Duration = SQLiteRevisionStore.uptime
  ) throws {
    self.path = path
    self.limits = limits
    lock = try StoreLock(database: path)
    let opened: Connections.Opened
    do {
      opened = try Connections.open(path: path, limits: limits)
    } catch {
      throw StoreFailure.translate(error, path: path)
    }
    readers = opened.readers
    hub = WatchHub(newest: opened.newest, compacted: opened.compacted, limits: limits)
    writer = StoreWriter(path: path, opened: opened, hub: hub, limits: limits, now: now, logger: logger)
  }

  /// Time on the machine's monotonic clock since this was first asked.
  package static let uptime: @Sendable () -> Duration = {
    let start = ContinuousClock.now
    return { ContinuousClock.now - start }
  }()

  package func currentRevision() async throws -> Revision { hub.newest }

  /// The first revision that lists and watches may still ask for.
  package var oldestRevision: Revision { hub.compacted }

  package func get(_ key: String, at: Revision?) async throws -> StoredValue? {
    if at == nil, let known = hub.recall(key) { return known }
    return try await reading(at) { [readers, hub] revision in
      let value = try await readers.readShort { try HistoryReader.get(key, at: revision, $0) }
      if at == nil { hub.remember(key, value, at: revision) }
      return value
    }
  }

  package func list(prefix: String, after startKey: String?, limit: Int?, at: Revision?) async throws -> Page {
    let limit = limit.map { max(0, $0) }
    let isWhole = at == nil && startKey == nil && limit == nil
    if isWhole, let known = hub.recall(collection: prefix) { return known }
    return try await reading(at) { [readers, hub] revision in
      let page = try await readers.readSnapshot(short: (limit ?? .max) <= Self.shortListMax) {
        try HistoryReader.list(prefix: prefix, after: startKey, limit: limit, at: revision, $0)
      }
      if isWhole { hub.remember(collection: prefix, page) }
      return page
    }
  }

  @discardableResult
  package func write(_ mutation: Mutation) async throws -> Revision { try await writer.write(mutation) }

  package func watch(prefix: String, from: Revision) async throws -> RevisionWatch {
    RevisionWatch(source: try StoreWatch(prefix: prefix, from: from, hub: hub, readers: readers, limits: limits, path: path))
  }

  package func compact(before: Revision) async throws {
    let newest = hub.newest
    guard before <= newest else { throw RevisionStoreError.future(before, current: newest) }
    try await writer.compact(to: before)
  }

  /// Ends every watch, finishes the commit under way, and lets go of the database. Later calls answer `closed`.
  package func close() async throws {
    hub.close()
    try await translating {
      try await writer.stop()
      try readers.close()
      try writer.close()
    }
    lock.release()
  }

  /// Reads at a revision, or at the newest one; what was read counts only if its revision is still kept afterwards.
  private func reading<Result>(_ at: Revision?, _ body: (Revision) async throws -> Result) async throws -> Result {
    while true {
      let newest = hub.newest
      let revision = at ?? newest
      guard revision <= newest else { throw RevisionStoreError.future(revision, current: newest) }
      if at != nil { try checkKept(revision) }
      let result = try await translating { try await body(revision) }
      // Nobody asked for "now" by number: when compaction overtook it, now is later.
      if at == nil, hub.compacted > revision { continue }
      try checkKept(revision)
      return result
    }
  }

  private func checkKept(_ revision: Revision) throws(RevisionStoreError) {
    let oldest = hub.compacted
    if revision < oldest { throw .compacted(revision, oldest: oldest) }
  }

  private func translating<Result>(_ body: () async throws -> Result) async throws -> Result {
    do { return try await body() } catch { throw StoreFailure.translate(error, path: path) }
  }
}
