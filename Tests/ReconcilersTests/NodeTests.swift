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
  fileprivate var taints: [String] {
    (get(.node, "n", "")["spec"]["taints"].array ?? []).map { "\($0["key"].string ?? ""):\($0["effect"].string ?? "")" }
  }
}

@Suite struct NodeTests {
  @Test func aSilentNodeIsTaintedAndItsPodsUnready() throws {
    let cluster = FakeCluster(NodeLifecycleReconciler())
    cluster.addNode()
    cluster.addPod("p")
    try cluster.settle()
    // A lease that is renewed keeps it, whatever its clock says.
    for i in 0..<10 {
      try cluster.advance(20)
      cluster.change(.lease, "n", "kube-node-lease") { $0["spec"]["renewTime"] = .string("2020-01-01T00:00:\(10 + i)Z") }
      try cluster.settle()
    }
    #expect(cluster.taints.isEmpty && cluster.get(.pod, "p").isReadyPod)
    try cluster.advance(51)
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
    cluster.change(.node, "n", "") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoExecute"]] }
    try cluster.advance(50)
    #expect(!cluster.get(.pod, "minute").isBeingDeleted)
    try cluster.advance(11)
    #expect(cluster.get(.pod, "minute").isBeingDeleted && !cluster.get(.pod, "ever").isBeingDeleted)
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
