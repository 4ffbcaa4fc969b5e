import JSONCodec
import KubernetesAPI
import KubernetesClient
import Scheduling
import Testing

@testable import Scheduler

@Suite struct PodSchedulerTests {
  @Test func aPodGetsANodeAndAnEvent() async throws {
    try await TestCluster.with { cluster in
      try await cluster.add(node: "n1")
      try await cluster.add(pod: "p")
      try await cluster.isPlaced("p", on: "n1")
      #expect(try await cluster.pod("p").condition("PodScheduled")["status"].string == "True")
      try await cluster.eventually("the Scheduled event") { try await cluster.events(of: "p").contains { $0.reason == "Scheduled" } }
      let event = try await cluster.events(of: "p")[0]
      #expect(event.message == "Successfully assigned default/p to n1")
      #expect(event.json["reportingComponent"].string == "default-scheduler")
      #expect(event.json["type"].string == "Normal")
    }
  }

  @Test func whatDoesNotFitIsToldAndPlacedLater() async throws {
    try await TestCluster.with { cluster in
      try await cluster.add(node: "n1")
      try await cluster.add(pod: "p", cpu: "2")
      let message =
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
      try await cluster.eventually("the condition") {
        let condition = try await cluster.pod("p").condition("PodScheduled")
        return condition["reason"].string == "Unschedulable" && condition["message"].string == message
          && condition["status"].string == "False"
      }
      try await cluster.eventually("the event") {
        try await cluster.events(of: "p").contains { $0.reason == "FailedScheduling" && $0.message == message }
      }
      try await cluster.add(node: "n2", cpu: 4)
      try await cluster.isPlaced("p", on: "n2")
    }
  }

  @Test func gatesAreToldAndLifted() async throws {
    try await TestCluster.with { cluster in
      try await cluster.add(node: "n1")
      try await cluster.add(pod: "p", spec: ["schedulingGates": [["name": "example.com/g"]]])
      try await cluster.eventually("the condition") {
        try await cluster.pod("p").condition("PodScheduled")["reason"].string == "SchedulingGated"
      }
      #expect(try await cluster.node(of: "p") == nil)
      let gates = JSON.object(JSONObject([("spec", .object(JSONObject([("schedulingGates", JSON.null)])))]))
      try await cluster.client.patch(.pods("default"), name: "p", type: .merge, gates)
      try await cluster.isPlaced("p", on: "n1")
    }
  }

