import APIMachinery
import Authorization
import JSONCodec
import KubernetesAPI

extension AccessControl {
  /// Refuses writes that would give rights away which the writer does not hold, and a kubelet's writes beyond its node.
  func check(_ object: JSON, old: JSON?, _ request: ResourceRequest, _ context: WriteContext, _ resources: Resources) async throws {
    let user = context.user
    guard !user.isAdministrator else { return }
    if let node = user.nodeName { try await checkNode(node, object, old, request, context.subresource, resources) }
    guard request.resource.group == "rbac.authorization.k8s.io", context.subresource == nil else { return }
    await index.ready()
    switch request.resource.kind {
    case "Role", "ClusterRole": try await checkRole(object, old, request, user)
    case "RoleBinding", "ClusterRoleBinding": try await checkBinding(object, old, request, user)
    default: break
    }
  }

  /// Refuses a kubelet's deletion of what is not its own.
  func checkDelete(_ object: JSON, _ request: ResourceRequest, _ user: UserInfo, isEviction: Bool = false) throws {
    guard !user.isAdministrator, let node = user.nodeName else { return }
    let why = NodeRestriction(node: node).refusal(
      .delete, group: request.resource.group, resource: request.resource.plural, subresource: isEviction ? "eviction" : "",
      object: object, old: nil, nodeUID: nil)
    if let why { throw APIFailure.forbidden(request.resource, request.name ?? "", why) }
  }

  private func checkNode(
    _ node: String, _ object: JSON, _ old: JSON?, _ request: ResourceRequest, _ subresource: String?, _ resources: Resources
  ) async throws {
    let nodes = ResourceRequest.prefix(resources.resource("nodes"), namespace: nil)
    var uid: String?
    let asksForPod = request.resource.kind == "PodCertificateRequest"
    if request.resource.kind == "Pod" || asksForPod, old == nil, let stored = try await resources.store.get(nodes + node, at: nil) {
      uid = try resources.decoded.object(stored)["metadata"]["uid"].string
    }
    let why = NodeRestriction(node: node).refusal(
      old == nil ? .create : .update, group: request.resource.group, resource: request.resource.plural, subresource: subresource ?? "",
      object: object, old: old, nodeUID: uid)
    if let why { throw APIFailure.forbidden(request.resource, object["metadata"]["name"].string ?? "", why) }
    guard asksForPod else { return }
    func stored(_ plural: String, _ name: JSON) async throws -> JSON? {
      let key = ResourceRequest.prefix(resources.resource(plural), namespace: request.namespace) + (name.string ?? "")
      return try await resources.store.get(key, at: nil).map { try resources.decoded.object($0) }
    }
    let spec = object["spec"]
    let refusal = NodeRestriction(node: node).refusal(
      podCertificate: spec, pod: try await stored("pods", spec["podName"]),
      account: try await stored("serviceaccounts", spec["serviceAccountName"]),
      nodeUID: uid)
    if let refusal { throw APIFailure.forbidden(request.resource, object["metadata"]["name"].string ?? "", refusal) }
  }

  private func access(_ verb: String, _ request: ResourceRequest, _ name: String) -> AccessRequest {
    AccessRequest(
      verb, group: request.resource.group, version: request.resource.version, resource: request.resource.plural,
      namespace: request.namespace ?? "", name: name)
  }

  private func checkRole(_ object: JSON, _ old: JSON?, _ request: ResourceRequest, _ user: UserInfo) async throws {
    if let old, old["rules"] == object["rules"], old["aggregationRule"] == object["aggregationRule"] { return }
    let name = object["metadata"]["name"].string ?? ""
    if await allows(user, access("escalate", request, name)) { return }
    try grant(PolicyRule.list(object["rules"]), name, request, user)
    guard !object["aggregationRule"].isNull, object["aggregationRule"] != old?["aggregationRule"] ?? .null else { return }
    let everything = [
      PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"]), PolicyRule(verbs: ["*"], paths: ["*"]),
    ]
    guard Escalation.missing(held: index.rules(of: user, namespace: ""), granted: everything).isEmpty else {
      throw APIFailure.forbidden(
        request.resource, name, "must have cluster-admin privileges to use the aggregationRule")
    }
  }

  private func checkBinding(_ object: JSON, _ old: JSON?, _ request: ResourceRequest, _ user: UserInfo) async throws {
    if let old, old["roleRef"] == object["roleRef"], old["subjects"] == object["subjects"] { return }
    let reference = object["roleRef"]
    let (kind, role) = (reference["kind"].string ?? "", reference["name"].string ?? "")
    let key = RoleKey(namespace: kind == "Role" ? request.namespace : nil, name: role)
    let plural = kind == "Role" ? "roles" : "clusterroles"
    let bind = AccessRequest(
      "bind", group: request.resource.group, version: "v1", resource: plural, namespace: request.namespace ?? "", name: role)
    if await allows(user, bind) { return }
    guard let rules = index.rules(ofRole: key) else {
      throw APIFailure(
        404, "NotFound", "\(plural).rbac.authorization.k8s.io \"\(role)\" not found",
        details: ["name": .string(role), "group": "rbac.authorization.k8s.io", "kind": .string(plural)])
    }
    try grant(rules, object["metadata"]["name"].string ?? "", request, user)
  }

  private func grant(_ rules: [PolicyRule], _ name: String, _ request: ResourceRequest, _ user: UserInfo) throws {
    let held = index.rules(of: user, namespace: request.namespace ?? "")
    if let why = Escalation.refusal(user, held: held, granted: rules) { throw APIFailure.forbidden(request.resource, name, why) }
  }
}
