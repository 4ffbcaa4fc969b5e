import JSONCodec

/// What of its own objects a kubelet may write (kubernetes: "NodeRestriction"): without it, one node's credential would
/// be every node's. Each answer is why the write is refused, or nil.
package struct NodeRestriction: Sendable {
  package enum Operation: Sendable { case create, update, delete }

  let node: String

  package init(node: String) { self.node = node }

  private static let mirror = "kubernetes.io/config.mirror"

  /// - Parameters:
  ///   - object: the object that would be written; of a delete or an eviction, the one that is there.
  ///   - old: the object before an update.
  ///   - nodeUID: the UID of the node's own Node object, where it is known.
  package func refusal(
    _ operation: Operation, group: String, resource: String, subresource: String, object: JSON, old: JSON?, nodeUID: String?
  ) -> String? {
    switch (group, resource, subresource) {
    case ("", "pods", ""): pod(operation, object, nodeUID)
    case ("", "pods", "status"): podStatus(object, old ?? .null)
    case ("", "pods", "eviction"):
      boundHere(object) ? nil : "node \"\(node)\" can only evict pods with spec.nodeName set to itself"
    case ("", "pods", _): "node \"\(node)\" may not write pods/\(subresource)"
    case ("", "nodes", _): nodeObject(operation, subresource, object, old)
    case ("", "persistentvolumeclaims", "status"): claimStatus(object, old ?? .null)
    case ("coordination.k8s.io", "leases", _): lease(object)
    case ("storage.k8s.io", "csinodes", _):
      name(object) == node ? nil : "can only access CSINode with the same name as the requesting node"
    case ("resource.k8s.io", "resourceslices", _):
      object["spec"]["nodeName"].string == node && (old == nil || old?["spec"]["nodeName"].string == node)
        ? nil : "can only create ResourceSlice with the same NodeName as the requesting node"
    case ("certificates.k8s.io", "podcertificaterequests", _): podCertificate(operation, subresource, object)
    default: nil
    }
  }

  private func name(_ object: JSON) -> String { object["metadata"]["name"].string ?? "" }
  private func boundHere(_ pod: JSON) -> Bool { pod["spec"]["nodeName"].string == node }

  // MARK: pods

  private func pod(_ operation: Operation, _ pod: JSON, _ nodeUID: String?) -> String? {
    switch operation {
    case .update: return "unexpected operation \"UPDATE\", node \"\(node)\" can only create and delete mirror pods"
    case .delete: return boundHere(pod) ? nil : "node \"\(node)\" can only delete pods with spec.nodeName set to itself"
    case .create: break
    }
    guard !pod["metadata"]["annotations"][Self.mirror].isNull else {
      return "pod does not have \"\(Self.mirror)\" annotation, node \"\(node)\" can only create mirror pods"
    }
    guard boundHere(pod) else { return "node \"\(node)\" can only create pods with spec.nodeName set to itself" }
    if let refusal = owner(pod, nodeUID) { return refusal }
    // A template becomes a claim without the node's saying its name.
    if !(pod["spec"]["resourceClaims"].array ?? []).isEmpty { return "node \"\(node)\" can not create pods that reference resourceclaims" }
    var bare = pod
    // What every pod has of itself is no reference to a stranger's object.
    if pod["spec"]["serviceAccountName"].string == "" { bare["spec"]["serviceAccountName"] = .null }
    let words = [
      "serviceaccounts": "reference a service account", "secrets": "reference secrets", "configmaps": "reference configmaps",
      "persistentvolumeclaims": "reference persistentvolumeclaims", "resourceclaims": "reference resourceclaims",
    ]
    let kinds = Set(PodReferences.all(bare, namespace: "").map(\.kind))
    return kinds.sorted().compactMap { words[$0] }.first.map { "node \"\(node)\" can not create pods that \($0)" }
  }

  private func owner(_ pod: JSON, _ nodeUID: String?) -> String? {
    let owners = pod["metadata"]["ownerReferences"].array ?? []
    guard owners.count == 1, owners[0]["apiVersion"].string == "v1", owners[0]["kind"].string == "Node", owners[0]["name"].string == node
    else { return "node \"\(node)\" can only create pods with a single owner reference set to itself" }
    guard owners[0]["controller"].bool == true else {
      return "node \"\(node)\" can only create pods with a controller owner reference set to itself"
    }
    guard owners[0]["blockOwnerDeletion"].bool != true else {
      return "node \"\(node)\" must not set blockOwnerDeletion on an owner reference"
    }
    guard nodeUID == nil || owners[0]["uid"].string == nodeUID else {
      return "node \"\(node)\" UID mismatch: expected \"\(nodeUID ?? "")\" got \"\(owners[0]["uid"].string ?? "")\""
    }
    return nil
  }

  private func podStatus(_ pod: JSON, _ old: JSON) -> String? {
    guard boundHere(old), boundHere(pod) else {
      return "node \"\(node)\" can only update pod status for pods with spec.nodeName set to itself"
    }
    guard same(pod["metadata"]["labels"], old["metadata"]["labels"]) else {
      return "node \"\(node)\" cannot update labels through pod status"
    }
    guard same(pod["status"]["resourceClaimStatuses"], old["status"]["resourceClaimStatuses"]),
      same(pod["status"]["extendedResourceClaimStatus"], old["status"]["extendedResourceClaimStatus"])
    else { return "node \"\(node)\" cannot update resource claim statuses" }
    return nil
  }

  private func same(_ a: JSON, _ b: JSON) -> Bool { (a.isEmpty && b.isEmpty) || a == b }

  // MARK: certificates of pods

  private func podCertificate(_ operation: Operation, _ subresource: String, _ request: JSON) -> String? {
    guard operation == .create, subresource.isEmpty else { return "node \"\(node)\" can only create PodCertificateRequests" }
    let asked = request["spec"]["nodeName"].string ?? ""
    return asked == node ? nil : "PodCertificateRequest.Spec.NodeName=\"\(asked)\", which is not the requesting node \"\(node)\""
  }

  /// Whether what a node says about a pod of its own is so: a certificate is for this very pod, not for one of the same name.
  /// - Parameters:
  ///   - spec: of the PodCertificateRequest.
  ///   - pod, account: the objects of these names in its namespace; nil: there are none.
  package func refusal(podCertificate spec: JSON, pod: JSON?, account: JSON?, nodeUID: String?) -> String? {
    func text(_ json: JSON) -> String { json.string ?? "" }
    func differs(_ what: String, _ asked: JSON, _ actual: String) -> String? {
      text(asked) == actual ? nil : "PodCertificateRequest's \(what) \"\(text(asked))\" differs from the present one, \"\(actual)\""
    }
    guard let pod else { return "pod \"\(text(spec["podName"]))\" named in the PodCertificateRequest not found" }
    if let why = differs("pod UID", spec["podUID"], text(pod["metadata"]["uid"])) { return why }
    guard boundHere(pod) else { return "pod \"\(text(spec["podName"]))\" is not running on node \"\(node)\"" }
    guard pod["metadata"]["annotations"][Self.mirror].isNull else { return "mirror pods cannot get certificates" }
    if let why = differs("service account", spec["serviceAccountName"], text(pod["spec"]["serviceAccountName"])) { return why }
    guard let account else { return "service account \"\(text(spec["serviceAccountName"]))\" not found" }
    if let why = differs("service account UID", spec["serviceAccountUID"], text(account["metadata"]["uid"])) { return why }
    return differs("node UID", spec["nodeUID"], nodeUID ?? "")
  }

  // MARK: the node's other objects

  private func nodeObject(_ operation: Operation, _ subresource: String, _ object: JSON, _ old: JSON?) -> String? {
    guard name(object) == node else { return "node \"\(node)\" is not allowed to modify node \"\(name(object))\"" }
    switch operation {
    case .delete: return "node \"\(node)\" is not allowed to delete itself"
    case .create:
      // A node may register with taints and labels of its own; never with those that tell where trusted work goes.
      let forbidden = Self.forbiddenLabels(changedLabels(object, .null))
      return forbidden.isEmpty ? nil : "node \"\(node)\" is not allowed to set the following labels: \(forbidden.joined(separator: ", "))"
    case .update:
      let old = old ?? .null
      guard same(object["spec"]["configSource"], old["spec"]["configSource"]) else {
        return "node \"\(node)\" is not allowed to update configSource to a new non-nil configSource"
      }
      guard same(object["spec"]["taints"], old["spec"]["taints"]) else { return "node \"\(node)\" is not allowed to modify taints" }
      guard same(object["metadata"]["ownerReferences"], old["metadata"]["ownerReferences"]) else {
        return "node \"\(node)\" is not allowed to modify ownerReferences"
      }
      let forbidden = Self.forbiddenLabels(changedLabels(object, old))
      return forbidden.isEmpty ? nil : "is not allowed to modify labels: \(forbidden.joined(separator: ", "))"
    }
  }

  private func changedLabels(_ new: JSON, _ old: JSON) -> [String] {
    let (new, old) = (new["metadata"]["labels"], old["metadata"]["labels"])
    let keys = Set(new.object?.keys ?? []).union(old.object?.keys ?? [])
    return keys.filter { new[$0] != old[$0] }.sorted()
  }

  private static let kubeletLabels: Set<String> = [
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region", "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
    "node.kubernetes.io/windows-build",
  ]

  /// Labels of Kubernetes' own domains that are not the kubelet's to set.
  private static func forbiddenLabels(_ labels: [String]) -> [String] {
    labels.filter { label in
      guard let slash = label.firstIndex(of: "/") else { return false }
      let domain = label[..<slash]
      func within(_ suffix: String) -> Bool { domain == suffix || domain.hasSuffix("." + suffix) }
      if within("node-restriction.kubernetes.io") { return true }
      guard within("kubernetes.io") || within("k8s.io") else { return false }
      return !kubeletLabels.contains(label) && !within("kubelet.kubernetes.io") && !within("node.kubernetes.io")
    }
  }

  private func claimStatus(_ claim: JSON, _ old: JSON) -> String? {
    func bare(_ object: JSON) -> JSON {
      var object = object
      for field in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] { object["status"][field] = .null }
      object["metadata"]["managedFields"] = .null
      object["metadata"]["resourceVersion"] = .null
      return object
    }
    return bare(claim) == bare(old)
      ? nil : "node \"\(node)\" is not allowed to update fields other than status.quantity and status.conditions"
  }

  private func lease(_ lease: JSON) -> String? {
    guard lease["metadata"]["namespace"].string == "kube-node-lease" else {
      return "can only access leases in the \"kube-node-lease\" system namespace"
    }
    return name(lease) == node ? nil : "can only access node lease with the same name as the requesting node"
  }
}
