import HTTPServing
import JSONCodec
import Logging
import NIOCore
import NIOHTTP1

/// Where and for whom the kubelet answers.
package struct KubeletServerConfiguration: Sendable {
  /// How callers are told apart.
  package enum Trust: Sendable {
    /// Each caller needs a client certificate that TLS verified, or a token that the authenticator knows, and the
    /// authorizer's permission.
    case credentials(KubeletAuthenticator?, KubeletAuthorizer)
    /// Whoever reaches the socket may do everything: for a Unix socket that only root can open.
    case everyone
  }

  package var address: ListenAddress
  package var tls: ServerTLS?
  package var trust: Trust
  package var nodeName: String
  package var limits = HTTPServerLimits()

  /// The node's endpoint for API servers: `address` is 0.0.0.0:10250 as a rule, `tls` has the authorities of client certificates.
  /// Without an authenticator, tokens are nobody's.
  package init(
    address: ListenAddress, tls: ServerTLS, nodeName: String, authenticator: KubeletAuthenticator? = nil,
    authorizer: @escaping KubeletAuthorizer
  ) {
    self.address = address
    self.tls = tls
    trust = .credentials(authenticator, authorizer)
    self.nodeName = nodeName
  }

  /// The machine's own endpoint, for `swiftlet ps`, `logs`, `exec` and `inspect`.
  package init(unixSocket path: String, nodeName: String) {
    address = .unix(path: path, mode: 0o600)
    tls = nil
    trust = .everyone
    self.nodeName = nodeName
  }
}

/// The kubelet's HTTPS endpoint (port 10250): protocols only, everything about pods is behind `KubeletBackend`.
package final class KubeletServer: Sendable {
  private let server: HTTPServer

  package init(configuration: KubeletServerConfiguration, backend: any KubeletBackend, group: any EventLoopGroup, log: Logger) {
    var http = HTTPServerConfiguration(address: configuration.address, tls: configuration.tls)
    http.limits = configuration.limits
    let routes = KubeletRoutes(backend: backend, nodeName: configuration.nodeName)
    let trust = configuration.trust
    server = HTTPServer(configuration: http, group: group) { request in
      if let refusal = await refuse(request, trust) {
        log.debug("refused \(request.method.rawValue) \(request.path) from \(request.remoteAddress): \(refusal.status.code)")
        return refusal
      }
      return await routes.answer(request)
    }
  }

  /// Listens and returns the port (0 on a Unix socket).
  @discardableResult
  package func start() async throws -> Int { try await server.start() }

  package func stop() async { await server.stop() }

  /// New connections get this certificate.
  package func replace(tls: ServerTLS) throws { try server.replace(tls: tls) }
}

/// 401 without a verified certificate or a known token, 403 without permission, nil where the caller may go on.
private func refuse(_ request: ServedRequest, _ trust: KubeletServerConfiguration.Trust) async -> ServedResponse? {
  guard case .credentials(let authenticator, let authorizer) = trust else { return nil }
  guard let caller = await caller(request, authenticator) else { return .text(.unauthorized, "Unauthorized") }
  let access = KubeletAccess(method: request.method, path: request.path)
  if await authorizer(caller, access) { return nil }
  return .text(
    .forbidden, "Forbidden (user=\(caller.user), verb=\(access.verb), resource=nodes, subresource(s)=\(access.subresources))")
}

private func caller(_ request: ServedRequest, _ authenticator: KubeletAuthenticator?) async -> PeerIdentity? {
  if let known = request.peerCertificateDER.flatMap(PeerIdentity.init(certificateDER:)) { return known }
  guard let authenticator, let header = request.headers.first(name: "authorization"), header.lowercased().hasPrefix("bearer ") else {
    return nil
  }
  let token = header.dropFirst(7).drop { $0 == " " }
  return token.isEmpty ? nil : await authenticator(String(token))
}
