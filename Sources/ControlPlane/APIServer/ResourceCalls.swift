import APIMachinery
import HTTPServing
import JSONCodec
import KubernetesAPI

/// What the server wants to tell beside the answer (`Warning` headers).
struct Warnings: Sendable {
  var texts: [String] = []
}

extension APIServer {
  /// Answers a call for a resource.
  func perform(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) async throws -> APIResult {
    try await access.require(call, request)
    // Before anything is changed: who cannot read the answer gets nothing done.
    let isStream = ["log", "exec", "attach", "portforward", "proxy"].contains(request.subresource)
    guard isStream || call.answerForm != nil else { throw APIFailure.notAcceptable }
    if request.resource.group == MetricsAPI.group { return try await MetricsAPI(server: self).perform(call, request) }
    if let answer = try await review(call, request, &warnings) { return answer }
    if let subresource = request.subresource { return try await perform(call, request, subresource, &warnings) }
    try allowed(call, request)
    switch (call.method, request.name) {
    case ("GET", nil): return try await collection(call, request)
    case ("GET", _):
      if call.flag("watch") { return .watch(try resources.watchRequest(call, request)) }
      if call.sendsStoredBytes, resources.isStoredForm(request.resource) { return .document(try await resources.storedBytes(request)) }
      return .object(try await resources.stored(request).object)
    case ("POST", nil): return try await created(call, request, &warnings)
    case ("PUT", .some): return try await updated(call, request, &warnings)
    case ("PATCH", .some): return try await patched(call, request, &warnings)
    case ("DELETE", .some): return try await deleted(call, request, &warnings)
    case ("DELETE", nil) where request.resource.isNamespaced && request.namespace == nil: throw APIFailure.methodNotAllowed("")
    case ("DELETE", nil):
      let options = try deleteOptions(call, request, &warnings)
      defer { warnings.texts += options.notes.take() }
      return .document(try await resources.document(try await resources.deleteCollection(call, request, options), request.resource))
    default: throw APIFailure.methodNotAllowed("")
    }
  }

  static func verb(_ call: APICall, _ request: ResourceRequest) -> String {
    switch call.method {
    case "GET": call.flag("watch") ? "watch" : request.name == nil ? "list" : "get"
    case "POST": "create"
    case "PUT": "update"
    case "PATCH": "patch"
    default: request.name == nil ? "deletecollection" : "delete"
    }
  }

  private func allowed(_ call: APICall, _ request: ResourceRequest) throws {
    guard request.resource.verbs.contains(Self.verb(call, request)) else { throw APIFailure.methodNotAllowed("") }
  }

  private func collection(_ call: APICall, _ request: ResourceRequest) async throws -> APIResult {
    let form = call.answerForm ?? AnswerForm()
    if call.flag("watch") { return .watch(try resources.watchRequest(call, request)) }
    if let streamed = try await streamed(call, request) { return streamed }
    let page = try await resources.list(call, request)
    if page.next == nil { listSizes.note(request.resource.plural, page.items.count) }
    switch form.rendering {
    case .object where form.encoding == .json: return .document(try await resources.document(page, request.resource))
    case .object:
      return .object([
        "kind": .string(request.resource.listKind), "apiVersion": .string(request.resource.apiVersion), "metadata": page.metadata,
        "items": .array(try await resources.objects(page, request.resource)),
      ])
    case .table(let version, let include):
      var result = table(
        resource: request.resource, objects: try await resources.objects(page, request.resource), now: .now, includeObject: include,
        version: version)
      result["metadata"] = page.metadata
      return .object(result)
    case .partial(let version):
      let items = try await resources.objects(page, request.resource).map { partialObjectMetadata($0, version: version) }
      return .object([
        "kind": "PartialObjectMetadataList", "apiVersion": .string("meta.k8s.io/\(version.rawValue)"), "metadata": page.metadata,
        "items": .array(items),
      ])
    }
  }

  // MARK: writes

