import APIMachinery
import Authorization
import HTTPServing
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHTTP1
import RemoteStreams
import RevisionStore

extension APIServer {
  /// Answers one HTTP request.
  package func serve(_ request: ServedRequest) async -> ServedResponse {
    let started = ContinuousClock.now
    let path = request.path.split(separator: "/").map(String.init)
    let target = target(path)
    let series = RequestSeries(request, target)
    let trail = configuration.auditLog.map { AuditTrail($0, request) }
    var response = await AuditTrail.$current.withValue(trail) { await answer(request, path, target, trail) }
    if let trail { response = trail.finish(response) }
    metrics.count(series, code: Int(response.status.code), duration: ContinuousClock.now - started)
    return series.isLongRunning ? metrics.following(response, series) : response
  }

  /// Whoever installs a metrics server of their own gets its numbers.
  private func target(_ path: [String]) -> ResourceRequest? {
    if path.count > 2, path[1] == MetricsAPI.group,
      resources.catalog.external.contains(where: { $0.group == path[1] && $0.version == path[2] })
    {
      return nil
    }
    return ResourceRequest(path: path, registry: registry)
  }

  private func answer(
    _ request: ServedRequest, _ path: [String], _ target: ResourceRequest?, _ trail: AuditTrail?
  ) async -> ServedResponse {
    var warnings = Warnings()
    do {
      let user = try await identify(request, path, target, trail)
      let request = SubprotocolToken.removed(from: request)
      return await inTurn(request, user, target) {
        try await answer(request, path, user, target, &warnings, trail)
      } failed: { error in
        let failure = failure(error)
        trail?.note(failure)
        return Self.response(failure, request, warnings)
      }
    } catch {
      let failure = failure(error)
      trail?.note(failure)
      return Self.response(failure, request, warnings)
    }
  }

  private func answer(
    _ request: ServedRequest, _ path: [String], _ user: UserInfo, _ target: ResourceRequest?, _ warnings: inout Warnings,
    _ trail: AuditTrail?
  ) async throws -> ServedResponse {
    if target == nil {
      if let passed = try await aggregated(request, path, user) { return passed }
      try await authorizePath(request, user)
    }
    if let open = try await openPath(request) { return open }
    guard !user.isAnonymous || isClusterInfo(request, target) else { throw APIFailure.unauthorized }
    if let document = try documents(path, request, user) { return document }
    guard let target else { throw APIFailure.noSuchPath }
    var call = Self.call(request, user, path)
    call.answerForm = AnswerForm.negotiate(
      request.headers[canonicalForm: "accept"].joined(separator: ","),
      hasMessages: target.resource.custom == nil && target.resource.group != MetricsAPI.group,
      hasTables: !["authentication.k8s.io", "authorization.k8s.io"].contains(target.resource.group),
      include: call.parameter("includeObject"))
    call.keepsAnswer = trail?.keepsAnswer ?? false
    let result = try await perform(call, target, &warnings)
    trail?.note(result)
    return try response(result, call, warnings)
  }

  /// What a machine has to read before it trusts anybody: to send its token along would be too early. Roles still decide.
  private func isClusterInfo(_ request: ServedRequest, _ target: ResourceRequest?) -> Bool {
    guard let target, request.method == .GET, target.resource.group.isEmpty, target.resource.plural == "configmaps" else { return false }
    return target.namespace == "kube-public" && target.name == BootstrapSigner.name && target.subresource == nil
      && !request.query.contains { $0.0 == "watch" }
  }

  /// Who asks; with an audit log, the request's trail begins here.
  private func identify(
    _ request: ServedRequest, _ path: [String], _ target: ResourceRequest?, _ trail: AuditTrail?
  ) async throws -> UserInfo {
    guard let trail else { return try await authentication.identity(of: request).user }
    func access(_ user: UserInfo) -> AccessRequest {
      target.map { AccessRequest(Self.call(request, user, path), $0) }
        ?? AccessRequest(request.method.rawValue.lowercased(), path: request.path)
    }
    do {
      let identity = try await authentication.identity(of: request)
      let asked = access(identity.user)
      let decision = await self.access.decide(identity.user, asked)
      let call = Self.call(request, identity.user, path)
      trail.begin(identity, asked, decision) { (try? call.decodedBody(registry).object) ?? .null }
      return identity.user
    } catch {
      trail.begin(nil, access(.anonymous), nil) { .null }
      throw error
    }
  }

  /// Whatever went wrong, as a Status.
  func failure(_ error: any Error) -> APIFailure {
    switch error {
    case let failure as APIFailure: return failure
    case let error as RevisionStoreError:
      switch error.code {
      case .diskFull: return APIFailure(507, "InsufficientStorage", "the disk is full: \(error.message)")
      case .tooLarge(let limit): return APIFailure(413, "RequestEntityTooLarge", "the object is larger than \(limit) bytes")
      case .overloaded:
        return APIFailure(429, "TooManyRequests", error.message, details: ["retryAfterSeconds": 1])
      case .compacted: return .expired("The resourceVersion for the provided list is too old.")
      case .future(let current): return Resources.tooLarge(current + 1, current)
      case .closed: return .unavailable("the server is stopping")
      default: break
      }
      log.error("store: \(error.message)")
      return .internalError(error.message)
    case is CancellationError: return APIFailure(504, "Timeout", "the request was cancelled")
    default:
      log.error("request failed: \(error)")
      return .internalError("\(error)")
    }
  }

