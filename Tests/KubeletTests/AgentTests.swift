import ContainerRuntime
import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import KubernetesClient
import SystemPackage
import Testing

@Suite(.serialized) struct AgentTests {
  @Test func theNodeRegistersAndIsReady() async throws {
    try await withKubelet({ $0.missingControllers = ["memory", "cpu"] }) { cluster in
      try await eventually("ready") { (try? await cluster.client.get(.nodes, name: "node-1")).map { Node($0).isReady } ?? false }
      let node = Node(try await cluster.client.get(.nodes, name: "node-1"))
      #expect(node.labels["kubernetes.io/hostname"] == "node-1")
      #expect(node.labels["kubernetes.io/os"] == "linux")
      #expect(node.status["addresses"] == [["type": "InternalIP", "address": "192.168.7.1"], ["type": "Hostname", "address": "node-1"]])
      #expect(node.status["nodeInfo"]["containerRuntimeVersion"] == "swiftlet://0.1")
      #expect(node.status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250)
      #expect(node.allocatable("pods")?.value == 110)
      #expect((node.allocatable("memory")?.value ?? 0) > 0)
      let types = node.status["conditions"].array!.map { $0["type"].string! }
      #expect(types == ["MemoryPressure", "DiskPressure", "PIDPressure", "CgroupControllersMissing", "Ready"])
      try await eventually("lease") {
        let lease = try? await cluster.client.get(.leases("kube-node-lease"), name: "node-1")
        return lease?["spec"]["holderIdentity"] == "node-1" && lease?["spec"]["leaseDurationSeconds"] == 40
      }
    }
  }

