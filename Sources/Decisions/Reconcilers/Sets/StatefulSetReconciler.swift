import JSONCodec
import KubernetesAPI

/// Keeps pods that have a name, an order and a storage of their own.
package struct StatefulSetReconciler: Reconciler {
  package let name = "statefulset-controller"
  package let watched: [Kind] = [.statefulSet, .pod, .controllerRevision, .persistentVolumeClaim]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .statefulSet: [change.name]
    case .persistentVolumeClaim:
      // A claim that went away is made again.
      change.new == nil
        ? cluster.objects(.statefulSet, namespace: change.name.namespace).filter { set in
          (set["spec"]["volumeClaimTemplates"].array ?? []).contains {
            change.name.name.hasPrefix("\($0["metadata"]["name"].string ?? "")-\(set.objectName.name)-")
          }
        }.map(\.objectName) : []
    default: ownerKeys(of: change, .statefulSet, in: cluster) { LabelSelector(json: $0["spec"]["selector"]) }
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let set = cluster.object(.statefulSet, key), let selector = LabelSelector(json: set["spec"]["selector"]),
      !selector.selectsEverything
    else { return [] }
    let claims = Claims(of: set, .statefulSet, .pod, selector: selector, in: cluster) { StatefulPods.ordinal($0, of: set) != nil }
    let history = Claims(of: set, .statefulSet, .controllerRevision, selector: selector, in: cluster)
    let revisions = Revisions(of: set, .statefulSet, claims: history, in: cluster, circumstances.failure)
    var pods = StatefulPods(set, claims.members, revisions, cluster: cluster, now: circumstances.now)
    pods.writes = claims.writes + revisions.writes
    if !set.isBeingDeleted { pods.manage() }
    pods.report()
    pods.writes += revisions.truncated { revision in
      let name = Revisions.name(revision)
      return name == pods.currentName || claims.members.contains { $0["metadata"]["labels"][StatefulPods.revisionLabel].string == name }
    }
    return pods.writes
  }
}
