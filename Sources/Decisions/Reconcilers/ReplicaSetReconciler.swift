import JSONCodec
import KubernetesAPI

/// Keeps as many pods as a ReplicaSet or a ReplicationController asks for.
package struct ReplicaSetReconciler: Reconciler {
  /// Pods that one round creates or deletes at most.
  static let burstMax = 500

  let kind: Kind
  package let name: String

  package static let replicaSets = ReplicaSetReconciler(kind: .replicaSet, name: "replicaset-controller")
  package static let replicationControllers = ReplicaSetReconciler(kind: .replicationController, name: "replication-controller")

  package var watched: [Kind] { [kind, .pod] }

  private func selector(_ object: JSON) -> LabelSelector? {
    guard kind == .replicationController else { return LabelSelector(json: object["spec"]["selector"]) }
    return LabelSelector(json: ["matchLabels": object["spec"]["selector"]])
  }

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    change.kind == kind ? [change.name] : ownerKeys(of: change, kind, in: cluster, selector: selector)
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let set = cluster.object(kind, key), let selector = selector(set), !selector.selectsEverything else { return [] }
    let now = circumstances.now
    let claims = Claims(of: set, kind, .pod, selector: selector, in: cluster, considering: \.isActivePod)
    var writes = claims.writes
    let pods = claims.members
    let wanted = set["spec"]["replicas"].int ?? 1
    var failure = circumstances.failure
    if set.isBeingDeleted || pods.count == wanted { failure = nil }
    if !set.isBeingDeleted { writes += manage(set, pods, wanted, in: cluster, now) }
    writes += status(set, pods, in: cluster, failure, wanted: wanted, now)
    let minReady = set["spec"]["minReadySeconds"].int ?? 0
    if let soonest = pods.compactMap({ $0.secondsUntilAvailable(minReadySeconds: minReady, now: now) }).min() {
      writes.append(.requeue(after: soonest))
    }
    return writes
  }

  private func manage(_ set: JSON, _ pods: [JSON], _ wanted: Int, in cluster: any ClusterReader, _ now: Timestamp) -> [Write] {
    if pods.count < wanted {
      let pod = Templates.pod(set["spec"]["template"], of: set, kind)
      let announcement = Write.Announcement.created("pod", for: set, kind)
      return Array(repeating: .create(.pod, pod, announcement), count: min(wanted - pods.count, Self.burstMax))
    }
    guard pods.count > wanted else { return [] }
    let victims = VictimOrder(now: now, family: family(of: set, pods, in: cluster)).sorted(pods).prefix(
      min(pods.count - wanted, Self.burstMax))
    return victims.map { .delete(.pod, $0.objectName, uid: $0.uid, Write.Deletion(), .deleted("pod", for: set, kind)) }
  }

  /// The pods of all sets that the same deployment has: two of a family on one node can spare one.
  private func family(of set: JSON, _ pods: [JSON], in cluster: any ClusterReader) -> [JSON] {
    guard let owner = set.controllerUID else { return pods }
    return cluster.controlled(kind, by: owner).flatMap { cluster.controlled(.pod, by: $0.uid) }
  }

  private func status(
    _ set: JSON, _ pods: [JSON], in cluster: any ClusterReader, _ failure: WriteFailure?, wanted: Int, _ now: Timestamp
  ) -> [Write] {
    let templateLabels = (set["spec"]["template"]["metadata"]["labels"].object ?? JSONObject()).map { ($0, $1.string ?? "") }
    let template = LabelSelector(templateLabels.map { .in(key: $0.0, values: [$0.1]) })
    let minReady = set["spec"]["minReadySeconds"].int ?? 0
    var labeled = 0
    var ready = 0
    var available = 0
    for pod in pods {
      if template.matches(pod["metadata"]["labels"]) { labeled += 1 }
      guard pod.isReadyPod else { continue }
      ready += 1
      if pod.isAvailablePod(minReadySeconds: minReady, now: now) { available += 1 }
    }
    var draft = StatusDraft(set)
    draft.number("replicas", pods.count)
    draft.count("fullyLabeledReplicas", labeled)
    draft.count("readyReplicas", ready)
    draft.count("availableReplicas", available)
    if kind == .replicaSet {
      let terminating = cluster.controlled(.pod, by: set.uid).count { $0.isBeingDeleted && !$0.hasEnded }
      draft.number("terminatingReplicas", terminating)
    }
    draft.number("observedGeneration", set.meta.generation)
    if let failure, failure.kind == .pod, failure.operation != .update {
      let reason = failure.operation == .create ? "FailedCreate" : "FailedDelete"
      draft.set(condition: "ReplicaFailure", true, reason, failure.message, now: now)
    } else {
      draft.remove(condition: "ReplicaFailure")
    }
    return draft.write(kind, set)
  }
}