  /// What the HTTP server refuses by itself, as a Status.
  package static func refusal(_ status: HTTPResponseStatus, _ message: String) -> ServedResponse {
    let reasons = [400: "BadRequest", 408: "Timeout", 413: "RequestEntityTooLarge", 429: "TooManyRequests", 503: "ServiceUnavailable"]
    let failure = APIFailure(Int(status.code), reasons[Int(status.code)] ?? "Unknown", message)
    return ServedResponse(
      status: status, headers: ["Content-Type": Encoding.json.rawValue], body: .bytes(ByteBuffer(bytes: failure.status.serialized())))
  }

  private static func call(_ request: ServedRequest, _ user: UserInfo, _ path: [String]) -> APICall {
    var call = APICall(user: user, method: request.method.rawValue, path: path, query: request.query.map { (name: $0.0, value: $0.1) })
    call.contentType = request.headers.first(name: "content-type") ?? "application/json"
    call.userAgent = request.headers.first(name: "user-agent") ?? ""
    call.body = request.body.readableBytes == 0 ? .none : .bytes(Array(request.body.readableBytesView))
    call.served = request
    return call
  }

  private static func headers(_ type: String, _ warnings: Warnings) -> HTTPHeaders {
    var headers: HTTPHeaders = ["Content-Type": type, "Cache-Control": "no-cache, private"]
    for value in WarningHeaders.values(warnings.texts) { headers.add(name: "Warning", value: value) }
    return headers
  }

  private static func response(_ failure: APIFailure, _ request: ServedRequest, _ warnings: Warnings) -> ServedResponse {
    var headers = headers("application/json", warnings)
    if let seconds = failure.retryAfterSeconds { headers.add(name: "Retry-After", value: String(seconds)) }
    if failure.code == 401 { headers.add(name: "WWW-Authenticate", value: "Bearer realm=\"kubernetes\"") }
    return ServedResponse(
      status: HTTPResponseStatus(statusCode: failure.code), headers: headers, body: .bytes(ByteBuffer(bytes: failure.status.serialized())))
  }

  private func response(_ result: APIResult, _ call: APICall, _ warnings: Warnings) throws -> ServedResponse {
    switch result {
    case .served(let response): return response
    case .text(let text, let status, let type):
      return ServedResponse(
        status: HTTPResponseStatus(statusCode: status), headers: Self.headers(type, warnings), body: .bytes(ByteBuffer(string: text)))
    case .document(let bytes): return Self.bytes(bytes, Encoding.json.rawValue, 200, call, warnings)
    case .object(let object, let status):
      let form = call.answerForm ?? AnswerForm()
      var shown = object
      let isPlain = ["Status", "Table", "PartialObjectMetadataList", "Scale", "TokenRequest"].contains(object["kind"].string ?? "")
      if form.rendering != .object, !isPlain, let request = ResourceRequest(path: call.path, registry: registry) {
        shown = form.rendering.render(object, request.resource, isFirst: true, isBookmark: false)
      }
      let (type, bytes) = try form.encoding.encode(shown, registry, isPretty: call.flag("pretty"))
      return Self.bytes(bytes, type, status, call, warnings)
    case .watch(let watch): return stream(watch, call, warnings)
    }
  }

  private static func bytes(_ bytes: [UInt8], _ type: String, _ status: Int, _ call: APICall, _ warnings: Warnings) -> ServedResponse {
    var headers = headers(type, warnings)
    var body = bytes
    if bytes.count > Gzip.bytesMin, let served = call.served, Gzip.isTaken(by: served), let packed = Gzip.compress(bytes) {
      Gzip.mark(&headers)
      body = packed
    }
    return ServedResponse(status: HTTPResponseStatus(statusCode: status), headers: headers, body: .bytes(ByteBuffer(bytes: body)))
  }

  /// A watch as a body that goes on: a line of JSON or a frame of protobuf for each event. Over a WebSocket each event is a message.
  private func stream(_ watch: WatchRequest, _ call: APICall, _ warnings: Warnings) -> ServedResponse {
    if let served = call.served,
      let upgraded = upgradeWebSocketMessages(
        served, isText: watch.form.encoding != .protobuf,
        copy: { write in
          try await self.resources.revocations.following(call.user.nodeName) {
            try await self.copy(watch) { for event in $0 { try await write(ByteBuffer(bytes: event)) } }
          }
        })
    {
      return upgraded
    }
    return ServedResponse(
      status: .ok, headers: Self.headers(watch.form.streamType, warnings),
      body: .stream { writer in
        try await self.resources.revocations.following(call.user.nodeName) {
          try await self.copy(watch) { events in
            var lines = ByteBuffer()
            lines.reserveCapacity(events.reduce(0) { $0 + $1.count })
            for event in events { lines.writeBytes(event) }
            try await writer.write(lines)
          }
        }
      })
  }

  /// Writes events, each as its bytes, until the watch ends; what goes wrong is the last of them.
  private func copy(_ watch: WatchRequest, _ write: @escaping @Sendable ([[UInt8]]) async throws -> Void) async throws {
    let first = FirstFlag()
    do {
      try await resources.run(watch) { items in
        try await write(
          items.map { item in
            var out: [UInt8] = []
            try self.resources.write(item, watch, isFirst: first.take(), to: &out)
            return out
          })
      }
    } catch is ConnectionClosedError {
    } catch is CancellationError {
    } catch {
      // A slow reader's stream just ends: it goes on from the last version that it saw.
      if let store = error as? RevisionStoreError, case .slowWatcher = store.code { return }
      var out: [UInt8] = []
      try resources.write(kind: .error, failure(error).status, isJSON: watch.form.encoding != .protobuf, to: &out)
      try await write([out])
    }
  }
}

/// True once. Only the task that writes a stream asks, one write after another, which makes it Sendable.
private final class FirstFlag: @unchecked Sendable {
  private var isFirst = true
  func take() -> Bool {
    defer { isFirst = false }
    return isFirst
  }
}
