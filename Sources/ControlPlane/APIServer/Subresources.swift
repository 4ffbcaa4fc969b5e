import APIMachinery
import HTTPServing
import JSONCodec
import KubernetesAPI

extension APIServer {
  /// Answers a call for a subresource.
  func perform(_ call: APICall, _ request: ResourceRequest, _ subresource: String, _ warnings: inout Warnings) async throws -> APIResult {
    guard let info = request.resource.subresources.first(where: { $0.name == subresource }), request.name != nil else {
      throw APIFailure.noSuchPath
    }
    guard subresource == "proxy" || info.verbs.contains(Self.verb(call, request)) || (subresource == "log" && call.method == "GET") else {
      throw APIFailure.methodNotAllowed("")
    }
    var call = call
    if ["exec", "attach", "portforward", "proxy"].contains(subresource) { try await admitConnection(&call, request, subresource) }
    switch (request.resource.plural, subresource) {
    case ("pods", "binding"): return try await bind(call, request)
    case ("pods", "eviction"): return try await evict(call, request, &warnings)
    case ("pods", "log"), ("pods", "exec"), ("pods", "attach"), ("pods", "portforward"):
      return try await NodeProxy(server: self).perform(call, request, subresource)
    case (_, "proxy"): return try await ProxyCalls(server: self).perform(call, request)
    case ("serviceaccounts", "token"): return try await tokenRequest(call, request)
    case (_, "scale"): return try await scale(call, request, &warnings)
    case (_, "status"), ("namespaces", "finalize"), ("pods", "ephemeralcontainers"), ("pods", "resize"), (_, "approval"):
      return try await part(call, request, subresource, &warnings)
    default: throw APIFailure.methodNotAllowed("\(request.resource.plural)/\(subresource)")
    }
  }

  /// A subresource that is a part of its object under the object's own kind.
  private func part(
    _ call: APICall, _ request: ResourceRequest, _ subresource: String, _ warnings: inout Warnings
  ) async throws -> APIResult {
    switch call.method {
    case "GET": return .object(try await resources.stored(request).object)
    case "PUT": return try await updated(call, request, &warnings, subresource: subresource)
    default: return try await patched(call, request, &warnings, subresource: subresource)
    }
  }

  /// Admission sees who connects to what, with the options as an object. What it changes of them counts.
  private func admitConnection(_ call: inout APICall, _ request: ResourceRequest, _ subresource: String) async throws {
    let kinds = ["exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"]
    let owner = ["services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"][request.resource.plural] ?? "PodProxyOptions"
    var options: JSON = ["kind": .string(kinds[subresource] ?? owner), "apiVersion": "v1"]
    for name in Self.streams where call.parameter(name) != nil { options[name] = .bool(call.flag(name)) }
    options["container"] = JSON(call.parameter("container"))
    if subresource == "exec" { options["command"] = JSON(call.parameters("command")) }
    if subresource == "proxy" { options["path"] = .string("/" + request.rest.joined(separator: "/")) }
    let context = WriteContext(user: call.user, manager: "", subresource: subresource)
    let attempt = try await resources.attempt(.connect, request, name: request.name ?? "", context, old: nil, options)
    guard let admitted = try await resources.admit(attempt, options, context), admitted != options else { return }
    guard subresource != "proxy" else {
      throw APIFailure.internalError("admission changed where a proxied request goes, which this server does not do")
    }
    call.query.removeAll { Self.streams.contains($0.name) || ["container", "command"].contains($0.name) }
    for name in Self.streams { if let flag = admitted[name].bool { call.query.append((name, flag ? "true" : "false")) } }
    if let container = admitted["container"].string { call.query.append(("container", container)) }
    for word in admitted["command"].array ?? [] { call.query.append(("command", word.string ?? "")) }
  }

  private static let streams = ["stdin", "stdout", "stderr", "tty"]

  // MARK: pods

  private func bind(_ call: APICall, _ request: ResourceRequest) async throws -> APIResult {
    let body = try call.decodedBody(registry).object
    let node = body["target"]["name"].string ?? ""
    guard !node.isEmpty else {
      throw Self.invalid(request.resource, request.name ?? "", "target.name", "FieldValueRequired", "Required value")
    }
    try await bind(request, node: node, annotations: body["metadata"]["annotations"], uid: body["metadata"]["uid"].string, call)
    return .object(
      ["kind": "Status", "apiVersion": "v1", "metadata": .object(JSONObject()), "status": "Success", "code": 201], status: 201)
  }

