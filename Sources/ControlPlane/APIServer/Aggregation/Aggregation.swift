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
    guard !user.isAnonymous else { throw APIFailure.unauthorized }
    if path.count > 3 { try await access.require(user, Self.access(request, path)) } else { try await authorizePath(request, user) }
    guard target.isAvailable else { throw APIFailure.unavailable("service unavailable") }
    let backend = try await self.backend(of: target)
    let identity = try aggregationHeaders(user)
    if request.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" }) {
      throw APIFailure.badRequest("upgraded connections are not passed on to aggregated API servers")
    }
    let client = try backends.client(
      name: target.host, address: backend.host, trust: target.trust, identity: configuration.frontProxyIdentity)
    return try await ProxyCalls.forward(
      request, url: "https://\(target.host):\(backend.port)\(request.uri)", client: client, adding: identity)
  }

  func backend(of target: ExternalVersion) async throws -> Backend {
    try await ServiceBackends(resources: resources).resolve(
      namespace: target.service["namespace"].string ?? "", name: target.service["name"].string ?? "",
      port: String(target.service["port"].int ?? 443))
  }

  private func aggregationHeaders(_ user: UserInfo) throws -> [(String, String)] {
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
