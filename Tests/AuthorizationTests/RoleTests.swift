import Authorization
import JSONCodec
import KubernetesAPI
import Testing

private func rule(_ verbs: String, _ groups: String, _ resources: String, _ names: String = "") -> PolicyRule {
  func list(_ text: String) -> [String] { text.split(separator: ",").map { $0 == "core" ? "" : String($0) } }
  return PolicyRule(verbs: list(verbs), groups: list(groups), resources: list(resources), names: list(names))
}

@Suite struct RuleTests {
  @Test(
    arguments: [
      ("get", "core", "pods", "", AccessRequest("get", resource: "pods"), true),
      ("get", "core", "pods", "", AccessRequest("list", resource: "pods"), false),
      ("*", "core", "pods", "", AccessRequest("list", resource: "pods"), true),
      // A resource is not its subresources, and the other way round.
      ("get", "core", "pods", "", AccessRequest("get", resource: "pods", subresource: "log"), false),
      ("get", "core", "pods/log", "", AccessRequest("get", resource: "pods", subresource: "log"), true),
      ("get", "core", "pods/log", "", AccessRequest("get", resource: "pods"), false),
      ("get", "core", "*", "", AccessRequest("get", resource: "pods", subresource: "log"), true),
      ("get", "core", "pods/*", "", AccessRequest("get", resource: "pods", subresource: "log"), false),
      ("get", "apps", "*/scale", "", AccessRequest("get", group: "apps", resource: "deployments", subresource: "scale"), true),
      ("get", "apps", "*/scale", "", AccessRequest("get", group: "apps", resource: "deployments"), false),
      ("get", "apps", "pods", "", AccessRequest("get", resource: "pods"), false),
      ("get", "*", "pods", "", AccessRequest("get", resource: "pods"), true),
      ("get", "core", "secrets", "a,b", AccessRequest("get", resource: "secrets", name: "b"), true),
      ("get", "core", "secrets", "a,b", AccessRequest("get", resource: "secrets", name: "c"), false),
      ("list", "core", "secrets", "a", AccessRequest("list", resource: "secrets"), false),
      ("*", "*", "*", "", AccessRequest("get", path: "/metrics"), false),
    ] as [(String, String, String, String, AccessRequest, Bool)])
  func resources(_ verbs: String, _ groups: String, _ resources: String, _ names: String, _ request: AccessRequest, _ allowed: Bool) {
    #expect(rule(verbs, groups, resources, names).allows(request) == allowed)
  }

  @Test(
    arguments: [
      (["/healthz"], "/healthz", true), (["/healthz"], "/healthz/etcd", false), (["/healthz/*"], "/healthz/etcd", true),
      (["/api*"], "/apis/apps", true), (["*"], "/anything", true), (["/healthz/*"], "/healthz", false),
    ] as [([String], String, Bool)])
  func paths(_ paths: [String], _ path: String, _ allowed: Bool) {
    #expect(PolicyRule(verbs: ["get"], paths: paths).allows(AccessRequest("get", path: path)) == allowed)
  }
}

@Suite struct PolicyTests {
  static let reader: JSON = ["rules": [["verbs": ["get"], "apiGroups": [""], "resources": ["pods"]]]]

