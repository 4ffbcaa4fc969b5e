import JSONCodec
import KubernetesAPI

/// A volume that cannot be made out from the pod's claims yet. The text is that of kubelet's FailedMount event.
package struct UnprocessedVolume: Error, Sendable, CustomStringConvertible {
  package let volume: String
  package let reason: String

  package init(volume: String, _ reason: String) {
    self.volume = volume
    self.reason = reason
  }

  package var description: String {
    "Unable to attach or mount volumes: unmounted volumes=[\(volume)], unattached volumes=[], failed to process volumes=[\(volume)]: \(reason)"
  }
}

/// A persistent volume as this node uses it: a directory or file of its own.
struct BoundVolume: Sendable, Equatable {
  enum Source: Sendable, Equatable {
    /// With the hostPath's type.
    case hostPath(String)
    case local
  }
  let name: String
  let path: String
  let source: Source
  let isReadOnly: Bool
  /// `namespace/name` of a claim that only one pod may use (ReadWriteOncePod).
  let exclusiveClaim: String?
}

/// From a pod's volume through its claim to the persistent volume. Pure; the texts are upstream's.
enum ClaimVolume {
  /// The claim that a volume names: its own, or the one that was made for a generic ephemeral volume.
  static func claimName(of volume: JSON, in pod: Pod) -> String? {
    if let name = volume["persistentVolumeClaim"]["claimName"].string { return name }
    return volume["ephemeral"].isNull ? nil : "\(pod.name)-\(volume["name"].string ?? "")"
  }

  /// The name of the persistent volume that the claim is bound to.
  static func volumeName(claim: JSON?, named name: String, for volume: JSON, in pod: Pod) throws(UnprocessedVolume) -> String {
    func failure(_ reason: String) -> UnprocessedVolume {
      UnprocessedVolume(volume: volume["name"].string ?? "", "error processing PVC \(pod.namespace)/\(name): \(reason)")
    }
    guard let claim else {
      throw failure("failed to fetch PVC from API server: persistentvolumeclaims \"\(name)\" not found")
    }
    if !volume["ephemeral"].isNull {
      let isOwned = ObjectMeta(claim["metadata"]).controller?["uid"].string == pod.uid
      guard isOwned else {
        throw failure("PVC \(pod.namespace)/\(name) was not created for pod \(pod.namespace)/\(pod.name) (pod is not owner)")
      }
    }
    guard claim["metadata"]["deletionTimestamp"].isNull || isUsedAlready(pod) else { throw failure("PVC is being deleted") }
    guard claim["status"]["phase"].string == "Bound", let bound = claim["spec"]["volumeName"].string, !bound.isEmpty else {
      throw failure("PVC is not bound")
    }
    return bound
  }

  /// A pod that runs keeps what it has, also when its agent is started anew.
  private static func isUsedAlready(_ pod: Pod) -> Bool {
    (pod.status["containerStatuses"].array ?? []).contains { !$0["state"]["running"].isNull }
  }

  static func bound(
    _ persistent: JSON?, named name: String, claim: JSON, for volume: JSON, nodeLabels: JSON
  ) throws(UnprocessedVolume) -> BoundVolume {
    let volumeName = volume["name"].string ?? ""
    func failure(_ reason: String) -> UnprocessedVolume { UnprocessedVolume(volume: volumeName, reason) }
    guard let persistent else { throw failure("failed to fetch PV \(name) from API server: persistentvolumes \"\(name)\" not found") }
    let spec = persistent["spec"]
    guard let owner = spec["claimRef"]["uid"].string else {
      throw failure("found PV object \"\(name)\" with nil pv.Spec.ClaimRef indicating it is not yet bound to the claim")
    }
    guard owner == claim["metadata"]["uid"].string else {
      throw failure("found PV object \"\(name)\" with a pv.Spec.ClaimRef.UID \"\(owner)\" that does not point to claim")
    }
    guard (spec["volumeMode"].string ?? "Filesystem") == "Filesystem" else {
      throw failure("volume \"\(name)\" has volumeMode Block, which this node does not support")
    }
    guard matchesNode(spec["nodeAffinity"]["required"], nodeLabels) else {
      throw failure("MountVolume.NodeAffinity check failed for volume \"\(name)\" : no matching NodeSelectorTerms")
    }
    let modes = (claim["spec"]["accessModes"].array ?? []).compactMap(\.string)
    let key = "\(claim["metadata"]["namespace"].string ?? "")/\(claim["metadata"]["name"].string ?? "")"
    let source: BoundVolume.Source
    let path: String
    if let host = spec["hostPath"]["path"].string {
      (source, path) = (.hostPath(spec["hostPath"]["type"].string ?? ""), host)
    } else if let local = spec["local"]["path"].string {
      (source, path) = (.local, local)
    } else {
      throw failure(
        "volume \"\(name)\": persistent volumes of type \(kind(of: spec)) are not supported on this node, only hostPath and local")
    }
    return BoundVolume(
      name: name, path: path, source: source, isReadOnly: volume["persistentVolumeClaim"]["readOnly"].bool ?? false,
      exclusiveClaim: modes.contains("ReadWriteOncePod") ? key : nil)
  }

  /// The field of the spec that says what the volume is.
  private static func kind(of spec: JSON) -> String {
    let general: Set<String> = [
      "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy", "storageClassName",
      "volumeAttributesClassName", "volumeMode",
    ]
    return (spec.object?.keys ?? []).first { !general.contains($0) } ?? "(none)"
  }

  private static func matchesNode(_ selector: JSON, _ labels: JSON) -> Bool {
    guard let terms = selector["nodeSelectorTerms"].array else { return true }
    return terms.contains { term in
      !term["matchExpressions"].isEmpty && LabelSelector(json: ["matchExpressions": term["matchExpressions"]])?.matches(labels) ?? false
    }
  }
}
