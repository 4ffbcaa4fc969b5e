import JSONCodec
import KubernetesAPI

/// Deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer.
package struct TaintEvictionReconciler: Reconciler {
  package let name = "taint-eviction-controller"
  package let watched: [Kind] = [.pod, .node]
  private let tainted = Memory<String>()
  /// Pods whose time on a tainted node runs.
  private let condemned = Memory<Bool>()
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    if change.kind == .node {
      if change.states.count == 2, change.states[0]["spec"]["taints"] == change.states[1]["spec"]["taints"] { return [] }
      return cluster.pods(onNode: change.name.name).map(\.objectName)
    }
    guard let pod = change.new else {
      tainted.forget(change.object.uid)
      condemned.forget(change.object.uid)
      return []
    }
    guard !pod.podNode.isEmpty else { return [] }
    if let old = change.old, old.podNode == pod.podNode, old["spec"]["tolerations"] == pod["spec"]["tolerations"] { return [] }
    return [change.name]
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let pod = cluster.object(.pod, key), !pod.isBeingDeleted, !pod.hasEnded,
      let node = cluster.object(.node, "", pod.podNode)
    else { return [] }
    let now = circumstances.now
    let taints = (node["spec"]["taints"].array ?? []).filter { $0["effect"].string == "NoExecute" }
    let text = taints.map { "\($0["key"].string ?? "")=\($0["value"].string ?? "")" }.sorted().joined(separator: ",")
    let since = tainted.since(pod.uid, text, now: now)
    guard !taints.isEmpty else { return spare(pod, now) }
    let tolerations = pod["spec"]["tolerations"].array ?? []
    var patience = Double.infinity
    for taint in taints {
      let matching = tolerations.filter { Tolerations.tolerates($0, taint) }
      guard !matching.isEmpty else { return evict(pod, now) }
      // The shortest of those that end; a toleration without an end is no limit.
      for toleration in matching {
        if let seconds = toleration["tolerationSeconds"].int { patience = min(patience, Double(max(0, seconds))) }
      }
    }
    guard patience.isFinite else { return spare(pod, now) }
    let left = patience - now.seconds(since: since)
    guard left > 0 else { return evict(pod, now) }
    _ = condemned.exchange(pod.uid, true, now: now)
    return [.requeue(after: left)]
  }

  private func spare(_ pod: JSON, _ now: Timestamp) -> [Write] {
    guard condemned.exchange(pod.uid, false, now: now) == true else { return [] }
    return [.event(.pod, pod, "TaintManagerEviction", "Cancelling deletion of Pod \(pod.objectName)")]
  }

  private func evict(_ pod: JSON, _ now: Timestamp) -> [Write] {
    [
      .event(.pod, pod, "TaintManagerEviction", "Marking for deletion Pod \(pod.objectName)"),
      Disruption.mark(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now: now),
      .delete(.pod, pod.objectName, uid: pod.uid),
    ]
  }
}

enum Disruption {
  /// Says on a pod why it is about to go: jobs do not count it as a failure of its own.
  static func mark(_ pod: JSON, _ reason: String, _ message: String, now: Timestamp, phase: String? = nil) -> Write {
    let others = (pod["status"]["conditions"].array ?? []).filter { $0["type"].string != "DisruptionTarget" }
    let condition: JSON = [
      "type": "DisruptionTarget", "status": "True", "reason": .string(reason), "message": .string(message),
      "lastTransitionTime": .string(now.rfc3339), "observedGeneration": JSON(pod.meta.generation),
    ]
    var status: JSON = ["conditions": .array(others + [condition])]
    if let phase { status["phase"] = .string(phase) }
    return .patch(.pod, pod.objectName, uid: pod.uid, ["metadata": ["uid": .string(pod.uid)], "status": status], subresource: "status")
  }
}
