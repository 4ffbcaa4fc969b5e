import HTTPServing
import JSONCodec
import KubernetesClient
import NIOHTTP1
import Testing

@testable import APIServer

private let rbac = "rbac.authorization.k8s.io"

@Suite struct AccessTests {
  @Test func rolesAllowAndTheirAbsenceDenies() async throws {
    try await withServer { server in
      let token = try await server.token("default")
      let refused = try await server.ask(.GET, "/api/v1/namespaces/default/pods", token: token)
      #expect(refused.code == 403 && refused.body["reason"].string == "Forbidden")
      #expect(
        refused.message
          == "pods is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
      )
      try await server.grant(
        [["verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]]],
        to: ["kind": "ServiceAccount", "name": "default", "namespace": "default"])
      // Without any wait: a refusal is never older than what is stored.
      #expect(try await server.ask(.GET, "/api/v1/namespaces/default/pods", token: token).code == 200)
      #expect(try await server.ask(.GET, "/api/v1/namespaces/kube-system/pods", token: token).code == 403)
      #expect(try await server.ask(.GET, "/api/v1/pods", token: token).code == 403)
      #expect(try await server.ask(.GET, "/api/v1/namespaces/default/pods?watch=true", token: token).code == 403)
      let named = try await server.ask(.DELETE, "/api/v1/namespaces/default/pods/p", token: token)
      #expect(named.message.hasPrefix("pods \"p\" is forbidden: User ") && named.body["details"]["name"].string == "p")
    }
  }

  @Test func pathsThatAreNoResources() async throws {
    try await withServer { server in
      let token = try await server.token("default")
      for path in ["/healthz", "/livez", "/readyz", "/version"] {
        #expect(try await server.ask(.GET, path).code == 200, "\(path)")
      }
      for path in ["/api", "/apis", "/metrics", "/openapi/v2", "/nothing", "/apis/apps/v1"] {
        #expect(try await server.ask(.GET, path).code == 401, "\(path)")
      }
      for path in ["/api", "/apis/apps/v1", "/openapi/v3", "/.well-known/openid-configuration", "/openid/v1/jwks"] {
        #expect(try await server.ask(.GET, path, token: token).code == 200, "\(path)")
      }
      let metrics = try await server.ask(.GET, "/metrics", token: token)
      #expect(
        metrics.code == 403
          && metrics.message == "forbidden: User \"system:serviceaccount:default:default\" cannot get path \"/metrics\"")
      let monitor = try server.authority.client(user: "m", groups: ["system:monitoring"])
      #expect(try await server.ask(.GET, "/metrics", certificate: monitor).code == 200)
    }
  }

  @Test func aNamespaceIsWithinItself() async throws {
    try await withServer { server in
      try await server.grant(
        [["verbs": ["get"], "apiGroups": [""], "resources": ["namespaces"]]], to: ["kind": "User", "apiGroup": .string(rbac), "name": "u"])
      let user = try server.authority.client(user: "u", groups: [])
      #expect(try await server.ask(.GET, "/api/v1/namespaces/default", certificate: user).code == 200)
      #expect(try await server.ask(.GET, "/api/v1/namespaces/kube-system", certificate: user).code == 403)
    }
  }