  static func binding(_ kind: String, _ role: String, _ subjects: JSON) -> JSON {
    ["roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": .string(kind), "name": .string(role)], "subjects": subjects]
  }

  private func policy() -> RolePolicy {
    var policy = RolePolicy()
    policy.set(role: Self.reader, RoleKey(namespace: nil, name: "reader"))
    policy.set(role: Self.reader, RoleKey(namespace: "a", name: "local"))
    return policy
  }

  private func allows(_ policy: RolePolicy, _ user: String, _ namespace: String) -> Bool { allows(policy, user, [], namespace) }

  private func allows(_ policy: RolePolicy, _ user: String, _ groups: [String], _ namespace: String) -> Bool {
    policy.decide(UserInfo(name: user, groups: groups), AccessRequest("get", resource: "pods", namespace: namespace)).isAllowed
  }

  @Test func aBindingInANamespaceHoldsThere() {
    var policy = policy()
    policy.set(binding: Self.binding("ClusterRole", "reader", [["kind": "User", "name": "u"]]), RoleKey(namespace: "a", name: "b"))
    #expect(allows(policy, "u", "a") && !allows(policy, "u", "b") && !allows(policy, "u", "") && !allows(policy, "v", "a"))
    policy.set(binding: nil, RoleKey(namespace: "a", name: "b"))
    #expect(!allows(policy, "u", "a"))
  }

  @Test func groupsAndAccounts() {
    var policy = policy()
    policy.set(
      binding: Self.binding(
        "ClusterRole", "reader", [["kind": "Group", "name": "g"], ["kind": "ServiceAccount", "name": "s", "namespace": "x"]]),
      RoleKey(namespace: nil, name: "b"))
    #expect(allows(policy, "any", ["g"], "a") && allows(policy, "any", ["g"], ""))
    #expect(allows(policy, "system:serviceaccount:x:s", "a") && !allows(policy, "system:serviceaccount:y:s", "a"))
    #expect(!allows(policy, "g", "a"))
  }

  @Test func anAccountWithoutNamespaceIsOfTheBindings() {
    var policy = policy()
    let binding = Self.binding("Role", "local", [["kind": "ServiceAccount", "name": "s"]])
    policy.set(binding: binding, RoleKey(namespace: "a", name: "b"))
    policy.set(
      binding: Self.binding("ClusterRole", "reader", [["kind": "ServiceAccount", "name": "s"]]), RoleKey(namespace: nil, name: "c"))
    #expect(allows(policy, "system:serviceaccount:a:s", "a") && !allows(policy, "system:serviceaccount:a:s", "b"))
    #expect(!allows(policy, "system:serviceaccount::s", "a"))
  }

  @Test func aMissingRoleIsNamed() {
    var policy = policy()
    policy.set(binding: Self.binding("ClusterRole", "gone", [["kind": "User", "name": "u"]]), RoleKey(namespace: nil, name: "b"))
    let decision = policy.decide(UserInfo(name: "u", groups: []), AccessRequest("get", resource: "pods"))
    #expect(decision == .noOpinion(reason: "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"))
    // A cluster-wide binding cannot name a Role.
    policy.set(binding: Self.binding("Role", "local", [["kind": "User", "name": "v"]]), RoleKey(namespace: nil, name: "c"))
    #expect(!allows(policy, "v", "a"))
  }

  @Test func theReasonNamesTheBinding() {
    var policy = policy()
    policy.set(binding: Self.binding("ClusterRole", "reader", [["kind": "User", "name": "u"]]), RoleKey(namespace: nil, name: "b"))
    let decision = policy.decide(UserInfo(name: "u", groups: []), AccessRequest("get", resource: "pods"))
    #expect(decision.reason == "RBAC: allowed by ClusterRoleBinding \"b\" of ClusterRole \"reader\" to User \"u\"")
  }

  @Test func denialsReadAsUpstreams() {
    let list = AccessRequest("list", resource: "pods", namespace: "default")
    #expect(list.denial(user: "x") == "User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"")
    let scale = AccessRequest("get", group: "apps", resource: "deployments", subresource: "scale")
    #expect(
      scale.denial(user: "x", reason: "why")
        == "User \"x\" cannot get resource \"deployments/scale\" in API group \"apps\" at the cluster scope: why")
    #expect(AccessRequest("get", path: "/metrics").denial(user: "x") == "User \"x\" cannot get path \"/metrics\"")
  }

  @Test func aggregation() {
    var policy = RolePolicy()
    let pods: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["pods"]]
    let nodes: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]]
    func source(_ rules: JSON, _ label: String) -> JSON {
      ["metadata": ["labels": .object(JSONObject([(label, JSON.string("true"))]))], "rules": rules]
    }
    policy.set(role: source([nodes, pods], "to-all"), RoleKey(namespace: nil, name: "b"))
    policy.set(role: source([pods], "to-all"), RoleKey(namespace: nil, name: "a"))
    policy.set(role: source([nodes], "other"), RoleKey(namespace: nil, name: "c"))
    policy.set(role: source([nodes], "to-all"), RoleKey(namespace: "x", name: "a-role-of-a-namespace"))
    var all: JSON = ["aggregationRule": ["clusterRoleSelectors": [["matchLabels": ["to-all": "true"]]]], "rules": []]
    policy.set(role: all, RoleKey(namespace: nil, name: "all"))
    let stale = policy.staleAggregations()
    #expect(stale.count == 1 && stale[0].name == "all" && stale[0].rules.map(\.json) == [pods, nodes])
    all["rules"] = [pods, nodes]
    policy.set(role: all, RoleKey(namespace: nil, name: "all"))
    #expect(policy.staleAggregations().isEmpty)
  }
}

