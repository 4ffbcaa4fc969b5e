import Testing

@testable import RevisionStore

@Suite struct CompactionTests {
  @Test(.timeLimit(.minutes(1))) func earlierRevisionsAnswerCompactedAndTheStateStays() async throws {
    try await withStore { (store, _) async throws -> Void in
      for round in 0..<4 { for index in 0..<10 { try await store.put("/c/\(index)", "\(round)") } }
      for index in 0..<3 { try await store.delete("/c/\(index)") }
      let state = try await store.list(prefix: "/c/")
      let at35 = try await store.list(prefix: "/c/", after: nil, limit: nil, at: 35)
      let open = try await store.watch(prefix: "/c/", from: 43)
      try await store.compact(before: 35)
      #expect(try await store.list(prefix: "/c/", after: nil, limit: nil, at: 35) == at35)
      #expect(await code { _ = try await store.list(prefix: "/c/", after: nil, limit: nil, at: 34) } == .compacted(oldest: 35))
      #expect(await code { _ = try await store.get("/c/1", at: 10) } == .compacted(oldest: 35))
      #expect(await code { _ = try await store.watch(prefix: "/c/", from: 34) } == .compacted(oldest: 35))
      let events = try await collect(try await store.watch(prefix: "/c/", from: 35), through: 43)
      #expect(events.map(\.revision) == Array(36...43))
      #expect(events.allSatisfy { $0.previous != nil })
      try await store.compact(before: 43)
      #expect(try await store.list(prefix: "/c/") == state)
      #expect(try await store.get("/c/0") == nil)
      try await store.put("/c/0", "reborn", .absent)
      let reborn = try await collect(open, through: 44)
      #expect(reborn.map(\.revision) == [44] && reborn[0].previous == nil)
      #expect(await code { try await store.compact(before: 99) } == .future(current: 44))
    }
  }

  @Test func revisionsGoOnAfterTheNewestWereDeletesAndCompacted() async throws {
    let directory = TemporaryDirectory()
    var store = try SQLiteRevisionStore(path: directory.database)
    try await store.put("/a", "x")
    try await store.delete("/a")
    try await store.compact(before: 2)
    try await store.close()
    store = try SQLiteRevisionStore(path: directory.database)
    #expect(try await store.currentRevision() == 2)
    #expect(try await store.put("/a", "y", .absent) == 3)
    #expect(await code { _ = try await store.get("/a", at: 1) } == .compacted(oldest: 2))
    try await store.close()
  }

  @Test(.timeLimit(.minutes(2))) func theFileAndItsLogStayBounded() async throws {
    var limits = StoreLimits()
    limits.historyRevisionsMax = 500
    limits.freePagesMax = 100
    limits.logPagesMax = 200
    limits.logFileBytes = 1 << 20
    try await withStore(limits) { (store, directory) async throws -> Void in
      let value = String(repeating: "v", count: 3_000)
      var sizes: [Int] = []
      for round in 0..<6 {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for writer in 0..<16 {
            group.addTask { for index in 0..<60 { try await store.put("/f/\(writer)/\(index % 5)", value + "\(round)") } }
          }
          try await group.waitForAll()
        }
        sizes.append(fileSize(directory.database))
      }
      let revision = try await store.currentRevision()
      #expect(revision == 5_760)
      #expect(revision - store.oldestRevision <= 1_000)
      // 80 live values and at most 550 + one sweep of history, at 3 to 4 KB each.
      #expect(sizes.max() ?? 0 < 8 << 20, "\(sizes)")
      #expect(fileSize(directory.database + "-wal") < 8 << 20)
      // What is deleted is given back.
      for writer in 0..<16 { for index in 0..<5 { try await store.delete("/f/\(writer)/\(index)") } }
      try await store.compact(before: try await store.currentRevision())
      #expect(try await store.list(prefix: "").items.isEmpty)
    }
  }

  @Test func freePagesGoBackToTheFileSystem() async throws {
    var limits = StoreLimits()
    limits.freePagesMax = 10
    let directory = TemporaryDirectory()
    var store = try SQLiteRevisionStore(path: directory.database, limits: limits)
    for index in 0..<300 { try await store.put("/g/\(index)", String(repeating: "v", count: 8_000)) }
    for index in 0..<300 { try await store.delete("/g/\(index)") }
    try await store.close()
    let before = fileSize(directory.database)
    store = try SQLiteRevisionStore(path: directory.database, limits: limits)
    try await store.compact(before: 600)
    try await store.close()
    #expect(before > 2 << 20)
    #expect(fileSize(directory.database) < 200 << 10, "\(before) -> \(fileSize(directory.database))")
  }

  @Test func historyIsKeptForItsAgeOnly() async throws {
    var limits = StoreLimits()
    limits.historyAge = .seconds(60)
    limits.historyMarkInterval = .seconds(10)
    let clock = TestClock()
    try await withStore(limits, now: clock.now) { (store, _) async throws -> Void in
      for index in 0..<200 { try await store.put("/t/\(index % 4)", "x") }
      clock.advance(.seconds(20))
      try await store.put("/t/0", "marked at 20 s: 201")
      clock.advance(.seconds(50))
      try await store.put("/t/0", "at 70 s nothing of 20 s is old")
      #expect(store.oldestRevision == 0)
      clock.advance(.seconds(15))
      try await store.put("/t/0", "at 85 s it is")
      while store.oldestRevision == 0 { await Task.yield() }
      #expect(store.oldestRevision == 201)
    }
  }

  @Test func theKeeperDecidesByAgeAndCount() {
    var limits = StoreLimits()
    limits.historyRevisionsMax = 1_000
    var keeper = HistoryKeeper(compacted: 0, newest: 0, now: .zero, limits: limits)
    #expect(keeper.committed(1_100, now: .seconds(1)) == nil)
    #expect(keeper.committed(1_101, now: .seconds(1)) == 101)
    keeper.noteCompacted(101)
    #expect(keeper.committed(1_102, now: .seconds(1)) == nil)
    #expect(keeper.committed(1_150, now: .seconds(16)) == nil)
    #expect(keeper.committed(1_160, now: .seconds(315)) == nil)
    #expect(keeper.committed(1_170, now: .seconds(316)) == 1_150)
  }
}
