import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import PodLifecycle
import Synchronization
import Testing

@Suite(.serialized) struct KubeletEvictionTests {
  private final class Levels: Sendable {
    private let levels = Mutex<[EvictionSignal: ResourceLevel]>([:])
    func set(_ signal: EvictionSignal, _ available: Int64?, of capacity: Int64) {
      levels.withLock { $0[signal] = available.map { ResourceLevel(available: $0, capacity: capacity) } }
    }
    var measures: NodeMeasures {
      var measures = NodeMeasures { [self] in levels.withLock { $0 } }
      measures.seconds = 0.05
      measures.imageSeconds = 0.05
      return measures
    }
  }

  private func withLevels(_ body: (Cluster, Levels) async throws -> Void) async throws {
    let cluster = try await Cluster()
    let levels = Levels()
    let (_, task) = cluster.startKubelet(measures: levels.measures)
    do { try await body(cluster, levels) } catch {
      task.cancel()
      _ = try? await task.value
      await cluster.close()
      throw error
    }
    task.cancel()
    _ = try? await task.value
    await cluster.close()
  }

  @Test func theLeastImportantGoesWhenMemoryIsShort() async throws {
    try await withLevels { cluster, levels in
      let asking: JSON = [
        "name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "resources": ["requests": ["memory": "64Mi"]],
      ]
      try await cluster.create(cluster.pod("kept", ["priorityClassName": "system-cluster-critical"], containers: [asking]))
      try await cluster.create(cluster.pod("goes"))
      try await cluster.waitReady("kept")
      try await cluster.waitReady("goes")
      levels.set(.memory, 50 << 20, of: 1 << 30)
      let evicted = try await cluster.wait("goes", "evicted") { $0.phase == "Failed" && $0.status["reason"] == "Evicted" }
      #expect(
        evicted.status["message"].string?.hasPrefix("The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ")
          == true)
      #expect(evicted.condition("DisruptionTarget")?["reason"] == "TerminationByKubelet")
      try await eventually("the node says so") {
        let node = try await cluster.client.get(.nodes, name: "node-1")
        return (node["status"]["conditions"].array ?? []).contains { $0["type"] == "MemoryPressure" && $0["status"] == "True" }
      }
      try await cluster.create(cluster.pod("late"))
      let late = try await cluster.wait("late", "refused") { $0.phase == "Failed" }
      #expect(late.status["reason"] == "Evicted")
      #expect(late.status["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. ")
      try await Task.sleep(for: .milliseconds(200))
      #expect(try await cluster.get("kept").phase == "Running")
    }
  }

  @Test func unusedImagesGoBeforeAnyPod() async throws {
    try await withLevels { cluster, levels in
      cluster.images.put("unused:1")
      try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      levels.set(.nodefs, 14, of: 100)
      try await eventually("removed") { !cluster.images.here.contains("unused:1") }
      #expect(cluster.images.here.contains("busybox:1"))
      #expect(try await cluster.get("web").phase == "Running")
    }
  }

  @Test func aVolumeBeyondItsLimitEndsThePod() async throws {
    try await withLevels { cluster, _ in
      let pod = try await cluster.create(cluster.pod("web", ["volumes": [["name": "v", "emptyDir": ["sizeLimit": "64Ki"]]]]))
      try await cluster.waitReady("web")
      let directory = "\(cluster.directory)/pods/\(pod.uid)/volumes/kubernetes.io~empty-dir/v"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try Data(repeating: 1, count: 10_000).write(to: URL(fileURLWithPath: directory + "/small"))
      try await Task.sleep(for: .milliseconds(200))
      #expect(try await cluster.get("web").phase == "Running")
      try Data(repeating: 1, count: 200_000).write(to: URL(fileURLWithPath: directory + "/large"))
      let evicted = try await cluster.wait("web", "evicted") { $0.phase == "Failed" }
      #expect(evicted.status["reason"] == "Evicted")
      #expect(evicted.status["message"] == "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ")
    }
  }
}
