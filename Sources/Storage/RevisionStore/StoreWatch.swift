/// One watch of a store on disk: asks the hub what to do, and does it.
final class StoreWatch: RevisionWatchSource {
  private let id: Int
  private let prefix: String
  private let hub: WatchHub
  private let readers: ReaderPool
  private let limits: StoreLimits
  private let path: String

  init(
    prefix: String, from: Revision, hub: WatchHub, readers: ReaderPool, limits: StoreLimits, path: String
  ) throws(RevisionStoreError) {
    self.prefix = prefix
    self.hub = hub
    self.readers = readers
    self.limits = limits
    self.path = path
    id = try hub.register(prefix: prefix, from: from)
  }

  deinit { hub.remove(id) }

  func requestProgress() { hub.requestProgress(id) }

  func cancel() { hub.remove(id) }

  func next() async throws -> WatchBatch? {
    try await withTaskCancellationHandler {
      while true {
        switch hub.step(id) {
        case .deliver(let batch): return batch
        case .wait: await hub.wait(id)
        case .finish(let error):
          hub.remove(id)
          if let error { throw error }
          return nil
        case .readDatabase(let after, let through):
          if let batch = try await catchUp(after: after, through: through) { return batch }
        }
      }
    } onCancel: {
      hub.remove(id)
    }
  }

  private func catchUp(after: Revision, through: Revision) async throws -> WatchBatch? {
    do {
      let batch = try await readers.read { [prefix, limits] database in
        try HistoryReader.changes(
          prefix: prefix, after: after, through: through, eventsMax: limits.watchBatchEventsMax,
          bytesMax: limits.watchBatchBytesMax, database)
      }
      return try hub.settle(id, batch)
    } catch is CancellationError {
      return nil
    } catch {
      hub.remove(id)
      throw StoreFailure.translate(error, path: path)
    }
  }
}
