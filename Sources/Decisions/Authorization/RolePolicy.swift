import JSONCodec
import KubernetesAPI

/// Names a Role (with a namespace) or a ClusterRole (nil).
package struct RoleKey: Sendable, Hashable {
  package var namespace: String?
  package var name: String
  package init(namespace: String?, name: String) {
    self.namespace = namespace
    self.name = name
  }
}

/// Every role and binding of the cluster, arranged for the question "what may this user do": bindings by the user or
/// group that they name.
package struct RolePolicy: Sendable {
  private struct Role: Sendable {
    var rules: [PolicyRule]
    var labels: JSON
    /// Selectors of the ClusterRoles whose rules it gathers; nil where it has rules of its own.
    var aggregation: [LabelSelector]?
  }

  private struct Binding: Sendable {
    /// Nil: a ClusterRoleBinding.
    var namespace: String?
    var role: RoleKey
    var text: String
    var subjects: [SubjectKey]
    /// The subject as the reason of an answer names it, for each of `subjects`.
    var subjectTexts: [SubjectKey: String]
  }

  private enum SubjectKey: Sendable, Hashable {
    case user(String)
    case group(String)
  }

  private var roles: [RoleKey: Role] = [:]
  private var bindings: [RoleKey: Binding] = [:]
  private var bindingsOf: [SubjectKey: Set<RoleKey>] = [:]

  package init() {}

  // MARK: what changes it

  /// A Role or ClusterRole as it is now; nil where it is gone.
  package mutating func set(role object: JSON?, _ key: RoleKey) {
    roles[key] = object.map { object in
      let selectors =
        object["aggregationRule"].isNull
        ? nil : (object["aggregationRule"]["clusterRoleSelectors"].array ?? []).compactMap { LabelSelector(json: $0) }
      return Role(rules: PolicyRule.list(object["rules"]), labels: object["metadata"]["labels"], aggregation: selectors)
    }
  }

  /// A RoleBinding or ClusterRoleBinding as it is now; nil where it is gone.
  package mutating func set(binding object: JSON?, _ key: RoleKey) {
    if let old = bindings.removeValue(forKey: key) {
      for subject in old.subjects { bindingsOf[subject]?.remove(key) }
    }
    guard let object else { return }
    let reference = object["roleRef"]
    guard reference["apiGroup"].string == "rbac.authorization.k8s.io", let kind = reference["kind"].string else { return }
    if kind == "Role", key.namespace == nil { return }
    let role = RoleKey(namespace: kind == "Role" ? key.namespace : nil, name: reference["name"].string ?? "")
    let place = key.namespace.map { "RoleBinding \"\(key.name)/\($0)\"" } ?? "ClusterRoleBinding \"\(key.name)\""
    var binding = Binding(
      namespace: key.namespace, role: role, text: "\(place) of \(kind) \"\(role.name)\"", subjects: [], subjectTexts: [:])
    for subject in object["subjects"].array ?? [] {
      guard let found = Self.subject(subject, bindingNamespace: key.namespace) else { continue }
      binding.subjects.append(found.key)
      binding.subjectTexts[found.key] = found.text
    }
    for subject in binding.subjects { bindingsOf[subject, default: []].insert(key) }
    bindings[key] = binding
  }

  /// An account without a namespace is one of the binding's own.
  private static func subject(_ subject: JSON, bindingNamespace: String?) -> (key: SubjectKey, text: String)? {
    let name = subject["name"].string ?? ""
    switch subject["kind"].string {
    case "User": return (.user(name), "User \"\(name)\"")
    case "Group": return (.group(name), "Group \"\(name)\"")
    case "ServiceAccount":
      let own = subject["namespace"].string ?? ""
      let namespace = own.isEmpty ? bindingNamespace ?? "" : own
      guard !namespace.isEmpty else { return nil }
      return (.user(UserInfo.serviceAccount(namespace, name)), "ServiceAccount \"\(name)/\(namespace)\"")
    default: return nil
    }
  }

  // MARK: questions

  private func forEachRole(of user: UserInfo, namespace: String, _ body: (Role?, Binding, SubjectKey) -> Bool) {
    for subject in [.user(user.name)] + user.groups.map({ SubjectKey.group($0) }) {
      for key in bindingsOf[subject] ?? [] {
        guard let binding = bindings[key], binding.namespace == nil || binding.namespace == namespace else { continue }
        if !body(roles[binding.role], binding, subject) { return }
      }
    }
  }

  /// Whether a role bound to the user allows the request.
  package func decide(_ user: UserInfo, _ request: AccessRequest) -> AccessDecision {
    var allowed: String?
    var missing: Set<String> = []
    forEachRole(of: user, namespace: request.namespace) { role, binding, subject in
      guard let role else {
        let kind = binding.role.namespace == nil ? "clusterrole" : "role"
        missing.insert("\(kind).rbac.authorization.k8s.io \"\(binding.role.name)\" not found")
        return true
      }
      guard role.rules.contains(where: { $0.allows(request) }) else { return true }
      allowed = "RBAC: allowed by \(binding.text) to \(binding.subjectTexts[subject] ?? "")"
      return false
    }
    if let allowed { return .allowed(reason: allowed) }
    return .noOpinion(reason: missing.isEmpty ? "" : "RBAC: " + Self.list(missing.sorted()))
  }

  private static func list(_ errors: [String]) -> String { errors.count == 1 ? errors[0] : "[" + errors.joined(separator: ", ") + "]" }

  /// Every rule that holds for the user in a namespace ("": cluster-wide ones alone), in a stable order.
  package func rules(of user: UserInfo, namespace: String) -> [PolicyRule] {
    var found: [(String, [PolicyRule])] = []
    forEachRole(of: user, namespace: namespace) { role, binding, _ in
      if let role { found.append((binding.text, role.rules)) }
      return true
    }
    return found.sorted { $0.0 < $1.0 }.flatMap(\.1)
  }

  /// Nil where there is no such role.
  package func rules(ofRole key: RoleKey) -> [PolicyRule]? { roles[key]?.rules }

  // MARK: aggregation

  /// What the aggregated ClusterRoles should hold and do not: the rules of the roles that their selectors match, in the
  /// order of the roles' names, each once.
  package func staleAggregations() -> [(name: String, rules: [PolicyRule])] {
    var result: [(String, [PolicyRule])] = []
    for (key, role) in roles {
      guard key.namespace == nil, let selectors = role.aggregation else { continue }
      let sources = roles.filter { other in
        other.key.namespace == nil && other.key != key && selectors.contains { $0.matches(other.value.labels) }
      }
      var rules: [PolicyRule] = []
      var known: Set<PolicyRule> = []
      for source in sources.sorted(by: { $0.key.name < $1.key.name }) {
        for rule in source.value.rules where known.insert(rule).inserted { rules.append(rule) }
      }
      if rules != role.rules { result.append((key.name, rules)) }
    }
    return result.sorted { $0.0 < $1.0 }
  }
}
