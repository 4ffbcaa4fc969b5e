import APIMachinery
import Authorization
import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1
import Synchronization

extension APIServer {
  /// What this server says it is: the Kubernetes version whose API it serves.
  package static let version: JSON = [
    "major": "1", "minor": "36", "gitVersion": "v1.36.2+swiftlet", "gitCommit": "", "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none (Swift)", "compiler": "swiftc", "platform": "linux/amd64",
  ]

  /// Throws where the user may not use a path that is no resource. Strangers may use those alone that tell no more than
  /// that there is a server.
  func authorizePath(_ request: ServedRequest, _ user: UserInfo) async throws {
    if AccessControl.openPaths.contains(request.path) { return }
    if user.isAnonymous, request.path != "/version", request.path != "/version/" { throw APIFailure.unauthorized }
    try await access.require(user, AccessRequest(request.method.rawValue.lowercased(), path: request.path))
  }

  /// Paths beside resources and discovery.
  func openPath(_ request: ServedRequest) async throws -> ServedResponse? {
    switch request.path {
    case "/healthz", "/livez": return .text(.ok, "ok")
    case "/readyz":
      _ = try await resources.store.currentRevision()
      return .text(.ok, "ok")
    case "/version", "/version/":
      return ServedResponse(
        headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(string: Self.version.prettyText() + "\n")))
    case "/.well-known/openid-configuration", "/.well-known/openid-configuration/":
      return Self.cacheable(tokens.discoveryDocument, type: "application/json")
    case "/openid/v1/jwks", "/openid/v1/jwks/": return Self.cacheable(tokens.keySet, type: "application/jwk-set+json")
    case "/metrics":
      return ServedResponse(
        headers: ["Content-Type": "text/plain; version=0.0.4"],
        body: .bytes(ByteBuffer(string: metrics.text(revision: try await resources.store.currentRevision()) + flow.metrics)))
    default: return nil
    }
  }

  /// What programs outside keep for an hour, as upstream says.
  private static func cacheable(_ document: JSON, type: String) -> ServedResponse {
    ServedResponse(
      headers: ["Content-Type": type, "Cache-Control": "public, max-age=3600"], body: .bytes(ByteBuffer(bytes: document.serialized())))
  }

  /// Discovery and OpenAPI documents.
  func documents(_ path: [String], _ request: ServedRequest, _ user: UserInfo) throws -> ServedResponse? {
    let accept = request.headers[canonicalForm: "accept"].joined(separator: ",")
    guard let document = try discovery.document(path, accept: accept) else { return nil }
    var headers: HTTPHeaders = ["Content-Type": document.contentType, "ETag": document.etag, "Vary": "Accept"]
    if path.first == "openapi", request.queryValue("hash") != nil {
      headers.add(name: "Cache-Control", value: "public, immutable")
    }
    if request.headers[canonicalForm: "if-none-match"].contains(where: { $0 == document.etag }) {
      return ServedResponse(status: .notModified, headers: headers)
    }
    if document.bytes.count > Gzip.bytesMin, request.headers[canonicalForm: "accept-encoding"].contains("gzip"),
      let packed = Gzip.compress(document.bytes)
    {
      headers.add(name: "Content-Encoding", value: "gzip")
      return ServedResponse(headers: headers, body: .bytes(ByteBuffer(bytes: packed)))
    }
    return ServedResponse(headers: headers, body: .bytes(ByteBuffer(bytes: document.bytes)))
  }
}

/// Counts of requests, in Prometheus' text form.
final class ServerMetrics: Sendable {
  private struct Key: Hashable {
    let method: String
    let code: Int
  }
  private struct State {
    var requests: [Key: Int] = [:]
    var seconds = 0.0
    var total = 0
  }
  private let state = Mutex(State())
  /// Any other method counts as "other": what a stranger sends must not become a series of its own.
  private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

  func count(method: String, code: Int, duration: Duration) {
    let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    state.withLock { state in
      state.requests[Key(method: Self.methods.contains(method) ? method : "other", code: code), default: 0] += 1
      state.seconds += seconds
      state.total += 1
    }
  }

  func text(revision: Int64) -> String {
    state.withLock { state in
      var text = "# HELP apiserver_request_total Requests by method and status.\n# TYPE apiserver_request_total counter\n"
      for (key, count) in state.requests.sorted(by: { ($0.key.method, $0.key.code) < ($1.key.method, $1.key.code) }) {
        text += "apiserver_request_total{verb=\"\(key.method)\",code=\"\(key.code)\"} \(count)\n"
      }
      text +=
        "# HELP apiserver_request_duration_seconds Time until the head of the answer.\n# TYPE apiserver_request_duration_seconds summary\n"
      text += "apiserver_request_duration_seconds_sum \(state.seconds)\napiserver_request_duration_seconds_count \(state.total)\n"
      text +=
        "# HELP swiftlet_store_revision The newest revision.\n# TYPE swiftlet_store_revision gauge\nswiftlet_store_revision \(revision)\n"
      return text
    }
  }
}
