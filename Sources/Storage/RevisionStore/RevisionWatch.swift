/// What a store supplies behind a `RevisionWatch`. One task at a time calls `next`.
package protocol RevisionWatchSource: AnyObject, Sendable {
  /// The next batch, or nil after `cancel` or the cancellation of the calling task.
  func next() async throws -> WatchBatch?
  /// Makes `next` answer soon, with an empty batch if nothing else is there.
  func requestProgress()
  func cancel()
}

/// The changes after a revision, batch by batch, for one reader.
///
/// The stream ends with `RevisionStoreError`: `slowWatcher` (resume from the revision it names), `compacted` (list again),
/// `closed`, `io`. It ends without an error when cancelled. An empty batch comes when `requestProgress` asked for it, and
/// of itself when many changes passed by without a match, so that a quiet reader's revision does not grow too old.
package struct RevisionWatch: AsyncSequence, Sendable {
  package typealias Element = WatchBatch
  package typealias Failure = any Error

  private let source: any RevisionWatchSource

  package init(source: any RevisionWatchSource) { self.source = source }

  /// Asks for a batch that says how far the watch is complete, for a bookmark.
  package func requestProgress() { source.requestProgress() }

  package func cancel() { source.cancel() }

  package func makeAsyncIterator() -> Iterator { Iterator(source: source) }

  package struct Iterator: AsyncIteratorProtocol {
    let source: any RevisionWatchSource

    package mutating func next() async throws -> WatchBatch? { try await source.next() }

    package mutating func next(isolation actor: isolated (any Actor)?) async throws -> WatchBatch? {
      try await source.next()
    }
  }
}
