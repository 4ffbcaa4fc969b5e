import JSONCodec
import KubernetesAPI

/// Keeps one pod on each node that a DaemonSet wants.
package struct DaemonSetReconciler: Reconciler {
  package let name = "daemonset-controller"
  package let watched: [Kind] = [.daemonSet, .pod, .node, .controllerRevision]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .daemonSet: return [change.name]
    case .node:
      // Heartbeats change nothing.
      let relevant = change.states.map { node -> JSON in ["labels": node["metadata"]["labels"], "taints": node["spec"]["taints"]] }
      if relevant.count == 2, relevant[0] == relevant[1] { return [] }
      return cluster.objects(.daemonSet, namespace: nil).map(\.objectName)
    default: return ownerKeys(of: change, .daemonSet, in: cluster) { LabelSelector(json: $0["spec"]["selector"]) }
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let set = cluster.object(.daemonSet, key), let selector = LabelSelector(json: set["spec"]["selector"]) else { return [] }
    if selector.selectsEverything {
      return [.warning(.daemonSet, set, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")]
    }
    let claims = Claims(of: set, .daemonSet, .pod, selector: selector, in: cluster)
    let history = Claims(of: set, .daemonSet, .controllerRevision, selector: selector, in: cluster)
    let revisions = Revisions(of: set, .daemonSet, claims: history, in: cluster, circumstances.failure)
    var daemons = Daemons(
      set, claims.members, cluster.objects(.node, namespace: nil), hash: Revisions.hash(revisions.update), circumstances)
    daemons.writes = claims.writes + revisions.writes
    if !set.isBeingDeleted { daemons.manage() }
    daemons.report(collisions: revisions.collisions)
    daemons.writes += revisions.truncated { revision in
      claims.members.contains { $0["metadata"]["labels"][StatefulPods.revisionLabel].string == Revisions.hash(revision) }
    }
    return daemons.writes
  }
}
