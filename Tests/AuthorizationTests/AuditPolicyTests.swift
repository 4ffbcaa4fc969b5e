import Authorization
import JSONCodec
import Testing

@Suite struct AuditPolicyTests {
  private static let policy: JSON = [
    "kind": "Policy", "apiVersion": "audit.k8s.io/v1", "omitStages": ["RequestReceived"],
    "rules": [
      ["level": "None", "users": ["system:kube-proxy"], "verbs": ["watch"]],
      ["level": "Metadata", "resources": [["group": "", "resources": ["secrets", "configmaps"]]]],
      [
        "level": "RequestResponse", "resources": [["group": "", "resources": ["pods"], "resourceNames": ["p"]]],
        "omitStages": ["ResponseStarted"],
      ],
      ["level": "Request", "namespaces": ["x"], "resources": [["group": "apps"]]],
      ["level": "None", "nonResourceURLs": ["/healthz*"]], ["level": "Metadata", "userGroups": ["people"]],
    ],
  ]

  @Test(
    arguments: [
      ("system:kube-proxy", AccessRequest("watch", resource: "secrets"), "None"),
      ("u", AccessRequest("get", resource: "secrets", namespace: "x"), "Metadata"),
      ("u", AccessRequest("get", resource: "pods", name: "p"), "RequestResponse"),
      ("u", AccessRequest("get", resource: "pods", name: "q"), "Metadata"),
      ("u", AccessRequest("create", group: "apps", resource: "deployments", namespace: "x"), "Request"),
      ("u", AccessRequest("create", group: "apps", resource: "deployments", namespace: "y"), "Metadata"),
      ("u", AccessRequest("get", path: "/healthz/ping"), "None"), ("u", AccessRequest("get", path: "/metrics"), "Metadata"),
    ] as [(String, AccessRequest, String)])
  func theFirstMatchDecides(_ user: String, _ request: AccessRequest, _ level: String) throws {
    #expect(try AuditPolicy(Self.policy).verdict(UserInfo(name: user, groups: ["people"]), request).level.text == level)
  }

  @Test func whatNoRuleMatchesIsNotLogged() throws {
    #expect(try AuditPolicy(Self.policy).verdict(UserInfo(name: "u", groups: []), AccessRequest("get", resource: "nodes")).level == .none)
  }

  @Test func stagesAreLeftOut() throws {
    let verdict = try AuditPolicy(Self.policy).verdict(UserInfo(name: "u", groups: []), AccessRequest("get", resource: "pods", name: "p"))
    #expect(verdict.omittedStages == [.requestReceived, .responseStarted])
  }

  @Test(
    arguments: [
      [:], ["kind": "Policy", "apiVersion": "audit.k8s.io/v1"],
      ["kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [["level": "Much"]]],
      ["kind": "Policy", "apiVersion": "audit.k8s.io/v1", "omitStages": ["Never"], "rules": [["level": "None"]]],
      [
        "kind": "Policy", "apiVersion": "audit.k8s.io/v1",
        "rules": [["level": "None", "nonResourceURLs": ["/"], "namespaces": ["x"]]],
      ],
    ] as [JSON])
  func policiesThatAreNone(_ policy: JSON) { #expect(throws: AuditPolicy.Malformed.self) { try AuditPolicy(policy) } }
}