@Suite struct EscalationTests {
  @Test func whatIsHeldMayBeGiven() {
    let held = [rule("get,list", "core", "pods,secrets"), rule("*", "apps", "*/scale")]
    #expect(Escalation.missing(held: held, granted: [rule("get", "core", "pods")]).isEmpty)
    #expect(Escalation.missing(held: held, granted: [rule("get", "core", "pods", "p")]).isEmpty)
    #expect(Escalation.missing(held: held, granted: [rule("update", "apps", "deployments/scale")]).isEmpty)
    // Two held rules cover one granted rule together.
    #expect(Escalation.missing(held: held + [rule("watch", "core", "pods")], granted: [rule("get,watch", "core", "pods")]).isEmpty)
  }

  @Test(
    arguments: [
      rule("delete", "core", "pods"), rule("get", "apps", "pods"), rule("*", "core", "pods"), rule("get", "core", "*"),
      rule("get", "core", "pods/log"), rule("get", "*", "pods"),
    ])
  func whatIsNotHeldMayNot(_ granted: PolicyRule) {
    #expect(!Escalation.missing(held: [rule("get,list", "core", "pods,secrets")], granted: [granted]).isEmpty)
  }

  @Test func oneNameIsNotAll() {
    let held = [rule("get", "core", "secrets", "a")]
    #expect(!Escalation.missing(held: held, granted: [rule("get", "core", "secrets")]).isEmpty)
    #expect(!Escalation.missing(held: held, granted: [rule("get", "core", "secrets", "a,b")]).isEmpty)
    #expect(Escalation.missing(held: held, granted: [rule("get", "core", "secrets", "a")]).isEmpty)
  }

  @Test func theMessageTellsWhatIsMissing() {
    let user = UserInfo(name: "x", groups: ["g", "h"])
    let why = Escalation.refusal(
      user, held: [rule("get", "core", "pods")],
      granted: [rule("get,delete,list", "core", "pods"), PolicyRule(verbs: ["get"], paths: ["/metrics"])])
    #expect(
      why == """
        user "x" (groups=["g" "h"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}
        {NonResourceURLs:["/metrics"], Verbs:["get"]}
        """)
    #expect(Escalation.refusal(user, held: [rule("*", "*", "*")], granted: [rule("get", "core", "pods")]) == nil)
  }
}

@Suite struct DefaultRoleTests {
  /// A policy with every default object in it, aggregation settled.
  static let policy: RolePolicy = {
    var policy = RolePolicy()
    var objects: [String: JSON] = [:]
    for object in DefaultRoles.all {
      let key = RoleKey(namespace: object.namespace, name: object.name)
      if object.plural.hasSuffix("roles") {
        policy.set(role: object.object, key)
        objects[object.name] = object.object
      } else {
        policy.set(binding: object.object, key)
      }
    }
    while case let stale = policy.staleAggregations(), !stale.isEmpty {
      for (name, rules) in stale {
        objects[name]?["rules"] = .array(rules.map(\.json))
        policy.set(role: objects[name], RoleKey(namespace: nil, name: name))
      }
    }
    return policy
  }()

