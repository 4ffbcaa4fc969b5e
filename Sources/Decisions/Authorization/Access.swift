import JSONCodec

/// Who makes a request.
package struct UserInfo: Sendable, Hashable {
  package var name: String
  package var groups: [String]
  package var uid: String
  /// What the authenticator knows beside, such as the pod that a token is bound to.
  package var extra: [String: [String]]

  package init(name: String, groups: [String], uid: String = "", extra: [String: [String]] = [:]) {
    self.name = name
    self.groups = groups
    self.uid = uid
    self.extra = extra
  }

  /// The node's name where the user is a kubelet.
  package var nodeName: String? {
    let prefix = "system:node:"
    guard groups.contains("system:nodes"), name.hasPrefix(prefix), name.utf8.count > prefix.utf8.count else { return nil }
    return String(name.dropFirst(prefix.count))
  }

  package static func serviceAccount(_ namespace: String, _ name: String) -> String { "system:serviceaccount:\(namespace):\(name)" }
}

/// What is asked for: a verb on a resource, or on a path that is no resource.
package struct AccessRequest: Sendable, Hashable {
  package var verb: String
  package var group = ""
  package var version = ""
  package var resource = ""
  package var subresource = ""
  /// Empty: cluster-scoped, or all namespaces.
  package var namespace = ""
  package var name = ""
  /// Nil for resources.
  package var path: String?
  /// `field=value` terms that a list or watch is limited to.
  package var fields: [String: String] = [:]

  package init(
    _ verb: String, group: String = "", version: String = "", resource: String, subresource: String = "", namespace: String = "",
    name: String = ""
  ) {
    self.verb = verb
    self.group = group
    self.version = version
    self.resource = resource
    self.subresource = subresource
    self.namespace = namespace
    self.name = name
  }

  package init(_ verb: String, path: String) {
    self.verb = verb
    self.path = path
  }

  /// The resource as rules name it: `pods`, `pods/log`.
  package var combined: String { subresource.isEmpty ? resource : "\(resource)/\(subresource)" }

  /// What the 403 says the user may not do.
  package func denial(user: String, reason: String = "") -> String {
    let head = "User \"\(user)\" cannot \(verb)"
    let tail = reason.isEmpty ? "" : ": \(reason)"
    if let path { return "\(head) path \"\(path)\"\(tail)" }
    let scope = namespace.isEmpty ? "at the cluster scope" : "in the namespace \"\(namespace)\""
    return "\(head) resource \"\(combined)\" in API group \"\(group)\" \(scope)\(tail)"
  }
}

/// An authorizer's word.
package enum AccessDecision: Sendable, Equatable {
  case allowed(reason: String)
  /// Another authorizer may still allow it.
  case noOpinion(reason: String)

  package var isAllowed: Bool { if case .allowed = self { true } else { false } }
  package var reason: String {
    switch self {
    case .allowed(let reason), .noOpinion(let reason): reason
    }
  }
}
