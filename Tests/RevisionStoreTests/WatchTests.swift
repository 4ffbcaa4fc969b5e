import Synchronization
import Testing

@testable import RevisionStore

/// Reads a watch to a revision.
func collect(_ watch: RevisionWatch, through revision: Revision) async throws -> [ChangeEvent] {
  var events: [ChangeEvent] = []
  for try await batch in watch {
    events += batch.events
    if batch.completeTo >= revision { break }
  }
  return events
}

@Suite struct WatchTests {
  @Test(.timeLimit(.minutes(1))) func eventsSayWhatWasBefore() async throws {
    try await withStore { (store, _) async throws -> Void in
      let watch = try await store.watch(prefix: "/a/", from: 0)
      try await store.put("/a/1", "one")
      try await store.put("/b/1", "elsewhere")
      try await store.put("/a/1", "two")
      try await store.delete("/a/1")
      try await store.put("/a/1", "again")
      let first = StoredValue(key: "/a/1", revision: 1, value: bytes("one"))
      let second = StoredValue(key: "/a/1", revision: 3, value: bytes("two"))
      let expected = [
        ChangeEvent(kind: .put, key: "/a/1", revision: 1, value: bytes("one"), previous: nil),
        ChangeEvent(kind: .put, key: "/a/1", revision: 3, value: bytes("two"), previous: first),
        ChangeEvent(kind: .delete, key: "/a/1", revision: 4, value: bytes("last /a/1"), previous: second),
        ChangeEvent(kind: .put, key: "/a/1", revision: 5, value: bytes("again"), previous: nil),
      ]
      #expect(try await collect(watch, through: 5) == expected)
      // The same from the database, in a store that remembers nothing.
      let late = try await store.watch(prefix: "/a/", from: 1)
      #expect(try await collect(late, through: 5) == Array(expected[1...]))
    }
  }

  @Test(.timeLimit(.minutes(1))) func fromTheDatabaseAfterAReopen() async throws {
    let directory = TemporaryDirectory()
    var store = try SQLiteRevisionStore(path: directory.database)
    try await store.put("/a/1", "one")
    try await store.put("/a/1", "two")
    try await store.delete("/a/1")
    let watch = try await store.watch(prefix: "/", from: 0)
    let before = try await collect(watch, through: 3)
    try await store.close()
    store = try SQLiteRevisionStore(path: directory.database)
    let again = try await store.watch(prefix: "/", from: 0)
    #expect(try await collect(again, through: 3) == before)
    #expect(before.count == 3)
    try await store.close()
  }

