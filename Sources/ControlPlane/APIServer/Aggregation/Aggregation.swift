import APIMachinery
import AsyncHTTPClient
import Authorization
import HTTPServing
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHTTP1

/// Requests for what other API servers serve behind this one: it knows who asks, and they believe it.
extension APIServer {
  /// Passes a request on; nil where no other server has its group and version.
  func aggregated(_ request: ServedRequest, _ path: [String], _ user: UserInfo) async throws -> ServedResponse? {
    guard path.count >= 3, path[0] == "apis",
      let target = resources.catalog.external.first(where: { $0.group == path[1] && $0.version == path[2] })
    else { return nil }
    let backend = try await admitted(request, path, user, to: target)
    let identity = try aggregationHeaders(user)
    if request.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" }) {
      return try await upgraded(request, to: target, backend, identity)
    }
    return try await ProxyCalls.forward(
      request, url: "https://\(target.host):\(backend.port)\(request.uri)", client: client(of: target, backend), adding: identity)
  }

  /// Where a request goes, once the user may send it.
  func admitted(_ request: ServedRequest, _ path: [String], _ user: UserInfo, to target: ExternalVersion) async throws -> Backend {
    guard !user.isAnonymous else { throw APIFailure.unauthorized }
    if path.count > 3 { try await access.require(user, Self.access(request, path)) } else { try await authorizePath(request, user) }
    guard target.isAvailable else { throw APIFailure.unavailable("service unavailable") }
    return try await backend(of: target)
  }

  func client(of target: ExternalVersion, _ backend: Backend) throws -> HTTPClient {
    try backends.client(name: target.host, address: backend.host, trust: target.trust, identity: configuration.frontProxyIdentity)
  }

  // Unlike upstream: an APIService without a caBundle is reached by the system's authorities for requests, and not for upgraded connections.

  /// A connection that becomes another protocol's: from the answer's head on, bytes go across as they are.
  private func upgraded(
    _ request: ServedRequest, to target: ExternalVersion, _ backend: Backend, _ identity: [(String, String)]
  ) async throws -> ServedResponse {
    var headers = HTTPHeaders()
    let left: Set<String> = ["host", "authorization", "content-length", "transfer-encoding"]
    for (name, value) in request.headers where !left.contains(name.lowercased()) && !FrontProxy.isIdentity(name) {
      headers.add(name: name, value: value)
    }
    for (name, value) in identity { headers.add(name: name, value: value) }
    let authorities: [UInt8]
    switch target.trust {
    case .anybody: authorities = []
    case .authorities(let pem): authorities = pem
    case .system:
      throw APIFailure.unavailable("the APIService \(target.name) has no caBundle, which upgraded connections need")
    }
    let own = configuration.frontProxyIdentity
    let tls = try ClientTLS(certificateChainPEM: own?.certificate ?? [], privateKeyPEM: own?.key ?? [], trustRootsPEM: authorities)
    do {
      return try await forwardUpgrade(
        method: request.method, uri: request.uri, headers: headers,
        to: UpgradeTarget(host: backend.host, port: backend.port, tls: tls, serverName: target.host),
        eventLoop: request.eventLoop ?? group.next())
    } catch let error as UpgradeForwardingError {
      throw APIFailure.unavailable("error trying to reach service: \(error.description)")
    }
  }

  func backend(of target: ExternalVersion) async throws -> Backend {
    try await ServiceBackends(resources: resources).resolve(
      namespace: target.service["namespace"].string ?? "", name: target.service["name"].string ?? "",
      port: String(target.service["port"].int ?? 443))
  }

  func aggregationHeaders(_ user: UserInfo) throws -> [(String, String)] {
    var headers = [(FrontProxy.userHeader, user.name)] + user.groups.map { (FrontProxy.groupHeader, $0) }
    if !user.uid.isEmpty { headers.append((FrontProxy.uidHeader, user.uid)) }
    for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) {
      for value in values { headers.append((FrontProxy.extraPrefix + percentEncoded(key), value)) }
    }
    return headers
  }

  /// What a path under /apis asks for, read without knowing the resource.
  private static func access(_ request: ServedRequest, _ path: [String]) -> AccessRequest {
    var parts = path.dropFirst(3)
    var namespace = ""
    if parts.first == "namespaces", parts.count >= 3 {
      namespace = parts.dropFirst().first ?? ""
      parts = parts.dropFirst(2)
    }
    let plural = parts.popFirst() ?? ""
    let name = parts.popFirst() ?? ""
    let isWatch = request.query.contains { $0.0 == "watch" && ["1", "true"].contains($0.1) }
    let verb =
      switch request.method {
      case .GET, .HEAD: isWatch ? "watch" : name.isEmpty ? "list" : "get"
      case .POST: "create"
      case .PUT: "update"
      case .PATCH: "patch"
      default: name.isEmpty ? "deletecollection" : "delete"
      }
    return AccessRequest(
      verb, group: path[1], version: path[2], resource: plural, subresource: parts.joined(separator: "/"), namespace: namespace, name: name)
  }
}