  @Test func aSelectorForOneNameAsksForThatObject() async throws {
    try await withServer { server in
      try await server.grant(
        [["verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kube-root-ca.crt"]]],
        to: ["kind": "User", "apiGroup": .string(rbac), "name": "u"])
      let user = try server.authority.client(user: "u", groups: [])
      let path = "/api/v1/namespaces/default/configmaps"
      #expect(try await server.ask(.GET, path + "?fieldSelector=metadata.name%3Dkube-root-ca.crt", certificate: user).code == 200)
      #expect(try await server.ask(.GET, path + "?fieldSelector=metadata.name%3Dother", certificate: user).code == 403)
      #expect(try await server.ask(.GET, path, certificate: user).code == 403)
    }
  }

  @Test func nobodyGrantsWhatHeDoesNotHold() async throws {
    try await withServer { server in
      let subject: JSON = ["kind": "User", "apiGroup": .string(rbac), "name": "u"]
      try await server.grant(
        [
          ["verbs": ["create", "update"], "apiGroups": [.string(rbac)], "resources": ["roles", "rolebindings"]],
          ["verbs": ["get"], "apiGroups": [""], "resources": ["pods"]],
        ], to: subject)
      let user = try server.authority.client(user: "u", groups: ["g"])
      let path = "/apis/\(rbac)/v1/namespaces/default/"
      func role(_ name: String, _ resource: String) -> JSON {
        ["metadata": ["name": .string(name)], "rules": [["verbs": ["get"], "apiGroups": [""], "resources": [.string(resource)]]]]
      }
      #expect(try await server.ask(.POST, path + "roles", role("own", "pods"), certificate: user).code == 201)
      let refused = try await server.ask(.POST, path + "roles", role("more", "secrets"), certificate: user)
      #expect(refused.code == 403)
      #expect(
        refused.message
          == "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"u\" (groups=[\"g\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
      )
      func binding(_ kind: String, _ role: String) -> JSON {
        [
          "metadata": ["generateName": "b-"], "subjects": [subject],
          "roleRef": ["apiGroup": .string(rbac), "kind": .string(kind), "name": .string(role)],
        ]
      }
      #expect(try await server.ask(.POST, path + "rolebindings", binding("Role", "own"), certificate: user).code == 201)
      #expect(try await server.ask(.POST, path + "rolebindings", binding("ClusterRole", "cluster-admin"), certificate: user).code == 403)
      #expect(try await server.ask(.POST, path + "rolebindings", binding("Role", "none"), certificate: user).code == 404)
      // With the permission to bind this one role, its rights may be given away without being held.
      try await server.grant(
        [["verbs": ["bind"], "apiGroups": [.string(rbac)], "resources": ["clusterroles"], "resourceNames": ["view"]]], to: subject)
      #expect(try await server.ask(.POST, path + "rolebindings", binding("ClusterRole", "view"), certificate: user).code == 201)
      #expect(try await server.ask(.POST, path + "rolebindings", binding("ClusterRole", "edit"), certificate: user).code == 403)
    }
  }

  @Test func newRolesAreGathered() async throws {
    try await withServer { server in
      let roles = ResourcePath(group: rbac, "clusterroles")
      let rule: JSON = ["verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]]
      _ = try await server.admin.create(
        roles,
        ["metadata": ["name": "things", "labels": ["rbac.authorization.k8s.io/aggregate-to-view": "true"]], "rules": [rule]])
      let admin = server.admin
      for name in ["view", "edit", "admin"] {
        try await eventually("\(name) gathers it") {
          try await admin.get(roles, name: name)["rules"].array?.contains(rule) == true
        }
      }
      _ = try await server.admin.delete(roles, name: "things")
      for name in ["view", "edit", "admin"] {
        try await eventually("\(name) is without it") {
          try await admin.get(roles, name: name)["rules"].array?.contains(rule) == false
        }
      }
    }
  }

  @Test func aKubeletReadsWhatItsPodsNeed() async throws {
    try await withServer { server in
      let admin = server.admin
      let node = try server.authority.client(user: "system:node:n1", groups: ["system:nodes"])
      _ = try await admin.create(.secrets("default"), ["metadata": ["name": "mine"]])
      _ = try await admin.create(.secrets("default"), ["metadata": ["name": "foreign"]])
      let secret = "/api/v1/namespaces/default/secrets/"
      let early = try await server.ask(.GET, secret + "mine", certificate: node)
      #expect(early.code == 403 && early.message.hasSuffix(": no relationship found between node 'n1' and this object"))
      _ = try await admin.create(
        .pods("default"),
        [
          "metadata": ["name": "p"],
          "spec": [
            "nodeName": "n1", "containers": [["name": "c", "image": "i"]],
            "volumes": [["name": "v", "secret": ["secretName": "mine"]]],
          ],
        ])
      #expect(try await server.ask(.GET, secret + "mine", certificate: node).code == 200)
      #expect(try await server.ask(.GET, secret + "foreign", certificate: node).code == 403)
      #expect(try await server.ask(.GET, "/api/v1/namespaces/default/secrets", certificate: node).code == 403)
      #expect(try await server.ask(.GET, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", certificate: node).code == 200)
      #expect(try await server.ask(.GET, "/api/v1/pods", certificate: node).code == 403)
      // As long as there are network policies, which name other nodes' pods, it sees those too.
      let policies = ResourcePath(group: "networking.k8s.io", "networkpolicies", namespace: "default")
      _ = try await admin.create(policies, ["metadata": ["name": "np"], "spec": ["podSelector": [:]]])
      try await eventually("a node sees all pods") { try await server.ask(.GET, "/api/v1/pods", certificate: node).code == 200 }
      #expect(try await server.ask(.GET, "/api/v1/namespaces/default/pods/p/log", certificate: node).code == 403)
      _ = try await admin.delete(policies, name: "np")
      try await eventually("and no longer") { try await server.ask(.GET, "/api/v1/pods", certificate: node).code == 403 }
      // Its own node, and of that not the taints.
      let nodes = "/api/v1/nodes"
      let made = try await server.ask(.POST, nodes, ["metadata": ["name": "n1"]], certificate: node)
      #expect(made.code == 201)
      #expect(try await server.ask(.POST, nodes, ["metadata": ["name": "n2"]], certificate: node).code == 403)
      var tainted = made.body
      tainted["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]]
      let refused = try await server.ask(.PUT, nodes + "/n1", tainted, certificate: node)
      #expect(refused.code == 403 && refused.message.contains("is not allowed to modify taints"))
      // A token of its own pod's account, bound to that pod alone.
      let pod = try await admin.get(.pods("default"), name: "p")
      let token = "/api/v1/namespaces/default/serviceaccounts/default/token"
      let bound: JSON = ["spec": ["boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]]]]
      #expect(try await server.ask(.POST, token, bound, certificate: node).code == 201)
      #expect(try await server.ask(.POST, token, ["spec": [:]], certificate: node).code == 403)
      let other = try server.authority.client(user: "system:node:n2", groups: ["system:nodes"])
      #expect(try await server.ask(.POST, token, bound, certificate: other).code == 403)
      #expect(try await server.ask(.DELETE, "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", certificate: other).code == 403)
      #expect(try await server.ask(.DELETE, "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", certificate: node).code == 200)
    }
  }
}
