import JSONCodec
import KubernetesAPI

/// Brings claims and volumes together, each claim with the smallest volume that suits it.
package struct VolumeBindingReconciler: Reconciler {
  static let bound = "pv.kubernetes.io/bind-completed"
  static let byController = "pv.kubernetes.io/bound-by-controller"

  package let name = "persistentvolume-controller"
  package let watched: [Kind] = [.persistentVolumeClaim, .persistentVolume, .storageClass]
  package init() {}

  /// Volumes have keys without a namespace.
  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .persistentVolumeClaim:
      var keys = [change.name]
      if let volume = change.object["spec"]["volumeName"].string { keys.append(ObjectName("", volume)) }
      return keys
    case .persistentVolume:
      let waiting = cluster.objects(.persistentVolumeClaim, namespace: nil).filter {
        $0["spec"]["volumeName"].isEmpty || $0["spec"]["volumeName"].string == change.name.name
      }
      return [change.name] + waiting.map(\.objectName)
    default: return cluster.objects(.persistentVolumeClaim, namespace: nil).filter { $0["spec"]["volumeName"].isEmpty }.map(\.objectName)
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    if key.namespace.isEmpty {
      return cluster.object(.persistentVolume, key).map { follow($0, in: cluster, circumstances.now) } ?? []
    }
    guard let claim = cluster.object(.persistentVolumeClaim, key), !claim.isBeingDeleted else { return [] }
    guard let name = claim["spec"]["volumeName"].string, !name.isEmpty else { return bindNew(claim, in: cluster) }
    guard let volume = cluster.object(.persistentVolume, "", name) else {
      return claim["metadata"]["annotations"][Self.bound].isNull ? phase(claim, "Pending") : phase(claim, "Lost")
    }
    // A claim that names its volume, or whose binding was begun.
    let reference = volume["spec"]["claimRef"]
    let isOurs =
      reference["name"].string == key.name && reference["namespace"].string == key.namespace
      && [nil, "", claim.uid].contains(reference["uid"].string)
    guard reference.isNull || isOurs else {
      return claim["metadata"]["annotations"][Self.bound].isNull ? phase(claim, "Pending") : phase(claim, "Lost")
    }
    return bind(claim, volume)
  }

  private func phase(_ claim: JSON, _ phase: String) -> [Write] {
    var draft = StatusDraft(claim)
    draft["phase"] = .string(phase)
    return draft.write(.persistentVolumeClaim, claim)
  }

  private func bindNew(_ claim: JSON, in cluster: any ClusterReader) -> [Write] {
    let className = claim["spec"]["storageClassName"].string ?? ""
    let storage = cluster.object(.storageClass, "", className)
    if storage?["volumeBindingMode"].string == "WaitForFirstConsumer",
      claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].isNull
    {
      return phase(claim, "Pending") + [
        .event(.persistentVolumeClaim, claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
      ]
    }
    let node = claim["metadata"]["annotations"][LocalPathReconciler.selectedNode].string.map { cluster.object(.node, "", $0) ?? .null }
    let suiting = cluster.objects(.persistentVolume, namespace: nil).filter {
      suits($0, claim, className) && Self.reaches($0, node)
    }
    // One that was made for this claim comes first, then the smallest.
    let best = suiting.min { a, b in
      let (forA, forB) = (!a["spec"]["claimRef"].isNull, !b["spec"]["claimRef"].isNull)
      if forA != forB { return forA }
      let (sizeA, sizeB) = (Self.capacity(a), Self.capacity(b))
      return sizeA == sizeB ? a.objectName.name < b.objectName.name : sizeA < sizeB
    }
    if let best { return bind(claim, best) }
    guard let provisioner = storage?["provisioner"].string, provisioner != "kubernetes.io/no-provisioner" else {
      return phase(claim, "Pending") + [
        .event(
          .persistentVolumeClaim, claim, "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
      ]
    }
    var writes = phase(claim, "Pending")
    let annotation = "volume.kubernetes.io/storage-provisioner"
    if claim["metadata"]["annotations"][annotation].string != provisioner {
      writes.append(
        .patch(
          .persistentVolumeClaim, claim.objectName, uid: claim.uid,
          ["metadata": ["uid": .string(claim.uid), "annotations": [annotation: .string(provisioner)]]]))
    }
    return writes
  }

  /// Whether a volume can be used on the node that the scheduler chose; nil: it chose none.
  private static func reaches(_ volume: JSON, _ node: JSON?) -> Bool {
    guard let node, volume["spec"]["claimRef"].isNull else { return true }
    return NodeFit.matches(volume["spec"]["nodeAffinity"]["required"], labels: node["metadata"]["labels"], name: node.objectName.name)
  }

  private static func capacity(_ volume: JSON) -> Quantity { volume["spec"]["capacity"]["storage"].quantity ?? Quantity(0) }

  private func suits(_ volume: JSON, _ claim: JSON, _ className: String) -> Bool {
    let reference = volume["spec"]["claimRef"]
    if !reference.isNull {
      guard reference["name"] == claim["metadata"]["name"], reference["namespace"] == claim["metadata"]["namespace"],
        [nil, "", claim.uid].contains(reference["uid"].string)
      else { return false }
    } else if !["", "Pending", "Available"].contains(volume["status"]["phase"].string ?? "") {
      return false
    }
    let spec = claim["spec"]
    let modes = (volume["spec"]["accessModes"].array ?? []).compactMap(\.string)
    guard !volume.isBeingDeleted, (volume["spec"]["storageClassName"].string ?? "") == className,
      (spec["accessModes"].array ?? []).compactMap(\.string).allSatisfy(modes.contains),
      (volume["spec"]["volumeMode"].string ?? "Filesystem") == (spec["volumeMode"].string ?? "Filesystem"),
      Self.capacity(volume) >= spec["resources"]["requests"]["storage"].quantity ?? Quantity(0)
    else { return false }
    return spec["selector"].isNull || LabelSelector(json: spec["selector"])?.matches(volume["metadata"]["labels"]) ?? false
  }

  /// The volume first: it can have one claim only, so that two claims never get the same.
  private func bind(_ claim: JSON, _ volume: JSON) -> [Write] {
    var writes: [Write] = []
    var taken = volume
    if taken["spec"]["claimRef"]["uid"].string != claim.uid {
      let wasFree = taken["spec"]["claimRef"].isNull
      taken["spec"]["claimRef"] = [
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": claim["metadata"]["name"], "namespace": claim["metadata"]["namespace"],
        "uid": .string(claim.uid), "resourceVersion": claim["metadata"]["resourceVersion"],
      ]
      if wasFree { taken["metadata"]["annotations"][Self.byController] = "yes" }
      writes.append(.update(.persistentVolume, taken))
    }
    if taken["status"]["phase"].string != "Bound" { writes.append(.status(.persistentVolume, taken, ["phase": "Bound"])) }
    var bound = claim
    if bound["spec"]["volumeName"].isEmpty {
      bound["spec"]["volumeName"] = volume["metadata"]["name"]
      bound["metadata"]["annotations"][Self.byController] = "yes"
    }
    bound["metadata"]["annotations"][Self.bound] = "yes"
    if bound != claim { writes.append(.update(.persistentVolumeClaim, bound)) }
    var draft = StatusDraft(claim)
    draft["phase"] = "Bound"
    draft["accessModes"] = volume["spec"]["accessModes"]
    draft["capacity"] = volume["spec"]["capacity"]
    let report = draft.write(.persistentVolumeClaim, claim)
    if !report.isEmpty { writes.append(.status(.persistentVolumeClaim, bound, draft.json)) }
    return writes
  }

  /// What a volume's phase says once its claim has come or gone.
  private func follow(_ volume: JSON, in cluster: any ClusterReader, _ now: Timestamp) -> [Write] {
    var draft = StatusDraft(volume)
    let reference = volume["spec"]["claimRef"]
    let uid = reference["uid"].string ?? ""
    if reference.isNull || uid.isEmpty {
      draft["phase"] = "Available"
    } else {
      let claim = cluster.object(.persistentVolumeClaim, reference["namespace"].string ?? "", reference["name"].string ?? "")
      guard claim?.uid != uid else { return [] }
      draft["phase"] = "Released"
    }
    if draft["phase"] != volume["status"]["phase"] { draft["lastPhaseTransitionTime"] = .string(now.rfc3339) }
    return draft.write(.persistentVolume, volume)
  }
}
