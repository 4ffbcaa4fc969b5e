import Authorization
import NIOHTTP1

/// A wish to act as somebody else, told by Impersonate-* headers; each name takes the permission to impersonate it.
struct Impersonation: Sendable {
  private static let extraPrefix = "impersonate-extra-"

  /// Who is acted as.
  let user: UserInfo
  private let asked: UserInfo

  /// Nil without such headers.
  init?(_ headers: HTTPHeaders) throws {
    let name = headers.first(name: "impersonate-user") ?? ""
    let groups = headers["impersonate-group"]
    let uid = headers.first(name: "impersonate-uid") ?? ""
    var extra: [String: [String]] = [:]
    for (header, value) in headers {
      let lower = header.lowercased()
      guard lower.hasPrefix(Self.extraPrefix) else { continue }
      extra[Self.percentDecoded(String(lower.dropFirst(Self.extraPrefix.count))), default: []].append(value)
    }
    guard !name.isEmpty || !groups.isEmpty || !uid.isEmpty || !extra.isEmpty else { return nil }
    guard !name.isEmpty else {
      throw APIFailure.internalError("requested groups, uid or extra without impersonating a user: set Impersonate-User too")
    }
    asked = UserInfo(name: name, groups: groups, uid: uid, extra: extra)
    var user = asked
    if user.groups.isEmpty, let (namespace, _) = Self.serviceAccount(name) {
      user.groups = ["system:serviceaccounts", "system:serviceaccounts:\(namespace)"]
    }
    let isKnown = user.groups.contains(UserInfo.authenticated) || user.groups.contains(UserInfo.unauthenticated)
    if !isKnown { user.groups.append(name == UserInfo.anonymous.name ? UserInfo.unauthenticated : UserInfo.authenticated) }
    self.user = user
  }

  /// Throws the 403 where the real user may not act as this one in every part.
  func authorize(_ real: UserInfo, _ access: AccessControl) async throws {
    if real.isAnonymous { throw APIFailure.unauthorized }
    for request in requests { try await access.require(real, request) }
  }

  /// What it takes.
  var requests: [AccessRequest] {
    var result: [AccessRequest] = []
    if let (namespace, name) = Self.serviceAccount(asked.name) {
      result.append(AccessRequest("impersonate", version: "v1", resource: "serviceaccounts", namespace: namespace, name: name))
    } else {
      result.append(AccessRequest("impersonate", resource: "users", name: asked.name))
    }
    for group in asked.groups { result.append(AccessRequest("impersonate", resource: "groups", name: group)) }
    for (key, values) in asked.extra.sorted(by: { $0.key < $1.key }) {
      for value in values {
        result.append(
          AccessRequest(
            "impersonate", group: "authentication.k8s.io", version: "v1", resource: "userextras", subresource: key, name: value))
      }
    }
    if !asked.uid.isEmpty {
      result.append(AccessRequest("impersonate", group: "authentication.k8s.io", version: "v1", resource: "uids", name: asked.uid))
    }
    return result
  }

  static func serviceAccount(_ user: String) -> (namespace: String, name: String)? {
    let parts = user.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount", !parts[2].isEmpty, !parts[3].isEmpty else { return nil }
    return (String(parts[2]), String(parts[3]))
  }

  /// Header names cannot hold every character; what is no valid escape stays as it is.
  static func percentDecoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self) ?? text
  }
}
