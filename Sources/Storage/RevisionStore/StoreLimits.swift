/// The named limits of a store on disk. Durations are measured on the store's injected clock.
package struct StoreLimits: Sendable {
  /// Writes that wait for the writer. Full: `overloaded`.
  package var pendingWritesMax = 4_096
  /// Mutations in one durable commit; more wait for the next.
  package var commitMutationsMax = 512
  /// Value bytes in one durable commit; at least one mutation always fits.
  package var commitBytesMax = 8 << 20
  /// One value. The API server's own request limit is below it.
  package var valueBytesMax = 4 << 20
  /// The database file, without its log. Full: `diskFull`. Deletes, compaction and a larger limit mend it.
  package var fileBytesMax: Int64 = 8 << 30

  /// Changes kept in memory for watchers; older ones are read from the database.
  package var recentEventsMax = 4_096
  /// Value bytes of those changes.
  package var recentBytesMax = 4 << 20
  /// Matching changes that a watcher may leave unread. More: its stream ends with `slowWatcher`.
  package var watcherBacklogMax = 10_000
  /// Events in one batch.
  package var watchBatchEventsMax = 500
  /// Value bytes of one batch; at least one event always fits.
  package var watchBatchBytesMax = 4 << 20
  /// A watcher that nothing matched for this many revisions gets an empty batch.
  package var progressRevisions: Revision = 1_000
  /// Revisions looked at in one read when a watcher catches up from the database.
  package var catchUpRevisions: Revision = 5_000

  /// History kept at least this long, unless `historyRevisionsMax` is passed.
  package var historyAge: Duration = .seconds(300)
  /// How often the age of the history is noted.
  package var historyMarkInterval: Duration = .seconds(15)
  /// History kept at most, in revisions, however young.
  package var historyRevisionsMax: Revision = 50_000
  /// Revisions that one step of compaction looks at; writes go between steps.
  package var sweepRevisions: Revision = 500
  /// Free pages that stay in the file for reuse; above it, the file shrinks.
  package var freePagesMax = 2_048
  /// Pages given back to the file system in one step.
  package var vacuumPages = 256

  /// Pages in the write-ahead log after which they are moved into the database.
  package var logPagesMax = 1_000
  /// Pages in the log at which the writer waits for readers to leave so that the log can start over.
  package var logPagesHard = 16_000
  /// A log file larger than this is cut when it starts over, bytes.
  package var logFileBytes = 8 << 20

  /// Read connections. Each costs some 100 KB and a page cache of `readerCacheKiB`.
  package var readers = 2
  package var readerCacheKiB = 512
  package var writerCacheKiB = 2_048
  /// Database files up to this size are checked when opened, bytes; it takes about 1 ms per MB.
  package var openCheckBytesMax: Int64 = 64 << 20

  package init() {}
}
