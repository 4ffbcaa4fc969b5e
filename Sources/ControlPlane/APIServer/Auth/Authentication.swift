import APIMachinery
import Authorization
import Crypto
import FoundationEssentials
import HTTPServing
import JSONCodec
import KubernetesAPI
import SwiftASN1
import Synchronization
import X509

/// Who a request is from: the user that it acts as, and the one whose credential it came with.
struct RequestIdentity: Sendable {
  let user: UserInfo
  let real: UserInfo
}

/// Says who sends a request: by client certificate, by the word of a front proxy, by a service account's or a bootstrap
/// token, or nobody.
final class Authentication: Sendable {
  /// Certificates whose subject is remembered.
  static let cacheMax = 1_024
  /// Seconds after its deletion time that an object still vouches for tokens bound to it, as upstream: clocks differ.
  static let deletionLeeway: Int64 = 60

  /// A token's bearer, or why there is none.
  enum TokenCheck {
    case valid(UserInfo, audiences: [String])
    case invalid(String)
  }

  private struct KnownCertificate {
    var user: UserInfo
    var expires: Date
    var isFrontProxy: Bool
    /// When it was signed, of a node's.
    var signed: Date
  }

  private let tokens: ServiceAccountTokens
  private let resources: Resources
  private let frontProxy: FrontProxy?
  private let certificates = Mutex<[[UInt8]: KnownCertificate]>([:])

  init(tokens: ServiceAccountTokens, resources: Resources, frontProxy: FrontProxy?) {
    self.tokens = tokens
    self.resources = resources
    self.frontProxy = frontProxy
  }

  /// The user of a request; who acts as somebody else is that one from here on.
  func identity(of request: ServedRequest) async throws -> RequestIdentity {
    let real = try await authenticated(request)
    guard let impersonated = try Impersonation(request.headers) else { return RequestIdentity(user: real, real: real) }
    try await impersonated.authorize(real, resources.access)
    return RequestIdentity(user: impersonated.user, real: real)
  }

  private func authenticated(_ request: ServedRequest) async throws -> UserInfo {
    if let der = request.peerCertificateDER, let known = known(certificate: der), known.expires > Date.now {
      if let node = known.user.nodeName, resources.revocations.covers(node, signed: known.signed) {
        throw APIFailure(401, "Unauthorized", "node \(node) was deleted, and with it its certificate; it has to join again with a token")
      }
      if !known.isFrontProxy { return known.user }
      if let user = frontProxy?.user(request.headers, proxy: known.user.name) { return user }
    }
    guard let header = request.headers.first(name: "authorization") else {
      guard let token = try SubprotocolToken.token(request.headers) else { return .anonymous }
      return try await bearer(token)
    }
    guard header.lowercased().hasPrefix("bearer ") else { throw APIFailure.unauthorized }
    return try await bearer(String(header.dropFirst(7).drop { $0 == " " }))
  }

  private func bearer(_ token: String) async throws -> UserInfo {
    guard case .valid(let user, _) = try await check(token: token, audiences: tokens.audiences) else { throw APIFailure.unauthorized }
    return user
  }

  /// The common name is the user, the organizations are the groups. TLS has verified the certificate when the connection
  /// began; it may have expired since.
  private func known(certificate der: [UInt8]) -> KnownCertificate? {
    if let known = certificates.withLock({ $0[der] }) { return known }
    guard let certificate = try? Certificate(derEncoded: der) else { return nil }
    var user = UserInfo(name: "", groups: [])
    for relative in certificate.subject {
      for attribute in relative {
        let value = String(describing: attribute.value)
        if attribute.type == .RDNAttributeType.commonName { user.name = value }
        if attribute.type == .RDNAttributeType.organizationName { user.groups.append(value) }
      }
    }
    guard !user.name.isEmpty else { return nil }
    user.groups.append(UserInfo.authenticated)
    let digest = SHA256.hash(data: der).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    user.extra["authentication.kubernetes.io/credential-id"] = ["X509SHA256=\(digest)"]
    let found = KnownCertificate(
      user: user, expires: certificate.notValidAfter, isFrontProxy: frontProxy?.signed(certificate) ?? false,
      signed: certificate.notValidBefore)
    certificates.withLock { certificates in
      if certificates.count >= Self.cacheMax { certificates.removeAll() }
      certificates[der] = found
    }
    return found
  }

