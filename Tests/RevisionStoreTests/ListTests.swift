import Testing

@testable import RevisionStore

@Suite struct ListTests {
  @Test func listsByBytesWithinThePrefix() async throws {
    try await withStore { (store, _) async throws -> Void in
      for key in ["/pods/b/2", "/pods/a/1", "/pods/a/10", "/podsx", "/pod", "/pods/Z", "/pods/é"] { try await store.put(key, key) }
      let page = try await store.list(prefix: "/pods/")
      #expect(page.items.map(\.key) == ["/pods/Z", "/pods/a/1", "/pods/a/10", "/pods/b/2", "/pods/é"])
      #expect(page.revision == 7 && !page.more && page.remaining == 0)
      #expect(try await store.list(prefix: "").items.count == 7)
      let empty = try await store.list(prefix: "/nothing/", after: nil, limit: 5, at: nil)
      #expect(empty == Page(items: [], revision: 7, remaining: 0))
    }
  }

  @Test func pagesAtOneRevisionAreOneListHoweverMuchIsWritten() async throws {
    try await withStore { (store, _) async throws -> Void in
      for index in 0..<100 { try await store.put("/n/\(1000 + index)", "old") }
      let snapshot = try await store.list(prefix: "/n/")
      let churn = Task {
        var round = 0
        while !Task.isCancelled {
          round += 1
          let index = 1000 + (round * 37) % 130
          if round % 3 == 0 { _ = try? await store.delete("/n/\(index)") } else { try await store.put("/n/\(index)", "new") }
          try await store.put("/other/\(round % 7)", "x")
        }
        return round
      }
      for limit in [1, 7, 33, 100, 101] {
        let before = try await store.currentRevision()
        while try await store.currentRevision() < before + 20 { try await Task.sleep(for: .milliseconds(1)) }
        var items: [StoredValue] = []
        var start: String?
        while true {
          let page = try await store.list(prefix: "/n/", after: start, limit: limit, at: snapshot.revision)
          items += page.items
          #expect(page.remaining == 100 - items.count)
          #expect(page.more == (page.remaining > 0))
          #expect(page.revision == snapshot.revision)
          if !page.more { break }
          start = page.items.last?.key
        }
        #expect(items == snapshot.items)
      }
      churn.cancel()
      #expect(try await churn.value > 5)
    }
  }

  /// Every revision of a random history, list and get, against a model.
  @Test func everyRevisionOfARandomHistoryIsAsItWas() async throws {
    try await withStore { (store, _) async throws -> Void in
      var random = SystemRandomNumberGenerator()
      var model: [String: StoredValue] = [:]
      var history: [[String: StoredValue]] = [model]
      for step in 1...300 {
        let key = "/r/\(Int.random(in: 0..<25, using: &random))"
        if model[key] != nil, Int.random(in: 0..<3, using: &random) == 0 {
          try await store.delete(key)
          model[key] = nil
        } else {
          let revision = try await store.put(key, "\(step)")
          model[key] = StoredValue(key: key, revision: revision, value: bytes("\(step)"))
        }
        history.append(model)
      }
      for (revision, state) in history.enumerated() {
        let expected = state.values.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        let all = try await store.list(prefix: "/r/", after: nil, limit: nil, at: Revision(revision))
        #expect(all.items == expected)
        let middle = try await store.list(prefix: "/r/", after: "/r/17", limit: 4, at: Revision(revision))
        let rest = expected.filter { "/r/17".utf8.lexicographicallyPrecedes($0.key.utf8) }
        #expect(middle.items == Array(rest.prefix(4)))
        #expect(middle.remaining == max(0, rest.count - 4))
        #expect(try await store.get("/r/3", at: Revision(revision)) == state["/r/3"])
      }
    }
  }
}
