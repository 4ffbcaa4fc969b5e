import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private func deployment(_ replicas: Int, image: String = "nginx:1", surge: JSON = "25%", unavailable: JSON = "25%") -> JSON {
  [
    "metadata": ["name": "web", "annotations": ["team": "blue"]],
    "spec": [
      "replicas": JSON(replicas), "selector": ["matchLabels": ["app": "web"]], "template": podTemplate(image), "revisionHistoryLimit": 2,
      "progressDeadlineSeconds": 600,
      "strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": surge, "maxUnavailable": unavailable]],
    ],
  ]
}

private func cluster() -> FakeCluster { FakeCluster(DeploymentReconciler(), ReplicaSetReconciler.replicaSets) }

extension FakeCluster {
  fileprivate func setImage(_ image: String) { change(.deployment, "web") { $0["spec"]["template"] = podTemplate(image) } }
  fileprivate func image(_ pod: JSON) -> String { pod["spec"]["containers"][0]["image"].string ?? "" }
}

@Suite struct DeploymentTests {
  @Test func makesASetAndReportsCompletion() throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(3))
    try cluster.converge()
    let web = cluster.get(.deployment, "web")
    let set = cluster.all(.replicaSet)[0]
    let hash = set["metadata"]["labels"]["pod-template-hash"].string
    #expect(set.objectName.name == "web-\(hash ?? "")" && set["spec"]["selector"]["matchLabels"]["pod-template-hash"].string == hash)
    #expect(set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].string == "1")
    #expect(set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"].string == "3")
    #expect(set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"].string == "4")
    #expect(set["metadata"]["annotations"]["team"].string == "blue")
    #expect(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"].string == "1")
    #expect(web["status"]["availableReplicas"].int == 3 && web["status"]["updatedReplicas"].int == 3)
    #expect(web.condition("Progressing")?["reason"].string == "NewReplicaSetAvailable")
    #expect(web.condition("Progressing")?["message"].string == "ReplicaSet \"\(set.objectName.name)\" has successfully progressed.")
    #expect(web.condition("Available")?["message"].string == "Deployment has minimum availability.")
    #expect(cluster.events.contains { $0.message == "Scaled up replica set \(set.objectName.name) from 0 to 3" })
  }

  @Test(arguments: [("25%", "25%"), (1, 0), (0, 1), ("100%", 0), (0, "50%")] as [(JSON, JSON)])
  func rollsWithinItsFence(surge: JSON, unavailable: JSON) throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(10, surge: surge, unavailable: unavailable))
    try cluster.converge()
    let most = 10 + scaled(surge, of: 10, roundingUp: true)!
    let least = 10 - scaled(unavailable, of: 10, roundingUp: false)!
    cluster.invariant = { cluster in
      let pods = cluster.all(.pod).filter(\.isActivePod)
      #expect(pods.count <= most && pods.filter(\.isReadyPod).count >= least)
    }
    cluster.setImage("nginx:2")
    var random = SeededRandom(7)
    for _ in 0..<200 {
      try cluster.settle()
      cluster.play { _ in Int.random(in: 0..<3, using: &random) == 0 }
    }
    try cluster.converge()
    #expect(cluster.all(.pod).allSatisfy { cluster.image($0) == "nginx:2" } && cluster.all(.pod).count == 10)
    #expect(cluster.all(.replicaSet).count == 2)
    #expect(cluster.get(.deployment, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"].string == "2")
  }

  @Test func rollsBackToAnOldSetUnderANewRevision() throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(2))
    try cluster.converge()
    let first = cluster.all(.replicaSet)[0].objectName
    cluster.setImage("nginx:2")
    try cluster.converge()
    cluster.setImage("nginx:1")
    try cluster.converge()
    #expect(cluster.all(.replicaSet).count == 2)
    let annotations = cluster.get(.replicaSet, first.name)["metadata"]["annotations"]
    #expect(annotations["deployment.kubernetes.io/revision"].string == "3")
    #expect(annotations["deployment.kubernetes.io/revision-history"].string == "1")
  }

  @Test func keepsALimitedHistory() throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(1))
    for i in 1...6 {
      cluster.setImage("nginx:\(i)")
      try cluster.converge()
    }
    #expect(cluster.all(.replicaSet).count == 3)
  }

  @Test func recreateLeavesNoOverlap() throws {
    let cluster = cluster()
    var web = deployment(3)
    web["spec"]["strategy"] = ["type": "Recreate"]
    cluster.add(.deployment, web)
    try cluster.converge()
    cluster.invariant = { cluster in
      #expect(Set(cluster.all(.pod).map { cluster.image($0) }).count <= 1)
    }
    cluster.setImage("nginx:2")
    try cluster.converge()
    #expect(cluster.all(.pod).count == 3 && cluster.all(.pod).allSatisfy { cluster.image($0) == "nginx:2" })
  }

  /// Upstream's conformance example: 10 replicas, 8 old and 5 new while a rollout hangs, scaled to 30.
  @Test func scalesInProportion() throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(10, surge: 3, unavailable: 2))
    try cluster.converge()
    let first = cluster.all(.replicaSet)[0].objectName.name
    cluster.setImage("nginx:404")
    for _ in 0..<20 {
      try cluster.settle()
      cluster.play { cluster.image($0) != "nginx:404" }
    }
    let second = cluster.all(.replicaSet).first { $0.objectName.name != first }!.objectName.name
    #expect(cluster.get(.replicaSet, first)["spec"]["replicas"].int == 8 && cluster.get(.replicaSet, second)["spec"]["replicas"].int == 5)
    cluster.change(.deployment, "web") { $0["spec"]["replicas"] = 30 }
    try cluster.settle()
    #expect(cluster.get(.replicaSet, first)["spec"]["replicas"].int == 20 && cluster.get(.replicaSet, second)["spec"]["replicas"].int == 13)
  }

  @Test func pausesAndResumes() throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(2))
    try cluster.converge()
    cluster.change(.deployment, "web") { $0["spec"]["paused"] = true }
    cluster.setImage("nginx:2")
    try cluster.converge()
    #expect(cluster.all(.replicaSet).count == 1)
    #expect(cluster.get(.deployment, "web").condition("Progressing")?["reason"].string == "DeploymentPaused")
    cluster.change(.deployment, "web") { $0["spec"]["replicas"] = 4 }
    try cluster.converge()
    #expect(cluster.all(.pod).count == 4)
    cluster.change(.deployment, "web") { $0["spec"]["paused"] = .null }
    try cluster.converge()
    #expect(cluster.all(.pod).allSatisfy { cluster.image($0) == "nginx:2" })
  }

  @Test func missesItsDeadline() throws {
    let cluster = cluster()
    cluster.add(.deployment, deployment(2))
    try cluster.settle()
    try cluster.advance(599)
    #expect(cluster.get(.deployment, "web").condition("Progressing")?["status"].string == "True")
    try cluster.advance(10)
    let condition = cluster.get(.deployment, "web").condition("Progressing")
    #expect(condition?["status"].string == "False" && condition?["reason"].string == "ProgressDeadlineExceeded")
    try cluster.converge()
    #expect(cluster.get(.deployment, "web").condition("Progressing")?["reason"].string == "NewReplicaSetAvailable")
  }

  @Test func takesAnotherNameWhereAStrangerHasIt() throws {
    let cluster = cluster()
    let template = Rollout.withoutHash(podTemplate())
    let name = "web-\(Templates.hash(template))"
    cluster.add(.replicaSet, ["metadata": ["name": .string(name)], "spec": ["replicas": 0, "selector": ["matchLabels": ["x": "y"]]]])
    cluster.add(.deployment, deployment(1))
    try cluster.converge()
    #expect(cluster.get(.deployment, "web")["status"]["collisionCount"].int == 1)
    #expect(cluster.all(.pod).count == 1)
  }

  @Test(arguments: 0..<40) func convergesFromAnyHistory(seed: UInt64) throws {
    var random = SeededRandom(seed)
    let cluster = cluster()
    let surge = Int.random(in: 0...3, using: &random)
    let unavailable = surge == 0 ? 1 : Int.random(in: 0...2, using: &random)
    cluster.add(.deployment, deployment(Int.random(in: 0...6, using: &random), surge: JSON(surge), unavailable: JSON(unavailable)))
    for _ in 0..<30 {
      switch Int.random(in: 0..<6, using: &random) {
      case 0: cluster.setImage("nginx:\(Int.random(in: 1...4, using: &random))")
      case 1: cluster.change(.deployment, "web") { $0["spec"]["replicas"] = JSON(Int.random(in: 0...9, using: &random)) }
      case 2: if let pod = cluster.all(.pod).randomElement(using: &random) { cluster.delete(.pod, pod.objectName.name) }
      case 3: cluster.change(.deployment, "web") { $0["spec"]["paused"] = Bool.random(using: &random) ? true : .null }
      default: cluster.play { _ in Bool.random(using: &random) }
      }
      try cluster.settle()
      cluster.now = cluster.now.advanced(bySeconds: 1)
    }
    cluster.change(.deployment, "web") { $0["spec"]["paused"] = .null }
    try cluster.converge()
    let web = cluster.get(.deployment, "web")
    let active = cluster.all(.pod).filter(\.isActivePod)
    #expect(active.count == web["spec"]["replicas"].int)
    #expect(active.allSatisfy { cluster.image($0) == web["spec"]["template"]["spec"]["containers"][0]["image"].string })
    #expect(web.condition("Progressing")?["reason"].string == "NewReplicaSetAvailable")
  }

  /// Sets that were there before are taken over; a third template that comes while the second rolls out leaves nothing of the second.
  @Test func aRolloverLeavesOnlyTheNewest() throws {
    let cluster = cluster()
    var early = podTemplate("redis:1")
    early["metadata"]["labels"]["pod"] = "httpd"
    cluster.add(
      .replicaSet,
      [
        "metadata": ["name": "early", "labels": ["app": "web"]],
        "spec": ["replicas": 1, "selector": ["matchLabels": ["app": "web", "pod": "httpd"]], "template": early],
      ])
    try cluster.converge()
    cluster.add(.deployment, deployment(2, image: "nginx:404", surge: 1, unavailable: 0))
    for _ in 0..<5 {
      try cluster.settle()
      cluster.play { cluster.image($0) != "nginx:404" }
    }
    #expect(cluster.get(.replicaSet, "early").controllerUID == cluster.get(.deployment, "web").uid)
    #expect(cluster.all(.pod).contains { cluster.image($0) == "redis:1" }, "what works stays until something better is there")
    cluster.setImage("nginx:3")
    try cluster.converge()
    #expect(cluster.all(.pod).count == 2 && cluster.all(.pod).allSatisfy { cluster.image($0) == "nginx:3" })
    let sizes = cluster.all(.replicaSet).map { $0["spec"]["replicas"].int ?? 0 }
    #expect(sizes.sorted() == [0, 0, 2])
    #expect(cluster.get(.deployment, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"].string == "2")
  }

  @Test func anAdoptedSetIsHistoryToo() throws {
    let cluster = cluster()
    cluster.add(
      .replicaSet,
      [
        "metadata": ["name": "early", "labels": ["app": "web"]],
        "spec": ["replicas": 1, "selector": ["matchLabels": ["app": "web"]], "template": podTemplate("redis:1")],
      ])
    try cluster.converge()
    var web = deployment(1)
    web["spec"]["revisionHistoryLimit"] = 0
    cluster.add(.deployment, web)
    try cluster.converge()
    #expect(cluster.all(.replicaSet).count == 1 && cluster.get(.replicaSet, "early").isNull)
  }

  /// A set's status follows later than its size: pods that were given up already must not be given up once more.
  @Test func aStatusThatIsBehindSparesNothing() throws {
    let cluster = FakeCluster(DeploymentReconciler())
    cluster.add(.deployment, deployment(10, surge: 3, unavailable: 2))
    try cluster.settle()
    let old = cluster.all(.replicaSet)[0].objectName.name
    cluster.change(.replicaSet, old) { $0["status"] = ["replicas": 10, "readyReplicas": 10, "availableReplicas": 10] }
    try cluster.settle()
    cluster.setImage("nginx:2")
    try cluster.settle()
    let new = try #require(cluster.all(.replicaSet).first { $0.objectName.name != old }).objectName.name
    #expect(cluster.get(.replicaSet, old)["spec"]["replicas"].int == 8 && cluster.get(.replicaSet, new)["spec"]["replicas"].int == 5)
    cluster.change(.replicaSet, new) { $0["status"] = ["replicas": 5, "readyReplicas": 3, "availableReplicas": 3] }
    try cluster.settle()
    #expect(cluster.get(.replicaSet, old)["spec"]["replicas"].int == 5, "3 new ones and 5 old ones are 8")
  }
}