  // MARK: tokens

  /// Whose token it is, where it is for one of the audiences.
  func check(token: String, audiences: [String]) async throws -> TokenCheck {
    if let bootstrap = BootstrapToken(token) {
      guard let user = try await bootstrap.user(resources, now: .now) else { return .invalid("invalid bearer token") }
      return .valid(user, audiences: audiences)
    }
    guard let claims = tokens.claims(token, now: .now) else { return .invalid("invalid bearer token") }
    // Tokens in Secrets name nobody that they are for; they are for this server.
    let meant = claims.legacySecret == nil ? claims.audiences : tokens.audiences
    let common = audiences.filter(meant.contains)
    guard !common.isEmpty else {
      let lists = (JSON(meant).text(), JSON(audiences).text())
      return .invalid("token audiences \(lists.0) is invalid for the target audiences \(lists.1)")
    }
    guard let user = try await bearer(claims, token: token) else { return .invalid("service account token has been invalidated") }
    return .valid(user, audiences: common)
  }

  /// A token counts as long as its account and the object that it is bound to are there.
  private func bearer(_ claims: ServiceAccountTokens.Claims, token: String) async throws -> UserInfo? {
    guard try await vouches("serviceaccounts", claims.namespace, claims.account, claims.accountUID) != nil else { return nil }
    var user = UserInfo(
      name: UserInfo.serviceAccount(claims.namespace, claims.account),
      groups: ["system:serviceaccounts", "system:serviceaccounts:\(claims.namespace)", UserInfo.authenticated], uid: claims.accountUID)
    let prefix = "authentication.kubernetes.io/"
    if let secret = claims.legacySecret {
      guard let stored = try await vouches("secrets", claims.namespace, secret, nil),
        let kept = stored["data"]["token"].string.flatMap(Base64.decode), ConstantTime.equal(kept, Array(token.utf8))
      else { return nil }
      return user
    }
    if !claims.id.isEmpty { user.extra[prefix + "credential-id"] = ["JTI=\(claims.id)"] }
    if let bound = claims.bound {
      let namespace = bound.kind == "node" ? nil : claims.namespace
      guard try await vouches(bound.kind + "s", namespace, bound.name, bound.uid) != nil else { return nil }
      if bound.kind != "secret" {
        user.extra[prefix + "\(bound.kind)-name"] = [bound.name]
        user.extra[prefix + "\(bound.kind)-uid"] = [bound.uid]
      }
    }
    if let node = claims.node {
      user.extra[prefix + "node-name"] = [node.name]
      if !node.uid.isEmpty { user.extra[prefix + "node-uid"] = [node.uid] }
    }
    return user
  }

  /// The object where it is there, has this UID and was not deleted long ago.
  private func vouches(_ plural: String, _ namespace: String?, _ name: String, _ uid: String?) async throws -> JSON? {
    let key = ResourceRequest.prefix(resources.resource(plural), namespace: namespace) + name
    guard let stored = try await resources.store.get(key, at: nil) else { return nil }
    let object = try resources.decoded.object(stored)
    if let uid, object["metadata"]["uid"].string != uid { return nil }
    if let deleted = object["metadata"]["deletionTimestamp"].timestamp,
      deleted.secondsSinceEpoch + Self.deletionLeeway < Timestamp.now.secondsSinceEpoch
    {
      return nil
    }
    return object
  }
}

enum ConstantTime {
  /// Takes as long for every wrong secret of the right length.
  static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }
}
