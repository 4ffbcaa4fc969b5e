import GRDB
import GRDBSQLite
import Logging
import Synchronization

/// The one writer of a store: takes what waits, commits it as one durable transaction, publishes it, answers. In between,
/// a step at a time, it removes history, shrinks the file and starts the log over.
///
/// Nothing runs while nothing is to be written.
final class StoreWriter: Sendable {
  private struct State {
    var queue = WriteQueue()
    /// The drain is running on the connection's thread.
    var running = false
    var closed = false
    /// An earlier commit failed in a way that leaves open what is on disk.
    var failed: RevisionStoreError?
    var keeper: HistoryKeeper
    var compactTo: Revision = 0
    var compactions: [(revision: Revision, answer: CheckedContinuation<Void, any Error>)] = []
  }

  private let path: String
  private let database: DatabaseQueue
  private let hub: WatchHub
  private let limits: StoreLimits
  private let now: @Sendable () -> Duration
  private let logger: Logger
  private let state: Mutex<State>
  /// Pages in the log after the last commit; the log hook sets it on the writer's thread.
  private let logGauge = LogGauge()
  private let sweeper: Mutex<Sweeper>

  init(
    path: String, opened: Connections.Opened, hub: WatchHub, limits: StoreLimits, now: @escaping @Sendable () -> Duration,
    logger: Logger
  ) {
    self.path = path
    database = opened.writer
    self.hub = hub
    self.limits = limits
    self.now = now
    self.logger = logger
    sweeper = Mutex(Sweeper(compacted: opened.compacted, swept: opened.swept, limits: limits))
    state = Mutex(
      State(keeper: HistoryKeeper(compacted: opened.compacted, newest: opened.newest, now: now(), limits: limits)))
    logGauge.watch(database)
  }

  // MARK: Callers

  func write(_ mutation: Mutation) async throws -> Revision {
    guard mutation.value.count <= limits.valueBytesMax else {
      throw RevisionStoreError(
        .tooLarge(limit: limits.valueBytesMax),
        "\(mutation.key): \(mutation.value.count) bytes are more than the \(limits.valueBytesMax) a value may have")
    }
    return try await withCheckedThrowingContinuation { answer in
      let refusal = state.withLock { state -> RevisionStoreError? in
        if state.closed { return .closed }
        if let failed = state.failed { return failed }
        guard state.queue.count < limits.pendingWritesMax else {
          return RevisionStoreError(.overloaded, "\(limits.pendingWritesMax) writes are waiting; try again later")
        }
        state.queue.append(.init(mutation: mutation, answer: answer))
        startIfIdle(&state)
        return nil
      }
      if let refusal { answer.resume(throwing: refusal) }
    }
  }

  func compact(to revision: Revision) async throws {
    try await withCheckedThrowingContinuation { (answer: CheckedContinuation<Void, any Error>) in
      let refusal = state.withLock { state -> RevisionStoreError? in
        if state.closed { return .closed }
        if let failed = state.failed { return failed }
        state.compactTo = max(state.compactTo, revision)
        state.compactions.append((revision, answer))
        startIfIdle(&state)
        return nil
      }
      if let refusal { answer.resume(throwing: refusal) }
    }
  }

  /// Finishes the commit that is under way and refuses what waits.
  func stop() async throws {
    let (waiting, compactions) = state.withLock { state in
      state.closed = true
      let compactions = state.compactions
      state.compactions = []
      return (state.queue.takeAll(), compactions)
    }
    for entry in waiting { entry.answer.resume(throwing: RevisionStoreError.closed) }
    for compaction in compactions { compaction.answer.resume(throwing: RevisionStoreError.closed) }
    // The connection's thread is serial: when this has run, the drain has ended.
    try await database.writeWithoutTransaction { _ in }
  }

  /// The last connection to close moves the log into the database, which a reader cannot: close the readers first.
  func close() throws { try database.close() }

  private func startIfIdle(_ state: inout State) {
    guard !state.running else { return }
    state.running = true
    database.asyncWriteWithoutTransaction { [self] in drain($0) }
  }

  // MARK: The writer's thread

  private func drain(_ database: Database) {
    var sinceStep = 0
    while true {
      let batch = state.withLock { state in
        state.queue.takeBatch(mutationsMax: limits.commitMutationsMax, bytesMax: limits.commitBytesMax)
      }
      if !batch.isEmpty {
        commit(batch, database)
        sinceStep += batch.count
      }
      // Under constant writing the upkeep still gets its turn, and looks at more revisions than came.
      if batch.isEmpty || sinceStep >= Int(limits.sweepRevisions / 2) {
        sinceStep = 0
        if upkeep(database) { continue }
      }
      let finished = state.withLock { state in
        guard state.closed || (state.queue.count == 0 && batch.isEmpty && !hasUpkeep(state)) else { return false }
        state.running = false
        return true
      }
      if finished { return }
    }
  }

