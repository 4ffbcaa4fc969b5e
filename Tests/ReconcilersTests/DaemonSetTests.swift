import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func set(surge: JSON = .null, unavailable: JSON = 1) -> JSON {
  var update: JSON = ["maxUnavailable": unavailable]
  if !surge.isNull { update = ["maxSurge": surge, "maxUnavailable": 0] }
  return [
    "metadata": ["name": "ds"],
    "spec": [
      "selector": ["matchLabels": ["app": "web"]], "template": podTemplate(),
      "updateStrategy": ["type": "RollingUpdate", "rollingUpdate": update],
    ],
  ]
}

extension FakeCluster {
  fileprivate func addNode(_ name: String, labels: JSON = .null, taints: JSON = .null) {
    add(.node, ["metadata": ["name": .string(name), "namespace": "", "labels": labels], "spec": ["taints": taints]])
  }
  /// Binds daemons to the nodes that they name, then plays.
  fileprivate func playDaemons(_ isChosen: (JSON) -> Bool = { _ in true }) {
    for pod in all(.pod) where pod.podNode.isEmpty {
      change(.pod, pod.objectName.name) { $0["spec"]["nodeName"] = .string(Daemons.node(pod)) }
    }
    play(isChosen)
  }
  fileprivate func convergeDaemons() throws {
    for _ in 0..<60 {
      try settle()
      playDaemons()
      try settle()
      now = now.advanced(bySeconds: 2)
    }
  }
  fileprivate var places: [String] { all(.pod).filter { !$0.isBeingDeleted }.map(Daemons.node).sorted() }
}

@Suite struct DaemonSetTests {
  @Test func onePodOnEachNodeThatItWants() throws {
    let cluster = FakeCluster(DaemonSetReconciler())
    for i in 1...3 { cluster.addNode("n\(i)", labels: ["disk": .string(i == 3 ? "hdd" : "ssd")]) }
    var json = set()
    json["spec"]["template"]["spec"]["nodeSelector"] = ["disk": "ssd"]
    cluster.add(.daemonSet, json)
    try cluster.convergeDaemons()
    #expect(cluster.places == ["n1", "n2"])
    var status = cluster.get(.daemonSet, "ds")["status"]
    #expect(status["desiredNumberScheduled"].int == 2 && status["numberReady"].int == 2 && status["updatedNumberScheduled"].int == 2)
    cluster.change(.node, "n3", "") { $0["metadata"]["labels"]["disk"] = "ssd" }
    cluster.change(.node, "n1", "") { $0["metadata"]["labels"]["disk"] = "hdd" }
    try cluster.convergeDaemons()
    #expect(cluster.places == ["n2", "n3"])
    status = cluster.get(.daemonSet, "ds")["status"]
    #expect(status["numberMisscheduled"].int == 0 && status["currentNumberScheduled"].int == 2)
    let pod = cluster.all(.pod)[0]
    #expect(pod["spec"]["tolerations"].array!.contains { $0["key"].string == "node.kubernetes.io/unreachable" })
    #expect(pod["metadata"]["labels"]["controller-revision-hash"].string == Revisions.hash(cluster.all(.controllerRevision)[0]))
  }

  @Test func taintsKeepAwayOrDriveOut() throws {
    let cluster = FakeCluster(DaemonSetReconciler())
    cluster.addNode("a")
    cluster.addNode("b", taints: [["key": "k", "effect": "NoSchedule"]])
    cluster.addNode("c", taints: [["key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"]])
    cluster.add(.daemonSet, set())
    try cluster.convergeDaemons()
    #expect(cluster.places == ["a", "c"])
    cluster.change(.node, "a", "") { $0["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]] }
    try cluster.convergeDaemons()
    #expect(cluster.places == ["a", "c"], "what runs may stay")
    cluster.change(.node, "a", "") { $0["spec"]["taints"] = [["key": "k", "effect": "NoExecute"]] }
    try cluster.convergeDaemons()
    #expect(cluster.places == ["c"])
  }

  @Test func replacesAFailedPod() throws {
    let cluster = FakeCluster(DaemonSetReconciler())
    cluster.addNode("a")
    cluster.add(.daemonSet, set())
    try cluster.convergeDaemons()
    let name = cluster.all(.pod)[0].objectName.name
    cluster.end(name, "Failed")
    try cluster.convergeDaemons()
    #expect(cluster.places == ["a"] && cluster.get(.pod, name).isNull)
  }

  @Test(arguments: [(nil, 1), (nil, 2), (1, 0), ("50%", 0)] as [(JSON?, Int)])
  func rollsWithinItsLimits(surge: JSON?, unavailable: Int) throws {
    let cluster = FakeCluster(DaemonSetReconciler())
    for i in 1...4 { cluster.addNode("n\(i)") }
    cluster.add(.daemonSet, set(surge: surge ?? .null, unavailable: JSON(unavailable)))
    try cluster.convergeDaemons()
    let most = surge.flatMap { scaled($0, of: 4, roundingUp: true) } ?? 0
    cluster.invariant = { cluster in
      let living = cluster.all(.pod).filter { !$0.isBeingDeleted }
      let served = Set(living.filter(\.isReadyPod).map(Daemons.node)).count
      #expect(served >= 4 - unavailable && living.count <= 4 + most)
    }
    cluster.change(.daemonSet, "ds") { $0["spec"]["template"] = podTemplate("nginx:2") }
    try cluster.convergeDaemons()
    #expect(cluster.places == ["n1", "n2", "n3", "n4"])
    #expect(cluster.all(.pod).allSatisfy { $0["spec"]["containers"][0]["image"].string == "nginx:2" })
    #expect(cluster.all(.controllerRevision).map { Revisions.number($0) }.sorted() == [1, 2])
  }

  @Test func rollingBackKeepsTheGoodPods() throws {
    let cluster = FakeCluster(DaemonSetReconciler())
    for i in 1...3 { cluster.addNode("n\(i)") }
    cluster.add(.daemonSet, set())
    try cluster.convergeDaemons()
    let before = Set(cluster.all(.pod).map(\.uid))
    cluster.change(.daemonSet, "ds") { $0["spec"]["template"] = podTemplate("nginx:404") }
    for _ in 0..<10 {
      try cluster.settle()
      cluster.playDaemons { $0["spec"]["containers"][0]["image"].string != "nginx:404" || $0.isBeingDeleted }
    }
    #expect(Set(cluster.all(.pod).map(\.uid)).intersection(before).count == 2)
    cluster.change(.daemonSet, "ds") { $0["spec"]["template"] = podTemplate() }
    try cluster.convergeDaemons()
    #expect(Set(cluster.all(.pod).map(\.uid)).intersection(before).count == 2 && cluster.places.count == 3)
  }

  /// The scheduler binds them: each says by its affinity to which node alone it may go.
  @Test func eachNamesItsNode() throws {
    let cluster = FakeCluster(DaemonSetReconciler())
    cluster.addNode("n1")
    cluster.add(.daemonSet, set())
    try cluster.settle()
    let spec = cluster.all(.pod)[0]["spec"]
    let terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    #expect(terms == [["matchFields": [["key": "metadata.name", "operator": "In", "values": ["n1"]]]]])
    #expect(spec["nodeName"].isNull)
  }
}
