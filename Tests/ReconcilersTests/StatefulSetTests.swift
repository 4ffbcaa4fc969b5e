import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func set(_ replicas: Int, policy: String = "OrderedReady", partition: Int = 0) -> JSON {
  [
    "metadata": ["name": "db"],
    "spec": [
      "replicas": JSON(replicas), "serviceName": "db", "selector": ["matchLabels": ["app": "web"]], "template": podTemplate(),
      "podManagementPolicy": .string(policy), "updateStrategy": ["type": "RollingUpdate", "rollingUpdate": ["partition": JSON(partition)]],
      "volumeClaimTemplates": [["metadata": ["name": "data"], "spec": ["accessModes": ["ReadWriteOnce"]]]],
    ],
  ]
}

extension FakeCluster {
  fileprivate var names: [String] { all(.pod).map(\.objectName.name) }
  fileprivate func image(_ name: String) -> String? { get(.pod, name)["spec"]["containers"][0]["image"].string }
  fileprivate func setImage(_ image: String) { change(.statefulSet, "db") { $0["spec"]["template"] = podTemplate(image) } }
}

@Suite struct StatefulSetTests {
  @Test func startsInOrderAndStopsInReverse() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    cluster.add(.statefulSet, set(3))
    try cluster.settle()
    #expect(cluster.names == ["db-0"])
    cluster.start(cluster.get(.pod, "db-0"))
    try cluster.settle()
    #expect(cluster.names == ["db-0", "db-1"])
    try cluster.converge()
    let pod = cluster.get(.pod, "db-2")
    #expect(pod["spec"]["hostname"].string == "db-2" && pod["spec"]["subdomain"].string == "db")
    #expect(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"].string == "2")
    #expect(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"].string == "data-db-2")
    #expect(cluster.all(.persistentVolumeClaim).count == 3)
    let status = cluster.get(.statefulSet, "db")["status"]
    #expect(status["replicas"].int == 3 && status["availableReplicas"].int == 3 && status["currentRevision"] == status["updateRevision"])
    cluster.setReady("db-1", false)
    cluster.setReady("db-2", false)
    cluster.change(.statefulSet, "db") { $0["spec"]["replicas"] = 1 }
    try cluster.settle()
    #expect(cluster.get(.pod, "db-2").isBeingDeleted == false, "an unready predecessor holds it")
    cluster.setReady("db-1", true)
    try cluster.settle()
    #expect(cluster.get(.pod, "db-2").isBeingDeleted && !cluster.get(.pod, "db-1").isBeingDeleted)
    try cluster.converge()
    #expect(cluster.names == ["db-0"] && cluster.all(.persistentVolumeClaim).count == 3)
  }

  @Test func parallelDoesNotWait() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    cluster.add(.statefulSet, set(3, policy: "Parallel"))
    try cluster.settle()
    #expect(cluster.names.count == 3)
    cluster.play()
    try cluster.settle()
    cluster.change(.statefulSet, "db") { $0["spec"]["replicas"] = 0 }
    try cluster.settle()
    #expect(cluster.all(.pod).allSatisfy { $0.isBeingDeleted })
  }

  @Test func updatesFromTheTopDownToThePartition() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    cluster.add(.statefulSet, set(3, partition: 2))
    try cluster.converge()
    cluster.setImage("nginx:2")
    try cluster.converge()
    #expect((0..<3).map { cluster.image("db-\($0)") } == ["nginx:1", "nginx:1", "nginx:2"])
    var status = cluster.get(.statefulSet, "db")["status"]
    #expect(
      status["currentRevision"] != status["updateRevision"] && status["updatedReplicas"].int == 1 && status["currentReplicas"].int == 2)
    // An old pod that goes comes back as it was.
    cluster.delete(.pod, "db-0")
    try cluster.converge()
    #expect(cluster.image("db-0") == "nginx:1")
    cluster.change(.statefulSet, "db") { $0["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0 }
    try cluster.settle()
    #expect(cluster.get(.pod, "db-1").isBeingDeleted && !cluster.get(.pod, "db-0").isBeingDeleted)
    try cluster.converge()
    #expect((0..<3).allSatisfy { cluster.image("db-\($0)") == "nginx:2" })
    status = cluster.get(.statefulSet, "db")["status"]
    #expect(status["currentRevision"] == status["updateRevision"] && status["currentReplicas"].int == 3)
    // Back again: the first revision becomes the newest.
    cluster.setImage("nginx:1")
    try cluster.converge()
    #expect(cluster.all(.controllerRevision).count == 2)
    #expect(cluster.all(.controllerRevision).map { Revisions.number($0) }.max() == 3)
  }

  @Test func replacesAFailedPod() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    cluster.add(.statefulSet, set(1))
    try cluster.converge()
    let uid = cluster.get(.pod, "db-0").uid
    cluster.end("db-0", "Failed")
    try cluster.converge()
    #expect(cluster.get(.pod, "db-0").uid != uid && cluster.get(.pod, "db-0").isReadyPod)
    #expect(cluster.events.contains { $0.reason == "RecreatingFailedPod" })
  }

  @Test func claimsFollowTheRetentionPolicy() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    var json = set(2)
    json["spec"]["persistentVolumeClaimRetentionPolicy"] = ["whenDeleted": "Delete", "whenScaled": "Delete"]
    cluster.add(.statefulSet, json)
    try cluster.converge()
    func owner(_ i: Int) -> String? { cluster.get(.persistentVolumeClaim, "data-db-\(i)")["metadata"]["ownerReferences"][0]["kind"].string }
    #expect(owner(0) == "StatefulSet" && owner(1) == "StatefulSet")
    cluster.change(.statefulSet, "db") { $0["spec"]["replicas"] = 1 }
    try cluster.settle()
    #expect(owner(0) == "StatefulSet" && owner(1) == "Pod")
  }

  @Test(arguments: 0..<30) func neverHasTwoUnreadyInOrder(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let cluster = FakeCluster(StatefulSetReconciler())
    cluster.add(.statefulSet, set(Int.random(in: 0...4, using: &random)))
    for _ in 0..<40 {
      switch Int.random(in: 0..<5, using: &random) {
      case 0: cluster.change(.statefulSet, "db") { $0["spec"]["replicas"] = JSON(Int.random(in: 0...5, using: &random)) }
      case 1: cluster.setImage("nginx:\(Int.random(in: 1...3, using: &random))")
      default: cluster.play { _ in Bool.random(using: &random) }
      }
      let before = Set(cluster.names)
      try cluster.settle()
      // Only one pod is made at a time, and only when those before it work.
      let made = Set(cluster.names).subtracting(before)
      #expect(made.count <= 1)
    }
    try cluster.converge()
    let wanted = cluster.get(.statefulSet, "db")["spec"]["replicas"].int!
    #expect(cluster.names == (0..<wanted).map { "db-\($0)" })
    let image = cluster.get(.statefulSet, "db")["spec"]["template"]["spec"]["containers"][0]["image"].string
    #expect(cluster.names.allSatisfy { cluster.image($0) == image })
  }

  @Test func anUpdateMayTakeSeveralAtATime() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    var several = set(5, policy: "Parallel")
    several["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = "40%"
    cluster.add(.statefulSet, several)
    try cluster.converge()
    cluster.setImage("nginx:2")
    try cluster.settle()
    #expect(cluster.all(.pod).filter(\.isBeingDeleted).map(\.objectName.name) == ["db-3", "db-4"])
    try cluster.converge()
    #expect((0..<5).allSatisfy { cluster.image("db-\($0)") == "nginx:2" })
  }

  @Test func anUnreadyPodHoldsTheNext() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    cluster.add(.statefulSet, set(1))
    try cluster.converge()
    cluster.setReady("db-0", false)
    cluster.change(.statefulSet, "db") { $0["spec"]["replicas"] = 3 }
    try cluster.settle()
    #expect(cluster.names == ["db-0"])
    cluster.setReady("db-0", true)
    try cluster.settle()
    #expect(cluster.names == ["db-0", "db-1"])
    // Each pod tells which revision it is of.
    let revision = cluster.get(.statefulSet, "db")["status"]["updateRevision"]
    #expect(cluster.all(.pod).allSatisfy { $0["metadata"]["labels"][StatefulPods.revisionLabel] == revision })
  }

  /// A template that names its node goes past the scheduler; what the kubelet refuses there (reason NodePorts) comes again until it is taken.
  @Test func aRefusedPodComesAgain() throws {
    let cluster = FakeCluster(StatefulSetReconciler())
    var json = set(1)
    json["spec"]["template"]["spec"]["nodeName"] = "n1"
    cluster.add(.statefulSet, json)
    var seen: Set<String> = []
    for _ in 0..<3 {
      try cluster.settle()
      let pod = cluster.get(.pod, "db-0")
      #expect(pod["spec"]["nodeName"].string == "n1" && pod.podPhase == "Pending" && seen.insert(pod.uid).inserted)
      cluster.end("db-0", "Failed")
    }
    try cluster.converge()
    #expect(!seen.contains(cluster.get(.pod, "db-0").uid) && cluster.get(.pod, "db-0").isReadyPod)
  }
}
