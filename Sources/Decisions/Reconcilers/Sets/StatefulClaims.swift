import JSONCodec
import KubernetesAPI

/// The storage of a StatefulSet's pods.
extension StatefulPods {
  private var deletesWithSet: Bool { spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"].string == "Delete" }
  private var deletesWithPod: Bool { spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"].string == "Delete" }

  /// Claims that a pod needs and that are not there.
  func missingClaims(_ ordinal: Int) -> [Write] {
    let namespace = set.objectName.namespace
    return (spec["volumeClaimTemplates"].array ?? []).compactMap { template in
      let name = claimName(template["metadata"]["name"].string ?? "", ordinal)
      guard cluster.object(.persistentVolumeClaim, namespace, name) == nil else { return nil }
      var labels = template["metadata"]["labels"]
      for (key, value) in spec["selector"]["matchLabels"].object ?? JSONObject() { labels[key] = value }
      return .create(
        .persistentVolumeClaim,
        [
          "apiVersion": "v1", "kind": "PersistentVolumeClaim",
          "metadata": [
            "name": .string(name), "namespace": .string(namespace), "labels": labels, "annotations": template["metadata"]["annotations"],
            "ownerReferences": deletesWithSet ? [controllerReference(set, .statefulSet)] : .null,
          ],
          "spec": template["spec"],
        ])
    }
  }

  /// Claims belong to the set, to a pod that is about to go, or to nobody, as the retention policy says.
  mutating func adjustClaims() {
    let templates = (spec["volumeClaimTemplates"].array ?? []).map { $0["metadata"]["name"].string ?? "" }
    for (ordinal, pod) in members.sorted(by: { $0.key < $1.key }) {
      for template in templates {
        guard let claim = cluster.object(.persistentVolumeClaim, set.objectName.namespace, claimName(template, ordinal)),
          !claim.isBeingDeleted
        else { continue }
        let isCondemned = !wanted.contains(ordinal) && deletesWithPod
        let owner = isCondemned ? controllerReference(pod, .pod) : deletesWithSet ? controllerReference(set, .statefulSet) : nil
        let managed = ["StatefulSet", "Pod"]
        let others = claim.meta.ownerReferences.filter { reference in
          let isOurs =
            managed.contains(reference["kind"].string ?? "")
            && [set.objectName.name, pod.objectName.name].contains(reference["name"].string ?? "")
          return !isOurs
        }
        let references = others + (owner.map { [$0] } ?? [])
        guard references.map({ $0["uid"].string }) != claim.meta.ownerReferences.map({ $0["uid"].string }) else { continue }
        writes.append(
          .patch(.persistentVolumeClaim, claim.objectName, uid: claim.uid, ["metadata": ["ownerReferences": .array(references)]]))
      }
    }
  }
}
