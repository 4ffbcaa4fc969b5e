import JSONCodec

/// A request as FlowSchemas look at it.
package struct FlowRequest: Sendable, Equatable {
  package var user: String
  package var groups: [String]
  /// get, list, watch, create, ...; the lower-case method for a path that is no resource.
  package var verb: String
  /// Nil for a resource.
  package var path: String?
  package var group = ""
  /// `pods`, or `pods/status`.
  package var resource = ""
  /// Empty for a cluster-wide request.
  package var namespace = ""
  /// Seats: what it costs beside an ordinary request.
  package var width = 1

  package init(user: String, groups: [String], verb: String, path: String) {
    self.user = user
    self.groups = groups
    self.verb = verb
    self.path = path
  }

  package init(user: String, groups: [String], verb: String, group: String, resource: String, namespace: String, width: Int = 1) {
    self.user = user
    self.groups = groups
    self.verb = verb
    self.group = group
    self.resource = resource
    self.namespace = namespace
    self.width = width
  }
}

/// A FlowSchema: which requests it takes, to which priority level, and what tells its flows apart.
///
/// Source: flowcontrol.apiserver.k8s.io/v1, FlowSchemaSpec.
package struct FlowSchema: Sendable, Equatable {
  package enum Distinguisher: String, Sendable {
    case user = "ByUser"
    case namespace = "ByNamespace"
  }

  package let name: String
  package let uid: String
  package let level: String
  package let precedence: Int
  package let distinguisher: Distinguisher?
  private let rules: [Rule]

  package init(_ object: JSON) {
    name = object["metadata"]["name"].string ?? ""
    uid = object["metadata"]["uid"].string ?? ""
    let spec = object["spec"]
    level = spec["priorityLevelConfiguration"]["name"].string ?? ""
    precedence = spec["matchingPrecedence"].int ?? 1000
    distinguisher = spec["distinguisherMethod"]["type"].string.flatMap(Distinguisher.init)
    rules = (spec["rules"].array ?? []).map(Rule.init)
  }

  package func matches(_ request: FlowRequest) -> Bool { rules.contains { $0.matches(request) } }

  /// What tells the request's flow from others of this schema.
  package func flow(of request: FlowRequest) -> String {
    switch distinguisher {
    case .user: request.user
    case .namespace: request.namespace
    case nil: ""
    }
  }

  /// The order in which schemas are asked: the first that matches has it.
  package static func precedes(_ a: FlowSchema, _ b: FlowSchema) -> Bool { (a.precedence, a.name) < (b.precedence, b.name) }

  private enum Subject: Equatable {
    case user(String)
    case group(String)
    case serviceAccount(namespace: String, name: String)

    init?(_ json: JSON) {
      switch json["kind"].string {
      case "User": self = .user(json["user"]["name"].string ?? "")
      case "Group": self = .group(json["group"]["name"].string ?? "")
      case "ServiceAccount":
        self = .serviceAccount(
          namespace: json["serviceAccount"]["namespace"].string ?? "", name: json["serviceAccount"]["name"].string ?? "")
      default: return nil
      }
    }

    func matches(_ request: FlowRequest) -> Bool {
      switch self {
      case .user(let name): name == "*" || name == request.user
      case .group(let name): name == "*" || request.groups.contains(name)
      case .serviceAccount(let namespace, "*"): request.user.hasPrefix("system:serviceaccount:\(namespace):")
      case .serviceAccount(let namespace, let name): request.user == "system:serviceaccount:\(namespace):\(name)"
      }
    }
  }

  private struct Rule: Equatable {
    struct Resource: Equatable {
      let verbs, groups, resources, namespaces: [String]
      let clusterScope: Bool

      func matches(_ request: FlowRequest) -> Bool {
        has(verbs, request.verb) && has(groups, request.group) && has(resources, request.resource)
          && (request.namespace.isEmpty ? clusterScope : has(namespaces, request.namespace))
      }
    }
    struct Path: Equatable {
      let verbs, paths: [String]

      func matches(_ request: FlowRequest, _ path: String) -> Bool {
        guard has(verbs, request.verb) else { return false }
        return paths.contains { $0 == "*" || $0 == path || ($0.hasSuffix("/*") && path.hasPrefix($0.dropLast())) }
      }
    }

    let subjects: [Subject]
    let resources: [Resource]
    let paths: [Path]

    init(_ json: JSON) {
      func texts(_ value: JSON) -> [String] { (value.array ?? []).compactMap(\.string) }
      subjects = (json["subjects"].array ?? []).compactMap(Subject.init)
      resources = (json["resourceRules"].array ?? []).map {
        Resource(
          verbs: texts($0["verbs"]), groups: texts($0["apiGroups"]), resources: texts($0["resources"]), namespaces: texts($0["namespaces"]),
          clusterScope: $0["clusterScope"].bool ?? false)
      }
      paths = (json["nonResourceRules"].array ?? []).map { Path(verbs: texts($0["verbs"]), paths: texts($0["nonResourceURLs"])) }
    }

    func matches(_ request: FlowRequest) -> Bool {
      guard subjects.contains(where: { $0.matches(request) }) else { return false }
      guard let path = request.path else { return resources.contains { $0.matches(request) } }
      return paths.contains { $0.matches(request, path) }
    }
  }
}

private func has(_ list: [String], _ value: String) -> Bool { list.contains { $0 == "*" || $0 == value } }
