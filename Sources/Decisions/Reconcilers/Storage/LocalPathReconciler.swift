import JSONCodec
import KubernetesAPI

/// Makes volumes that are a directory of the node where their pod goes, and lets the node take the directory away.
///
/// A node may write nothing but its own objects, so the two talk through the Node: an annotation for each directory that has to go, which
/// the node's agent removes once it is gone. The agent makes a directory when a pod first mounts it.
package struct LocalPathReconciler: Reconciler {
  package static let provisioner = "swiftlet.io/local-path"
  /// On a Node: below which directory its volumes lie.
  package static let rootAnnotation = "swiftlet.io/local-path-root"
  /// Before the name of a volume, on a Node: its directory is to be removed.
  package static let removalPrefix = "remove.volumes.swiftlet.io/"
  /// On a volume: its node was told.
  static let told = "swiftlet.io/removal"
  static let finalizer = "swiftlet.io/local-path"
  static let selectedNode = "volume.kubernetes.io/selected-node"
  static let provisionedBy = "pv.kubernetes.io/provisioned-by"

  package let name = "local-path-provisioner"
  package let watched: [Kind] = [.persistentVolumeClaim, .persistentVolume, .storageClass, .node]
  package init() {}

  /// Volumes have keys without a namespace.
  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .persistentVolumeClaim: return change.new == nil ? [] : [change.name]
    case .persistentVolume: return [change.name]
    case .node:
      guard change.new == nil || change.old?["metadata"]["annotations"] != change.new?["metadata"]["annotations"] else { return [] }
      let node = change.name.name
      let waiting = cluster.objects(.persistentVolumeClaim, namespace: nil).filter {
        $0["metadata"]["annotations"][Self.selectedNode].string == node && $0["spec"]["volumeName"].isEmpty
      }
      let leaving = cluster.objects(.persistentVolume, namespace: nil).filter {
        !$0["metadata"]["annotations"][Self.told].isNull && Self.node(of: $0) == node
      }
      return (waiting + leaving).map(\.objectName)
    default: return []
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    if key.namespace.isEmpty {
      guard let volume = cluster.object(.persistentVolume, key),
        volume["metadata"]["annotations"][Self.provisionedBy].string == Self.provisioner
      else { return [] }
      return retire(volume, in: cluster)
    }
    guard let claim = cluster.object(.persistentVolumeClaim, key), !claim.isBeingDeleted, claim["spec"]["volumeName"].isEmpty,
      let className = claim["spec"]["storageClassName"].string, let storage = cluster.object(.storageClass, "", className),
      storage["provisioner"].string == Self.provisioner
    else { return [] }
    return provision(claim, storage, in: cluster)
  }

  // MARK: making

  private func provision(_ claim: JSON, _ storage: JSON, in cluster: any ClusterReader) -> [Write] {
    guard let nodeName = claim["metadata"]["annotations"][Self.selectedNode].string else {
      guard storage["volumeBindingMode"].string != "WaitForFirstConsumer" else { return [] }
      return refused(claim, "a volume of a node's directory needs a StorageClass with volumeBindingMode WaitForFirstConsumer")
    }
    let name = "pvc-\(claim.uid)"
    guard cluster.object(.persistentVolume, "", name) == nil else { return [] }
    guard let node = cluster.object(.node, "", nodeName), let root = node["metadata"]["annotations"][Self.rootAnnotation].string else {
      // The scheduler chooses anew.
      return refused(claim, "node \(nodeName) has no directory for volumes") + [
        .patch(
          .persistentVolumeClaim, claim.objectName, uid: claim.uid,
          ["metadata": ["uid": .string(claim.uid), "annotations": .object(JSONObject([(Self.selectedNode, .null)]))]])
      ]
    }
    let modes = (claim["spec"]["accessModes"].array ?? []).compactMap(\.string)
    guard modes.allSatisfy(["ReadWriteOnce", "ReadWriteOncePod"].contains) else {
      return refused(claim, "a volume of a node's directory can be ReadWriteOnce or ReadWriteOncePod only")
    }
    guard claim["spec"]["volumeMode"].string ?? "Filesystem" == "Filesystem" else {
      return refused(claim, "a volume of a node's directory cannot be a block device")
    }
    guard claim["spec"]["selector"].isNull else { return refused(claim, "claim.Spec.Selector is not supported") }
    let volume = Self.volume(name, claim, storage, hostname: node["metadata"]["labels"]["kubernetes.io/hostname"].string ?? nodeName, root)
    return [
      .create(.persistentVolume, volume),
      .event(.persistentVolumeClaim, claim, "ProvisioningSucceeded", "Successfully provisioned volume \(name)"),
    ]
  }

  private static func volume(_ name: String, _ claim: JSON, _ storage: JSON, hostname: String, _ root: String) -> JSON {
    [
      "apiVersion": "v1", "kind": "PersistentVolume",
      "metadata": [
        "name": .string(name), "annotations": [provisionedBy: .string(provisioner)],
        "finalizers": ["kubernetes.io/pv-protection", .string(finalizer)],
      ],
      "spec": [
        "capacity": ["storage": claim["spec"]["resources"]["requests"]["storage"]], "accessModes": claim["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": storage["reclaimPolicy"].isNull ? "Delete" : storage["reclaimPolicy"],
        "storageClassName": storage["metadata"]["name"], "volumeMode": "Filesystem", "mountOptions": storage["mountOptions"],
        "local": ["path": .string("\(root)/\(name)")],
        "claimRef": [
          "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim["metadata"]["namespace"],
          "name": claim["metadata"]["name"], "uid": .string(claim.uid), "resourceVersion": claim["metadata"]["resourceVersion"],
        ],
        "nodeAffinity": [
          "required": [
            "nodeSelectorTerms": [
              ["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": [.string(hostname)]]]]
            ]
          ]
        ],
      ],
    ]
  }

  private func refused(_ claim: JSON, _ why: String) -> [Write] {
    [.warning(.persistentVolumeClaim, claim, "ProvisioningFailed", "failed to provision volume: \(why)")]
  }

  // MARK: taking away

  /// The host name in a volume's node affinity.
  private static func hostname(of volume: JSON) -> String {
    volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"].array?.first?["matchExpressions"].array?.first?["values"].array?.first?
      .string ?? ""
  }

  /// The node that was told to remove a volume's directory.
  private static func node(of volume: JSON) -> String { volume["metadata"]["annotations"][told].string ?? "" }

  private func retire(_ volume: JSON, in cluster: any ClusterReader) -> [Write] {
    let isReleased = volume["status"]["phase"].string == "Released"
    let deletes = volume["spec"]["persistentVolumeReclaimPolicy"].string == "Delete"
    guard volume.isBeingDeleted || (isReleased && deletes) else { return [] }
    // One in use that somebody wants gone waits for its claim.
    if volume["status"]["phase"].string == "Bound" { return [] }
    guard deletes else { return letGo(volume) }
    let told = Self.node(of: volume)
    if told.isEmpty { return tell(volume, in: cluster) }
    let mark = Self.removalPrefix + volume.objectName.name
    if let node = cluster.object(.node, "", told), !node["metadata"]["annotations"][mark].isNull { return [] }
    return letGo(volume)
  }

  /// The node first: a volume that says that its node was told must be right.
  private func tell(_ volume: JSON, in cluster: any ClusterReader) -> [Write] {
    let hostname = Self.hostname(of: volume)
    let nodes = cluster.objects(.node, namespace: nil)
    let home =
      nodes.first { $0["metadata"]["labels"]["kubernetes.io/hostname"].string == hostname }
      ?? nodes.first { $0.objectName.name == hostname }
    // A node that left the cluster took its disk with it.
    guard let home else { return letGo(volume) }
    let mark = Self.removalPrefix + volume.objectName.name
    return [
      .patch(
        .node, home.objectName, uid: home.uid,
        ["metadata": ["uid": .string(home.uid), "annotations": [mark: volume["spec"]["local"]["path"]]]]),
      .patch(
        .persistentVolume, volume.objectName, uid: volume.uid,
        ["metadata": ["uid": .string(volume.uid), "annotations": [Self.told: .string(home.objectName.name)]]]),
    ]
  }

  private func letGo(_ volume: JSON) -> [Write] {
    var writes: [Write] = []
    if !volume.isBeingDeleted { writes.append(.delete(.persistentVolume, volume.objectName, uid: volume.uid)) }
    let finalizers = volume.meta.finalizers
    if finalizers.contains(Self.finalizer) {
      writes.append(
        .patch(
          .persistentVolume, volume.objectName, uid: volume.uid,
          ["metadata": ["uid": .string(volume.uid), "finalizers": JSON(finalizers.filter { $0 != Self.finalizer })]]))
    }
    return writes
  }
}
