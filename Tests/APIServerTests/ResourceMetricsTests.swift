import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization
import Testing

@testable import APIServer

private let start = Timestamp(secondsSinceEpoch: 1_000_000)

private func counters(_ cpu: Int64, after seconds: Double, started: Timestamp? = start, memory: Int64 = 4096) -> UsageReading.Counters {
  UsageReading.Counters(cpu: cpu, memory: memory, startedAt: started, at: start.advanced(bySeconds: seconds))
}

@Suite struct ResourceUsageTests {
  @Test func rates() throws {
    let usage = try #require(ResourceUsage(from: counters(1_000_000_000, after: 10), to: counters(4_000_000_000, after: 20)))
    #expect(usage.nanocores == 300_000_000 && usage.seconds == 10 && usage.bytes == 4096)
    #expect(usage.json == ["cpu": "300000000n", "memory": "4Ki"])
    let idle = ResourceUsage(from: counters(5, after: 1), to: counters(5, after: 2, memory: 1))
    #expect(idle?.json == ["cpu": "0", "memory": "0"])
  }

  @Test func whatHasStartedAgainIsMeasuredFromItsStart() throws {
    let restarted = start.advanced(bySeconds: 15)
    let usage = try #require(
      ResourceUsage(from: counters(9_000_000_000, after: 10), to: counters(500_000_000, after: 20, started: restarted)))
    #expect(usage.nanocores == 100_000_000 && usage.seconds == 5)
    let fresh = try #require(ResourceUsage(from: nil, to: counters(2_000_000_000, after: 4)))
    #expect(fresh.nanocores == 500_000_000)
    #expect(ResourceUsage(from: nil, to: counters(1, after: 4, started: nil)) == nil)
    #expect(ResourceUsage(from: counters(1, after: 4), to: counters(2, after: 4)) == nil)
  }

  @Test(arguments: [(15.0124, "15.012s"), (1, "1s"), (0.5, "0.5s"), (62.5, "1m2.5s"), (59.9999, "1m0s")])
  func durations(_ seconds: Double, _ text: String) { #expect(ResourceUsage.duration(seconds) == text) }
}

/// A kubelet whose node and pod use half a processor, and the time.
private final class FakeNode: Sendable {
  let clock = Mutex(100.0)
  let asked = Mutex(0)

  func advance(_ seconds: Double) { clock.withLock { $0 += seconds } }
  var now: Timestamp { start.advanced(bySeconds: clock.withLock { $0 }) }

  func summary() -> JSON {
    asked.withLock { $0 += 1 }
    let seconds = clock.withLock { $0 }
    func figures(_ share: Double) -> JSON {
      [
        "cpu": ["time": .string(now.rfc3339Micro), "usageCoreNanoSeconds": .int(Int64(seconds * share * 1e9))],
        "memory": ["workingSetBytes": 10_485_760], "startTime": .string(start.rfc3339),
      ]
    }
    var container = figures(0.25)
    container["name"] = "c"
    return ["node": figures(0.5), "pods": [["podRef": ["name": "p", "namespace": "default"], "containers": [container]]]]
  }

  var reader: UsageReader {
    UsageReader(now: { self.now }, pause: { self.advance(Double($0) / 1000) }) { _ in self.summary() }
  }
}

@Suite struct UsageReaderTests {
  @Test func nobodyAsksNothingIsRead() async throws {
    let node = FakeNode()
    let reader = node.reader
    #expect(node.asked.withLock { $0 } == 0)
    let first = try await reader.readings(of: "n")
    #expect(node.asked.withLock { $0 } == 2)
    #expect(ResourceUsage(from: first.older.node, to: first.newer.node!)?.seconds == 1)
    // For ten seconds the same numbers answer everybody.
    node.advance(9)
    _ = try await reader.readings(of: "n")
    #expect(node.asked.withLock { $0 } == 2)
    node.advance(6)
    let next = try await reader.readings(of: "n")
    #expect(node.asked.withLock { $0 } == 3)
    #expect(ResourceUsage(from: next.older.node, to: next.newer.node!)?.seconds == 15)
    // Long ago says nothing about now.
    node.advance(600)
    let later = try await reader.readings(of: "n")
    #expect(node.asked.withLock { $0 } == 5)
    #expect(ResourceUsage(from: later.older.node, to: later.newer.node!)?.seconds == 1)
  }

  @Test func manyWhoAskShareOneReading() async throws {
    let node = FakeNode()
    let reader = node.reader
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<50 { group.addTask { _ = try await reader.readings(of: "n") } }
      try await group.waitForAll()
    }
    #expect(node.asked.withLock { $0 } == 2)
  }

  @Test func aFailureIsNotKept() async throws {
    struct Refusal: Error {}
    let fails = Mutex(true)
    let node = FakeNode()
    let reader = UsageReader(now: { node.now }, pause: { node.advance(Double($0) / 1000) }) { _ in
      if fails.withLock({ $0 }) { throw Refusal() }
      return node.summary()
    }
    await #expect(throws: Refusal.self) { _ = try await reader.readings(of: "n") }
    fails.withLock { $0 = false }
    #expect(try await reader.readings(of: "n").newer.node != nil)
  }
}

