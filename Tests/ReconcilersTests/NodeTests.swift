import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

extension FakeCluster {
  fileprivate func addNode(_ name: String = "n", ready: String = "True") {
    add(
      .node,
      [
        "metadata": ["name": .string(name), "namespace": ""],
        "status": ["conditions": [["type": "Ready", "status": .string(ready), "lastHeartbeatTime": "2026-11-23T10:00:00Z"]]],
      ])
    add(.lease, ["metadata": ["name": .string(name), "namespace": "kube-node-lease"], "spec": ["renewTime": "2026-11-23T10:00:00Z"]])
  }
  fileprivate func addPod(_ name: String, tolerations: JSON = .null, node: String = "n") {
    add(.pod, ["metadata": ["name": .string(name)], "spec": ["nodeName": .string(node), "tolerations": tolerations]])
    start(get(.pod, name))
  }
  fileprivate func renew(_ name: String) {
    change(.lease, name, "kube-node-lease") { $0["spec"]["renewTime"] = .string(now.rfc3339Micro) }
  }
  fileprivate var taints: [String] { taints("n") }
  fileprivate func taints(_ node: String) -> [String] {
    (get(.node, node, "")["spec"]["taints"].array ?? []).map { "\($0["key"].string ?? ""):\($0["effect"].string ?? "")" }
  }
}

@Suite struct NodeTests {
  @Test func aSilentNodeIsTaintedAndItsPodsUnready() throws {
    let cluster = FakeCluster(NodeLifecycleReconciler())
    cluster.addNode()
    cluster.addNode("other")
    cluster.addPod("p")
    try cluster.settle()
    // A lease that is renewed keeps it, whatever its clock says.
    for i in 0..<10 {
      try cluster.advance(20)
      cluster.change(.lease, "n", "kube-node-lease") { $0["spec"]["renewTime"] = .string("2020-01-01T00:00:\(10 + i)Z") }
      cluster.renew("other")
      try cluster.settle()
    }
    #expect(cluster.taints.isEmpty && cluster.get(.pod, "p").isReadyPod)
    try cluster.advance(30)
    cluster.renew("other")
    try cluster.advance(21)
    #expect(cluster.get(.node, "n", "").condition("Ready")?["status"].string == "Unknown")
    #expect(cluster.taints == ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"])
    #expect(!cluster.get(.pod, "p").isReadyPod)
    // It comes back.
    cluster.change(.node, "n", "") {
      $0["status"]["conditions"] = [["type": "Ready", "status": "True", "lastHeartbeatTime": "2026-11-23T11:00:00Z"]]
    }
    try cluster.settle()
    #expect(cluster.taints.isEmpty)
  }

