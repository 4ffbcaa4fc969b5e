import JSONCodec
import KubernetesAPI

/// Removes leases that nobody will renew any more: those of nodes that are gone, and those of API servers that ended.
package struct LeaseCleanupReconciler: Reconciler {
  /// Seconds after its end in which a lease's owner may still come back (upstream: an hour for API servers).
  static let patience = 3_600.0
  static let identityLabel = "apiserver.kubernetes.io/identity"

  package let name = "lease-cleanup-controller"
  package let watched: [Kind] = [.lease, .node]
  private let seen = Memory<String>()
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    if change.kind == .node { return change.new == nil ? [ObjectName(NodeLifecycleReconciler.leaseNamespace, change.name.name)] : [] }
    guard let lease = change.new else {
      seen.forget(change.object.uid)
      return []
    }
    // Those that are renewed are asked again when their time may be over, not with each renewal.
    guard change.old == nil, Self.concerns(lease, in: cluster) else { return [] }
    return [change.name]
  }

  private static func concerns(_ lease: JSON, in cluster: any ClusterReader) -> Bool {
    let name = lease.objectName
    if name.namespace == NodeLifecycleReconciler.leaseNamespace { return cluster.object(.node, "", name.name) == nil }
    return name.namespace == "kube-system" && !lease["metadata"]["labels"][identityLabel].isNull
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let lease = cluster.object(.lease, key), Self.concerns(lease, in: cluster) else { return [] }
    let renewed = lease["spec"]["renewTime"].string ?? lease["metadata"]["creationTimestamp"].string ?? ""
    let silence = circumstances.now.seconds(since: seen.since(lease.uid, renewed, now: circumstances.now))
    let patience = Double(lease["spec"]["leaseDurationSeconds"].int ?? 0) + Self.patience
    guard silence >= patience else { return [.requeue(after: patience - silence)] }
    return [.delete(.lease, key, uid: lease.uid, Write.Deletion(resourceVersion: lease["metadata"]["resourceVersion"].string))]
  }
}
