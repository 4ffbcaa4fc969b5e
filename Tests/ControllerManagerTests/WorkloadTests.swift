import JSONCodec
import KubernetesAPI
import KubernetesClient
import Reconcilers
import Testing

@testable import ControllerManager

/// Each controller on the real API server: defaulting, validation and storage agree with what it writes.
@Suite struct WorkloadTests {
  @Test func anIndexedJob() async throws {
    try await TestCluster.with { cluster in
      try await withKubelets(cluster) {
        try await cluster.create(
          .job,
          [
            "metadata": ["name": "j"],
            "spec": ["completions": 3, "parallelism": 2, "completionMode": "Indexed", "template": container(restartPolicy: "Never")],
          ])
        for done in 1...3 {
          try await cluster.eventually("a running pod") {
            try await cluster.all(.pod).contains { $0["status"]["phase"].string == "Running" }
          }
          let pod = try await cluster.all(.pod).first { $0["status"]["phase"].string == "Running" }!
          try await cluster.client.patch(
            .pods("default"), name: pod["metadata"]["name"].string!, subresource: "status", type: .merge, ["status": ["phase": "Succeeded"]]
          )
          try await cluster.eventually("\(done) counted") { try await cluster.get(.job, "j")["status"]["succeeded"].int == done }
        }
        try await cluster.eventually("complete") {
          let status = try await cluster.get(.job, "j")["status"]
          return (status["conditions"].array ?? []).contains { $0["type"].string == "Complete" }
            && status["completedIndexes"].string == "0-2"
            && status["ready"].int == 0 && status["terminating"].int == 0
        }
        // With the job go its pods, finalizers and all, where that is asked for.
        try await cluster.client.delete(Kind.job.path("default"), name: "j", propagation: "Background")
        try await cluster.eventually("nothing left") { try await cluster.all(.pod).isEmpty }
      }
    }
  }

  @Test func aCronJobOnASchedule() async throws {
    try await TestCluster.with { cluster in
      try await cluster.create(
        .cronJob,
        [
          "metadata": ["name": "c"],
          "spec": [
            "schedule": "@every 1s", "timeZone": "Europe/Berlin",
            "jobTemplate": ["spec": ["template": container(restartPolicy: "OnFailure")]],
          ],
        ])
      try await cluster.eventually("a job") { try await !cluster.all(.job).isEmpty }
      try await cluster.eventually("its status") { try await cluster.get(.cronJob, "c")["status"]["active"].array?.isEmpty == false }
    }
  }