  @Test func victimsAreToldWhyAndDeleted() async throws {
    try await TestCluster.with { cluster in
      try await cluster.client.create(
        ResourcePath(group: "scheduling.k8s.io", "priorityclasses"), ["metadata": ["name": "high"], "value": 1_000])
      try await cluster.add(node: "n1")
      try await cluster.add(pod: "low", cpu: "800m", spec: ["terminationGracePeriodSeconds": 30])
      try await cluster.isPlaced("low", on: "n1")
      try await cluster.eventually("high is admitted") {
        (try? await cluster.add(pod: "high", cpu: "800m", spec: ["priorityClassName": "high"])) != nil
      }
      try await cluster.eventually("high has a nominated node") {
        try await cluster.pod("high")["status"]["nominatedNodeName"].string == "n1"
      }
      // The victim has its condition, and its whole grace.
      try await cluster.eventually("low is being deleted") { try await !cluster.pod("low")["metadata"]["deletionTimestamp"].isNull }
      let victim = try await cluster.pod("low")
      #expect(victim.condition("DisruptionTarget")["reason"].string == "PreemptionByScheduler")
      #expect(
        victim.condition("DisruptionTarget")["message"].string == "default-scheduler: preempting to accommodate a higher priority pod")
      #expect(victim["metadata"]["deletionGracePeriodSeconds"].int == 30)
      let uid = try await cluster.pod("high")["metadata"]["uid"].string ?? ""
      try await cluster.eventually("the Preempted event") {
        try await cluster.events(of: "low").contains { $0.reason == "Preempted" && $0.message == "Preempted by pod \(uid) on node n1" }
      }
      #expect(try await cluster.node(of: "high") == nil)
      try await cluster.client.delete(.pods("default"), name: "low", gracePeriodSeconds: 0)
      try await cluster.isPlaced("high", on: "n1")
    }
  }

  /// The test plays the volume controller: it binds the claim once the scheduler has kept a volume for it.
  @Test func claimsAreBoundWhereThePodGoes() async throws {
    try await TestCluster.with { cluster in
      try await cluster.add(node: "n1", labels: ["kubernetes.io/hostname": "n1"])
      try await cluster.add(node: "n2", labels: ["kubernetes.io/hostname": "n2"])
      try await cluster.client.create(
        ResourcePath(group: "storage.k8s.io", "storageclasses"),
        ["metadata": ["name": "local"], "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"])
      let (claims, volumes) = (ResourcePath("persistentvolumeclaims", namespace: "default"), ResourcePath("persistentvolumes"))
      let term: JSON = ["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]]]]
      try await cluster.client.create(
        volumes,
        [
          "metadata": ["name": "v"],
          "spec": [
            "capacity": ["storage": "1Gi"], "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "local": ["path": "/tmp/none"],
            "nodeAffinity": ["required": ["nodeSelectorTerms": [term]]],
          ],
        ])
      try await cluster.client.create(
        claims,
        [
          "metadata": ["name": "c"],
          "spec": ["accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": ["requests": ["storage": "1Gi"]]],
        ])
      try await cluster.add(pod: "p", spec: ["volumes": [["name": "v", "persistentVolumeClaim": ["claimName": "c"]]]])
      try await cluster.eventually("the volume is kept for the claim") {
        try await cluster.client.get(volumes, name: "v")["spec"]["claimRef"]["name"].string == "c"
      }
      #expect(try await cluster.node(of: "p") == nil)
      try await cluster.client.patch(
        claims, name: "c", type: .merge,
        ["metadata": ["annotations": ["pv.kubernetes.io/bind-completed": "yes"]], "spec": ["volumeName": "v"]])
      try await cluster.isPlaced("p", on: "n2")
    }
  }

  @Test func newVolumesAreAskedFor() async throws {
    try await TestCluster.with { cluster in
      try await cluster.add(node: "n1")
      try await cluster.client.create(
        ResourcePath(group: "storage.k8s.io", "storageclasses"),
        ["metadata": ["name": "made"], "provisioner": "example.com/maker", "volumeBindingMode": "WaitForFirstConsumer"])
      let claims = ResourcePath("persistentvolumeclaims", namespace: "default")
      try await cluster.client.create(
        claims,
        [
          "metadata": ["name": "c"],
          "spec": ["accessModes": ["ReadWriteOnce"], "storageClassName": "made", "resources": ["requests": ["storage": "1Gi"]]],
        ])
      try await cluster.add(pod: "p", spec: ["volumes": [["name": "v", "persistentVolumeClaim": ["claimName": "c"]]]])
      try await cluster.eventually("the annotation") {
        try await cluster.client.get(claims, name: "c")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].string == "n1"
      }
      #expect(try await cluster.node(of: "p") == nil)
    }
  }

  @Test func manyPodsAtOnce() async throws {
    try await TestCluster.with { cluster in
      for index in 0..<5 { try await cluster.add(node: "n\(index)", cpu: 4) }
      for index in 0..<60 { try await cluster.add(pod: "p\(index)", cpu: "200m") }
      try await cluster.eventually("all are placed") {
        try await cluster.client.list(.pods("default")).items.allSatisfy { !$0["spec"]["nodeName"].isNull }
      }
      var perNode: [String: Int] = [:]
      for pod in try await cluster.client.list(.pods("default")).items { perNode[pod["spec"]["nodeName"].string ?? "", default: 0] += 1 }
      // No node has more than it offers, and none stays empty.
      #expect(perNode.values.allSatisfy { $0 <= 20 })
      #expect(perNode.count == 5)
    }
  }

  @Test func profilesByName() async throws {
    let text = #"""
      {"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration","profiles":[{"schedulerName":"default-scheduler"},
       {"schedulerName":"pooled","pluginConfig":[{"name":"NodeAffinity","args":{"addedAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms":[{"matchExpressions":[{"key":"pool","operator":"In","values":["x"]}]}]}}}}]}]}
      """#
    try await TestCluster.with(SchedulerConfiguration(JSON.parse(text))) { cluster in
      try await cluster.add(node: "n1", cpu: 8)
      try await cluster.add(node: "n2", labels: ["pool": "x"])
      try await cluster.add(pod: "p", spec: ["schedulerName": "pooled"])
      try await cluster.isPlaced("p", on: "n2")
      try await cluster.add(pod: "q", spec: ["schedulerName": "somebody-else"])
      try await cluster.add(pod: "r")
      try await cluster.isPlaced("r", on: "n1")
      #expect(try await cluster.node(of: "q") == nil)
    }
  }

  @Test func theLeaderHoldsTheLease() async throws {
    try await TestCluster.with(identity: "one") { cluster in
      try await cluster.add(node: "n1")
      try await cluster.add(pod: "p")
      try await cluster.isPlaced("p", on: "n1")
      let lease = try await cluster.client.get(.leases("kube-system"), name: "kube-scheduler")
      #expect(lease["spec"]["holderIdentity"].string == "one")
    }
  }

  /// What the system cannot do without takes its place from anybody.
  @Test func criticalPodsComeFirst() async throws {
    try await TestCluster.with { cluster in
      try await cluster.add(node: "n1")
      try await cluster.eventually("a pod is admitted") { (try? await cluster.add(pod: "web", cpu: "800m")) != nil }
      try await cluster.isPlaced("web", on: "n1")
      let spec: JSON = [
        "priorityClassName": "system-cluster-critical",
        "containers": [["name": "c", "image": "i", "resources": ["requests": ["cpu": "800m"]]]],
      ]
      try await cluster.eventually("the critical pod is admitted") {
        (try? await cluster.client.create(.pods("kube-system"), ["metadata": ["name": "critical"], "spec": spec])) != nil
      }
      try await cluster.eventually("web goes") { try await !cluster.pod("web")["metadata"]["deletionTimestamp"].isNull }
      #expect(try await cluster.pod("web").condition("DisruptionTarget")["reason"].string == "PreemptionByScheduler")
      try await cluster.client.delete(.pods("default"), name: "web", gracePeriodSeconds: 0)
      try await cluster.eventually("critical is there") {
        try await cluster.client.get(.pods("kube-system"), name: "critical")["spec"]["nodeName"].string == "n1"
      }
    }
  }

  @Test func aPriorityNeverChanges() async throws {
    try await TestCluster.with { cluster in
      let classes = ResourcePath(group: "scheduling.k8s.io", "priorityclasses")
      try await cluster.client.create(classes, ["metadata": ["name": "p1"], "value": 10])
      let failure = await #expect(throws: APIStatusError.self) {
        try await cluster.client.patch(classes, name: "p1", type: .merge, ["value": 11])
      }
      #expect(failure?.code == 422 || failure?.code == 403, "\(failure.map(\.description) ?? "")")
      try await cluster.client.patch(classes, name: "p1", type: .merge, ["description": "may change"])
      #expect(try await cluster.client.get(classes, name: "p1")["value"].int == 10)
    }
  }
}
