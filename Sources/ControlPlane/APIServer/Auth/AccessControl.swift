import APIMachinery
import Authorization
import JSONCodec
import KubernetesAPI
import RevisionStore

/// Who may do what: administrators everything, kubelets what the node authorizer says, and all what RBAC says.
struct AccessControl: Sendable {
  let index: AccessIndex

  /// Paths that anybody may read, whatever the roles say: probes have no credentials.
  static let openPaths: Set<String> = ["/healthz", "/livez", "/readyz"]

  /// A refusal is never one of yesterday: before it, the index catches up with what is stored.
  func decide(_ user: UserInfo, _ request: AccessRequest) async -> AccessDecision {
    if user.isAdministrator { return .allowed(reason: "") }
    await index.ready()
    let decision = index.decide(user, request)
    if decision.isAllowed { return decision }
    await index.catchUp()
    return index.decide(user, request)
  }

  func allows(_ user: UserInfo, _ request: AccessRequest) async -> Bool { await decide(user, request).isAllowed }

  /// Throws the 403.
  func require(_ user: UserInfo, _ request: AccessRequest) async throws {
    let decision = await decide(user, request)
    guard !decision.isAllowed else { return }
    throw Self.refusal(user, request, reason: decision.reason)
  }

  static func refusal(_ user: UserInfo, _ request: AccessRequest, reason: String = "") -> APIFailure {
    let text = request.denial(user: user.name, reason: reason)
    guard request.path == nil else { return APIFailure(403, "Forbidden", "forbidden: \(text)", details: .object(JSONObject())) }
    let qualified = request.group.isEmpty ? request.resource : "\(request.resource).\(request.group)"
    let target = request.name.isEmpty ? qualified : "\(qualified) \"\(request.name)\""
    return APIFailure(
      403, "Forbidden", "\(target) is forbidden: \(text)",
      details: [
        "name": JSON(request.name.isEmpty ? nil : request.name), "group": JSON(request.group.isEmpty ? nil : request.group),
        "kind": .string(request.resource),
      ])
  }

  /// Throws the 403 where the user may not make this call.
  func require(_ call: APICall, _ request: ResourceRequest) async throws {
    let access = AccessRequest(call, request)
    try await require(call.user, access)
    // An upgrade by GET runs something all the same: it takes the permission to create as well.
    if call.method == "GET", access.resource == "pods", ["exec", "attach", "portforward"].contains(access.subresource) {
      var create = access
      create.verb = "create"
      try await require(call.user, create)
    }
  }
}

extension AccessRequest {
  /// What a call asks for. A namespace is within itself, and a selector for one name names that object.
  init(_ call: APICall, _ request: ResourceRequest) {
    let resource = request.resource
    self.init(
      APIServer.verb(call, request), group: resource.group, version: resource.version, resource: resource.plural,
      subresource: request.subresource ?? "", namespace: request.namespace ?? "", name: request.name ?? "")
    if resource.plural == "namespaces", resource.group.isEmpty { namespace = name }
    guard name.isEmpty, ["list", "watch", "deletecollection"].contains(verb) else { return }
    for text in call.parameters("fieldSelector") {
      for requirement in (try? FieldSelector.parse(text))?.requirements ?? [] where requirement.isEqual {
        fields[requirement.field] = requirement.value
      }
    }
    name = fields["metadata.name"] ?? ""
  }
}
