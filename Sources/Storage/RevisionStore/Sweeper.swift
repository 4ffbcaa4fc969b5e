import GRDB

/// Removes forgotten history and gives free pages back, a bounded step at a time, each step its own transaction.
struct Sweeper {
  private let limits: StoreLimits
  private var compacted: Revision
  private var swept: Revision
  private var givesPagesBack = true
  /// A failed step is not tried again before the target moves.
  private var pausedAt: Revision?

  init(compacted: Revision, swept: Revision, limits: StoreLimits) {
    self.compacted = compacted
    self.swept = swept
    self.limits = limits
  }

  func hasWork(target: Revision) -> Bool {
    guard pausedAt.map({ target > $0 }) ?? true else { return false }
    return target > compacted || swept < compacted || givesPagesBack
  }

  mutating func pause() { pausedAt = compacted }

  /// - Parameter announce: is told the compacted revision before the first row goes, so that a reader whose snapshot lacks
  ///   rows finds out.
  /// - Returns: whether there is more to do.
  mutating func step(target: Revision, _ database: Database, announce: (Revision) -> Void) throws -> Bool {
    pausedAt = nil
    if target > compacted {
      try Query.execute(database, Schema.setCompacted, target)
      compacted = target
      announce(target)
    }
    if swept < compacted {
      try sweep(database)
      givesPagesBack = swept == compacted
      return true
    }
    givesPagesBack = try giveBackPages(database)
    return givesPagesBack
  }

  /// A row names the row that it replaces, so only rows that came since the last sweep need be looked at.
  private mutating func sweep(_ database: Database) throws {
    let end = min(swept + limits.sweepRevisions, compacted)
    try database.inTransaction(.immediate) {
      try Query.execute(database, Schema.sweepSuperseded, swept, end)
      try Query.execute(database, Schema.sweepDeleted, swept, end)
      try Query.execute(database, Schema.setSwept, end)
      return .commit
    }
    swept = end
  }

  private func giveBackPages(_ database: Database) throws -> Bool {
    let free = try Query.integer(database, "PRAGMA freelist_count") ?? 0
    guard free > limits.freePagesMax else { return false }
    try Query.run(database, "PRAGMA incremental_vacuum(\(limits.vacuumPages))") { while try $0.step() {} }
    return true
  }
}