  /// Eight writers, and watchers that begin anywhere, are cut off anywhere and go on from where they were told to; small
  /// limits, so that the ring, the database and the edge between them all serve.
  @Test(.timeLimit(.minutes(2))) func noGapAndNoRepetitionUnderWritesAndReconnects() async throws {
    var limits = StoreLimits()
    limits.recentEventsMax = 20
    limits.watchBatchEventsMax = 7
    limits.catchUpRevisions = 50
    try await withStore(limits) { (store, _) async throws -> Void in
      let total = 1_200
      try await withThrowingTaskGroup(of: Void.self) { group in
        for writer in 0..<8 {
          group.addTask {
            for index in 0..<(total / 8) {
              let key = "/\(index % 3 == 0 ? "even" : "odd")/\(writer)-\(index % 10)"
              if index % 11 == 10, (try? await store.delete(key)) != nil { continue }
              try await store.put(key, "\(writer) \(index)")
            }
          }
        }
        for watcher in 0..<6 {
          group.addTask {
            let prefix = ["/", "/even/", "/odd/"][watcher % 3]
            var seen: [Revision] = []
            var position: Revision = 0
            while position < total {
              let watch = try await store.watch(prefix: prefix, from: position)
              watch.requestProgress()
              var batches = 0
              for try await batch in watch {
                #expect(batch.events.allSatisfy { $0.revision > position && $0.revision <= batch.completeTo })
                seen += batch.events.map(\.revision)
                position = batch.completeTo
                batches += 1
                if position >= total || batches > watcher * 3 { break }
                watch.requestProgress()
                // A progress request is answered at once; asking again at once would only spin.
                if watcher == 5 || batch.events.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
              }
              watch.cancel()
            }
            #expect(seen == seen.sorted() && Set(seen).count == seen.count)
            var expected: [Revision] = []
            let check = try await store.watch(prefix: prefix, from: 0)
            for event in try await collect(check, through: position) { expected.append(event.revision) }
            #expect(seen == expected)
            if prefix == "/" { #expect(seen == Array(1...Revision(total))) }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func progressIsToldWhenNothingMatches() async throws {
    var limits = StoreLimits()
    limits.progressRevisions = 10
    try await withStore(limits) { (store, _) async throws -> Void in
      let watch = try await store.watch(prefix: "/quiet/", from: 0)
      for index in 0..<5 { try await store.put("/loud/\(index)", "x") }
      var iterator = watch.makeAsyncIterator()
      watch.requestProgress()
      #expect(try await iterator.next() == WatchBatch(events: [], completeTo: 5))
      // Unasked, once many revisions have passed.
      let waiting = Task { () -> WatchBatch? in
        var iterator = watch.makeAsyncIterator()
        return try await iterator.next()
      }
      for index in 0..<15 { try await store.put("/loud/\(index)", "y") }
      let batch = try await waiting.value
      #expect(batch?.events == [])
      #expect((batch?.completeTo ?? 0) >= 15)
    }
  }

  @Test(.timeLimit(.minutes(1))) func aSlowWatcherEndsAndResumesWithoutLoss() async throws {
    var limits = StoreLimits()
    limits.watcherBacklogMax = 50
    limits.recentEventsMax = 10
    limits.watchBatchEventsMax = 20
    try await withStore(limits) { (store, _) async throws -> Void in
      let watch = try await store.watch(prefix: "/s/", from: 0)
      var iterator = watch.makeAsyncIterator()
      var seen: [Revision] = []
      for index in 0..<30 { try await store.put("/s/\(index)", "x") }
      seen += try #require(try await iterator.next()).events.map(\.revision)
      for index in 0..<60 { try await store.put("/s/\(index)", "x") }
      let ended = await code { while let batch = try await iterator.next() { seen += batch.events.map(\.revision) } }
      guard case .slowWatcher(let resume) = ended else {
        Issue.record("expected slowWatcher, got \(ended as Any)")
        return
      }
      #expect(seen.last == resume)
      let again = try await store.watch(prefix: "/s/", from: resume)
      seen += try await collect(again, through: 90).map(\.revision)
      #expect(seen == Array(1...90))
    }
  }

  @Test(.timeLimit(.minutes(1))) func cancellationAndCloseEndAWatch() async throws {
    let directory = TemporaryDirectory()
    let store = try SQLiteRevisionStore(path: directory.database)
    let watch = try await store.watch(prefix: "/", from: 0)
    let cancelled = Task { () -> Int in
      var count = 0
      for try await _ in watch { count += 1 }
      return count
    }
    try await Task.sleep(for: .milliseconds(20))
    cancelled.cancel()
    #expect(try await cancelled.value == 0)

    let open = try await store.watch(prefix: "/", from: 0)
    let closing = Task { await code { for try await _ in open {} } }
    try await Task.sleep(for: .milliseconds(20))
    try await store.close()
    #expect(await closing.value == .closed)
    #expect(await code { _ = try await store.watch(prefix: "/", from: 0) } == .closed)
    #expect(await code { try await store.put("/a", "b") } == .closed)
    #expect(await code { _ = try await store.get("/a") } == .closed)
  }

  @Test func aWatchOfTheFutureIsRefused() async throws {
    try await withStore { (store, _) async throws -> Void in
      #expect(await code { _ = try await store.watch(prefix: "/", from: 1) } == .future(current: 0))
    }
  }
}