  private func created(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) async throws -> APIResult {
    let body = try validBody(call, request.resource, &warnings)
    let name = body["metadata"]["name"].string ?? ""
    if name.isEmpty, (body["metadata"]["generateName"].string ?? "").isEmpty {
      throw Self.invalid(request.resource, "", "metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
    }
    let context = try WriteContext(call)
    // Who is refused is warned all the same.
    defer { warnings.texts += context.notes.take() }
    return .object(try await resources.create(request, body, context), status: 201)
  }

  static func invalid(_ resource: ResourceInfo, _ name: String, _ field: String, _ reason: String, _ message: String) -> APIFailure {
    let kind = resource.group.isEmpty ? resource.kind : "\(resource.kind).\(resource.group)"
    return APIFailure(
      422, "Invalid", "\(kind) \"\(name)\" is invalid: \(field): \(message)",
      details: [
        "name": JSON(name.isEmpty ? nil : name), "group": JSON(resource.group.isEmpty ? nil : resource.group),
        "kind": .string(resource.kind),
        "causes": [["reason": .string(reason), "message": .string(message), "field": .string(field)]],
      ])
  }

  func updated(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings, subresource: String? = nil) async throws
    -> APIResult
  {
    let body = try validBody(call, request.resource, &warnings)
    try checkName(body, request)
    let context = try WriteContext(call, subresource: subresource)
    defer { warnings.texts += context.notes.take() }
    return .object(try await resources.update(request, context) { _ in body })
  }

  private func checkName(_ body: JSON, _ request: ResourceRequest) throws {
    let name = body["metadata"]["name"].string ?? ""
    guard name == request.name else {
      throw APIFailure.badRequest("the name of the object (\(name)) does not match the name on the URL (\(request.name ?? ""))")
    }
  }

  /// The body as an object of the resource's kind, with unknown fields named or dropped as `fieldValidation` says.
  func validBody(_ call: APICall, _ resource: ResourceInfo, _ warnings: inout Warnings, type: SchemaType? = nil) throws -> JSON {
    let decoded = try call.decodedBody(registry)
    var object = decoded.object
    guard case .object = object else { throw APIFailure.badRequest("the body of the request is empty or no object") }
    AuditTrail.current?.note(requestObject: object)
    if let text = resource.custom?.deprecationWarning { warnings.texts.append(text) }
    if type == nil {
      try checkKind(object, resource)
      object["kind"] = .string(resource.kind)
      object["apiVersion"] = .string(resource.apiVersion)
    }
    try strict(&object, decoded, call, type ?? resource.type, isCustom: resource.custom != nil, &warnings)
    if type == nil, let namespace = object["metadata"]["namespace"].string, !namespace.isEmpty, resource.isNamespaced,
      let asked = ResourceRequest(path: call.path, registry: registry)?.namespace, asked != namespace
    {
      throw APIFailure.badRequest("the namespace of the provided object does not match the namespace sent on the request")
    }
    return object
  }

  private func checkKind(_ object: JSON, _ resource: ResourceInfo) throws {
    let (kind, version) = (object["kind"].string ?? "", object["apiVersion"].string ?? "")
    guard !kind.isEmpty || !version.isEmpty else { return }
    guard kind == resource.kind || kind.isEmpty, version == resource.apiVersion || version.isEmpty else {
      throw APIFailure.badRequest(
        "the API version in the data (\(version)) does not match the expected API version (\(resource.apiVersion)), or kind \(kind) is not \(resource.kind)"
      )
    }
  }

  func strict(
    _ object: inout JSON, _ decoded: DecodedBody, _ call: APICall, _ type: SchemaType, isCustom: Bool = false, _ warnings: inout Warnings
  ) throws {
    let unknown: [UnknownField]
    do {
      unknown = try prune(&object, type: type)
    } catch {
      throw APIFailure.badRequest("\(error)")
    }
    // Upstream decodes custom resources without their schema first.
    let unknowns = unknown.map { "unknown field \"\($0.path)\"" }
    let repeats = decoded.duplicates.map { "duplicate field \"\($0)\"" }
    let complaints = isCustom ? repeats + unknowns : unknowns + repeats
    guard !complaints.isEmpty || !decoded.repeatedKeys.isEmpty else { return }
    switch call.parameter("fieldValidation") ?? "Warn" {
    case "Ignore": break
    case "Strict":
      let keys = decoded.repeatedKeys.isEmpty ? [] : [decoded.repeatedKeysText]
      throw APIFailure.badRequest("strict decoding error: " + (keys + complaints).joined(separator: ", "))
    default: warnings.texts += decoded.repeatedKeys + complaints
    }
  }

  // MARK: patches

  static let patchTypes = [
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
  ]

  func patched(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings, subresource: String? = nil) async throws
    -> APIResult
  {
    let type = call.contentType.prefix { $0 != ";" }.lowercased()
    // Custom resources have no merge keys.
    let known = request.resource.custom == nil ? Self.patchTypes : Self.patchTypes.filter { !$0.hasPrefix("application/strategic") }
    guard known.contains(type) else { throw APIFailure.unsupportedMediaType(known) }
    let decoded = try call.decodedBody(registry)
    if type == "application/apply-patch+yaml" { return try await applied(call, request, decoded, subresource, &warnings) }
    let resource = request.resource
    var collected = warnings
    let context = try WriteContext(call, subresource: subresource)
    // Who is refused is warned all the same.
    defer {
      collected.texts += context.notes.take()
      warnings = collected
    }
    let object = try await resources.update(request, context) { current in
      var result: JSON
      do {
        switch type {
        case "application/json-patch+json": result = try jsonPatch(original: current, patch: decoded.object)
        case "application/merge-patch+json": result = jsonMergePatch(original: current, patch: decoded.object)
        default: result = try strategicMerge(original: current, patch: decoded.object, type: resource.type)
        }
      } catch let failure as APIFailure {
        throw failure
      } catch let error as PatchError where error.kind == .tooLarge {
        throw APIFailure(413, "RequestEntityTooLarge", "Request entity too large: \(error.message)")
      } catch {
        throw type == "application/json-patch+json"
          ? APIFailure(422, "Invalid", "\(error)") : APIFailure.badRequest("\(error)")
      }
      var noticed = Warnings()
      try strict(&result, decoded, call, resource.type, isCustom: resource.custom != nil, &noticed)
      collected.texts += noticed.texts.filter { !collected.texts.contains($0) }
      let uid = result["metadata"]["uid"].string
      if let uid, uid != current["metadata"]["uid"].string {
        throw APIFailure.conflict(
          resource, request.name ?? "",
          "Precondition failed: UID in precondition: \(uid), UID in object meta: \(current["metadata"]["uid"].string ?? "")")
      }
      // Without a version in the patch, a concurrent change is no conflict: the patch is applied again.
      return result
    }
    return .object(object)
  }

  private func applied(
    _ call: APICall, _ request: ResourceRequest, _ decoded: DecodedBody, _ subresource: String?, _ warnings: inout Warnings
  ) async throws -> APIResult {
    let resource = request.resource
    guard let manager = call.parameter("fieldManager"), !manager.isEmpty else {
      throw APIFailure(
        422, "Invalid", "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        details: [
          "group": "meta.k8s.io", "kind": "PatchOptions",
          "causes": [["reason": "FieldValueRequired", "message": "Required value: is required for apply patch", "field": "fieldManager"]],
        ])
    }
    var body = decoded.object
    guard body["apiVersion"].string == resource.apiVersion, body["kind"].string == resource.kind else {
      throw APIFailure.badRequest("the body of an apply patch needs apiVersion \(resource.apiVersion) and kind \(resource.kind)")
    }
    if let namespace = request.namespace { body["metadata"]["namespace"] = .string(namespace) }
    body["metadata"]["name"] = .string(request.name ?? "")
    try checkApplied(&body, decoded, call, resource, &warnings)
    let applied = body
    var context = try WriteContext(call, subresource: subresource)
    context.tracksOwnership = false
    let isForced = call.flag("force")
    func merge(_ live: JSON?) throws -> JSON {
      do {
        return try serverSideApply(
          live: live, applied: applied, manager: manager, force: isForced, subresource: subresource, type: resource.type,
          apiVersion: resource.apiVersion, now: context.now)
      } catch .conflict(let conflict) {
        throw APIFailure(
          409, "Conflict", conflict.message,
          details: [
            "name": JSON(request.name), "group": JSON(resource.group.isEmpty ? nil : resource.group), "kind": .string(resource.plural),
            "causes": conflict.details,
          ])
      } catch .badRequest(let message) {
        throw APIFailure.badRequest(message)
      } catch .mismatch(let message) {
        throw APIFailure(500, "", message)
      }
    }
    defer { warnings.texts += context.notes.take() }
    do {
      return .object(try await resources.update(request, context) { try merge($0) })
    } catch let failure as APIFailure where failure.code == 404 && subresource == nil && !(failure.details["kind"].string == "namespaces") {
      do {
        var fresh = request
        fresh.name = nil
        return .object(try await resources.create(fresh, try merge(nil), context), status: 201)
      } catch let failure as APIFailure where failure.reason == "AlreadyExists" {
        return .object(try await resources.update(request, context) { try merge($0) })
      }
    }
  }