  private func allows(_ role: String, _ request: AccessRequest) -> Bool {
    (Self.policy.rules(ofRole: RoleKey(namespace: nil, name: role)) ?? []).contains { $0.allows(request) }
  }

  @Test func theLadderOfRoles() {
    let secrets = AccessRequest("get", resource: "secrets", namespace: "x")
    let roles = AccessRequest("create", group: "rbac.authorization.k8s.io", resource: "roles", namespace: "x")
    let pods = AccessRequest("list", resource: "pods", namespace: "x")
    let nodes = AccessRequest("list", resource: "nodes")
    #expect(!allows("view", secrets) && allows("edit", secrets) && allows("admin", secrets))
    #expect(!allows("view", roles) && !allows("edit", roles) && allows("admin", roles))
    for role in ["view", "edit", "admin", "cluster-admin"] { #expect(allows(role, pods), "\(role)") }
    for role in ["view", "edit", "admin"] { #expect(!allows(role, nodes), "\(role)") }
    #expect(allows("cluster-admin", nodes) && allows("cluster-admin", AccessRequest("post", path: "/any")))
  }

  @Test func everybodyMaySeeWhatTheServerIs() {
    let stranger = UserInfo(name: "system:anonymous", groups: ["system:unauthenticated"])
    let known = UserInfo(name: "u", groups: ["system:authenticated"])
    #expect(Self.policy.decide(stranger, AccessRequest("get", path: "/version")).isAllowed)
    #expect(!Self.policy.decide(stranger, AccessRequest("get", path: "/api")).isAllowed)
    #expect(Self.policy.decide(known, AccessRequest("get", path: "/apis/apps/v1")).isAllowed)
    #expect(!Self.policy.decide(known, AccessRequest("get", path: "/metrics")).isAllowed)
    let review = AccessRequest("create", group: "authorization.k8s.io", resource: "selfsubjectaccessreviews")
    #expect(Self.policy.decide(known, review).isAllowed && !Self.policy.decide(stranger, review).isAllowed)
  }

  @Test func everyBindingNamesARoleThatThereIs() {
    for object in DefaultRoles.all where object.plural.hasSuffix("bindings") {
      let reference = object.object["roleRef"]
      let key = RoleKey(namespace: reference["kind"].string == "Role" ? object.namespace : nil, name: reference["name"].string ?? "")
      #expect(Self.policy.rules(ofRole: key) != nil, "\(object.name)")
    }
    #expect(Set(DefaultRoles.all.map { "\($0.plural)/\($0.namespace ?? "")/\($0.name)" }).count == DefaultRoles.all.count)
  }

  @Test func nobodyIsBoundToTheRoleOfNodes() {
    let binding = DefaultRoles.all.first { $0.name == "system:node" && $0.plural == "clusterrolebindings" }
    #expect(binding != nil && binding?.object["subjects"].isNull == true)
  }

  @Test func whatWasTakenAwayComesBack() throws {
    let wanted = try #require(DefaultRoles.all.first { $0.name == "system:basic-user" && $0.plural == "clusterroles" })
    #expect(DefaultRoles.repaired(wanted.object, wanted) == nil)
    var less = wanted.object
    let extra: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]]
    less["rules"] = [wanted.object["rules"][0], extra]
    let repaired = try #require(DefaultRoles.repaired(less, wanted))
    #expect(repaired["rules"].array?.count == 3 && repaired["rules"][1] == extra)
    less["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false"
    #expect(DefaultRoles.repaired(less, wanted) == nil)
  }
}
