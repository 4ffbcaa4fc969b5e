import GRDB
import Synchronization

/// A few read connections. A reader sees a snapshot, never waits for the writer and never makes it wait.
final class ReaderPool: Sendable {
  private struct State {
    var idle: [Int]
    var next = 0
  }

  private let queues: [DatabaseQueue]
  private let state: Mutex<State>

  init(path: String, limits: StoreLimits) throws {
    var configuration = Configuration()
    configuration.label = "revision-store.reader"
    configuration.readonly = true
    configuration.foreignKeysEnabled = false
    configuration.busyMode = .timeout(2)
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA cache_size = -\(limits.readerCacheKiB)")
    }
    let fixed = configuration
    queues = try (0..<max(1, limits.readers)).map { _ in try DatabaseQueue(path: path, configuration: fixed) }
    state = Mutex(State(idle: Array(queues.indices)))
  }

  /// A read that takes microseconds: on the calling thread when a connection is idle, for the change of threads costs more
  /// than the read.
  func readShort<Result: Sendable>(_ body: @Sendable (Database) throws -> Result) async throws -> Result {
    guard let index = takeIdle() else { return try await queues[nextBusy()].unsafeRead(body) }
    defer { giveBack(index) }
    return try onThisThread(index, body)
  }

  /// A read of any length, on the connection's own thread.
  func read<Result: Sendable>(_ body: @Sendable (Database) throws -> Result) async throws -> Result {
    guard let index = takeIdle() else { return try await queues[nextBusy()].unsafeRead(body) }
    defer { giveBack(index) }
    return try await queues[index].unsafeRead(body)
  }

  /// Several statements on one snapshot.
  func readSnapshot<Result: Sendable>(
    short: Bool, _ body: @escaping @Sendable (Database) throws -> Result
  ) async throws -> Result {
    let whole: @Sendable (Database) throws -> Result = { database in
      var result: Result?
      try database.inTransaction(.deferred) {
        result = try body(database)
        return .commit
      }
      guard let result else { preconditionFailure("a committed transaction has its result") }
      return result
    }
    return short ? try await readShort(whole) : try await read(whole)
  }

  func close() throws { for queue in queues { try queue.close() } }

  private func onThisThread<Result>(_ index: Int, _ body: (Database) throws -> Result) throws -> Result {
    try queues[index].unsafeRead(body)
  }

  private func takeIdle() -> Int? { state.withLock { $0.idle.popLast() } }

  private func giveBack(_ index: Int) { state.withLock { $0.idle.append(index) } }

  private func nextBusy() -> Int {
    state.withLock { state in
      state.next = (state.next + 1) % queues.count
      return state.next
    }
  }
}
