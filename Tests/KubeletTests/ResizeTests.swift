import ContainerRuntime
import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import KubernetesClient
import PodLifecycle
import Testing

@Suite(.serialized) struct KubeletResizeTests {
  private func sized(_ cpu: String, _ memory: String = "64Mi", policy: JSON = .null) -> JSON {
    var container: JSON = ["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent"]
    container["resources"] = [
      "requests": ["cpu": .string(cpu), "memory": .string(memory)], "limits": ["cpu": .string(cpu), "memory": .string(memory)],
    ]
    if !policy.isNull { container["resizePolicy"] = policy }
    return container
  }

  private func resize(_ cluster: Cluster, _ name: String, _ container: JSON) async throws {
    let body: JSON = ["spec": ["containers": [["name": "app", "resources": container["resources"]]]]]
    _ = try await cluster.client.patch(.pods("default"), name: name, subresource: "resize", body)
  }

  private func isResized(_ pod: Pod, _ cpu: String) -> Bool {
    pod.containerStatus("app")["resources"]["limits"]["cpu"].string == cpu
      && pod.containerStatus("app")["allocatedResources"]["cpu"].string == cpu && pod.condition("PodResizeInProgress") == nil
      && pod.condition("PodResizePending") == nil && pod.status["observedGeneration"].int == pod.metadata.generation
  }

  @Test func limitsChangeInPlace() async throws {
    try await withKubelet { cluster in
      let created = try await cluster.create(cluster.pod("web", containers: [sized("100m")]))
      let before = try await cluster.waitReady("web")
      #expect(isResized(before, "100m"))
      let id = before.containerStatus("app")["containerID"].string
      try await resize(cluster, "web", sized("200m", "128Mi"))
      let after = try await cluster.wait("web", "resized") { isResized($0, "200m") }
      #expect(after.containerStatus("app")["containerID"].string == id)
      #expect(after.containerStatus("app")["restartCount"] == 0)
      let limits = try #require(cluster.runtime.sandboxes[created.uid]?.limits)
      let own = try #require(limits.first { !$0.key.isEmpty }?.value)
      #expect(own.cpuQuotaMicros == 20_000)
      #expect(own.memoryMax == 128 << 20)
      #expect(limits[""]?.memoryMax == 128 << 20)
      try await eventually("events") {
        let reasons = try await cluster.eventReasons(of: "web")
        return ["ResizeStarted", "ResizeCompleted"].allSatisfy(reasons.contains)
      }
    }
  }

  @Test func aPolicyRestartsTheContainer() async throws {
    try await withKubelet { cluster in
      let policy: JSON = [["resourceName": "cpu", "restartPolicy": "RestartContainer"]]
      let created = try await cluster.create(cluster.pod("web", containers: [sized("100m", policy: policy)]))
      try await cluster.waitReady("web")
      try await resize(cluster, "web", sized("200m"))
      let after = try await cluster.wait("web", "restarted") {
        isResized($0, "200m") && $0.containerStatus("app")["restartCount"] == 1 && $0.containerStatus("app")["ready"] == true
      }
      #expect(after.phase == "Running")
      let specs = try #require(cluster.runtime.sandboxes[created.uid]?.specs.values)
      #expect(Set(specs.compactMap(\.limits.cpuQuotaMicros)) == [10_000, 20_000])
    }
  }

  @Test func whatTheNodeLacksIsDeferredOrRefused() async throws {
    try await withKubelet { cluster in
      try await cluster.create(cluster.pod("web", containers: [sized("100m")]))
      try await cluster.waitReady("web")
      try await resize(cluster, "web", sized("5000"))
      let refused = try await cluster.wait("web", "refused") { $0.condition("PodResizePending")?["reason"].string == "Infeasible" }
      #expect(
        refused.condition("PodResizePending")?["message"].string?.hasPrefix("Node didn't have enough capacity: cpu, requested: 5000000")
          == true)
      #expect(refused.containerStatus("app")["resources"]["limits"]["cpu"] == "100m")
      try await resize(cluster, "web", sized("100m"))
      try await cluster.wait("web", "as it was") { isResized($0, "100m") }

      // As much as the node has, and another pod in the way: granted when that one goes.
      let cpus = try #require(try await cluster.client.get(.nodes, name: "node-1")["status"]["allocatable"]["cpu"].string)
      try await cluster.create(cluster.pod("other", containers: [sized("10m")]))
      try await cluster.waitReady("other")
      try await resize(cluster, "web", sized(cpus))
      try await cluster.wait("web", "deferred") { $0.condition("PodResizePending")?["reason"].string == "Deferred" }
      _ = try await cluster.client.delete(.pods("default"), name: "other")
      try await cluster.wait("web", "granted") { isResized($0, cpus) }
    }
  }

  @Test func aFailureIsToldAndTriedAgain() async throws {
    try await withKubelet { cluster in
      try await cluster.create(cluster.pod("web", containers: [sized("100m")]))
      try await cluster.waitReady("web")
      cluster.runtime.fail("resize", times: 1)
      try await resize(cluster, "web", sized("200m"))
      let failed = try await cluster.wait("web", "in progress with an error") {
        $0.condition("PodResizeInProgress")?["reason"].string == "Error"
      }
      #expect(failed.condition("PodResizeInProgress")?["message"].string?.contains("resize is made to fail") == true)
      #expect(failed.containerStatus("app")["resources"]["limits"]["cpu"] == "100m")
      #expect(failed.containerStatus("app")["allocatedResources"]["cpu"] == "200m")
      try await cluster.wait("web", seconds: 20, "resized") { isResized($0, "200m") }
    }
  }

  @Test func aNewAgentKnowsWhatWasGranted() async throws {
    let cluster = try await Cluster()
    do {
      let (_, first) = cluster.startKubelet()
      let created = try await cluster.create(cluster.pod("web", containers: [sized("100m")]))
      try await cluster.waitReady("web")
      try await resize(cluster, "web", sized("200m"))
      try await cluster.wait("web", "resized") { isResized($0, "200m") }
      // One that is refused leaves the earlier one in force.
      try await resize(cluster, "web", sized("5000"))
      try await cluster.wait("web", "refused") { $0.condition("PodResizePending") != nil }
      first.cancel()
      _ = try? await first.value
      let (_, second) = cluster.startKubelet(recovering: true)
      _ = try await cluster.client.patch(.pods("default"), name: "web", ["metadata": ["labels": ["touched": "yes"]]])
      try await resize(cluster, "web", sized("300m"))
      let after = try await cluster.wait("web", "resized by the new agent") { isResized($0, "300m") }
      #expect(after.containerStatus("app")["restartCount"] == 0)
      #expect(cluster.runtime.sandboxes[created.uid]?.specs.count == 1)
      second.cancel()
      _ = try? await second.value
    } catch {
      await cluster.close()
      throw error
    }
    await cluster.close()
  }
}
