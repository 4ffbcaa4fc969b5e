import APIMachinery
import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOHTTP1
import Testing

@testable import APIServer

private let authorization = "/apis/authorization.k8s.io/v1/"
private let authentication = "/apis/authentication.k8s.io/v1/"

@Suite struct ReviewTests {
  @Test func whoMayDoWhat() async throws {
    try await withServer { server in
      try await server.grant(
        [["verbs": ["get"], "apiGroups": [""], "resources": ["pods"]]],
        to: ["kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"])
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      func ask(_ verb: String, _ user: String, groups: JSON = []) async throws -> JSON {
        let body: JSON = [
          "spec": [
            "user": .string(user), "groups": groups,
            "resourceAttributes": ["verb": .string(verb), "resource": "pods", "namespace": "default"],
          ]
        ]
        let answer = try await server.ask(.POST, authorization + "subjectaccessreviews", body, certificate: admin)
        #expect(answer.code == 201 && answer.body["kind"].string == "SubjectAccessReview")
        return answer.body["status"]
      }
      let allowed = try await ask("get", "u")
      #expect(allowed["allowed"].bool == true)
      #expect(allowed["reason"].string?.hasPrefix("RBAC: allowed by RoleBinding \"b-") == true)
      #expect(try await ask("delete", "u")["allowed"].bool == false)
      #expect(try await ask("delete", "u", groups: ["system:masters"])["allowed"].bool == true)
      let nobody = try await server.ask(
        .POST, authorization + "subjectaccessreviews", ["spec": ["resourceAttributes": ["verb": "get", "resource": "pods"]]],
        certificate: admin)
      #expect(nobody.code == 422 && nobody.message.contains("at least one of user or group must be specified"))
      let local = authorization + "namespaces/default/localsubjectaccessreviews"
      func localBody(_ namespace: String) -> JSON {
        ["spec": ["user": "u", "resourceAttributes": ["verb": "get", "resource": "pods", "namespace": .string(namespace)]]]
      }
      #expect(try await server.ask(.POST, local, localBody("default"), certificate: admin).body["status"]["allowed"].bool == true)
      #expect(try await server.ask(.POST, local, localBody("other"), certificate: admin).code == 422)
    }
  }

