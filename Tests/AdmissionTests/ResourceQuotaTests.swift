import JSONCodec
import KubernetesAPI
import Testing

@testable import Admission

private let now = Timestamp(secondsSinceEpoch: 1_800_000_000)

/// A quota whose usage is known.
private func quota(_ name: String = "test", hard: JSON, used: JSON? = nil, spec: JSON = .null) -> JSON {
  var spec = spec.isNull ? JSON.object(JSONObject()) : spec
  spec["hard"] = hard
  let zeros = JSON.object(JSONObject((hard.object ?? JSONObject()).keys.map { ($0, "0") }))
  return [
    "metadata": ["name": .string(name), "resourceVersion": "7"], "spec": spec, "status": ["hard": hard, "used": used ?? zeros],
  ]
}

private func check(_ quotas: [JSON], _ object: JSON, _ request: AdmissionAttributes = attributes()) throws -> [QuotaCharge] {
  try ResourceQuotas.check(quotas, object: object, attributes: request, now: now)
}

private func refused(_ quotas: [JSON], _ object: JSON, _ request: AdmissionAttributes = attributes()) -> String? {
  do throws(AdmissionRefusal) {
    _ = try ResourceQuotas.check(quotas, object: object, attributes: request, now: now)
    return nil
  } catch {
    return error.message
  }
}

@Suite struct QuotaUsageTests {
  private static func usage(_ object: JSON, _ resource: String, group: String = "") -> JSON {
    QuotaUsage.of(object, group: group, resource: resource, now: now).json
  }

  @Test func aPodUsesWhatItsContainersAskFor() {
    let object = pod(
      requests: ["cpu": "100m", "memory": "1Gi", "ephemeral-storage": "1G", "hugepages-2Mi": "4Mi", "example.com/gpu": "2"],
      limits: ["cpu": "200m", "memory": "2Gi"])
    #expect(
      Self.usage(object, "pods") == [
        "count/pods": "1", "pods": "1", "cpu": "100m", "requests.cpu": "100m", "limits.cpu": "200m", "memory": "1Gi",
        "requests.memory": "1Gi", "limits.memory": "2Gi", "ephemeral-storage": "1G", "requests.ephemeral-storage": "1G",
        "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi", "requests.example.com/gpu": "2",
      ])
  }

  @Test func podsThatHaveEndedAreOnlyCounted() {
    var object = pod(requests: ["cpu": "1"])
    object["status"]["phase"] = "Succeeded"
    #expect(Self.usage(object, "pods") == ["count/pods": "1"])
    object["status"]["phase"] = "Running"
    object["metadata"]["deletionTimestamp"] = .string(now.advanced(bySeconds: -40).rfc3339)
    object["metadata"]["deletionGracePeriodSeconds"] = 30
    #expect(Self.usage(object, "pods") == ["count/pods": "1"])
    object["metadata"]["deletionGracePeriodSeconds"] = 60
    #expect(Self.usage(object, "pods")["pods"] == "1")
  }

  @Test func overheadPodLevelResourcesAndResizesCount() {
    var object = pod(requests: ["cpu": "1"])
    object["spec"]["overhead"] = ["cpu": "250m"]
    #expect(Self.usage(object, "pods")["requests.cpu"] == "1250m")
    object["spec"]["resources"] = ["requests": ["cpu": "3"]]
    #expect(Self.usage(object, "pods")["requests.cpu"] == "3250m")
    object["spec"]["resources"] = .null
    object["status"]["containerStatuses"] = [["name": "c", "resources": ["requests": ["cpu": "2"]]]]
    #expect(Self.usage(object, "pods")["requests.cpu"] == "2250m")
  }

  @Test func servicesCountTheirNodePorts() {
    func service(_ type: String, _ more: JSON = .null) -> JSON {
      ["spec": ["type": .string(type), "ports": [["port": 1], ["port": 2, "nodePort": 30000]], "allocateLoadBalancerNodePorts": more]]
    }
    func row(_ object: JSON) -> [JSON] {
      let usage = Self.usage(object, "services")
      return [usage["services"], usage["services.nodeports"], usage["services.loadbalancers"]]
    }
    #expect(row(service("ClusterIP")) == ["1", "0", "0"])
    #expect(row(service("NodePort")) == ["1", "2", "0"])
    #expect(row(service("LoadBalancer")) == ["1", "2", "1"])
    #expect(row(service("LoadBalancer", false)) == ["1", "1", "1"])
  }

  @Test func claimsCountForTheirClass() {
    let claim: JSON = ["spec": ["storageClassName": "gold", "resources": ["requests": ["storage": "1.5"]]]]
    #expect(
      Self.usage(claim, "persistentvolumeclaims") == [
        "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1", "gold.storageclass.storage.k8s.io/requests.storage": "2",
      ])
  }

  @Test func everyKindHasACount() {
    #expect(Self.usage(.null, "deployments", group: "apps") == ["count/deployments.apps": "1"])
    #expect(Self.usage(.null, "secrets") == ["count/secrets": "1", "secrets": "1"])
    let claim: JSON = [
      "spec": [
        "devices": [
          "requests": [
            ["exactly": ["deviceClassName": "gpu", "count": 2]],
            ["firstAvailable": [["deviceClassName": "gpu", "count": 1], ["deviceClassName": "tpu", "allocationMode": "All"]]],
          ]
        ]
      ]
    ]
    let usage = Self.usage(claim, "resourceclaims", group: "resource.k8s.io")
    #expect(usage["gpu.deviceclass.resource.k8s.io/devices"] == "3")
    #expect(usage["tpu.deviceclass.resource.k8s.io/devices"] == "32")
  }
}

