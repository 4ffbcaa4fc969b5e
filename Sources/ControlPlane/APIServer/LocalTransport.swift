import APIMachinery
import JSONCodec
import KubernetesClient

/// Calls into the server in this process: values go across as they are.
struct LocalTransport: APITransport {
  let server: APIServer
  let user: UserInfo

  /// Events that a reader in this process may leave unread.
  static let eventsMax = 10_000

  private func prepared(_ request: APIRequest) throws -> (APICall, ResourceRequest) {
    let path = request.path.split(separator: "/").map(String.init)
    guard let target = ResourceRequest(path: path, registry: server.registry) else { throw APIFailure.noSuchPath }
    var call = APICall(user: user, method: request.method, path: path, query: request.query)
    call.contentType = request.contentType
    call.userAgent = "swiftlet/"
    if let body = request.body { call.body = .json(body) }
    return (call, target)
  }

  func send(_ request: APIRequest) async throws -> APIResponse {
    do {
      if let answer = try await server.aggregated(request, user) { return answer }
      let (call, target) = try prepared(request)
      if request.method == "GET", target.name == nil, target.resource.group != MetricsAPI.group {
        try await server.access.require(call, target)
        let page = try await server.resources.list(call, target)
        let items = try await server.resources.objects(page, target.resource)
        return APIResponse(status: 200, body: ["metadata": page.metadata, "items": .array(items)])
      }
      var warnings = Warnings()
      switch try await server.perform(call, target, &warnings) {
      case .object(let object, let status): return APIResponse(status: status, body: object)
      case .document(let bytes): return APIResponse(status: 200, body: try JSON.parse(bytes))
      case .text(let text, let status, _): return APIResponse(status: status, body: .string(text))
      case .watch, .served: throw APIFailure.badRequest("this request has no answer in this process")
      }
    } catch {
      let failure = server.failure(error)
      return APIResponse(status: failure.code, body: failure.status)
    }
  }

  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    let watch: WatchRequest
    do {
      let (call, target) = try prepared(request)
      var watching = call
      watching.query.append((name: "watch", value: "true"))
      try await server.access.require(watching, target)
      watch = try server.resources.watchRequest(call, target)
    } catch {
      let failure = server.failure(error)
      throw APIStatusError(APIResponse(status: failure.code, body: failure.status))
    }
    let server = server
    return AsyncThrowingStream(bufferingPolicy: .bufferingOldest(Self.eventsMax)) { continuation in
      let task = Task {
        do {
          try await server.resources.run(watch) { items in
            for item in items {
              let event = WatchEvent(kind: item.kind, object: try server.resources.object(item))
              // The reader lists again.
              if case .dropped = continuation.yield(event) { throw APIFailure.expired("this reader is too slow") }
            }
          }
          continuation.finish()
        } catch {
          let failure = server.failure(error)
          continuation.finish(throwing: APIStatusError(APIResponse(status: failure.code, body: failure.status)))
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }
}