  @Test func aboutOneself() async throws {
    try await withServer { server in
      try await server.grant(
        [["verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]]],
        to: ["kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"])
      let user = try server.authority.client(user: "u", groups: ["g"])
      func may(_ attributes: JSON) async throws -> Bool? {
        let body: JSON = ["spec": attributes]
        return try await server.ask(.POST, authorization + "selfsubjectaccessreviews", body, certificate: user).body["status"]["allowed"]
          .bool
      }
      #expect(try await may(["resourceAttributes": ["verb": "get", "resource": "pods", "name": "p", "namespace": "default"]]) == true)
      #expect(try await may(["resourceAttributes": ["verb": "get", "resource": "pods", "namespace": "default"]]) == false)
      #expect(try await may(["nonResourceAttributes": ["verb": "get", "path": "/version"]]) == true)
      #expect(try await may(["nonResourceAttributes": ["verb": "get", "path": "/metrics"]]) == false)
      let rules = try await server.ask(
        .POST, authorization + "selfsubjectrulesreviews", ["spec": ["namespace": "default"]], certificate: user)
      let pods: JSON = ["verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]]
      #expect(rules.body["status"]["resourceRules"].array?.contains(pods) == true)
      #expect(rules.body["status"]["incomplete"].bool == false)
      let elsewhere = try await server.ask(
        .POST, authorization + "selfsubjectrulesreviews", ["spec": ["namespace": "kube-system"]], certificate: user)
      #expect(elsewhere.body["status"]["resourceRules"].array?.contains(pods) == false)
      let self_ = try await server.ask(.POST, authentication + "selfsubjectreviews", [:], certificate: user)
      #expect(self_.body["status"]["userInfo"]["username"].string == "u")
      #expect(self_.body["status"]["userInfo"]["groups"] == ["g", "system:authenticated"])
    }
  }

  @Test func tokensAreReviewed() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let pod = try await server.admin.create(
        .pods("default"), ["metadata": ["name": "p"], "spec": ["nodeName": "n1", "containers": [["name": "c", "image": "i"]]]])
      let uid = pod["metadata"]["uid"]
      let node = try await server.admin.create(.nodes, ["kind": "Node", "metadata": ["name": "n1"]])
      let bound: JSON = ["boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid], "audiences": ["vault", "x"]]
      let token = try await server.token("default", spec: bound)
      func review(_ token: String, _ audiences: JSON = .null) async throws -> JSON {
        let body: JSON = ["spec": ["token": .string(token), "audiences": audiences]]
        let answer = try await server.ask(.POST, authentication + "tokenreviews", body, certificate: admin)
        #expect(answer.code == 201)
        return answer.body["status"]
      }
      let status = try await review(token, ["vault", "other"])
      #expect(status["authenticated"].bool == true && status["audiences"] == ["vault"])
      let user = status["user"]
      #expect(user["username"].string == "system:serviceaccount:default:default")
      #expect(user["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
      let prefix = "authentication.kubernetes.io/"
      #expect(user["extra"][prefix + "pod-name"] == ["p"] && user["extra"][prefix + "pod-uid"] == [uid])
      #expect(user["extra"][prefix + "node-name"] == ["n1"] && user["extra"][prefix + "node-uid"] == [node["metadata"]["uid"]])
      #expect(user["extra"][prefix + "credential-id"][0].string?.hasPrefix("JTI=") == true)
      // For this server it is not, and so it opens nothing here.
      #expect(try await review(token)["authenticated"].bool != true)
      #expect(try await server.ask(.GET, "/api", token: token).code == 401)
      #expect(try await review("no-token")["error"].string == "invalid bearer token")
      // With its pod it ends.
      _ = try await server.admin.delete(.pods("default"), name: "p", gracePeriodSeconds: 0)
      #expect(try await review(token, ["vault"])["authenticated"].bool != true)
    }
  }

  @Test func tokenRequestsAreChecked() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let path = "/api/v1/namespaces/default/serviceaccounts/default/token"
      let short = try await server.ask(.POST, path, ["spec": ["expirationSeconds": 599]], certificate: admin)
      #expect(short.code == 422 && short.message.hasSuffix("Invalid value: 599: may not specify a duration less than 10 minutes"))
      let long = try await server.ask(.POST, path, ["spec": ["expirationSeconds": 4_294_967_297]], certificate: admin)
      #expect(long.code == 422)
      let good = try await server.ask(.POST, path, ["spec": ["expirationSeconds": 600]], certificate: admin)
      #expect(good.code == 201)
      let end = try #require(good.body["status"]["expirationTimestamp"].timestamp)
      #expect(abs(end.seconds(since: .now) - 600) < 30)
      let missing: JSON = ["spec": ["boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": "none"]]]
      #expect(try await server.ask(.POST, path, missing, certificate: admin).code == 404)
      let strange: JSON = ["spec": ["boundObjectRef": ["kind": "ConfigMap", "apiVersion": "v1", "name": "kube-root-ca.crt"]]]
      #expect(try await server.ask(.POST, path, strange, certificate: admin).code == 400)
    }
  }

  @Test func aTokenOfADeletedAccountIsWorthless() async throws {
    try await withServer { server in
      _ = try await server.admin.create(.serviceAccounts("default"), ["metadata": ["name": "s"]])
      let token = try await server.token("s")
      #expect(try await server.ask(.GET, "/api", token: token).code == 200)
      _ = try await server.admin.delete(.serviceAccounts("default"), name: "s")
      #expect(try await server.ask(.GET, "/api", token: token).code == 401)
      // Another of the same name is another.
      _ = try await server.admin.create(.serviceAccounts("default"), ["metadata": ["name": "s"]])
      #expect(try await server.ask(.GET, "/api", token: token).code == 401)
    }
  }

  @Test func discoveryOfTokensNamesTheirKeys() async throws {
    try await withServer { server in
      let token = try await server.token("default")
      let configuration = try await server.ask(.GET, "/.well-known/openid-configuration", token: token).body
      let payload = try JSON.parse(try #require(Base64.decode(String(token.split(separator: ".")[1]), orURLSafe: true)))
      #expect(configuration["issuer"] == payload["iss"])
      let header = try JSON.parse(try #require(Base64.decode(String(token.split(separator: ".")[0]), orURLSafe: true)))
      let keys = try await server.ask(.GET, "/openid/v1/jwks", token: token)
      #expect(keys.headers.first(name: "content-type") == "application/jwk-set+json")
      let key = try #require(keys.body["keys"].array?.first { $0["kid"] == header["kid"] })
      #expect(
        key["alg"] == header["alg"] && key["kty"].string == "EC" && Base64.decode(key["x"].string ?? "", orURLSafe: true)?.count == 32)
    }
  }

  @Test func secretsWithTokens() async throws {
    try await withServer { server in
      let admin = server.admin
      _ = try await admin.create(.serviceAccounts("default"), ["metadata": ["name": "s"]])
      _ = try await admin.create(
        .secrets("default"),
        [
          "metadata": ["name": "t", "annotations": ["kubernetes.io/service-account.name": "s"]],
          "type": "kubernetes.io/service-account-token",
        ])
      try await eventually("the token") { try await !admin.get(.secrets("default"), name: "t")["data"]["token"].isEmpty }
      let secret = try await admin.get(.secrets("default"), name: "t")
      let token = String(decoding: try #require(Base64.decode(secret["data"]["token"].string ?? "")), as: UTF8.self)
      let answer = try await server.ask(.POST, authentication + "selfsubjectreviews", [:], token: token)
      #expect(answer.body["status"]["userInfo"]["username"].string == "system:serviceaccount:default:s")
      _ = try await admin.delete(.secrets("default"), name: "t")
      #expect(try await server.ask(.GET, "/api", token: token).code == 401)
    }
  }
}
