import JSONCodec
import KubernetesAPI

/// Keeps the book of which CSI volumes are attached to which nodes: a VolumeAttachment for each volume that a node's pods need, and the
/// node's status.volumesAttached. The driver's attacher does the attaching.
package struct AttachmentReconciler: Reconciler {
  /// Seconds after which a volume is taken from a node that does not say whether it is still in use (upstream, attachdetach).
  static let forcedDetach = 360.0

  package let name = "attachdetach-controller"
  package let watched: [Kind] = [.node, .pod, .volumeAttachment, .persistentVolume, .persistentVolumeClaim, .csiDriver]
  private let unused = Memory<Bool>()
  package init() {}

  /// Keys are nodes.
  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    func nodes(_ names: [String]) -> [ObjectName] { Set(names.filter { !$0.isEmpty }).sorted().map { ObjectName("", $0) } }
    switch change.kind {
    case .node:
      guard change.states.count < 2 || change.states[0]["status"]["volumesInUse"] != change.states[1]["status"]["volumesInUse"] else {
        return []
      }
      return [change.name]
    case .pod:
      guard !VolumeProtectionReconciler.claims(of: change.object).isEmpty else { return [] }
      if let old = change.old, let new = change.new, old.podNode == new.podNode, old.hasEnded == new.hasEnded { return [] }
      return nodes(change.states.map(\.podNode))
    case .volumeAttachment: return nodes([change.object["spec"]["nodeName"].string ?? ""])
    case .persistentVolumeClaim:
      guard change.old?["spec"]["volumeName"] != change.new?["spec"]["volumeName"] else { return [] }
      let users = cluster.objects(.pod, namespace: change.name.namespace).filter {
        VolumeProtectionReconciler.claims(of: $0).contains(change.name.name)
      }
      return nodes(users.map(\.podNode))
    default: return []
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    let attachments = cluster.objects(.volumeAttachment, namespace: nil).filter { $0["spec"]["nodeName"].string == key.name }
    let node = cluster.object(.node, key)
    let wanted = node == nil ? [:] : Self.volumes(on: key.name, in: cluster)
    var writes: [Write] = []
    var have = Set<String>()
    for attachment in attachments {
      let volume = attachment["spec"]["source"]["persistentVolumeName"].string ?? ""
      have.insert(volume)
      if wanted[volume] == nil {
        guard Self.isOurs(attachment) else { continue }
        writes += detach(attachment, volume, node, in: cluster, circumstances.now)
      } else {
        unused.forget(attachment.uid)
      }
    }
    for (volume, driver) in wanted.sorted(by: { $0.key < $1.key }) where !have.contains(volume) {
      writes.append(.create(.volumeAttachment, Self.attachment(volume, driver, node: key.name)))
    }
    if let node { writes += book(node, attachments.filter { $0["status"]["attached"].bool == true }, in: cluster) }
    return writes
  }

  /// The CSI volumes that pods on a node use and that have to be attached, with their drivers.
  private static func volumes(on node: String, in cluster: any ClusterReader) -> [String: String] {
    var found: [String: String] = [:]
    for pod in cluster.pods(onNode: node) where !pod.hasEnded {
      for claimName in VolumeProtectionReconciler.claims(of: pod) {
        guard let name = cluster.object(.persistentVolumeClaim, pod.objectName.namespace, claimName)?["spec"]["volumeName"].string,
          let driver = cluster.object(.persistentVolume, "", name)?["spec"]["csi"]["driver"].string,
          cluster.object(.csiDriver, "", driver)?["spec"]["attachRequired"].bool != false
        else { continue }
        found[name] = driver
      }
    }
    return found
  }

  /// Whether this controller made it; others' stay, as upstream, whatever they name.
  private static func isOurs(_ attachment: JSON) -> Bool {
    let spec = attachment["spec"]
    let made = Self.attachment(
      spec["source"]["persistentVolumeName"].string ?? "", spec["attacher"].string ?? "", node: spec["nodeName"].string ?? "")
    return made["metadata"]["name"] == attachment["metadata"]["name"]
  }

  private static func attachment(_ volume: String, _ driver: String, node: String) -> JSON {
    // A name that follows from what it stands for, so that two controllers make the same one.
    let hash = Templates.hash(.array([.string(volume), .string(driver), .string(node)]))
    return [
      "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
      "metadata": ["name": .string("csi-\(hash)-\(Templates.hash(.array([.string(node), .string(volume)])))")],
      "spec": ["attacher": .string(driver), "nodeName": .string(node), "source": ["persistentVolumeName": .string(volume)]],
    ]
  }

  /// Takes a volume from a node that does not use it any more; from one that is silent after a while.
  private func detach(_ attachment: JSON, _ volume: String, _ node: JSON?, in cluster: any ClusterReader, _ now: Timestamp) -> [Write] {
    guard !attachment.isBeingDeleted else { return [] }
    let inUse = (node?["status"]["volumesInUse"].array ?? []).contains { $0.string == Self.uniqueName(volume, in: cluster) }
    let isOutOfService = (node?["spec"]["taints"].array ?? []).contains { $0["key"].string == PodCollectionReconciler.outOfService }
    if inUse, !isOutOfService {
      let isSilent = node?.condition("Ready")?["status"].string == "Unknown"
      let waited = now.seconds(since: unused.since(attachment.uid, true, now: now))
      guard isSilent, waited >= Self.forcedDetach else { return [.requeue(after: max(1, Self.forcedDetach - waited))] }
    }
    return [.delete(.volumeAttachment, attachment.objectName, uid: attachment.uid)]
  }

  private static func uniqueName(_ volume: String, in cluster: any ClusterReader) -> String {
    let source = cluster.object(.persistentVolume, "", volume)?["spec"]["csi"] ?? .null
    return "kubernetes.io/csi/\(source["driver"].string ?? "")^\(source["volumeHandle"].string ?? "")"
  }

  private func book(_ node: JSON, _ attached: [JSON], in cluster: any ClusterReader) -> [Write] {
    let wanted = attached.map { attachment -> JSON in
      let volume = attachment["spec"]["source"]["persistentVolumeName"].string ?? ""
      return ["name": .string(Self.uniqueName(volume, in: cluster)), "devicePath": ""]
    }.sorted { $0["name"].string ?? "" < $1["name"].string ?? "" }
    let present = (node["status"]["volumesAttached"].array ?? []).sorted { $0["name"].string ?? "" < $1["name"].string ?? "" }
    guard wanted != present else { return [] }
    let status = JSON.object(JSONObject([("volumesAttached", wanted.isEmpty ? .null : .array(wanted))]))
    return [
      .patch(.node, node.objectName, uid: node.uid, ["metadata": ["uid": .string(node.uid)], "status": status], subresource: "status")
    ]
  }
}
