import JSONCodec

/// Which objects the pods of each node refer to, kept from events: what a kubelet may read.
///
/// Paths: pod -> Secret, ConfigMap, PersistentVolumeClaim, ServiceAccount, ResourceClaim;
/// claim -> volume -> the secrets of its driver; VolumeAttachment -> node.
package struct NodeGraph: Sendable {
  /// An object that a pod refers to; `namespace` is empty for what has none.
  package struct Reference: Sendable, Hashable {
    package var kind: String
    package var namespace: String
    package var name: String
    package init(_ kind: String, _ namespace: String, _ name: String) {
      self.kind = kind
      self.namespace = namespace
      self.name = name
    }
  }

  private struct PodEntry: Sendable {
    var node: String
    var references: Set<Reference>
  }

  /// By "namespace/name".
  private var pods: [String: PodEntry] = [:]
  /// How many pods of a node refer to an object.
  private var counts: [String: [Reference: Int]] = [:]
  /// The volume of a claim, and the secrets of a volume.
  private var volumeOfClaim: [Reference: String] = [:]
  private var claimOfVolume: [String: Reference] = [:]
  private var secretsOfVolume: [String: Set<Reference>] = [:]
  private var volumesOfSecret: [Reference: Set<String>] = [:]
  private var nodeOfAttachment: [String: String] = [:]

  package init() {}

  // MARK: events

  /// A pod as it is now; nil where it is gone. Mirror pods refer to nothing: their kubelet made them up.
  package mutating func set(pod: JSON?, namespace: String, name: String) {
    let key = "\(namespace)/\(name)"
    let old = pods[key]
    var new: PodEntry?
    if let pod, let node = pod["spec"]["nodeName"].string, !node.isEmpty {
      let isMirror = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].isNull
      new = PodEntry(node: node, references: isMirror ? [] : PodReferences.all(pod, namespace: namespace))
    }
    if let old, let new, old.node == new.node, old.references == new.references { return }
    if let old {
      for reference in old.references {
        let count = (counts[old.node]?[reference] ?? 1) - 1
        counts[old.node]?[reference] = count > 0 ? count : nil
      }
      if counts[old.node]?.isEmpty == true { counts[old.node] = nil }
    }
    if let new { for reference in new.references { counts[new.node, default: [:]][reference, default: 0] += 1 } }
    pods[key] = new
  }

  package mutating func set(volume: JSON?, name: String) {
    if let claim = claimOfVolume.removeValue(forKey: name) { volumeOfClaim[claim] = nil }
    for secret in secretsOfVolume.removeValue(forKey: name) ?? [] { volumesOfSecret[secret]?.remove(name) }
    guard let spec = volume?["spec"] else { return }
    guard let claimName = spec["claimRef"]["name"].string, let claimNamespace = spec["claimRef"]["namespace"].string else { return }
    let claim = Reference("persistentvolumeclaims", claimNamespace, claimName)
    claimOfVolume[name] = claim
    volumeOfClaim[claim] = name
    let secrets = PodReferences.secrets(ofVolume: spec, claimNamespace: claimNamespace)
    secretsOfVolume[name] = secrets
    for secret in secrets { volumesOfSecret[secret, default: []].insert(name) }
  }

  package mutating func set(attachment: JSON?, name: String) { nodeOfAttachment[name] = attachment?["spec"]["nodeName"].string }

  // MARK: questions

  /// Whether a pod of the node leads to the object.
  package func leads(from node: String, to reference: Reference) -> Bool {
    switch reference.kind {
    case "pods": return pods["\(reference.namespace)/\(reference.name)"]?.node == node
    case "volumeattachments": return nodeOfAttachment[reference.name] == node
    case "persistentvolumes":
      guard let claim = claimOfVolume[reference.name] else { return false }
      return counts[node]?[claim] != nil
    default:
      if counts[node]?[reference] != nil { return true }
      guard reference.kind == "secrets" else { return false }
      return (volumesOfSecret[reference] ?? []).contains { volume in
        claimOfVolume[volume].map { counts[node]?[$0] != nil } ?? false
      }
    }
  }
}

/// The objects that a pod names, wherever it does.
package enum PodReferences {
  package static func all(_ pod: JSON, namespace: String) -> Set<NodeGraph.Reference> {
    let spec = pod["spec"]
    var result: Set<NodeGraph.Reference> = []
    func add(_ kind: String, _ name: JSON) {
      if let name = name.string, !name.isEmpty { result.insert(.init(kind, namespace, name)) }
    }
    add("serviceaccounts", spec["serviceAccountName"])
    for secret in spec["imagePullSecrets"].array ?? [] { add("secrets", secret["name"]) }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
      for container in spec[list].array ?? [] {
        for variable in container["env"].array ?? [] {
          add("secrets", variable["valueFrom"]["secretKeyRef"]["name"])
          add("configmaps", variable["valueFrom"]["configMapKeyRef"]["name"])
        }
        for source in container["envFrom"].array ?? [] {
          add("secrets", source["secretRef"]["name"])
          add("configmaps", source["configMapRef"]["name"])
        }
      }
    }
    for volume in spec["volumes"].array ?? [] {
      add("secrets", volume["secret"]["secretName"])
      add("configmaps", volume["configMap"]["name"])
      add("persistentvolumeclaims", volume["persistentVolumeClaim"]["claimName"])
      if !volume["ephemeral"].isNull, let pod = pod["metadata"]["name"].string, let name = volume["name"].string {
        add("persistentvolumeclaims", .string("\(pod)-\(name)"))
      }
      for field in ["cephfs", "rbd", "iscsi", "scaleIO", "storageos", "flexVolume"] { add("secrets", volume[field]["secretRef"]["name"]) }
      add("secrets", volume["csi"]["nodePublishSecretRef"]["name"])
      add("secrets", volume["azureFile"]["secretName"])
      for source in volume["projected"]["sources"].array ?? [] {
        add("secrets", source["secret"]["name"])
        add("configmaps", source["configMap"]["name"])
      }
    }
    for claim in spec["resourceClaims"].array ?? [] { add("resourceclaims", claim["resourceClaimName"]) }
    for status in pod["status"]["resourceClaimStatuses"].array ?? [] { add("resourceclaims", status["resourceClaimName"]) }
    return result
  }

  /// The secrets that a volume's driver gets; one without a namespace is in the claim's.
  static func secrets(ofVolume spec: JSON, claimNamespace: String) -> Set<NodeGraph.Reference> {
    var result: Set<NodeGraph.Reference> = []
    func add(_ reference: JSON, _ nameField: String = "name", _ namespaceField: String = "namespace") {
      guard let name = reference[nameField].string, !name.isEmpty else { return }
      result.insert(.init("secrets", reference[namespaceField].string.flatMap { $0.isEmpty ? nil : $0 } ?? claimNamespace, name))
    }
    for field in ["cephfs", "rbd", "iscsi", "scaleIO", "storageos", "flexVolume"] { add(spec[field]["secretRef"]) }
    add(spec["azureFile"], "secretName", "secretNamespace")
    for field in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] { add(spec["csi"][field]) }
    return result
  }
}
