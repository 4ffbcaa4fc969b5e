import JSONCodec
import Logging
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct ObjectCacheTests {
  private func withCache(_ body: (FakeServer, ObjectCache, ManualClock) async throws -> Void) async throws {
    let (server, clock) = (FakeServer(), ManualClock())
    server.put("old")
    let cache = ObjectCache(
      .pods(), kind: "Pod", indexers: [{ pod in [pod["metadata"]["labels"]["app"].string].compactMap { $0 } }], log: Logger(label: "test"))
    let task = Task { await cache.run(KubernetesClient(transport: server), time: clock.source) }
    defer { task.cancel() }
    await cache.waitUntilSynced()
    await eventually { server.state.withLock { !$0.watches.isEmpty } }
    try await body(server, cache, clock)
  }

  @Test func followsTheServer() async throws {
    try await withCache { server, cache, _ in
      #expect(cache.object("default", "old")?["kind"].string == "Pod", "kind and version are filled in")
      server.put("new", ["app": "web"])
      await eventually { cache.objects(index: 0, "web").count == 1 }
      server.put("new", ["app": "db"])
      await eventually { cache.objects(index: 0, "db").count == 1 }
      #expect(cache.objects(index: 0, "web").isEmpty)
      server.remove("new")
      await eventually { cache.object("default", "new") == nil }
      #expect(cache.objects(index: 0, "db").isEmpty && cache.objects(namespace: "default").count == 1)
    }
  }

  @Test func ownWritesCountAtOnceAndNewsThatAreOlderDoNot() async throws {
    try await withCache { server, cache, _ in
      let old = server.put("p", isTold: false)
      let new = server.put("p", ["app": "web"], isTold: false)
      cache.put(new)
      cache.put(old)
      #expect(cache.object("default", "p")?["metadata"]["labels"]["app"].string == "web")
      cache.remove(.init("default", "p"), uid: "p")
      cache.put(new)
      #expect(cache.object("default", "p") == nil, "late news do not bring it back")
      let namesake = server.put("p", uid: "another", isTold: false)
      cache.put(namesake)
      cache.remove(.init("default", "p"), uid: "p")
      #expect(cache.object("default", "p")?["metadata"]["uid"].string == "another", "the end of one is not the end of its namesake")
    }
  }

  @Test func whatWasMissedIsFoundByTheNextList() async throws {
    try await withCache { server, cache, clock in
      let seen = Mutex<[String]>([])
      cache.observe { old, new in
        let name = (new ?? old)?["metadata"]["name"].string ?? ""
        seen.withLock { $0.append((new == nil ? "-" : "+") + name) }
      }
      server.put("missed", isTold: false)
      server.remove("old", isTold: false)
      server.tell(.error, ["kind": "Status", "code": 410, "reason": "Expired"])
      await eventually { clock.sleeperCount == 1 }
      clock.advance(ObjectCache.pauseMin)
      await eventually { seen.withLock { $0.count == 3 } }
      #expect(seen.withLock { $0 } == ["+old", "+missed", "-old"])
      #expect(server.state.withLock { $0.lists } == 2)
    }
  }

  @Test func aWatchThatJustEndsGoesOnWithoutAList() async throws {
    try await withCache { server, cache, _ in
      server.endWatches()
      await eventually { server.state.withLock { !$0.watches.isEmpty } }
      server.put("after")
      await eventually { cache.object("default", "after") != nil }
      #expect(server.state.withLock { $0.lists } == 1)
    }
  }

  @Test func reflectorsBeginAnewAfterAnError() async throws {
    let server = FakeServer()
    server.put("a")
    let events = KubernetesClient(transport: server).reflect(.pods())
    var lists = 0
    for await event in events {
      guard case .synced(let items) = event else { continue }
      lists += 1
      #expect(items.count == lists)
      if lists == 2 { break }
      await eventually { server.state.withLock { !$0.watches.isEmpty } }
      server.put("b", isTold: false)
      server.tell(.error, ["kind": "Status", "code": 410, "reason": "Expired"])
    }
    #expect(lists == 2)
  }
}