  private func bind(_ request: ResourceRequest, node: String, annotations: JSON, uid: String?, _ call: APICall) async throws {
    var context = try WriteContext(call, subresource: "binding")
    context.user = .controlPlane
    _ = try await resources.update(request, context) { pod in
      let name = request.name ?? ""
      if let uid, !uid.isEmpty, uid != pod["metadata"]["uid"].string {
        throw APIFailure.conflict(
          request.resource, name,
          "Precondition failed: UID in precondition: \(uid), UID in object meta: \(pod["metadata"]["uid"].string ?? "")")
      }
      guard pod["metadata"]["deletionTimestamp"].isNull else {
        throw APIFailure.conflict(request.resource, name, "pod \(name) is being deleted, cannot be assigned to a host")
      }
      let current = pod["spec"]["nodeName"].string ?? ""
      guard current.isEmpty else {
        throw APIFailure.conflict(request.resource, name, "pod \(name) is already assigned to node \"\(current)\"")
      }
      var bound = pod
      bound["spec"]["nodeName"] = .string(node)
      for (key, value) in annotations.object ?? JSONObject() { bound["metadata"]["annotations"][key] = value }
      var conditions = (pod["status"]["conditions"].array ?? []).filter { $0["type"].string != "PodScheduled" }
      conditions.append([
        "type": "PodScheduled", "status": "True", "lastProbeTime": .null, "lastTransitionTime": .string(context.now.rfc3339),
        "observedGeneration": pod["metadata"]["generation"],
      ])
      bound["status"]["conditions"] = .array(conditions)
      return bound
    }
  }

  // MARK: scale

  private static func scaleObject(_ object: JSON) -> JSON {
    let selector =
      object["kind"].string == "ReplicationController"
      ? object["spec"]["selector"].object.map { $0.map { "\($0)=\($1.string ?? "")" }.sorted().joined(separator: ",") }
      : Self.selectorText(object["spec"]["selector"])
    let metadata = object["metadata"]
    return [
      "kind": "Scale", "apiVersion": "autoscaling/v1",
      "metadata": [
        "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
      ],
      "spec": ["replicas": JSON(object["spec"]["replicas"].int ?? 0)],
      "status": ["replicas": JSON(object["status"]["replicas"].int ?? 0), "selector": JSON(selector)],
    ]
  }

  private static func selectorText(_ selector: JSON) -> String {
    let labels = (selector["matchLabels"].object ?? JSONObject()).map { "\($0)=\($1.string ?? "")" }.sorted()
    let expressions = (selector["matchExpressions"].array ?? []).map { expression in
      let key = expression["key"].string ?? ""
      let values = (expression["values"].array ?? []).compactMap(\.string).sorted().joined(separator: ",")
      return switch expression["operator"].string {
      case "Exists": key
      case "DoesNotExist": "!\(key)"
      case "NotIn": "\(key) notin (\(values))"
      default: "\(key) in (\(values))"
      }
    }
    return (labels + expressions).joined(separator: ",")
  }

  private func scale(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) async throws -> APIResult {
    if let custom = request.resource.custom { return try await customScale(call, request, custom) }
    if call.method == "GET" { return .object(Self.scaleObject(try await resources.stored(request).object)) }
    let body = try call.decodedBody(registry).object
    let context = try WriteContext(call, subresource: "scale")
    let object = try await resources.update(request, context) { current in
      let scale = Self.scaleObject(current)
      var wanted = body
      switch call.contentType.prefix(while: { $0 != ";" }) {
      case "application/json-patch+json": wanted = try jsonPatch(original: scale, patch: body)
      case _ where call.method == "PATCH": wanted = jsonMergePatch(original: scale, patch: body)
      default: break
      }
      guard let replicas = wanted["spec"]["replicas"].int ?? (wanted["spec"].isNull ? nil : 0), replicas >= 0 else {
        throw Self.invalid(
          request.resource, request.name ?? "", "spec.replicas", "FieldValueInvalid",
          "Invalid value: \(wanted["spec"]["replicas"].text()): must be greater than or equal to 0")
      }
      var changed = current
      changed["spec"]["replicas"] = JSON(replicas)
      changed["metadata"]["resourceVersion"] =
        wanted["metadata"]["resourceVersion"].isNull ? current["metadata"]["resourceVersion"] : wanted["metadata"]["resourceVersion"]
      return changed
    }
    return .object(Self.scaleObject(object))
  }
}
