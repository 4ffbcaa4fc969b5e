import HTTPServing
import JSONCodec
import KubernetesAPI
import SwiftASN1
import Synchronization
import X509

/// Says who sends a request: by client certificate, by service-account token, or nobody.
final class Authentication: Sendable {
  /// Certificates whose subject is remembered.
  static let cacheMax = 1_024

  private let tokens: ServiceAccountTokens
  private let users = Mutex<[[UInt8]: UserInfo]>([:])

  init(tokens: ServiceAccountTokens) { self.tokens = tokens }

  func user(of request: ServedRequest, resources: Resources) async throws -> UserInfo {
    if let certificate = request.peerCertificateDER, let user = user(certificate: certificate) { return user }
    guard let header = request.headers.first(name: "authorization") else { return .anonymous }
    guard header.lowercased().hasPrefix("bearer ") else { throw APIFailure.unauthorized }
    guard let user = try await user(token: String(header.dropFirst(7)), audience: ServiceAccountTokens.issuer, resources: resources) else {
      throw APIFailure.unauthorized
    }
    return user
  }

  /// The common name is the user, the organizations are the groups.
  private func user(certificate der: [UInt8]) -> UserInfo? {
    if let known = users.withLock({ $0[der] }) { return known }
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
    user.groups.append("system:authenticated")
    let found = user
    users.withLock { users in
      if users.count >= Self.cacheMax { users.removeAll() }
      users[der] = found
    }
    return found
  }

  /// A token counts as long as its account and the object it is bound to exist.
  func user(token: String, audience: String, resources: Resources) async throws -> UserInfo? {
    guard let claims = tokens.claims(token, now: .now), claims.audiences.contains(audience) else { return nil }
    guard try await exists("serviceaccounts", claims.namespace, claims.account, claims.accountUID, resources) else { return nil }
    if let bound = claims.bound {
      let namespace = bound.kind == "node" ? nil : claims.namespace
      guard try await exists(bound.kind + "s", namespace, bound.name, bound.uid, resources) else { return nil }
    }
    return UserInfo(
      name: "system:serviceaccount:\(claims.namespace):\(claims.account)",
      groups: ["system:serviceaccounts", "system:serviceaccounts:\(claims.namespace)", "system:authenticated"], uid: claims.accountUID)
  }

  private func exists(_ plural: String, _ namespace: String?, _ name: String, _ uid: String, _ resources: Resources) async throws -> Bool {
    let key = ResourceRequest.prefix(resources.resource(plural), namespace: namespace) + name
    guard let stored = try await resources.store.get(key, at: nil) else { return false }
    return try resources.decoded.object(stored)["metadata"]["uid"].string == uid
  }
}

/// Who may do what, in its first form: administrators everything, a kubelet what its node needs, everybody else
/// discovery and questions about themselves. RBAC takes this place (docs/decisions/0003-authorization-first-form.md).
enum Authorization {
  private static let nodeReads: Set<String> = [
    "nodes", "pods", "services", "endpoints", "endpointslices", "configmaps", "secrets", "serviceaccounts", "namespaces",
    "persistentvolumes", "persistentvolumeclaims", "runtimeclasses", "csidrivers", "csinodes", "leases", "events",
  ]
  private static let nodeWrites: Set<String> = ["nodes", "pods", "events", "leases", "csinodes"]
  private static let aboutOneself: Set<String> = [
    "selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews",
  ]

  static func allows(_ user: UserInfo, method: String, _ request: ResourceRequest) -> Bool {
    if user.isAdministrator { return true }
    if aboutOneself.contains(request.resource.plural), method == "POST", !user.isAnonymous { return true }
    guard let node = user.nodeName else { return false }
    let plural = request.resource.plural
    if let subresource = request.subresource {
      // Never exec, attach, log or binding: with those one node's credential would reach into every other node.
      switch (plural, subresource) {
      case ("pods", "status"), ("nodes", "status"), ("pods", "eviction"), ("serviceaccounts", "token"): break
      default: return false
      }
    }
    if method == "DELETE", request.name == nil { return false }
    if method == "GET" { return nodeReads.contains(plural) }
    switch plural {
    case "nodes": return request.name == nil ? method == "POST" : request.name == node
    case "leases": return request.namespace == "kube-node-lease" && (request.name == nil ? method == "POST" : request.name == node)
    case "serviceaccounts": return method == "POST" && request.subresource == "token"
    case "tokenreviews", "subjectaccessreviews", "certificatesigningrequests": return method == "POST"
    default: return nodeWrites.contains(plural)
    }
  }
}