  @Test func aStatefulSetWithStorage() async throws {
    try await TestCluster.with { cluster in
      try await withKubelets(cluster) {
        try await cluster.create(
          .statefulSet,
          [
            "metadata": ["name": "db"],
            "spec": [
              "replicas": 2, "serviceName": "db", "selector": ["matchLabels": ["app": "web"]], "template": container(),
              "volumeClaimTemplates": [
                ["metadata": ["name": "data"], "spec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": "1Gi"]]]]
              ],
            ],
          ])
        try await cluster.eventually("two ready") { try await cluster.get(.statefulSet, "db")["status"]["readyReplicas"].int == 2 }
        #expect(try await cluster.all(.persistentVolumeClaim).count == 2)
        try await cluster.patch(.statefulSet, "db", ["spec": ["template": container("nginx:2")]])
        try await cluster.eventually("updated") {
          let status = try await cluster.get(.statefulSet, "db")["status"]
          return status["observedGeneration"].int == 2 && status["updatedReplicas"].int == 2 && status["readyReplicas"].int == 2
            && status["currentRevision"] == status["updateRevision"]
        }
        let revisions = try await cluster.all(.controllerRevision)
        #expect(revisions.count == 2, "\(revisions.map { $0.text() })")
      }
    }
  }

  @Test func aDaemonSetAndABudget() async throws {
    try await TestCluster.with { cluster in
      for name in ["n1", "n2"] {
        try await cluster.create(
          .node, ["metadata": ["name": .string(name)], "status": ["conditions": [["type": "Ready", "status": "True"]]]])
      }
      // New nodes are tainted until they are seen to be ready.
      try await cluster.eventually("usable nodes") { try await cluster.all(.node).allSatisfy { $0["spec"]["taints"].isEmpty } }
      try await cluster.create(
        .daemonSet, ["metadata": ["name": "ds"], "spec": ["selector": ["matchLabels": ["app": "web"]], "template": container()]])
      try await cluster.eventually("two pods") { try await cluster.all(.pod).count == 2 }
      try await cluster.eventually("the status") { try await cluster.get(.daemonSet, "ds")["status"]["desiredNumberScheduled"].int == 2 }
      try await cluster.create(
        .disruptionBudget, ["metadata": ["name": "b"], "spec": ["minAvailable": 1, "selector": ["matchLabels": ["app": "web"]]]])
      try await cluster.eventually("counted") { try await cluster.get(.disruptionBudget, "b")["status"]["expectedPods"].int == 2 }
      #expect(try await cluster.get(.disruptionBudget, "b")["status"]["disruptionsAllowed"].int == 0)
    }
  }

  @Test func taintedNodesLoseTheirPods() async throws {
    try await TestCluster.with { cluster in
      try await cluster.create(.node, ["metadata": ["name": "n1"], "status": ["conditions": [["type": "Ready", "status": "True"]]]])
      try await cluster.create(
        .pod, ["metadata": ["name": "p"], "spec": ["nodeName": "n1", "containers": [["name": "c", "image": "i"]]]])
      try await cluster.patch(.node, "n1", ["spec": ["taints": [["key": "k", "effect": "NoExecute"]]]])
      try await cluster.eventually("evicted") {
        let pod = try await cluster.get(.pod, "p")
        return !pod["metadata"]["deletionTimestamp"].isNull
          && (pod["status"]["conditions"].array ?? []).contains { $0["reason"].string == "DeletionByTaintManager" }
      }
      try await cluster.client.delete(Kind.node.path, name: "n1")
    }
  }

  @Test func autoscalersSayThatMetricsAreMissing() async throws {
    try await TestCluster.with { cluster in
      try await cluster.create(
        .deployment,
        ["metadata": ["name": "web"], "spec": ["replicas": 1, "selector": ["matchLabels": ["app": "web"]], "template": container()]])
      try await cluster.create(
        .autoscaler,
        [
          "metadata": ["name": "h"],
          "spec": ["maxReplicas": 3, "scaleTargetRef": ["apiVersion": "apps/v1", "kind": "Deployment", "name": "web"]],
        ])
      try await cluster.eventually("conditions") {
        let conditions = try await cluster.get(.autoscaler, "h")["status"]["conditions"].array ?? []
        return conditions.contains { $0["reason"].string == "SucceededGetScale" }
          && conditions.contains { $0["reason"].string == "FailedGetResourceMetric" }
      }
    }
  }

  private static func workload(_ kind: Kind, _ replicas: Int) -> JSON {
    let selector: JSON = kind == .replicationController ? ["app": "web"] : ["matchLabels": ["app": "web"]]
    var spec: JSON = ["replicas": JSON(replicas), "selector": selector, "template": container()]
    if kind == .statefulSet { spec["serviceName"] = "web" }
    return ["metadata": ["name": "web", "labels": ["suite": "scale"]], "spec": spec]
  }

  @Test(arguments: [Kind.deployment, .replicaSet, .replicationController, .statefulSet])
  func scaledBySubresource(kind: Kind) async throws {
    try await TestCluster.with { cluster in
      try await withKubelets(cluster) {
        try await cluster.create(kind, Self.workload(kind, 1))
        try await cluster.eventually("one") { try await cluster.get(kind, "web")["status"]["readyReplicas"].int == 1 }
        let path = kind.path("default")
        var scale = try await cluster.client.get(path, name: "web", subresource: "scale")
        #expect(scale["spec"]["replicas"].int == 1 && scale["status"]["selector"].string == "app=web")
        scale["spec"]["replicas"] = 3
        try await cluster.client.update(path, name: "web", subresource: "scale", scale)
        try await cluster.eventually("three") { try await cluster.get(kind, "web")["status"]["readyReplicas"].int == 3 }
        #expect(try await cluster.client.get(path, name: "web", subresource: "scale")["status"]["replicas"].int == 3)
        // What somebody else says in the status stays beside the controller's own words.
        let told: JSON = ["type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set from outside"]
        var object = try await cluster.get(kind, "web")
        object["status"]["conditions"] = .array((object["status"]["conditions"].array ?? []) + [told])
        try await cluster.eventually("written") {
          (try? await cluster.client.update(path, name: "web", subresource: "status", object)) != nil
        }
        try await cluster.client.delete(path, name: "web", propagation: "Background")
        try await cluster.eventually("nothing left") { try await cluster.all(.pod).isEmpty }
      }
    }
  }

  @Test(arguments: [Kind.replicaSet, .replicationController])
  func collectionsGoWithTheirPods(kind: Kind) async throws {
    try await TestCluster.with { cluster in
      try await withKubelets(cluster) {
        try await cluster.create(kind, Self.workload(kind, 2))
        try await cluster.eventually("two") { try await cluster.get(kind, "web")["status"]["readyReplicas"].int == 2 }
        let request = APIRequest(
          "DELETE", kind.path("default").path(), query: [("labelSelector", "suite=scale")], body: ["propagationPolicy": "Background"])
        #expect(try await cluster.client.transport.send(request).status == 200)
        try await cluster.eventually("nothing left") {
          let (sets, pods) = (try await cluster.all(kind), try await cluster.all(.pod))
          return sets.isEmpty && pods.isEmpty
        }
      }
    }
  }

  private static func failure(_ object: JSON) -> JSON {
    (object["status"]["conditions"].array ?? []).first { $0["type"].string == "ReplicaFailure" } ?? .null
  }

  /// A quota stops a controller; it says so, and takes it back once it needs no more.
  @Test(arguments: [Kind.replicaSet, .replicationController])
  func aQuotaIsToldOf(kind: Kind) async throws {
    try await TestCluster.with { cluster in
      let quotas = Kind("", "v1", "ResourceQuota", "resourcequotas")
      try await cluster.create(quotas, ["metadata": ["name": "two"], "spec": ["hard": ["pods": "2"]]])
      try await cluster.eventually("counted") { try await cluster.get(quotas, "two")["status"]["hard"]["pods"].string == "2" }
      try await cluster.create(kind, Self.workload(kind, 3))
      try await cluster.eventually("the condition") {
        let told = Self.failure(try await cluster.get(kind, "web"))
        return told["reason"].string == "FailedCreate" && told["message"].string?.contains("exceeded quota: two") == true
      }
      try await cluster.patch(kind, "web", ["spec": ["replicas": 2]])
      try await cluster.eventually("no condition") { Self.failure(try await cluster.get(kind, "web")).isNull }
      // What somebody writes into the quota's status is counted anew.
      try await cluster.client.patch(
        quotas.path("default"), name: "two", subresource: "status", type: .merge, ["status": ["used": ["pods": "1"]]])
      try await cluster.eventually("two are used") { try await cluster.get(quotas, "two")["status"]["used"]["pods"].string == "2" }
    }
  }

  /// Where a cloud makes load balancers, nobody here gives them addresses.
  @Test func cloudsMakeTheirOwnLoadBalancers() async throws {
    let service: JSON = [
      "metadata": ["name": "web"], "spec": ["type": "LoadBalancer", "selector": ["app": "web"], "ports": [["port": 80]]],
    ]
    let node: JSON = [
      "metadata": ["name": "n1"],
      "status": [
        "conditions": [["type": "Ready", "status": "True"]], "addresses": [["type": "InternalIP", "address": "10.0.0.5"]],
      ],
    ]
    for (reconcilers, isServed) in [(ControllerManager.standard, true), (ControllerManager.withExternalCloud, false)] {
      try await TestCluster.with(reconcilers) { cluster in
        try await cluster.create(.node, node)
        try await cluster.create(.service, service)
        if isServed {
          try await cluster.eventually("an address") {
            try await cluster.get(.service, "web")["status"]["loadBalancer"]["ingress"][0]["ip"].string == "10.0.0.5"
          }
        } else {
          // By then the other controllers have seen both.
          try await cluster.eventually("a slice") {
            try await cluster.all(.endpointSlice).contains { $0["metadata"]["name"].string?.hasPrefix("web-") == true }
          }
          #expect(try await cluster.get(.service, "web")["status"]["loadBalancer"].isEmpty)
        }
      }
    }
  }
}