  @Test func conditionsBecomeTaintsAndOthersStay() throws {
    let cluster = FakeCluster(NodeLifecycleReconciler())
    cluster.addNode(ready: "False")
    cluster.addNode("other")
    cluster.change(.node, "n", "") {
      $0["spec"] = ["unschedulable": true, "taints": [["key": "mine", "effect": "NoSchedule"]]]
      $0["status"]["conditions"] = .array($0["status"]["conditions"].array! + [["type": "DiskPressure", "status": "True"]])
    }
    try cluster.settle()
    #expect(
      Set(cluster.taints) == [
        "mine:NoSchedule", "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute",
        "node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule",
      ])
  }

  @Test func taintsEvictAfterTheToleratedTime() throws {
    let cluster = FakeCluster(TaintEvictionReconciler())
    cluster.addNode()
    cluster.addPod("none")
    cluster.addPod("minute", tolerations: [["key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60]])
    cluster.addPod("ever", tolerations: [["operator": "Exists"]])
    try cluster.settle()
    cluster.change(.node, "n", "") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoExecute"]] }
    try cluster.settle()
    #expect(cluster.get(.pod, "none").isBeingDeleted && !cluster.get(.pod, "minute").isBeingDeleted)
    #expect(cluster.get(.pod, "none").condition("DisruptionTarget")?["reason"].string == "DeletionByTaintManager")
    // Taken away in time, and put there again: the time begins anew.
    try cluster.advance(50)
    cluster.change(.node, "n", "") { $0["spec"]["taints"] = .null }
    try cluster.advance(30)
    #expect(cluster.events.filter { $0.message == "Cancelling deletion of Pod default/minute" }.count == 1)
    cluster.change(.node, "n", "") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoExecute"]] }
    try cluster.advance(50)
    #expect(!cluster.get(.pod, "minute").isBeingDeleted)
    try cluster.advance(11)
    #expect(cluster.get(.pod, "minute").isBeingDeleted && !cluster.get(.pod, "ever").isBeingDeleted)
  }

  /// An object that somebody made by hand, without a kubelet behind it: it is told to be silent, and stays.
  @Test func aNodeWithoutAKubeletStays() throws {
    let cluster = FakeCluster(NodeLifecycleReconciler(), TaintEvictionReconciler(), PodCollectionReconciler(), LeaseCleanupReconciler())
    cluster.add(
      .node, ["metadata": ["name": "fake", "namespace": ""], "spec": ["unschedulable": true], "status": ["capacity": ["cpu": "1"]]])
    try cluster.settle()
    try cluster.advance(3600)
    let node = cluster.get(.node, "fake", "")
    #expect(!node.isNull && !node.isBeingDeleted && node["spec"]["unschedulable"].bool == true)
    #expect(node.condition("Ready")?["reason"].string == "NodeStatusNeverUpdated")
  }

  @Test func podsOfALostNodeGoAfterAWhile() throws {
    let cluster = FakeCluster(PodCollectionReconciler())
    cluster.addNode()
    cluster.addPod("p")
    cluster.add(.pod, ["metadata": ["name": "unassigned", "finalizers": ["x/y"]]])
    try cluster.settle()
    cluster.delete(.node, "n", "")
    try cluster.advance(39)
    #expect(!cluster.get(.pod, "p").isNull)
    try cluster.advance(2)
    #expect(cluster.get(.pod, "p").isNull && !cluster.get(.pod, "unassigned").isNull)
  }

  @Test func budgetsCountWhatTheyCanSpare() throws {
    let cluster = FakeCluster(DisruptionBudgetReconciler(), ReplicaSetReconciler.replicaSets)
    cluster.add(
      .replicaSet,
      ["metadata": ["name": "web"], "spec": ["replicas": 4, "selector": ["matchLabels": ["app": "web"]], "template": podTemplate()]])
    try cluster.converge()
    cluster.add(
      .disruptionBudget, ["metadata": ["name": "b"], "spec": ["maxUnavailable": "50%", "selector": ["matchLabels": ["app": "web"]]]])
    try cluster.settle()
    var status = cluster.get(.disruptionBudget, "b")["status"]
    #expect(status["disruptionsAllowed"].int == 2 && status["expectedPods"].int == 4 && status["desiredHealthy"].int == 2)
    #expect(cluster.get(.disruptionBudget, "b").condition("DisruptionAllowed")?["reason"].string == "SufficientPods")
    cluster.change(.disruptionBudget, "b") {
      $0["spec"]["minAvailable"] = 4; $0["spec"]["maxUnavailable"] = .null
    }
    try cluster.settle()
    status = cluster.get(.disruptionBudget, "b")["status"]
    #expect(status["disruptionsAllowed"].int == 0 && status["desiredHealthy"].int == 4 && status["observedGeneration"].int == 2)
    // An evicted pod counts as gone until it is seen to go, or two minutes have passed.
    cluster.change(.disruptionBudget, "b") {
      $0["spec"]["minAvailable"] = 1
      $0["status"]["disruptedPods"] = [cluster.all(.pod)[0].objectName.name: .string(cluster.now.rfc3339)].json
    }
    try cluster.settle()
    #expect(cluster.get(.disruptionBudget, "b")["status"]["disruptionsAllowed"].int == 2)
    try cluster.advance(121)
    #expect(cluster.get(.disruptionBudget, "b")["status"]["disruptionsAllowed"].int == 3)
  }
}

extension [String: JSON] {
  fileprivate var json: JSON { .object(JSONObject(map { ($0, $1) })) }

}

/// Many nodes at once, and what is left of those that are gone.
@Suite struct NodeDisruptionTests {
  private func cluster(_ count: Int, down: Range<Int>, zones: Int = 1) throws -> FakeCluster {
    let cluster = FakeCluster(NodeLifecycleReconciler())
    for i in 0..<count { cluster.addNode("n\(i)") }
    for i in 0..<count {
      cluster.change(.node, "n\(i)", "") { $0["metadata"]["labels"] = ["topology.kubernetes.io/zone": .string("z\(i % zones)")] }
    }
    try cluster.settle()
    for i in down { cluster.change(.node, "n\(i)", "") { $0["status"]["conditions"] = [["type": "Ready", "status": "False"]] } }
    try cluster.settle()
    return cluster
  }

  private func evicted(_ cluster: FakeCluster) -> Int {
    cluster.all(.node).count { cluster.taints($0.objectName.name).contains("node.kubernetes.io/not-ready:NoExecute") }
  }

  @Test func nodesLoseTheirPodsOneByOne() throws {
    let cluster = try cluster(8, down: 0..<4)
    #expect(evicted(cluster) == 1)
    // Nothing new is started on any of them meanwhile.
    #expect((0..<4).allSatisfy { cluster.taints("n\($0)").contains("node.kubernetes.io/not-ready:NoSchedule") })
    for seen in 2...4 {
      try cluster.advance(10.5)
      #expect(evicted(cluster) == seen)
    }
  }

  @Test func aDisturbedZoneLosesNoPods() throws {
    let cluster = try cluster(8, down: 0..<5)
    #expect(evicted(cluster) == 0)
    try cluster.advance(40)
    #expect(evicted(cluster) == 0)
    // Two come back: fewer than 55 % are out of order.
    for i in 0..<2 { cluster.change(.node, "n\(i)", "") { $0["status"]["conditions"] = [["type": "Ready", "status": "True"]] } }
    try cluster.settle()
    #expect(evicted(cluster) == 1)
  }

  @Test func whoSeesNobodyBlamesHimself() throws {
    let cluster = try cluster(2, down: 0..<1)
    #expect(evicted(cluster) == 1)
    cluster.change(.node, "n1", "") { $0["status"]["conditions"] = [["type": "Ready", "status": "False"]] }
    try cluster.settle()
    #expect(evicted(cluster) == 0)
  }

  @Test func outOfServiceNodesGiveTheirPodsUp() throws {
    let cluster = FakeCluster(PodCollectionReconciler())
    cluster.addNode(ready: "Unknown")
    cluster.addPod("stays")
    cluster.addPod("goes")
    cluster.delete(.pod, "goes")
    try cluster.settle()
    #expect(cluster.get(.pod, "goes").isBeingDeleted)
    cluster.change(.node, "n", "") { $0["spec"]["taints"] = [["key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"]] }
    try cluster.settle()
    #expect(cluster.get(.pod, "goes").isNull && !cluster.get(.pod, "stays").isNull)
  }

  @Test func timeToLiveFollowsTheNumberOfNodes() throws {
    let cluster = FakeCluster(NodeTimeToLiveReconciler())
    for i in 0..<100 { cluster.addNode("n\(i)") }
    try cluster.settle()
    func value(_ node: String) -> String? { cluster.get(.node, node, "")["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"].string }
    #expect(value("n7") == "0")
    cluster.addNode("n100")
    try cluster.settle()
    #expect(value("n7") == "15" && value("n100") == "15")
  }

  @Test func leasesOfNobodyGo() throws {
    let cluster = FakeCluster(LeaseCleanupReconciler())
    cluster.addNode()
    cluster.add(.lease, ["metadata": ["name": "gone", "namespace": "kube-node-lease"], "spec": ["leaseDurationSeconds": 40]])
    try cluster.advance(3_600)
    #expect(!cluster.get(.lease, "gone", "kube-node-lease").isNull)
    try cluster.advance(100)
    #expect(cluster.get(.lease, "gone", "kube-node-lease").isNull && !cluster.get(.lease, "n", "kube-node-lease").isNull)
  }
}
