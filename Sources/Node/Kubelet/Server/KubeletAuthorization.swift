import NIOHTTP1

/// What a request to the kubelet asks permission for, in the words of RBAC: a verb on a subresource of this node.
package struct KubeletAccess: Sendable, Equatable {
  /// get, create, update, patch or delete, by the HTTP method.
  package let verb: String
  /// Subresources of `nodes`, of which one must be allowed, tried in this order.
  package let subresources: [String]

  /// The kubelet's own mapping (kubernetes: "Kubelet authorization"): what runs or shows commands is `proxy`.
  init(method: HTTPMethod, path: String) {
    verb =
      switch method {
      case .POST: "create"
      case .PUT: "update"
      case .PATCH: "patch"
      case .DELETE: "delete"
      default: "get"
      }
    let first = path.split(separator: "/", maxSplits: 1).first ?? ""
    subresources =
      switch first {
      case "stats": ["stats"]
      case "metrics": ["metrics"]
      case "logs": ["log"]
      case "checkpoint": ["checkpoint"]
      case "pods", "runningpods": ["pods", "proxy"]
      case "healthz": ["healthz", "proxy"]
      case "configz": ["configz", "proxy"]
      default: ["proxy"]
      }
  }
}

/// Decides whether a caller may do this here.
package typealias KubeletAuthorizer = @Sendable (PeerIdentity, KubeletAccess) async -> Bool

/// Says who bears a token; nil: nobody that is known.
package typealias KubeletAuthenticator = @Sendable (String) async -> PeerIdentity?

package enum KubeletAuthorizers {
  /// Lets in the administrators' group and the users named, such as the API server's own.
  package static func users(_ users: Set<String>, groups: Set<String> = ["system:masters"]) -> KubeletAuthorizer {
    { caller, _ in users.contains(caller.user) || !groups.isDisjoint(with: caller.groups) }
  }
}
