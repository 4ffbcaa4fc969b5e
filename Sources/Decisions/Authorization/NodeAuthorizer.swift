/// What a kubelet may do: what every node needs, and of the objects in a namespace those that its own pods refer to
/// (kubernetes: "Using Node Authorization").
package enum NodeAuthorizer {
  /// Allowed to each node without a look at any object. NodeRestriction limits the writes among them to its own objects.
  private static let rules = [
    PolicyRule(verbs: ["create"], groups: ["authentication.k8s.io"], resources: ["tokenreviews"]),
    PolicyRule(verbs: ["create"], groups: ["authorization.k8s.io"], resources: ["subjectaccessreviews", "localsubjectaccessreviews"]),
    PolicyRule(verbs: ["get", "list", "watch"], groups: [""], resources: ["services"]),
    PolicyRule(verbs: ["create", "patch", "update"], groups: [""], resources: ["nodes"]),
    PolicyRule(verbs: ["patch", "update"], groups: [""], resources: ["nodes/status", "pods/status"]),
    PolicyRule(verbs: ["create", "delete"], groups: [""], resources: ["pods"]),
    PolicyRule(verbs: ["create"], groups: [""], resources: ["pods/eviction"]),
    PolicyRule(verbs: ["create", "patch", "update"], groups: ["", "events.k8s.io"], resources: ["events"]),
    PolicyRule(verbs: ["get"], groups: [""], resources: ["endpoints"]),
    PolicyRule(
      verbs: ["create", "get", "list", "watch"], groups: ["certificates.k8s.io"], resources: ["certificatesigningrequests"]),
    PolicyRule(verbs: ["get", "list", "watch"], groups: ["storage.k8s.io"], resources: ["csidrivers"]),
    PolicyRule(verbs: ["get", "list", "watch"], groups: ["node.k8s.io"], resources: ["runtimeclasses"]),
    PolicyRule(verbs: ["get", "list", "watch"], groups: ["certificates.k8s.io"], resources: ["clustertrustbundles"]),
  ]

  package static func decide(_ user: UserInfo, _ request: AccessRequest, _ graph: NodeGraph) -> AccessDecision {
    guard let node = user.nodeName, request.path == nil else { return .noOpinion(reason: "") }
    if let decision = byObject(node, request, graph) { return decision }
    return rules.contains { $0.allows(request) } ? .allowed(reason: "") : .noOpinion(reason: "")
  }

  /// Nil where the kind is not judged by its object.
  private static func byObject(_ node: String, _ request: AccessRequest, _ graph: NodeGraph) -> AccessDecision? {
    switch (request.group, request.resource, request.subresource) {
    case ("", "secrets", ""), ("", "configmaps", ""):
      return byReference(node, request, ["get", "list", "watch"], graph)
    case ("", "persistentvolumeclaims", "status"): return byReference(node, request, ["get", "update", "patch"], graph)
    case ("", "persistentvolumeclaims", ""), ("", "persistentvolumes", ""), ("storage.k8s.io", "volumeattachments", ""),
      ("resource.k8s.io", "resourceclaims", ""):
      return byReference(node, request, ["get"], graph)
    case ("", "serviceaccounts", ""): return byReference(node, request, ["get"], graph)
    case ("", "serviceaccounts", "token"): return byReference(node, request, ["create"], graph)
    case ("coordination.k8s.io", "leases", ""): return lease(node, request)
    case ("storage.k8s.io", "csinodes", ""): return own(node, request, ["create", "get", "update", "patch", "delete"])
    case ("resource.k8s.io", "resourceslices", ""): return slices(node, request)
    case ("certificates.k8s.io", "podcertificaterequests", _): return podCertificates(node, request)
    case ("", "nodes", "") where ["get", "list", "watch"].contains(request.verb):
      return request.name == node
        ? .allowed(reason: "") : .noOpinion(reason: "node '\(node)' cannot read '\(request.name)', only its own Node object")
    case ("", "pods", "") where request.verb == "get": return byReference(node, request, ["get"], graph)
    case ("", "pods", "") where request.verb == "list" || request.verb == "watch":
      return request.fields["spec.nodeName"] == node
        ? .allowed(reason: "")
        : .noOpinion(reason: "can only list/watch pods with spec.nodeName field selector")
    default: return nil
    }
  }

  private static func byReference(_ node: String, _ request: AccessRequest, _ verbs: Set<String>, _ graph: NodeGraph) -> AccessDecision {
    guard verbs.contains(request.verb) else {
      return .noOpinion(reason: "can only \(verbs.sorted().joined(separator: "/")) resources of this type")
    }
    guard !request.name.isEmpty else { return .noOpinion(reason: "No Object name found") }
    let reference = NodeGraph.Reference(request.resource, request.namespace, request.name)
    return graph.leads(from: node, to: reference)
      ? .allowed(reason: "") : .noOpinion(reason: "no relationship found between node '\(node)' and this object")
  }

  private static func lease(_ node: String, _ request: AccessRequest) -> AccessDecision {
    guard request.namespace == "kube-node-lease" else {
      return .noOpinion(reason: "can only access leases in the \"kube-node-lease\" system namespace")
    }
    return own(node, request, ["create", "get", "update", "patch", "delete"])
  }

  /// An object that has the node's name. A create has none yet: NodeRestriction looks at its object.
  private static func own(_ node: String, _ request: AccessRequest, _ verbs: Set<String>) -> AccessDecision {
    guard verbs.contains(request.verb) else { return .noOpinion(reason: "can only create, get, update, patch, or delete its own") }
    guard request.verb == "create" || request.name == node else {
      return .noOpinion(reason: "can only access the one with the same name as the requesting node")
    }
    return .allowed(reason: "")
  }

  private static func podCertificates(_ node: String, _ request: AccessRequest) -> AccessDecision {
    guard request.subresource.isEmpty else {
      return .noOpinion(reason: "nodes may not access podcertificaterequests/\(request.subresource)")
    }
    switch request.verb {
    // NodeRestriction sees for which pod it is.
    case "create": return .allowed(reason: "")
    // Unlike upstream: a node lists and watches its PodCertificateRequests by spec.nodeName, and may not get one by its name.
    case "list", "watch":
      return request.fields["spec.nodeName"] == node
        ? .allowed(reason: "") : .noOpinion(reason: "can only list/watch podcertificaterequests with spec.nodeName field selector")
    default: return .noOpinion(reason: "nodes may only create, list and watch podcertificaterequests")
    }
  }

  private static func slices(_ node: String, _ request: AccessRequest) -> AccessDecision {
    switch request.verb {
    // NodeRestriction sees whose it is.
    case "get", "create", "update", "patch", "delete": return .allowed(reason: "")
    case "list", "watch", "deletecollection":
      return request.fields["spec.nodeName"] == node
        ? .allowed(reason: "")
        : .noOpinion(reason: "can only list/watch/deletecollection resourceslices with spec.nodeName field selector")
    default:
      return .noOpinion(reason: "only the following verbs are allowed: create, delete, deletecollection, get, list, patch, update, watch")
    }
  }
}
