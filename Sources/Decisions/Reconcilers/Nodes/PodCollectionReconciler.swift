import JSONCodec
import KubernetesAPI

/// Removes pods that no kubelet will ever remove: on nodes that are gone, and deleted before they had a node; and the
/// oldest of very many that have ended.
package struct PodCollectionReconciler: Reconciler {
  /// Seconds that a node must be gone.
  static let quarantine = 40.0
  /// Pods that have ended and are kept.
  static let endedMax = 12_500
  /// The key under which the ended pods are counted.
  static let endedKey = ObjectName("", "")

  package let name = "pod-garbage-collector"
  package let watched: [Kind] = [.node, .pod]
  /// Somebody vouches that the node is off: its pods can be started elsewhere.
  static let outOfService = "node.kubernetes.io/out-of-service"
  private let missing = Memory<Bool>()
  package init() {}

  /// Keys are names of nodes; a pod without a node has its own.
  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    if change.kind == .node { return change.states.count < 2 || Self.isOut(change.object) ? [change.name] : [] }
    guard let pod = change.new else { return [] }
    if pod.hasEnded, change.old?.hasEnded != true { return [Self.endedKey] }
    if pod.podNode.isEmpty { return pod.isBeingDeleted ? [change.name] : [] }
    let node = cluster.object(.node, "", pod.podNode)
    return node == nil || (pod.isBeingDeleted && Self.isOut(node!)) ? [ObjectName("", pod.podNode)] : []
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    let now = circumstances.now
    if key == Self.endedKey { return dropEnded(in: cluster) }
    if !key.namespace.isEmpty {
      guard let pod = cluster.object(.pod, key), pod.isBeingDeleted, pod.podNode.isEmpty else { return [] }
      return [.delete(.pod, key, uid: pod.uid, Write.Deletion(graceSeconds: 0))]
    }
    if let node = cluster.object(.node, key) {
      missing.forget(key.name)
      guard Self.isOut(node) else { return [] }
      return cluster.pods(onNode: key.name).filter(\.isBeingDeleted).flatMap { Self.forced($0, "PodGC: node is out of service", now) }
    }
    let pods = cluster.pods(onNode: key.name)
    guard !pods.isEmpty else {
      missing.forget(key.name)
      return []
    }
    let left = Self.quarantine - now.seconds(since: missing.since(key.name, true, now: now))
    if left > 0 { return [.requeue(after: left)] }
    return pods.flatMap { Self.forced($0, "PodGC: node no longer exists", now) }
  }

  private static func isOut(_ node: JSON) -> Bool {
    node.condition("Ready")?["status"].string != "True"
      && (node["spec"]["taints"].array ?? []).contains { $0["key"].string == outOfService }
  }

  private static func forced(_ pod: JSON, _ why: String, _ now: Timestamp) -> [Write] {
    let deletion = Write.delete(.pod, pod.objectName, uid: pod.uid, Write.Deletion(graceSeconds: 0))
    guard !pod.hasEnded else { return [deletion] }
    return [Disruption.mark(pod, "DeletionByPodGC", why, now: now, phase: "Failed"), deletion]
  }

  private func dropEnded(in cluster: any ClusterReader) -> [Write] {
    let ended = cluster.objects(.pod, namespace: nil).filter { $0.hasEnded && !$0.isBeingDeleted }
    guard ended.count > Self.endedMax else { return [] }
    return ended.sorted { $0.created < $1.created }.prefix(ended.count - Self.endedMax).map {
      .delete(.pod, $0.objectName, uid: $0.uid, Write.Deletion(graceSeconds: 0))
    }
  }
}
