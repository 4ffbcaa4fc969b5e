import JSONCodec
import KubernetesAPI

/// What the scheduler needs of objects other than pods and nodes. Keys are `namespace/name`, or names where there are no namespaces.
package struct ClusterFacts {
  var namespaces: [String: Labels] = [:]
  var claims: [String: ClaimFacts] = [:]
  var volumes: [String: VolumeFacts] = [:]
  var storageClasses: [String: StorageClassFacts] = [:]
  /// By node: how many volumes it takes of each driver.
  var volumeLimits: [String: [String: Int]] = [:]
  /// By namespace and name.
  var budgets: [String: [String: Budget]] = [:]
  /// Selectors of services by namespace and name.
  var services: [String: [String: Labels]] = [:]
  /// Selectors of ReplicaSets and the like, by kind and key.
  var workloads: [String: [String: Selector]] = [:]
  /// Counts up when services or workloads change.
  var spreadEpoch = 0

  package init() {}
}

struct Budget: Sendable {
  let selector: Selector?
  let allowed: Int
  let disrupted: Set<String>

  init(_ json: JSON) {
    selector = Selector(json["spec"]["selector"])
    allowed = json["status"]["disruptionsAllowed"].int ?? 0
    disrupted = Set(json["status"]["disruptedPods"].object?.keys ?? [])
  }

  func covers(_ labels: Labels, name: String) -> Bool {
    guard let selector, !disrupted.contains(name) else { return false }
    return selector.matches(labels)
  }
}

struct ClaimFacts: Sendable, Equatable {
  let uid: String
  let resourceVersion: String
  let volumeName: String
  let storageClass: String?
  let isBound: Bool
  let isLost: Bool
  let isLeaving: Bool
  let selectedNode: String
  let accessModes: [String]
  let volumeMode: String
  let selector: Selector?
  let requested: Int64
  /// The pod that an ephemeral volume's claim belongs to.
  let ownerUID: String

  init(_ json: JSON) {
    let (metadata, spec) = (json["metadata"], json["spec"])
    uid = metadata["uid"].string ?? ""
    resourceVersion = metadata["resourceVersion"].string ?? ""
    volumeName = spec["volumeName"].string ?? ""
    let beta = metadata["annotations"]["volume.beta.kubernetes.io/storage-class"].string
    storageClass = beta ?? spec["storageClassName"].string
    isBound = !volumeName.isEmpty && !metadata["annotations"]["pv.kubernetes.io/bind-completed"].isNull
    isLost = json["status"]["phase"].string == "Lost"
    isLeaving = !metadata["deletionTimestamp"].isNull
    selectedNode = metadata["annotations"]["volume.kubernetes.io/selected-node"].string ?? ""
    accessModes = spec["accessModes"].texts
    volumeMode = spec["volumeMode"].string ?? "Filesystem"
    selector = Selector(spec["selector"])
    requested = spec["resources"]["requests"]["storage"].quantity?.value ?? 0
    ownerUID = metadata["ownerReferences"].items.first { $0["controller"].bool == true }?["uid"].string ?? ""
  }

  var isSingle: Bool { accessModes.contains("ReadWriteOncePod") }
}

struct VolumeFacts: Sendable, Equatable {
  let name: String
  /// Nil: any node.
  let nodeTerms: [NodeTerm]?
  let labels: Labels
  let claimUID: String
  /// `namespace/name` of the claim it is meant for; empty where it is free.
  let claim: String
  let isUsable: Bool
  let storageClass: String
  let accessModes: [String]
  let volumeMode: String
  let capacity: Int64
  let driver: String
  let handle: String

  init(_ json: JSON) {
    let spec = json["spec"]
    name = json["metadata"]["name"].string ?? ""
    let required = spec["nodeAffinity"]["required"]
    nodeTerms = required.isNull ? nil : required["nodeSelectorTerms"].items.map(NodeTerm.init)
    labels = json["metadata"]["labels"].labels
    let reference = spec["claimRef"]
    claimUID = reference["uid"].string ?? ""
    claim = reference.isNull ? "" : "\(reference["namespace"].string ?? "")/\(reference["name"].string ?? "")"
    isUsable =
      json["metadata"]["deletionTimestamp"].isNull && ["", "Pending", "Available"].contains(json["status"]["phase"].string ?? "")
    storageClass = spec["storageClassName"].string ?? ""
    accessModes = spec["accessModes"].texts
    volumeMode = spec["volumeMode"].string ?? "Filesystem"
    capacity = spec["capacity"]["storage"].quantity?.value ?? 0
    driver = spec["csi"]["driver"].string ?? ""
    handle = spec["csi"]["volumeHandle"].string ?? ""
  }

  func allows(_ node: NodeFacts) -> Bool { nodeTerms.map { NodeTerm.any($0, match: node) } ?? true }
}

struct StorageClassFacts: Sendable, Equatable {
  let waits: Bool
  let provisioner: String
  /// Each a list of label keys with the values that fit; empty: any node.
  let topologies: [[Requirement]]

  init(_ json: JSON) {
    waits = json["volumeBindingMode"].string == "WaitForFirstConsumer"
    provisioner = json["provisioner"].string ?? ""
    topologies = json["allowedTopologies"].items.map { term in
      term["matchLabelExpressions"].items.map { Requirement(key: $0["key"].string ?? "", isIn: $0["values"].texts) }
    }
  }

  var provisions: Bool { !provisioner.isEmpty && provisioner != "kubernetes.io/no-provisioner" }

  func allows(_ node: NodeFacts) -> Bool {
    topologies.isEmpty || topologies.contains { $0.allSatisfy { $0.holds(node.labels[$0.key]) } }
  }
}

extension Cluster {
  /// The selector of the services and the workload that a pod belongs to; nil where there are none.
  func defaultSelector(_ shape: PodShape) -> Selector? {
    if let known = shape.defaultSpread, known.epoch == facts.spreadEpoch { return known.selector }
    let needs = shape.needs
    var labels: Labels = [:]
    for service in (facts.services[needs.namespace] ?? [:]).sorted(by: { $0.key < $1.key }) {
      if service.value.allSatisfy({ needs.labels[$0.key] == $0.value }) { labels.merge(service.value) { $1 } }
    }
    var selector = Selector(equal: labels)
    if let owner = needs.owner, let own = facts.workloads[owner.kind]?["\(needs.namespace)/\(owner.name)"] {
      selector.requirements += own.requirements
    }
    let result = selector.requirements.isEmpty ? nil : selector
    shape.defaultSpread = (facts.spreadEpoch, result)
    return result
  }
}
