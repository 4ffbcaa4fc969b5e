import Testing

@testable import RevisionStore

@Suite struct WriteRuleTests {
  @Test func everyPreconditionAgainstEveryState() {
    let live = StoredValue(key: "/k", revision: 7, value: [])
    func code(_ mutation: Mutation, _ current: StoredValue?) -> RevisionStoreError.Code? {
      MutationApplier.refusal(mutation, current: current)?.code
    }
    let table: [(Mutation, StoredValue?, RevisionStoreError.Code?)] = [
      (.put(key: "/k", value: [], .none), nil, nil), (.put(key: "/k", value: [], .none), live, nil),
      (.put(key: "/k", value: [], .absent), nil, nil),
      (.put(key: "/k", value: [], .absent), live, .conflict(current: live)),
      (.put(key: "/k", value: [], .revision(7)), live, nil),
      (.put(key: "/k", value: [], .revision(6)), live, .conflict(current: live)),
      (.put(key: "/k", value: [], .revision(7)), nil, .notFound),
      (.delete(key: "/k", value: [], .none), live, nil), (.delete(key: "/k", value: [], .none), nil, .notFound),
      (.delete(key: "/k", value: [], .revision(7)), live, nil),
      (.delete(key: "/k", value: [], .revision(8)), live, .conflict(current: live)),
      (.delete(key: "/k", value: [], .revision(8)), nil, .notFound),
      (.delete(key: "/k", value: [], .absent), live, .conflict(current: live)),
    ]
    for (mutation, current, expected) in table { #expect(code(mutation, current) == expected, "\(mutation)") }
  }

  @Test func revisionsGrowByOneAndFailedWritesTakeNone() async throws {
    try await withStore { (store, _) async throws -> Void in
      #expect(try await store.currentRevision() == 0)
      #expect(try await store.put("/a/1", "one", .absent) == 1)
      #expect(
        await code { try await store.put("/a/1", "again", .absent) }
          == .conflict(current: StoredValue(key: "/a/1", revision: 1, value: bytes("one"))))
      #expect(try await store.put("/a/1", "two", .revision(1)) == 2)
      #expect(try await store.delete("/a/1", .revision(2)) == 3)
      #expect(await code { try await store.delete("/a/1") } == .notFound)
      #expect(try await store.put("/a/1", "reborn", .absent) == 4)
      #expect(try await store.get("/a/1") == StoredValue(key: "/a/1", revision: 4, value: bytes("reborn")))
      #expect(try await store.get("/a/1", at: 2)?.value == bytes("two"))
      #expect(try await store.get("/a/1", at: 3) == nil)
      #expect(try await store.get("/a/1", at: 0) == nil)
      #expect(await code { _ = try await store.get("/a/1", at: 5) } == .future(current: 4))
      #expect(try await store.currentRevision() == 4)
      #expect(try await store.put("/a/empty", "") == 5)
      #expect(try await store.get("/a/empty")?.value == [])
    }
  }

  @Test func ofManyWritersWithOneRevisionExactlyOneWins() async throws {
    try await withStore { (store, _) async throws -> Void in
      var revision = try await store.put("/contended", "0")
      for round in 1...20 {
        let base = revision
        let outcomes = await withTaskGroup(of: Revision?.self) { group in
          for writer in 0..<16 {
            group.addTask { try? await store.put("/contended", "\(round) \(writer)", .revision(base)) }
          }
          return await group.reduce(into: [Revision]()) { if let won = $1 { $0.append(won) } }
        }
        #expect(outcomes.count == 1)
        revision = try #require(outcomes.first)
        #expect(revision == base + 1)
      }
    }
  }

  @Test func manyCountersLoseNoIncrement() async throws {
    try await withStore { (store, _) async throws -> Void in
      try await store.put("/counter", "0")
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<8 {
          group.addTask {
            for _ in 0..<25 {
              while true {
                let now = try #require(try await store.get("/counter"))
                let value = try #require(Int(text(now.value)))
                let answer = await code { try await store.put("/counter", "\(value + 1)", .revision(now.revision)) }
                if answer == nil { break }
                guard case .conflict(let current) = answer else { throw RevisionStoreError(.io, "\(answer as Any)") }
                #expect(current != nil)
              }
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(try await store.get("/counter").map { text($0.value) } == "200")
      #expect(try await store.currentRevision() == 201)
    }
  }

  @Test func aValueThatIsTooLargeAndAFullQueueAreRefused() async throws {
    var limits = StoreLimits()
    limits.valueBytesMax = 100
    limits.pendingWritesMax = 4
    try await withStore(limits) { (store, _) async throws -> Void in
      #expect(await code { try await store.put("/a", String(repeating: "x", count: 101)) } == .tooLarge(limit: 100))
      let refused = await withTaskGroup(of: RevisionStoreError.Code?.self) { group in
        for index in 0..<200 {
          group.addTask {
            do {
              try await store.put("/k\(index)", "v")
              return nil
            } catch { return (error as? RevisionStoreError)?.code }
          }
        }
        return await group.reduce(into: [RevisionStoreError.Code]()) { if let code = $1 { $0.append(code) } }
      }
      #expect(refused.allSatisfy { $0 == .overloaded })
      #expect(try await store.list(prefix: "/k").items.count == 200 - refused.count)
    }
  }

  @Test func aFullDatabaseRefusesAndKeepsWhatItHad() async throws {
    var limits = StoreLimits()
    limits.fileBytesMax = 400 << 10
    try await withStore(limits) { (store, directory) async throws -> Void in
      let large = String(repeating: "x", count: 20_000)
      var stored = 0
      var failure: RevisionStoreError.Code?
      while failure == nil, stored < 100 {
        failure = await code { try await store.put("/big/\(stored)", large) }
        if failure == nil { stored += 1 }
      }
      #expect(failure == .diskFull)
      let revision = try await store.currentRevision()
      #expect(revision == Revision(stored))
      #expect(try await store.list(prefix: "/big/").items.count == stored)
      #expect(try await store.get("/big/\(stored)") == nil)
      // Space comes back with deletes and compaction.
      for index in 0..<3 { try await store.delete("/big/\(index)") }
      try await store.compact(before: try await store.currentRevision())
      try await store.put("/big/after", large)
      #expect(try await store.get("/big/after")?.value.count == large.utf8.count)
    }
  }

  @Test func theDatabaseItselfRefusesTwoSuccessorsOfOneState() async throws {
    let directory = TemporaryDirectory()
    let store = try SQLiteRevisionStore(path: directory.database)
    try await store.put("/a", "one")
    try await store.put("/a", "two", .revision(1))
    try await store.close()
    let opened = try Connections.open(path: directory.database, limits: StoreLimits())
    #expect(throws: (any Error).self) {
      try opened.writer.inDatabase { database in
        try database.execute(sql: "INSERT INTO revision (id, kind, previous, key, value) VALUES (3, 1, 1, '/a', x'00')")
      }
    }
    try opened.readers.close()
    try opened.writer.close()
  }
}
