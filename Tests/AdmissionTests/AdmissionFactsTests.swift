import JSONCodec
import Testing

@testable import Admission

/// Facts that note what they are asked.
private final class WatchedFacts: ClusterFacts, @unchecked Sendable {
  // One test's task alone reads and writes it.
  var asked: Set<AdmissionFact> = []
  let inner = facts([.runtimeClass("kata"): [["metadata": ["name": "kata"]]], .storageClass("gold"): [["allowVolumeExpansion": true]]])

  func objects(_ fact: AdmissionFact) -> [JSON] {
    asked.insert(fact)
    return inner.objects(fact)
  }
}

@Suite struct AdmissionFactsTests {
  static let requests: [(object: JSON, attributes: AdmissionAttributes)] = [
    (pod(), attributes()), (pod("web", ["runtimeClassName": "kata", "priorityClassName": "system-node-critical"]), attributes()),
    (["metadata": ["name": "d"]], attributes(.create, "persistentvolumeclaims", kind: "PersistentVolumeClaim")),
    (["metadata": ["name": "i"]], attributes(.create, "ingresses", group: "networking.k8s.io", kind: "Ingress")),
    (["spec": ["template": ["spec": ["hostPID": true]]]], attributes(.create, "deployments", group: "apps", kind: "Deployment")),
    (
      namespace(["pod-security.kubernetes.io/enforce": "baseline"]),
      attributes(.update, "namespaces", kind: "Namespace", namespace: nil, old: namespace())
    ),
    (["globalDefault": true], attributes(.create, "priorityclasses", group: "scheduling.k8s.io", kind: "PriorityClass", namespace: nil)),
    (
      ["spec": ["storageClassName": "gold", "resources": ["requests": ["storage": "2Gi"]]]],
      attributes(
        .update, "persistentvolumeclaims", kind: "PersistentVolumeClaim",
        old: ["spec": ["storageClassName": "gold"], "status": ["phase": "Bound"]])
    ),
    (pod(), attributes(.update, old: pod("web", ["containers": [["name": "c", "image": "other"]]]))),
    (pod(), attributes(.update, subresource: "ephemeralcontainers", old: pod("web", ["containers": []]))),
    (pod(), attributes(.update, subresource: "status", old: pod())),
    (["metadata": ["name": "c"]], attributes(.create, "configmaps", kind: "ConfigMap")),
  ]

  /// What is asked is what was announced: otherwise the server would answer from nothing.
  @Test(arguments: requests.indices)
  func whatIsAskedWasAnnounced(_ i: Int) throws {
    let (object, request) = Self.requests[i]
    let cluster = WatchedFacts()
    let announced = AdmissionChain().facts(for: object, attributes: request)
    var mutated = object
    try AdmissionChain().mutate(&mutated, attributes: request, cluster: cluster)
    #expect(cluster.asked.isSubset(of: announced))
    cluster.asked = []
    let again = AdmissionChain().facts(for: mutated, attributes: request)
    _ = try AdmissionChain().validate(mutated, attributes: request, cluster: cluster)
    #expect(cluster.asked.isSubset(of: again))
  }

  @Test func requestsThatNobodyCaresForAskNothing() {
    #expect(AdmissionChain().facts(for: pod(), attributes: attributes(.update, subresource: "status", old: pod())).isEmpty)
    #expect(
      AdmissionChain().facts(for: .null, attributes: attributes(.update, "leases", group: "coordination.k8s.io", kind: "Lease")).isEmpty)
  }

  @Test func aNamelessObjectGoesByItsGenerateName() {
    var object = pod("web", ["priorityClassName": "none"])
    object["metadata"]["name"] = .null
    object["metadata"]["generateName"] = "web-"
    #expect(refusal(object) == "pods \"web-\" is forbidden: no PriorityClass with name none was found")
  }
}
