import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers
import Synchronization
import Testing

@testable import ControllerManager

/// Counts its rounds, each of which takes so many seconds of a clock that the test keeps.
private final class Costly: Reconciler {
  struct State {
    var now = Timestamp.now
    var cost = 0.05
    var rounds = 0
    var rests: [Double] = []
    var mayGoOn = false
  }
  let state = Mutex(State())
  let name = "costly"
  let watched = [Kind.replicaSet]

  func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] { [change.object.objectName] }

  func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    state.withLock { state in
      state.rounds += 1
      state.now = state.now.advanced(bySeconds: state.cost)
    }
    return []
  }

  var time: TimeSource {
    TimeSource(
      now: { self.state.withLock { $0.now } },
      sleep: { seconds in
        self.state.withLock { $0.rests.append(seconds) }
        while !self.state.withLock({ $0.mayGoOn }) { try await Task.sleep(for: .milliseconds(5)) }
      })
  }

  var rounds: Int { state.withLock { $0.rounds } }
}

@Suite(.timeLimit(.minutes(2))) struct RestTests {
  @Test func aCostlyKeyRestsAndThenSeesWhatCame() async throws {
    try await TestCluster.with([]) { cluster in
      let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let costly = Costly()
      let caches = SharedCaches(client: cluster.client, time: .system, log: log)
      let events = EventSink(client: cluster.client, log: log)
      let runner = ControllerRunner(costly, caches: caches, client: cluster.client, events: events, time: costly.time, log: log)
      let tasks = [Task { await caches.run() }, Task { await runner.run() }]
      defer { tasks.forEach { $0.cancel() } }
      let path = Kind.replicaSet.path("default")
      let labels: JSON = ["app": "s"]
      try await cluster.client.create(
        path,
        [
          "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": ["name": "s"],
          "spec": [
            "replicas": 0, "selector": ["matchLabels": labels],
            "template": ["metadata": ["labels": labels], "spec": ["containers": [["name": "c", "image": "i"]]]],
          ],
        ])
      try await cluster.eventually("it rests") { costly.state.withLock { !$0.rests.isEmpty } }
      let rest = costly.state.withLock { $0.rests[0] }
      #expect(abs(rest - 0.05 * ControllerRunner.restFactor) < 0.01)
      func label(_ value: String) async throws {
        try await cluster.client.patch(path, name: "s", ["metadata": ["labels": ["x": .string(value)]]])
        try await cluster.eventually("the cache has it") {
          caches[.replicaSet].object("default", "s")?["metadata"]["labels"]["x"].string == value
        }
      }
      try await label("1")
      try await label("2")
      try await Task.sleep(for: .milliseconds(50))
      #expect(costly.rounds == 1, "it was looked at while it rested")
      costly.state.withLock {
        $0.mayGoOn = true
        $0.cost = 0
      }
      try await cluster.eventually("what came meanwhile is seen, once") { costly.rounds == 2 }
      try await label("3")
      try await cluster.eventually("the next change") { costly.rounds == 3 }
      #expect(costly.state.withLock { $0.rests.count } == 1, "what costs nothing does not rest")
    }
  }
}
