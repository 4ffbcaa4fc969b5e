import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func replicaSet(_ replicas: Int, name: String = "web") -> JSON {
  [
    "metadata": ["name": .string(name)],
    "spec": ["replicas": JSON(replicas), "selector": ["matchLabels": ["app": "web"]], "template": podTemplate()],
  ]
}

@Suite struct ReplicaSetTests {
  @Test func createsWhatIsMissingAndDeletesWhatIsTooMuch() throws {
    let cluster = FakeCluster(ReplicaSetReconciler.replicaSets)
    cluster.add(.replicaSet, replicaSet(3))
    try cluster.converge()
    #expect(cluster.all(.pod).count == 3)
    let pod = cluster.all(.pod)[0]
    #expect(pod["metadata"]["ownerReferences"][0]["kind"].string == "ReplicaSet" && pod["metadata"]["labels"]["app"].string == "web")
    let status = cluster.get(.replicaSet, "web")["status"]
    #expect(status["replicas"].int == 3 && status["readyReplicas"].int == 3 && status["availableReplicas"].int == 3)
    cluster.change(.replicaSet, "web") { $0["spec"]["replicas"] = 1 }
    try cluster.converge()
    #expect(cluster.all(.pod).count == 1)
    #expect(cluster.get(.replicaSet, "web")["status"]["observedGeneration"].int == 2)
  }

  @Test func adoptsOrphansAndReleasesStrangers() throws {
    let cluster = FakeCluster(ReplicaSetReconciler.replicaSets)
    cluster.add(.pod, ["metadata": ["name": "orphan", "labels": ["app": "web"]]])
    cluster.add(.pod, ["metadata": ["name": "other", "labels": ["app": "db"]]])
    let set = cluster.add(.replicaSet, replicaSet(1))
    try cluster.converge()
    #expect(cluster.get(.pod, "orphan").controllerUID == set.uid)
    #expect(cluster.get(.pod, "other").controllerUID == nil && cluster.all(.pod).count == 2)
    cluster.change(.pod, "orphan") { $0["metadata"]["labels"]["app"] = "released" }
    try cluster.converge()
    #expect(cluster.get(.pod, "orphan").controllerUID == nil)
    #expect(cluster.controlled(.pod, by: set.uid).count == 1)
  }

  @Test func tellsOfARefusalAndForgetsIt() throws {
    let cluster = FakeCluster(ReplicaSetReconciler.replicationControllers)
    cluster.refusal = { kind, _ in kind == .pod && cluster.all(.pod).count >= 2 ? "exceeded quota" : nil }
    cluster.add(
      .replicationController,
      ["metadata": ["name": "web"], "spec": ["replicas": 3, "selector": ["app": "web"], "template": podTemplate()]])
    try cluster.settle()
    let condition = cluster.get(.replicationController, "web").condition("ReplicaFailure")
    #expect(condition?["reason"].string == "FailedCreate" && condition?["message"].string == "exceeded quota")
    cluster.change(.replicationController, "web") { $0["spec"]["replicas"] = 2 }
    try cluster.converge()
    #expect(cluster.get(.replicationController, "web").condition("ReplicaFailure") == nil)
  }

  @Test func givesUpTheLeastUsefulFirst() {
    let now = Timestamp(rfc3339: "2026-11-23T12:00:00Z")!
    func pod(
      _ name: String, node: String = "n", phase: String = "Running", ready: String? = "2026-11-23T10:00:00Z", cost: String? = nil,
      restarts: Int = 0
    ) -> JSON {
      var pod: JSON = [
        "metadata": ["name": .string(name), "uid": .string(name), "creationTimestamp": "2026-11-23T09:00:00Z"],
        "spec": ["nodeName": JSON(node.isEmpty ? nil : node)], "status": ["phase": .string(phase)],
      ]
      if let ready { pod["status"]["conditions"] = [["type": "Ready", "status": "True", "lastTransitionTime": .string(ready)]] }
      if let cost { pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"] = .string(cost) }
      pod["status"]["containerStatuses"] = [["restartCount": JSON(restarts)]]
      return pod
    }
    let pods = [
      pod("good"), pod("young", ready: "2026-11-23T11:59:59Z"), pod("restarting", restarts: 3), pod("cheap", cost: "-5"),
      pod("unready", ready: nil), pod("pending", phase: "Pending", ready: nil), pod("unassigned", node: "", phase: "Pending", ready: nil),
    ]
    let order = VictimOrder(now: now, family: []).sorted(pods.shuffled()).map { $0.objectName.name }
    #expect(order == ["unassigned", "pending", "unready", "cheap", "young", "restarting", "good"])
    let crowded = VictimOrder(now: now, family: [pod("x", node: "full"), pod("y", node: "full")])
    #expect(crowded.sorted([pod("a", node: "empty"), pod("b", node: "full")])[0].objectName.name == "b")
  }

  @Test(arguments: 0..<30) func convergesFromAnyStart(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let cluster = FakeCluster(ReplicaSetReconciler.replicaSets)
    for i in 0..<Int.random(in: 0...6, using: &random) {
      cluster.add(.pod, ["metadata": ["name": .string("p\(i)"), "labels": ["app": Bool.random(using: &random) ? "web" : "x"]]])
    }
    let set = cluster.add(.replicaSet, replicaSet(Int.random(in: 0...8, using: &random)))
    for _ in 0..<20 {
      let pods = cluster.all(.pod)
      switch Int.random(in: 0..<5, using: &random) {
      case 0: cluster.change(.replicaSet, "web") { $0["spec"]["replicas"] = JSON(Int.random(in: 0...8, using: &random)) }
      case 1: if let pod = pods.randomElement(using: &random) { cluster.delete(.pod, pod.objectName.name) }
      case 2: if let pod = pods.randomElement(using: &random) { cluster.end(pod.objectName.name, "Failed") }
      case 3:
        if let pod = pods.randomElement(using: &random) {
          cluster.change(.pod, pod.objectName.name) { $0["metadata"]["labels"]["app"] = "y" }
        }
      default: cluster.play { _ in Bool.random(using: &random) }
      }
      try cluster.settle()
    }
    try cluster.converge()
    let wanted = cluster.get(.replicaSet, "web")["spec"]["replicas"].int
    #expect(cluster.controlled(.pod, by: set.uid).filter { $0.isActivePod }.count == wanted)
    #expect(cluster.get(.replicaSet, "web")["status"]["readyReplicas"].int ?? 0 == wanted)
  }
}
