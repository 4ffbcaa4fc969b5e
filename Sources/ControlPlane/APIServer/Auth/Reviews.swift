import APIMachinery
import Authorization
import HTTPServing
import JSONCodec
import KubernetesAPI

extension APIServer {
  /// Answers the kinds that are questions and are never stored; nil for every other kind.
  func review(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) async throws -> APIResult? {
    guard call.method == "POST", request.name == nil, Self.reviewGroups.contains(request.resource.group) else { return nil }
    var body = try validBody(call, request.resource, &warnings)
    switch request.resource.kind {
    case "SubjectAccessReview", "LocalSubjectAccessReview": body["status"] = try await subjectAccess(body, request)
    case "SelfSubjectAccessReview": body["status"] = try await access(of: call.user, body, request.resource)
    case "SelfSubjectRulesReview": body["status"] = try await rules(of: call.user, body["spec"]["namespace"].string ?? "")
    case "SelfSubjectReview": body["status"] = ["userInfo": call.user.json]
    case "TokenReview": body["status"] = try await tokenReview(body["spec"])
    default: return nil
    }
    var metadata = body["metadata"]
    metadata["managedFields"] = .null
    body["metadata"] = metadata.isNull ? .object(JSONObject()) : metadata
    return .object(body, status: 201)
  }

  private static let reviewGroups: Set<String> = ["authorization.k8s.io", "authentication.k8s.io"]

  // MARK: access

  private func subjectAccess(_ body: JSON, _ request: ResourceRequest) async throws -> JSON {
    let spec = body["spec"]
    let user = spec["user"].string ?? ""
    let groups = (spec["groups"].array ?? []).compactMap(\.string)
    guard !user.isEmpty || !groups.isEmpty else {
      throw Self.invalid(
        request.resource, "", "spec.user", "FieldValueInvalid", "Invalid value: \"\": at least one of user or group must be specified")
    }
    if request.resource.isNamespaced {
      let namespace = spec["resourceAttributes"]["namespace"].string ?? ""
      guard spec["nonResourceAttributes"].isNull else {
        throw Self.invalid(
          request.resource, "", "spec.nonResourceAttributes", "FieldValueInvalid",
          "Invalid value: \(spec["nonResourceAttributes"].text()): disallowed on this kind of request")
      }
      guard namespace == request.namespace else {
        throw Self.invalid(
          request.resource, "", "spec.resourceAttributes.namespace", "FieldValueInvalid",
          "Invalid value: \"\(namespace)\": must match metadata.namespace")
      }
    }
    let subject = UserInfo(name: user, groups: groups, uid: spec["uid"].string ?? "", extra: UserInfo.extra(spec["extra"]))
    return try await access(of: subject, body, request.resource)
  }

  private func access(of user: UserInfo, _ body: JSON, _ resource: ResourceInfo) async throws -> JSON {
    let asked = try Self.question(body["spec"], resource)
    switch await access.decide(user, asked) {
    case .allowed(let reason): return ["allowed": true, "reason": JSON(reason.isEmpty ? nil : reason)]
    case .noOpinion(let reason): return ["allowed": false, "reason": JSON(reason.isEmpty ? nil : reason)]
    }
  }

  private static func question(_ spec: JSON, _ resource: ResourceInfo) throws -> AccessRequest {
    let (attributes, path) = (spec["resourceAttributes"], spec["nonResourceAttributes"])
    guard attributes.isNull || path.isNull else {
      throw invalid(
        resource, "", "spec.nonResourceAttributes", "FieldValueInvalid",
        "Invalid value: \(path.text()): cannot be specified in combination with resourceAttributes")
    }
    if !path.isNull { return AccessRequest(path["verb"].string ?? "", path: path["path"].string ?? "") }
    guard !attributes.isNull else {
      throw invalid(
        resource, "", "spec.resourceAttributes", "FieldValueInvalid",
        "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified")
    }
    func text(_ field: String) -> String { attributes[field].string ?? "" }
    var asked = AccessRequest(
      text("verb"), group: text("group"), version: text("version"), resource: text("resource"), subresource: text("subresource"),
      namespace: text("namespace"), name: text("name"))
    for requirement in attributes["fieldSelector"]["requirements"].array ?? [] where requirement["operator"].string == "In" {
      if let values = requirement["values"].array, values.count == 1, let key = requirement["key"].string {
        asked.fields[key] = values[0].string
      }
    }
    return asked
  }

  private func rules(of user: UserInfo, _ namespace: String) async throws -> JSON {
    guard !namespace.isEmpty else { throw APIFailure.badRequest("no namespace on request") }
    await access.index.ready()
    await access.index.catchUp()
    var (resources, paths): ([JSON], [JSON]) = ([], [])
    var known: Set<PolicyRule> = []
    for rule in access.index.rules(of: user, namespace: namespace) where known.insert(rule).inserted {
      var json = rule.json
      if rule.paths.isEmpty {
        resources.append(json)
      } else {
        for field in ["apiGroups", "resources", "resourceNames"] { json[field] = .null }
        paths.append(json)
      }
    }
    // What the node authorizer allows depends on objects and cannot be listed.
    let isNode = user.nodeName != nil
    return [
      "resourceRules": .array(resources), "nonResourceRules": .array(paths), "incomplete": .bool(isNode),
      "evaluationError": isNode ? "node authorizer does not support user rule resolution" : .null,
    ]
  }

  // MARK: tokens

  private func tokenReview(_ spec: JSON) async throws -> JSON {
    guard let token = spec["token"].string, !token.isEmpty else {
      throw APIFailure.badRequest("token is required for TokenReview in authentication")
    }
    let asked = (spec["audiences"].array ?? []).compactMap(\.string)
    switch try await authentication.check(token: token, audiences: asked.isEmpty ? tokens.audiences : asked) {
    case .valid(let user, let audiences):
      return ["authenticated": true, "user": user.json, "audiences": JSON(audiences)]
    case .invalid(let why): return ["user": .object(JSONObject()), "error": .string(why)]
    }
  }
}

extension Authorization.UserInfo {
  /// authentication/v1 UserInfo.
  var json: JSON {
    var json: JSON = ["username": .string(name)]
    if !uid.isEmpty { json["uid"] = .string(uid) }
    if !groups.isEmpty { json["groups"] = JSON(groups) }
    if !extra.isEmpty { json["extra"] = .object(JSONObject(extra.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) })) }
    return json
  }

  static func extra(_ json: JSON) -> [String: [String]] {
    (json.object ?? JSONObject()).reduce(into: [:]) { $0[$1.0] = ($1.1.array ?? []).compactMap(\.string) }
  }
}