  private func hasUpkeep(_ state: State) -> Bool {
    state.failed == nil && (!state.compactions.isEmpty || sweeper.withLock { $0.hasWork(target: state.compactTo) })
  }

  private func commit(_ batch: [WriteQueue.Entry], _ database: Database) {
    if let failed = state.withLock({ $0.failed }) {
      for entry in batch { entry.answer.resume(throwing: failed) }
      return
    }
    do {
      let outcomes = try transact(batch, database)
      let events = outcomes.compactMap { try? $0.get() }
      hub.publish(events)
      if let newest = events.last?.revision { noteCommitted(newest) }
      for (entry, outcome) in zip(batch, outcomes) {
        entry.answer.resume(with: outcome.map(\.revision).mapError { $0 as any Error })
      }
    } catch {
      failedCommit(batch, StoreFailure.translate(error, path: path), database)
    }
    startLogOverIfLong(database)
  }

  /// One durable transaction. An answer exists only after the commit's fsync.
  private func transact(
    _ batch: [WriteQueue.Entry], _ database: Database
  ) throws -> [Result<ChangeEvent, RevisionStoreError>] {
    var outcomes: [Result<ChangeEvent, RevisionStoreError>] = []
    outcomes.reserveCapacity(batch.count)
    var next = hub.newest + 1
    try database.inTransaction(.immediate) {
      for entry in batch {
        let outcome = try MutationApplier.apply(entry.mutation, as: next, database)
        if case .success = outcome { next += 1 }
        outcomes.append(outcome)
      }
      return .commit
    }
    return outcomes
  }

  private func failedCommit(_ batch: [WriteQueue.Entry], _ error: any Error, _ database: Database) {
    let code = (error as? RevisionStoreError)?.code
    if code == .diskFull, batch.count > 1 {
      // The large ones do not fit; the small ones and the deletes may.
      for entry in batch { commit([entry], database) }
      return
    }
    if code == .io || code == .corrupt, let error = error as? RevisionStoreError {
      // After a failed fsync nobody knows what the disk holds, and asking again would be told a lie.
      logger.critical("the store stops writing", metadata: ["path": "\(path)", "error": "\(error)"])
      state.withLock { $0.failed = error }
    }
    for entry in batch { entry.answer.resume(throwing: error) }
  }

  private func noteCommitted(_ newest: Revision) {
    let time = now()
    state.withLock { state in
      if let target = state.keeper.committed(newest, now: time) { state.compactTo = max(state.compactTo, target) }
    }
  }

  /// One step of compaction or of giving pages back; true if there may be more to do.
  private func upkeep(_ database: Database) -> Bool {
    let (target, failed) = state.withLock { ($0.compactTo, $0.failed) }
    guard sweeper.withLock({ $0.hasWork(target: target) }) else {
      answerCompactions(through: target, nil)
      return false
    }
    do {
      if let failed { throw failed }
      let more = try sweeper.withLock { sweeper in
        try sweeper.step(target: target, database, announce: hub.noteCompacted)
      }
      startLogOverIfLong(database)
      if !more { answerCompactions(through: target, nil) }
      return more
    } catch {
      let failure = StoreFailure.translate(error, path: path)
      logger.error("compaction failed", metadata: ["path": "\(path)", "error": "\(failure)"])
      sweeper.withLock { $0.pause() }
      answerCompactions(through: target, failure)
      return false
    }
  }

  private func answerCompactions(through revision: Revision, _ error: (any Error)?) {
    let answers = state.withLock { state in
      state.keeper.noteCompacted(revision)
      let done = state.compactions.filter { $0.revision <= revision }
      state.compactions.removeAll { $0.revision <= revision }
      return done
    }
    for (_, answer) in answers {
      if let error { answer.resume(throwing: error) } else { answer.resume() }
    }
  }

  private func startLogOverIfLong(_ database: Database) {
    let pages = logGauge.pages
    guard pages >= limits.logPagesMax else { return }
    // Past the hard limit the writer waits for readers, which then find an empty log.
    let mode = pages >= limits.logPagesHard ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE
    let code = sqlite3_wal_checkpoint_v2(database.sqliteConnection, nil, mode, nil, nil)
    if code != SQLITE_OK, code != SQLITE_BUSY {
      logger.error("the log could not be moved into the database", metadata: ["path": "\(path)", "SQLite": "\(code)"])
    }
  }
}

/// The length of the write-ahead log.
final class LogGauge: Sendable {
  private let count = Atomic<Int>(0)

  var pages: Int { count.load(ordering: .relaxed) }

  /// The gauge must outlive the connection's last commit.
  func watch(_ queue: DatabaseQueue) {
    queue.inDatabase { database in
      let context = Unmanaged.passUnretained(self).toOpaque()
      sqlite3_wal_hook(
        database.sqliteConnection,
        { context, _, _, pages in
          guard let context else { return SQLITE_OK }
          Unmanaged<LogGauge>.fromOpaque(context).takeUnretainedValue().count.store(Int(pages), ordering: .relaxed)
          return SQLITE_OK
        }, context)
    }
  }
}