@Suite struct ResourceQuotaTests {
  @Test func whatFitsIsCharged() throws {
    let charges = try check(
      [quota(hard: ["pods": "5", "requests.cpu": "1", "services": "2"], used: ["pods": "1", "requests.cpu": "250m", "services": "1"])],
      pod(requests: ["cpu": "500m"]))
    #expect(charges.count == 1 && charges[0].name == "test" && charges[0].resourceVersion == "7")
    #expect(charges[0].quota["status"]["used"] == ["pods": "2", "requests.cpu": "750m", "services": "1"])
    #expect(charges[0].quota["status"]["hard"] == ["pods": "5", "requests.cpu": "1", "services": "2"])
    // Quotas about other things are not touched.
    #expect(try check([quota(hard: ["services": "2"])], pod()).isEmpty)
  }

  @Test func whatDoesNotFitIsRefusedWithUpstreamsText() {
    #expect(
      refused([quota(hard: ["pods": "5"], used: ["pods": "5"])], pod())
        == "pods \"web\" is forbidden: exceeded quota: test, requested: pods=1, used: pods=5, limited: pods=5")
    #expect(
      refused(
        [
          quota(
            hard: ["pods": "9", "requests.cpu": "1", "requests.memory": "1Gi"],
            used: ["pods": "0", "requests.cpu": "900m", "requests.memory": "512Mi"])
        ],
        pod(requests: ["cpu": "200m", "memory": "1Gi"]))
        == "pods \"web\" is forbidden: exceeded quota: test, requested: requests.cpu=200m,requests.memory=1Gi, "
        + "used: requests.cpu=900m,requests.memory=512Mi, limited: requests.cpu=1,requests.memory=1Gi")
    #expect(
      refused(
        [quota("x", hard: ["cpu": "1", "memory": "1Gi"])],
        pod("web", ["containers": [["name": "c"], ["name": "b", "resources": ["requests": ["cpu": "1m"]]]]]))
        == "pods \"web\" is forbidden: failed quota: x: must specify cpu for: c; memory for: b,c")
    #expect(
      refused([quota(hard: ["pods": "5"], used: .null)], pod())
        == "pods \"web\" is forbidden: status unknown for quota: test, resources: pods")
    let deployment: JSON = ["metadata": ["name": "d"]]
    #expect(
      refused(
        [quota(hard: ["count/deployments.apps": "1"], used: ["count/deployments.apps": "1"])], deployment,
        attributes(.create, "deployments", group: "apps", kind: "Deployment"))
        == "deployments.apps \"d\" is forbidden: exceeded quota: test, requested: count/deployments.apps=1, "
        + "used: count/deployments.apps=1, limited: count/deployments.apps=1")
  }

  @Test func updatesPayTheDifference() throws {
    func service(_ type: String) -> JSON { ["metadata": ["name": "s"], "spec": ["type": .string(type), "ports": [["port": 1]]]] }
    let hard: JSON = ["services": "1", "services.nodeports": "1"]
    let used: JSON = ["services": "1", "services.nodeports": "0"]
    let request = attributes(.update, "services", kind: "Service", old: service("ClusterIP"))
    let charges = try check([quota(hard: hard, used: used)], service("NodePort"), request)
    #expect(charges.map { $0.quota["status"]["used"] } == [["services": "1", "services.nodeports": "1"]])
    // What is given back is found by recomputation: nothing is charged, and nothing fails although the limit is reached.
    let back = attributes(.update, "services", kind: "Service", old: service("NodePort"))
    #expect(try check([quota(hard: hard, used: hard)], service("ClusterIP"), back).isEmpty)
    // A pod's own update costs nothing; its resize does.
    #expect(try check([quota(hard: ["requests.cpu": "1"])], pod(requests: ["cpu": "9"]), attributes(.update, old: pod())).isEmpty)
    let resize = attributes(.update, subresource: "resize", old: pod(requests: ["cpu": "500m"]))
    #expect(
      refused([quota(hard: ["requests.cpu": "1"], used: ["requests.cpu": "1"])], pod(requests: ["cpu": "600m"]), resize)
        == "pods \"web\" is forbidden: exceeded quota: test, requested: requests.cpu=100m, used: requests.cpu=1, limited: requests.cpu=1")
  }

  /// Scopes, a pod's spec, and whether the quota is about it.
  static let scopes: [(quota: JSON, spec: JSON, isMatched: Bool)] = {
    let plain: JSON = ["containers": [["name": "c"]]]
    let burstable: JSON = ["containers": [["name": "c", "resources": ["requests": ["cpu": "1"]]]]]
    let deadline: JSON = ["activeDeadlineSeconds": 5, "containers": [["name": "c"]]]
    let high: JSON = ["priorityClassName": "high", "containers": [["name": "c"]]]
    let term: JSON = ["topologyKey": "a", "namespaces": ["other"]]
    let near: JSON = [
      "affinity": ["podAffinity": ["preferredDuringSchedulingIgnoredDuringExecution": [["weight": 1, "podAffinityTerm": term]]]]
    ]
    func selector(_ scope: String, _ word: String, _ values: JSON = .null) -> JSON {
      ["scopeSelector": ["matchExpressions": [["scopeName": .string(scope), "operator": .string(word), "values": values]]]]
    }
    return [
      (["scopes": ["BestEffort"]], plain, true), (["scopes": ["BestEffort"]], burstable, false),
      (["scopes": ["NotBestEffort"]], burstable, true), (["scopes": ["NotBestEffort"]], plain, false),
      (["scopes": ["Terminating"]], deadline, true), (["scopes": ["Terminating"]], plain, false),
      (["scopes": ["NotTerminating"]], plain, true), (["scopes": ["NotTerminating"]], deadline, false),
      (["scopes": ["Terminating", "NotBestEffort"]], deadline, false), (["scopes": ["Terminating", "BestEffort"]], deadline, true),
      (["scopes": ["PriorityClass"]], high, true), (["scopes": ["PriorityClass"]], plain, false),
      (selector("PriorityClass", "In", ["high", "low"]), high, true), (selector("PriorityClass", "In", ["low"]), high, false),
      (selector("PriorityClass", "In", ["low"]), plain, false), (selector("PriorityClass", "NotIn", ["high"]), high, false),
      (selector("PriorityClass", "NotIn", ["high"]), plain, true), (selector("PriorityClass", "Exists"), high, true),
      (selector("PriorityClass", "DoesNotExist"), high, false), (selector("PriorityClass", "DoesNotExist"), plain, true),
      (["scopes": ["CrossNamespacePodAffinity"]], near, true), (["scopes": ["CrossNamespacePodAffinity"]], plain, false),
    ]
  }()

  @Test(arguments: scopes.indices)
  func scopesChooseThePods(_ i: Int) throws {
    let row = Self.scopes[i]
    #expect(try check([quota(hard: ["pods": "1"], spec: row.quota)], pod("web", row.spec)).isEmpty != row.isMatched)
  }

  @Test func aQuotaWithScopesIsAboutPodsOnly() throws {
    let request = attributes(.create, "services", kind: "Service")
    #expect(try check([quota(hard: ["services": "0"], spec: ["scopes": ["BestEffort"]])], ["metadata": ["name": "s"]], request).isEmpty)
  }

  @Test func recomputationCountsEverythingAnew() {
    let hard: JSON = [
      "pods": "5", "requests.cpu": "2", "secrets": "10", "count/deployments.apps": "3", "services.nodeports": "1",
      "count/gone.example": "1",
    ]
    let stale = quota(hard: hard, used: ["pods": "4", "count/gone.example": "1", "old": "9"])
    let resources = ResourceQuotas.counted(by: stale)
    let pods = CountedResource(group: "", resource: "pods")
    let deployments = CountedResource(group: "apps", resource: "deployments")
    #expect(
      resources == [
        pods, deployments, CountedResource(group: "", resource: "secrets"), CountedResource(group: "", resource: "services"),
        CountedResource(group: "example", resource: "gone"),
      ])
    var ended = pod(requests: ["cpu": "1"])
    ended["status"]["phase"] = "Failed"
    let status = ResourceQuotas.status(
      of: stale,
      objects: [
        pods: [pod(requests: ["cpu": "300m"]), ended, pod(requests: ["cpu": "200m"])], deployments: [.null, .null],
        CountedResource(group: "", resource: "secrets"): [], CountedResource(group: "", resource: "services"): [],
      ], now: now)
    #expect(status["hard"] == hard)
    #expect(
      status["used"] == [
        "pods": "2", "requests.cpu": "500m", "secrets": "0", "count/deployments.apps": "2", "services.nodeports": "0",
        "count/gone.example": "1",
      ])
  }
}