@Suite struct MetricsAPITests {
  private static let base = "/apis/metrics.k8s.io/v1beta1"

  private func makeObjects(_ server: ServerUnderTest) async throws {
    for name in ["n", "dead"] {
      _ = try await server.admin.create(.nodes, ["metadata": ["name": .string(name), "labels": ["zone": .string("z-" + name)]]])
    }
    for (name, labels) in [("p", "web"), ("q", "db")] {
      _ = try await server.admin.create(
        .pods("default"),
        [
          "metadata": ["name": .string(name), "labels": ["app": .string(labels)]],
          "spec": ["nodeName": "n", "containers": [["name": "c", "image": "i"]]],
        ])
      _ = try await server.admin.patch(.pods("default"), name: name, subresource: "status", ["status": ["phase": "Running"]])
    }
  }

  @Test func nodesAndPods() async throws {
    let node = FakeNode()
    try await withServer({ configuration in
      configuration.nodeSummary = { name in
        guard name == "n" else { throw APIFailure.unavailable("nobody is there") }
        defer { node.advance(1) }
        return node.summary()
      }
    }) { server in
      try await makeObjects(server)
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let nodes = try await server.ask(.GET, Self.base + "/nodes", certificate: admin)
      #expect(nodes.code == 200 && nodes.body["kind"] == "NodeMetricsList" && nodes.body["items"].array?.count == 1)
      let one = nodes.body["items"][0]
      #expect(one["metadata"]["name"] == "n" && one["metadata"]["labels"]["zone"] == "z-n")
      #expect(one["usage"] == ["cpu": "500000000n", "memory": "10240Ki"] && one["window"] == "1s")
      #expect(one["timestamp"].string.flatMap { Timestamp(rfc3339: $0) } != nil)
      #expect(
        try await server.ask(.GET, Self.base + "/nodes?labelSelector=zone%3Dother", certificate: admin).body["items"].array?.isEmpty == true
      )
      #expect(try await server.ask(.GET, Self.base + "/nodes/n", certificate: admin).body["kind"] == "NodeMetrics")
      let missing = try await server.ask(.GET, Self.base + "/nodes/x", certificate: admin)
      #expect(missing.code == 404 && missing.message == "nodes.metrics.k8s.io \"x\" not found")
      // A node that does not answer is no error of the others'.
      #expect(try await server.ask(.GET, Self.base + "/nodes/dead", certificate: admin).code == 404)

      let pods = try await server.ask(.GET, Self.base + "/namespaces/default/pods", certificate: admin)
      #expect(pods.body["kind"] == "PodMetricsList" && pods.body["items"].array?.count == 1)
      #expect(pods.body["items"][0]["containers"] == [["name": "c", "usage": ["cpu": "250000000n", "memory": "10240Ki"]]])
      #expect(pods.body["items"][0]["metadata"]["labels"] == ["app": "web"])
      #expect(try await server.ask(.GET, Self.base + "/pods?labelSelector=app%3Dweb", certificate: admin).body["items"].array?.count == 1)
      #expect(
        try await server.ask(.GET, Self.base + "/pods?labelSelector=app%3Ddb", certificate: admin).body["items"].array?.isEmpty == true)
      #expect(try await server.ask(.GET, Self.base + "/namespaces/default/pods/p", certificate: admin).code == 200)
      let gone = try await server.ask(.GET, Self.base + "/namespaces/default/pods/x", certificate: admin)
      #expect(gone.code == 404 && gone.message == "podmetrics.metrics.k8s.io \"default/x\" not found")
      #expect(try await server.ask(.POST, Self.base + "/nodes", ["metadata": ["name": "y"]], certificate: admin).code == 405)
      #expect(try await server.ask(.GET, Self.base + "/nodes?watch=true", certificate: admin).code == 405)

      // As the autoscaler asks.
      let listed = try await server.admin.list(
        ResourcePath(group: "metrics.k8s.io", version: "v1beta1", "pods", namespace: "default"), labelSelector: "app=web")
      #expect(listed.items.count == 1)
      // Permissions hold here as anywhere.
      let stranger = try server.authority.client(user: "s", groups: [])
      #expect(try await server.ask(.GET, Self.base + "/nodes", certificate: stranger).code == 403)
      // kubectl looks here first.
      let groups = try await server.ask(.GET, "/apis", certificate: admin)
      #expect(groups.body["groups"].array?.contains { $0["name"] == "metrics.k8s.io" } == true)
      let resources = try await server.ask(.GET, Self.base, certificate: admin).body["resources"].array ?? []
      #expect(resources.compactMap { $0["name"].string }.sorted() == ["nodes", "pods"])
      #expect(resources.first { $0["name"] == "pods" }?["kind"] == "PodMetrics")
    }
  }
}