  @Test func limitsThatAreNotEnforcedAreTold() async throws {
    try await withKubelet({ $0.missingControllers = ["memory"] }) { cluster in
      let limits: JSON = ["limits": ["memory": "64Mi"]]
      try await cluster.create(
        cluster.pod("web", containers: [["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "resources": limits]]))
      try await cluster.waitReady("web")
      try await eventually("event") { try await cluster.eventReasons(of: "web").contains("LimitsNotEnforced") }
    }
  }

  @Test func aNewAgentTakesOverWhatRuns() async throws {
    let cluster = try await Cluster()
    var (_, task) = cluster.startKubelet()
    let kept = try await cluster.create(cluster.pod("kept"))
    let lost = try await cluster.create(cluster.pod("lost"))
    let ended = try await cluster.create(cluster.pod("ended", ["restartPolicy": "Never"]))
    for name in ["kept", "lost", "ended"] { try await cluster.waitReady(name) }
    cluster.runtime.exit("app", in: kept.uid, code: 1)
    try await cluster.wait("kept", "restarted") {
      $0.containerStatus("app")["restartCount"].int == 1 && $0.containerStatus("app")["ready"].bool == true
    }
    let id = try #require(cluster.runtime.container("app", in: kept.uid)?.id)
    task.cancel()
    _ = try? await task.value

    // While no agent runs: one is deleted without grace, one ends.
    _ = try await cluster.client.delete(.pods("default"), name: "lost", gracePeriodSeconds: 0)
    cluster.runtime.exit("app", in: ended.uid, code: 7)
    (_, task) = cluster.startKubelet(recovering: true)
    let failed = try await cluster.wait("ended", "failed") { $0.phase == "Failed" }
    #expect(failed.containerStatus("app")["state"]["terminated"]["exitCode"] == 7)
    try await eventually("the orphan is gone") { cluster.runtime.sandboxes[lost.uid] == nil }
    let again = try await cluster.waitReady("kept")
    #expect(again.containerStatus("app")["restartCount"] == 1)
    #expect(cluster.runtime.container("app", in: kept.uid)?.id == id)
    task.cancel()
    _ = try? await task.value
    await cluster.close()
  }

  @Test func takenHostPortsAreRejected() async throws {
    try await withKubelet { cluster in
      let ports: JSON = [["containerPort": 80, "hostPort": 8080]]
      let app: JSON = ["name": "app", "image": "busybox:1", "imagePullPolicy": "IfNotPresent", "ports": ports]
      try await cluster.create(cluster.pod("first", containers: [app]))
      try await cluster.waitReady("first")
      try await cluster.create(cluster.pod("second", containers: [app]))
      let second = try await cluster.wait("second", "failed") { $0.phase == "Failed" }
      #expect(second.status["reason"] == "NodePorts")
      _ = try await cluster.client.delete(.pods("default"), name: "first")
      try await cluster.waitGone("first")
      try await cluster.create(cluster.pod("third", containers: [app]))
      try await cluster.waitReady("third")
    }
  }

  @Test func staticPodsAndTheirMirrors() async throws {
    let manifests = NSTemporaryDirectory() + "swl-manifests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: manifests, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: manifests) }
    try await withKubelet({ $0.staticPodDirectory = FilePath(manifests) }) { cluster in
      let yaml = """
        apiVersion: v1
        kind: Pod
        metadata: {name: proxy}
        spec:
          containers:
          - name: app
            image: busybox:1
            command: ["sleep", "3600"]
        """
      try yaml.write(toFile: manifests + "/proxy.yaml", atomically: true, encoding: .utf8)
      let mirror = try await cluster.waitReady("proxy-node-1")
      #expect(mirror.metadata.annotations["kubernetes.io/config.source"] == "file")
      #expect(mirror.isMirror)
      // A mirror that somebody deletes comes back; the pod goes on.
      _ = try await cluster.client.delete(.pods("default"), name: "proxy-node-1", gracePeriodSeconds: 0)
      try await cluster.wait("proxy-node-1", "mirrored again") { $0.uid != mirror.uid && $0.phase == "Running" }
      #expect(cluster.runtime.journal.withLock { $0 } == ["start app"])
      try FileManager.default.removeItem(atPath: manifests + "/proxy.yaml")
      try await cluster.waitGone("proxy-node-1")
      try await eventually("sandbox gone") { cluster.runtime.sandboxes.isEmpty }
    }
  }
  @Test func aStaticPodThatEndedStaysEnded() async throws {
    let manifests = NSTemporaryDirectory() + "swl-manifests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: manifests, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: manifests) }
    try await withKubelet({ $0.staticPodDirectory = FilePath(manifests) }) { cluster in
      cluster.runtime.behave("app", .init(exitsAtOnce: 0))
      let yaml = """
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "once"},
         "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "busybox:1"}]}}
        """
      try yaml.write(toFile: manifests + "/once.json", atomically: true, encoding: .utf8)
      try await cluster.wait("once-node-1", "succeeded") { $0.phase == "Succeeded" }
      try yaml.write(toFile: manifests + "/once.json", atomically: true, encoding: .utf8)
      try await Task.sleep(for: .milliseconds(100))
      #expect(cluster.runtime.journal.withLock { $0 } == ["start app"])
      try FileManager.default.removeItem(atPath: manifests + "/once.json")
      try await cluster.waitGone("once-node-1")
    }
  }
}

/// How long the kubelet's own part takes, on rooms that answer at once: an upper bound that a timer would break.
@Suite(.serialized) struct SpeedTests {
  @Test func fromBindingToReadyAndFromDeletionToGone() async throws {
    try await withKubelet { cluster in
      try await cluster.create(cluster.pod("warm"))
      try await cluster.waitReady("warm")
      var starts: [Double] = []
      var ends: [Double] = []
      for i in 0..<10 {
        let began = Date()
        try await cluster.create(cluster.pod("web-\(i)"))
        try await cluster.waitReady("web-\(i)")
        starts.append(Date().timeIntervalSince(began) * 1000)
        let deleted = Date()
        _ = try await cluster.client.delete(.pods("default"), name: "web-\(i)")
        try await cluster.waitGone("web-\(i)")
        ends.append(Date().timeIntervalSince(deleted) * 1000)
      }
      starts.sort()
      ends.sort()
      print("create -> Ready ms:", starts.map { Int($0) }, "delete -> gone ms:", ends.map { Int($0) })
    }
  }
}