  /// An applied configuration has to fit its type, whatever `fieldValidation` says: what is applied twice or to nothing would be nobody's.
  private func checkApplied(
    _ body: inout JSON, _ decoded: DecodedBody, _ call: APICall, _ resource: ResourceInfo, _ warnings: inout Warnings
  ) throws {
    if let problem = appliedMismatch(body, type: resource.type) { throw APIFailure(500, "", problem) }
    do {
      try prune(&body, type: resource.type, keepsEmpty: true)
    } catch {
      throw APIFailure.badRequest("\(error)")
    }
    guard !decoded.repeatedKeys.isEmpty else { return }
    switch call.parameter("fieldValidation") ?? "Warn" {
    case "Ignore": break
    case "Strict":
      throw APIFailure.badRequest("error strict decoding YAML: error converting YAML to JSON: \(decoded.repeatedKeysText)")
    default: warnings.texts += decoded.repeatedKeys
    }
  }

  // MARK: delete

  private func deleteOptions(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) throws -> DeleteOptions {
    let options = try DeleteOptions(call, body: try call.decodedBody(registry).object)
    if options.hasNoPolicy, request.resource.group == "batch", request.resource.kind == "Job" {
      warnings.texts.append(Cascading.jobWarning)
    }
    return options
  }

  private func deleted(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) async throws -> APIResult {
    let options = try deleteOptions(call, request, &warnings)
    // Who is refused is warned all the same.
    defer { warnings.texts += options.notes.take() }
    let (object, isGone) = try await resources.delete(request, options, user: call.user)
    // Pods are answered with themselves, as are objects that are still going.
    guard isGone, request.resource.kind != "Pod" else {
      return .object(object, status: !isGone && options.isAnsweredAccepted ? 202 : 200)
    }
    return .object([
      "kind": "Status", "apiVersion": "v1", "metadata": .object(JSONObject()), "status": "Success",
      "details": [
        "name": object["metadata"]["name"], "group": JSON(request.resource.group.isEmpty ? nil : request.resource.group),
        "kind": .string(request.resource.plural), "uid": object["metadata"]["uid"],
      ],
    ])
  }
}
