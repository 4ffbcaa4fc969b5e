import JSONCodec
import KubernetesAPI

/// Everything about a pod that decides where it may go, but for what is its own: its name, its priority, its claims and the one
/// node that a DaemonSet's pod names. Pods of one workload have equal needs, and share a `PodShape`.
struct PodNeeds: Hashable, Sendable {
  /// A term that is preferred, or, with a negative weight, avoided.
  struct Preference<Term: Hashable & Sendable>: Hashable, Sendable {
    let weight: Int32
    let term: Term
  }

  /// A workload whose selector says which pods should be spread where the pod does not say so itself.
  struct Owner: Hashable, Sendable {
    let kind: String
    let name: String
  }

  var namespace: String
  var labels: Labels
  var requests: Amounts
  /// What scores count, cpu and memory.
  var weighed: Amounts
  var ports: [HostPort]
  var nodeSelector: Labels
  /// Nil: none are required.
  var nodeTerms: [NodeTerm]?
  var preferredNodes: [Preference<NodeTerm>]
  var tolerations: [Toleration]
  var spread: [SpreadConstraint]
  var affinity: [AffinityTerm]
  var antiAffinity: [AffinityTerm]
  var preferredPods: [Preference<AffinityTerm>]
  var images: [String]
  var containerCount: Int
  var owner: Owner?

  /// The needs, and the one node that is required by its name, as by DaemonSets.
  static func read(_ pod: JSON) -> (needs: PodNeeds, pinnedNode: String?) {
    let spec = pod["spec"]
    let namespace = pod["metadata"]["namespace"].string ?? ""
    let labels = pod["metadata"]["labels"].labels
    let affinity = spec["affinity"]
    var nodeTerms: [NodeTerm]?
    var pinned: String?
    let required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    if !required.isNull {
      var terms = required["nodeSelectorTerms"].items.map(NodeTerm.init)
      if terms.count == 1, terms[0].fields.count == 1, let field = terms[0].fields.first, field.key == "metadata.name",
        field.test == .isIn, field.values.count == 1
      {
        pinned = field.values[0]
        terms[0].fields = []
      }
      nodeTerms = pinned != nil && terms[0].labels.isEmpty ? nil : terms
    }
    func terms(_ kind: String, _ list: String) -> [JSON] { affinity[kind][list].items }
    let soft = "preferredDuringSchedulingIgnoredDuringExecution"
    let hard = "requiredDuringSchedulingIgnoredDuringExecution"
    var preferredPods: [Preference<AffinityTerm>] = []
    for (kind, sign) in [("podAffinity", Int32(1)), ("podAntiAffinity", -1)] {
      for term in terms(kind, soft) {
        preferredPods.append(
          Preference(
            weight: sign * Int32(clamping: term["weight"].int ?? 0),
            term: AffinityTerm(term["podAffinityTerm"], namespace: namespace, labels: labels)))
      }
    }
    let containers = spec["containers"].items + spec["initContainers"].items
    var owner: Owner?
    for reference in pod["metadata"]["ownerReferences"].items where reference["controller"].bool == true {
      let kind = reference["kind"].string ?? ""
      if ["ReplicaSet", "ReplicationController", "StatefulSet"].contains(kind) {
        owner = Owner(kind: kind, name: reference["name"].string ?? "")
      }
    }
    let needs = PodNeeds(
      namespace: namespace, labels: labels, requests: PodRequests.of(spec), weighed: PodRequests.of(spec, assuming: true),
      ports: HostPort.of(spec), nodeSelector: spec["nodeSelector"].labels, nodeTerms: nodeTerms,
      preferredNodes: terms("nodeAffinity", soft).map {
        Preference(weight: Int32(clamping: $0["weight"].int ?? 0), term: NodeTerm($0["preference"]))
      },
      tolerations: spec["tolerations"].items.map(Toleration.init),
      spread: spec["topologySpreadConstraints"].items.map { SpreadConstraint($0, namespace: namespace, labels: labels) },
      affinity: terms("podAffinity", hard).map { AffinityTerm($0, namespace: namespace, labels: labels) },
      antiAffinity: terms("podAntiAffinity", hard).map { AffinityTerm($0, namespace: namespace, labels: labels) },
      preferredPods: preferredPods, images: containers.map { NodeFacts.normalized(image: $0["image"].string ?? "") },
      containerCount: containers.count, owner: owner)
    return (needs, pinned)
  }
}

/// The needs that many pods share, with what the cluster keeps about them: where such pods are, what counts them, and a table of the
/// nodes. Belongs to one `Cluster`.
final class PodShape {
  let needs: PodNeeds
  let extendedNames: [String]
  /// Pods that are alive and have this shape, wherever they are.
  var users = 0

  /// Placed pods by slot: all of them, and those that are going.
  var placed: [Int32: Int32] = [:]
  var leaving: [Int32: Int32] = [:]

