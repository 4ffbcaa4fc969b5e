import Testing

@testable import RevisionStore

/// What is remembered of earlier reads must never differ from what is stored.
@Suite struct RecentReadsTests {
  @Test(arguments: [1, 2, 3]) func sameAsAModel(seed: UInt64) async throws {
    try await withStore { (store, _) async throws -> Void in
      var random = SplitMix(state: seed)
      var model: [String: String] = [:]
      for round in 0..<2_000 {
        let key = "/c/\(Int.random(in: 0..<3, using: &random))/\(Int.random(in: 0..<4, using: &random))"
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
          try await store.put(key, "\(round)")
          model[key] = "\(round)"
        case 1 where model[key] != nil:
          try await store.delete(key)
          model[key] = nil
        case 2, 3:
          #expect(try await store.get(key).map { text($0.value) } == model[key])
        default:
          let prefix = ["/c/", "/c/0/", "/c/1/", "/c/2/", "/c/1", "/none/"].randomElement(using: &random)!
          let page = try await store.list(prefix: prefix)
          let wanted = model.keys.filter { $0.hasPrefix(prefix) }.sorted()
          #expect(page.items.map(\.key) == wanted && page.items.map { text($0.value) } == wanted.compactMap { model[$0] })
          #expect(try await page.revision == store.currentRevision())
        }
      }
    }
  }

  @Test func whoWroteReadsIt() async throws {
    try await withStore { (store, _) async throws -> Void in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<8 {
          group.addTask {
            for round in 0..<200 {
              let key = "/c/\(task)/\(round % 2)"
              let written = try await store.put(key, "\(round)")
              #expect(try await store.get(key)?.revision == written)
              #expect(try await store.list(prefix: "/c/\(task)/").items.first { $0.key == key }?.revision == written)
              _ = try await store.get("/c/\((task + 1) % 8)/0")
              _ = try await store.list(prefix: "/c/")
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func memoryIsBounded() {
    var reads = RecentReads()
    let value = [UInt8](repeating: 0, count: RecentReads.valueBytesMax)
    for i in 0..<10_000 {
      let item = StoredValue(key: "/c/\(i)/x", revision: 1, value: i % 3 == 0 ? value : [])
      reads.remember(item.key, i % 5 == 0 ? nil : item)
      reads.remember("/c/\(i)/", [item])
    }
    #expect(reads.count <= RecentReads.countMax && reads.bytes <= RecentReads.bytesMax)
    reads.remember("/large", StoredValue(key: "/large", revision: 1, value: value + [0]))
    #expect(reads.value("/large") == .none)
  }
}
