import JSONCodec
import KubernetesAPI

/// Keeps claims that a pod uses, and volumes that a claim has, until they are free.
package struct VolumeProtectionReconciler: Reconciler {
  static let claimFinalizer = "kubernetes.io/pvc-protection"
  static let volumeFinalizer = "kubernetes.io/pv-protection"

  package let name = "volume-protection-controller"
  package let watched: [Kind] = [.persistentVolumeClaim, .persistentVolume, .pod]
  package init() {}

  /// Volumes have keys without a namespace.
  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    guard change.kind == .pod else {
      guard change.kind == .persistentVolumeClaim, let volume = change.object["spec"]["volumeName"].string, change.new == nil else {
        return [change.name]
      }
      return [change.name, ObjectName("", volume)]
    }
    guard change.new == nil || change.object.hasEnded else { return [] }
    return Self.claims(of: change.object).map { ObjectName(change.name.namespace, $0) }
  }

  /// The names of the claims that a pod uses; an ephemeral volume's has the pod's name before the volume's.
  static func claims(of pod: JSON) -> [String] {
    (pod["spec"]["volumes"].array ?? []).compactMap { volume in
      if !volume["ephemeral"].isNull { return "\(pod.objectName.name)-\(volume["name"].string ?? "")" }
      return volume["persistentVolumeClaim"]["claimName"].string
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    if key.namespace.isEmpty {
      guard let volume = cluster.object(.persistentVolume, key) else { return [] }
      return protect(.persistentVolume, volume, Self.volumeFinalizer, isFree: volume["status"]["phase"].string != "Bound")
    }
    guard let claim = cluster.object(.persistentVolumeClaim, key) else { return [] }
    let isUsed = cluster.objects(.pod, namespace: key.namespace).contains { !$0.hasEnded && Self.claims(of: $0).contains(key.name) }
    return protect(.persistentVolumeClaim, claim, Self.claimFinalizer, isFree: !isUsed)
  }

  private func protect(_ kind: Kind, _ object: JSON, _ finalizer: String, isFree: Bool) -> [Write] {
    let finalizers = object.meta.finalizers
    let wanted: [String]
    if object.isBeingDeleted {
      guard isFree else { return [] }
      wanted = finalizers.filter { $0 != finalizer }
    } else {
      wanted = finalizers.contains(finalizer) ? finalizers : finalizers + [finalizer]
    }
    guard wanted != finalizers else { return [] }
    return [
      .patch(
        kind, object.objectName, uid: object.uid,
        ["metadata": ["uid": .string(object.uid), "resourceVersion": object["metadata"]["resourceVersion"], "finalizers": JSON(wanted)]])
    ]
  }
}
