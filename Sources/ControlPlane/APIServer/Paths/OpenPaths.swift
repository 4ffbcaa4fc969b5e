import APIMachinery
import Authorization
import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1

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
    case "/": return Self.json(["paths": .array(rootPaths().map { .string($0) })])
    case "/version", "/version/":
      return Self.json(Self.version)
    case "/.well-known/openid-configuration", "/.well-known/openid-configuration/":
      return Self.cacheable(tokens.discoveryDocument, type: "application/json")
    case "/openid/v1/jwks", "/openid/v1/jwks/": return Self.cacheable(tokens.keySet, type: "application/jwk-set+json")
    case "/metrics":
      return Self.measures(metrics.text(revision: try await resources.store.currentRevision()) + flow.metrics)
    case "/metrics/slis": return Self.measures(await HealthChecks(server: self).measures())
    case _ where request.path.hasPrefix(FlowDump.prefix):
      return flow.dump(request.path).map { .text(.ok, $0) }
    default: return await HealthChecks(server: self).answer(request)
    }
  }

  private static func measures(_ text: String) -> ServedResponse {
    ServedResponse(headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"], body: .bytes(ByteBuffer(string: text)))
  }

  private static func json(_ document: JSON) -> ServedResponse {
    ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(string: document.prettyText() + "\n")))
  }

  /// All that can be asked for, as `GET /` tells.
  private func rootPaths() -> [String] {
    var paths: Set<String> = [
      "/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3",
      "/openapi/v3/", "/openid/v1/jwks", "/version",
    ]
    for kind in HealthChecks.Kind.allCases {
      paths.insert(kind.path)
      for check in kind.checks { paths.insert("\(kind.path)/\(check.rawValue)") }
    }
    for dump in FlowDump.allCases { paths.insert(FlowDump.prefix + dump.rawValue) }
    for resource in registry.resources where resource.isServed && !resource.group.isEmpty {
      paths.formUnion(["/apis/\(resource.group)", "/apis/\(resource.group)/\(resource.version)"])
    }
    for version in resources.catalog.external { paths.formUnion(["/apis/\(version.group)", "/apis/\(version.group)/\(version.version)"]) }
    return paths.sorted()
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
