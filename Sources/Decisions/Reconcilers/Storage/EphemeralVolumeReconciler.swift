import JSONCodec

/// Makes the claims of generic ephemeral volumes: each lives as long as its pod, which owns it.
package struct EphemeralVolumeReconciler: Reconciler {
  package let name = "ephemeral-volume-controller"
  package let watched: [Kind] = [.pod, .persistentVolumeClaim]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    if change.kind == .persistentVolumeClaim {
      // One that is deleted is made again as long as its pod needs it.
      guard change.new == nil else { return [] }
      return change.object.meta.ownerReferences.filter { $0["kind"].string == "Pod" }.map {
        ObjectName(change.name.namespace, $0["name"].string ?? "")
      }
    }
    guard change.old == nil, let pod = change.new, Self.volumes(pod).first != nil else { return [] }
    return [change.name]
  }

  private static func volumes(_ pod: JSON) -> [JSON] { (pod["spec"]["volumes"].array ?? []).filter { !$0["ephemeral"].isNull } }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let pod = cluster.object(.pod, key), !pod.isBeingDeleted, !pod.hasEnded else { return [] }
    return Self.volumes(pod).compactMap { volume in
      let name = "\(key.name)-\(volume["name"].string ?? "")"
      if let claim = cluster.object(.persistentVolumeClaim, key.namespace, name) {
        if claim.meta.ownerReferences.contains(where: { $0["uid"].string == pod.uid }) { return nil }
        return .warning(
          .pod, pod, "EphemeralVolumeConflict",
          "PVC \(key.namespace)/\(name) was not created for pod \(key) (pod is not owner)")
      }
      let template = volume["ephemeral"]["volumeClaimTemplate"]
      return .create(
        .persistentVolumeClaim,
        [
          "apiVersion": "v1", "kind": "PersistentVolumeClaim",
          "metadata": [
            "name": .string(name), "namespace": .string(key.namespace), "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"], "ownerReferences": [controllerReference(pod, .pod)],
          ],
          "spec": template["spec"],
        ])
    }
  }
}