  /// What counts pods of this shape, and how far the cluster's list of counters has been looked through for it.
  var countedBy: [PodCounter] = []
  var countersSeen = 0
  /// The terms that pods of this shape own.
  var owned: [TermOwners] = []
  var ownsTerms = false
  /// Existing pods' terms that mean pods of this shape, and how far the list has been looked through.
  var meantBy: [TermOwners] = []
  var ownersSeen = 0

  /// What the shape's own terms count.
  var affinityCounter: PodCounter?
  var antiCounters: [PodCounter] = []
  var preferredCounters: [PodCounter] = []
  var hasCounters = false

  var tables: [Int: ShapeTable] = [:]
  /// Default spreading by namespace epoch.
  var defaultSpread: (epoch: Int, selector: Selector?)?
  /// For memory of decisions in one turn of the queue.
  var turn = 0
  var turnAnswer = false

  init(_ needs: PodNeeds) {
    self.needs = needs
    extendedNames = needs.requests.extended.filter { $0.value > 0 }.keys.sorted()
  }
}

/// A pod as the scheduler knows it. Belongs to one `Cluster`.
package final class PodRecord {
  package let reference: PodReference
  package let schedulerName: String
  package let priority: Int
  /// Nanoseconds since the epoch.
  let created: Int64
  let started: Int64
  package let isLeaving: Bool
  package let isGated: Bool
  let preemptsNever: Bool
  let requests: Amounts
  /// The node that the binding named; empty while it has none.
  package let nodeName: String
  package let nominatedNode: String
  let pinnedNode: String?
  let claims: [ClaimUse]
  /// It wants devices of ResourceClaims, which nobody here allocates.
  let wantsDevices: Bool
  /// The PodScheduled condition: reason and message, nil where there is none.
  package let condition: Condition?
  let shape: PodShape

  package struct Condition: Equatable, Sendable {
    package let isTrue: Bool
    package let reason: String
    package let message: String
  }

  struct ClaimUse: Hashable, Sendable {
    let name: String
    /// The claim is made for this pod, of an ephemeral volume.
    let isOwn: Bool
  }

  init(_ json: JSON, pinnedNode: String?, shape: PodShape) {
    let (metadata, spec, status) = (json["metadata"], json["spec"], json["status"])
    reference = PodReference(json)
    schedulerName = spec["schedulerName"].string ?? "default-scheduler"
    priority = spec["priority"].int ?? 0
    created = metadata["creationTimestamp"].timestamp?.nanosecondsSinceEpoch ?? 0
    started = status["startTime"].timestamp?.nanosecondsSinceEpoch ?? created
    isLeaving = !metadata["deletionTimestamp"].isNull
    isGated = !spec["schedulingGates"].isEmpty
    preemptsNever = spec["preemptionPolicy"].string == "Never"
    nodeName = spec["nodeName"].string ?? ""
    nominatedNode = status["nominatedNodeName"].string ?? ""
    self.pinnedNode = pinnedNode
    self.shape = shape
    requests = nodeName.isEmpty || status["containerStatuses"].isEmpty ? shape.needs.requests : PodRequests.ofBound(json)
    var claims: [ClaimUse] = []
    for volume in spec["volumes"].items {
      if let claim = volume["persistentVolumeClaim"]["claimName"].string {
        claims.append(ClaimUse(name: claim, isOwn: false))
      } else if !volume["ephemeral"].isNull {
        claims.append(ClaimUse(name: "\(reference.name)-\(volume["name"].string ?? "")", isOwn: true))
      }
    }
    self.claims = claims
    wantsDevices = !spec["resourceClaims"].isEmpty
    condition = status["conditions"].items.first { $0["type"].string == "PodScheduled" }.map {
      Condition(isTrue: $0["status"].string == "True", reason: $0["reason"].string ?? "", message: $0["message"].string ?? "")
    }
    shape.users += 1
  }

  deinit { shape.users -= 1 }

  var uid: String { reference.uid }
  var namespace: String { reference.namespace }

  /// The order in which pods are spared: higher priority first, then those that run longer.
  static func moreImportant(_ a: PodRecord, _ b: PodRecord) -> Bool {
    a.priority != b.priority ? a.priority > b.priority : a.started < b.started
  }
}

/// What writes need to name a pod.
package struct PodReference: Sendable, Hashable {
  package let namespace: String
  package let name: String
  package let uid: String
  package let resourceVersion: String
  package let generation: Int

  package init(_ pod: JSON) {
    let metadata = pod["metadata"]
    namespace = metadata["namespace"].string ?? ""
    name = metadata["name"].string ?? ""
    uid = metadata["uid"].string ?? ""
    resourceVersion = metadata["resourceVersion"].string ?? ""
    generation = metadata["generation"].int ?? 0
  }
}
