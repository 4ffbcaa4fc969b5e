import JSONCodec
import KubernetesAPI

/// Tells kubelets how long they may keep a Secret or ConfigMap without asking again: the longer, the more nodes there are.
package struct NodeTimeToLiveReconciler: Reconciler {
  static let annotation = "node.alpha.kubernetes.io/ttl"
  /// Up to how many nodes how many seconds; the last holds for all above (upstream, pkg/controller/ttl).
  static let steps = [(100, 0), (500, 15), (1_000, 30), (2_000, 60), (10_000, 300)]

  package let name = "ttl-controller"
  package let watched: [Kind] = [.node]
  package init() {}

  /// A node that comes or goes may change the step of all.
  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    guard change.old == nil || change.new == nil else {
      return change.old?["metadata"]["annotations"][Self.annotation] == change.new?["metadata"]["annotations"][Self.annotation]
        ? [] : [change.name]
    }
    let nodes = cluster.objects(.node, namespace: nil)
    let was = Self.seconds(nodes.count + (change.new == nil ? 1 : -1))
    return was == Self.seconds(nodes.count) ? [change.name] : nodes.map(\.objectName)
  }

  static func seconds(_ nodes: Int) -> Int { (steps.first { nodes <= $0.0 } ?? steps.last!).1 }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let node = cluster.object(.node, key) else { return [] }
    let wanted = JSON.string(String(Self.seconds(cluster.objects(.node, namespace: nil).count)))
    guard node["metadata"]["annotations"][Self.annotation] != wanted else { return [] }
    return [.patch(.node, key, uid: node.uid, ["metadata": ["uid": .string(node.uid), "annotations": [Self.annotation: wanted]]])]
  }
}
