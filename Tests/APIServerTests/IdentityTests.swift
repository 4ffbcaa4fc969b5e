import APIMachinery
import Crypto
import CryptoExtras
import FoundationEssentials
import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOHTTP1
import SwiftASN1
import SystemPackage
import Testing
import X509

@testable import APIServer

private let whoAmI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

@Suite struct IdentityTests {
  @Test func actingAsSomebodyElse() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      func who(_ headers: HTTPHeaders, _ credential: Credential) async throws -> ServerUnderTest.Answer {
        try await server.ask(.POST, whoAmI, [:], certificate: credential, headers: headers)
      }
      let headers: HTTPHeaders = [
        "Impersonate-User": "jane", "Impersonate-Group": "dev", "Impersonate-Uid": "7", "Impersonate-Extra-example.com%2Fteam": "blue",
      ]
      let jane = try await who(headers, admin).body["status"]["userInfo"]
      #expect(jane["username"].string == "jane" && jane["groups"] == ["dev", "system:authenticated"] && jane["uid"].string == "7")
      #expect(jane["extra"]["example.com/team"] == ["blue"])
      let account = try await who(["Impersonate-User": "system:serviceaccount:x:y"], admin).body["status"]["userInfo"]
      #expect(account["groups"] == ["system:serviceaccounts", "system:serviceaccounts:x", "system:authenticated"])
      // Rights go with the name: the administrator is no more than jane now.
      #expect(try await server.ask(.GET, "/api/v1/nodes", certificate: admin, headers: headers).code == 403)
      #expect(try await who(["Impersonate-Group": "dev"], admin).code == 500)
      let user = try server.authority.client(user: "u", groups: [])
      let refused = try await who(["Impersonate-User": "jane"], user)
      #expect(refused.code == 403)
      #expect(
        refused.message
          == "users \"jane\" is forbidden: User \"u\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope")
      #expect(try await server.ask(.GET, "/api", headers: ["Impersonate-User": "jane"]).code == 401)
    }
  }

  @Test func aTokenAmongSubprotocols() async throws {
    try await withServer { server in
      let token = Base64.encode(Array(try await server.token("default").utf8), urlSafe: true)
      func code(_ protocols: [String], upgrade: String = "websocket") async throws -> Int {
        let headers: HTTPHeaders = [
          "Connection": "Upgrade", "Upgrade": upgrade, "Sec-WebSocket-Protocol": protocols.joined(separator: ", "),
        ]
        return try await server.ask(.POST, whoAmI, [:], headers: headers).code
      }
      let bearer = SubprotocolToken.prefix + token
      #expect(try await code([bearer, "v5.channel.k8s.io"]) == 201)
      #expect(try await code(["v5.channel.k8s.io", bearer]) == 201)
      #expect(try await code([bearer]) == 401, "the answer could name no protocol")
      #expect(try await code([bearer, bearer, "v5.channel.k8s.io"]) == 401)
      #expect(try await code([SubprotocolToken.prefix + "!!", "v5.channel.k8s.io"]) == 401)
      #expect(try await code([bearer, "v5.channel.k8s.io"], upgrade: "SPDY/3.1") == 401)
      let request = try #require(
        ServedRequest(method: .GET, uri: "/", headers: ["Sec-WebSocket-Protocol": "\(bearer), v5.channel.k8s.io, x"]))
      #expect(SubprotocolToken.removed(from: request).headers["sec-websocket-protocol"] == ["v5.channel.k8s.io, x"])
    }
  }

  @Test func clusterInfoIsSignedForEachToken() async throws {
    try await withServer { server in
      let signer = BootstrapSigner(client: server.admin, server: "https://10.0.0.1:6443", authorityPEM: "PEM", log: server.server.log)
      let running = Task { await signer.run() }
      defer { running.cancel() }
      func secret(_ id: String, _ more: JSON) -> JSON {
        var data: JSON = ["token-id": .string(id), "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true"]
        for (key, value) in more.object ?? JSONObject() { data[key] = value }
        return [
          "kind": "Secret", "apiVersion": "v1", "type": "bootstrap.kubernetes.io/token",
          "metadata": ["name": .string("bootstrap-token-\(id)")], "stringData": data,
        ]
      }
      _ = try await server.admin.create(.secrets("kube-system"), secret("abcdef", [:]))
      _ = try await server.admin.create(.secrets("kube-system"), secret("silent", ["usage-bootstrap-signing": "false"]))
      _ = try await server.admin.create(.secrets("kube-system"), secret("passed", ["expiration": "2020-01-01T00:00:00Z"]))
      let path = ResourcePath.configMaps("kube-public")
      @Sendable func data() async throws -> JSON { (try? await server.admin.get(path, name: "cluster-info"))?["data"] ?? .null }
      try await eventually("the signature") { try await data()["jws-kubeconfig-abcdef"].string != nil }
      let found = try await data()
      #expect(found.object?.keys.sorted() == ["jws-kubeconfig-abcdef", "kubeconfig"])
      let parts = (found["jws-kubeconfig-abcdef"].string ?? "").split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      #expect(parts.count == 3 && parts[1].isEmpty)
      #expect(Base64.decode(parts[0], orURLSafe: true).map { String(decoding: $0, as: UTF8.self) } == #"{"alg":"HS256","kid":"abcdef"}"#)
      let signed = parts[0] + "." + Base64.encode(Array((found["kubeconfig"].string ?? "").utf8), urlSafe: true)
      let code = try #require(Base64.decode(parts[2], orURLSafe: true))
      #expect(
        HMAC<SHA256>.isValidAuthenticationCode(
          code, authenticating: Data(signed.utf8), using: SymmetricKey(data: Data("0123456789abcdef".utf8))))
      #expect(found["kubeconfig"].string?.contains("server: https://10.0.0.1:6443\n") == true)
      // Whoever has the token reads it; a token that goes takes its signature with it.
      _ = try await server.admin.delete(.secrets("kube-system"), name: "bootstrap-token-abcdef")
      try await eventually("no signature") { try await data()["jws-kubeconfig-abcdef"].isNull }
      _ = try await server.admin.delete(path, name: "cluster-info")
      try await eventually("it is there again") { try await !data()["kubeconfig"].isNull }
    }
  }

  @Test func impersonationIsGrantedByName() async throws {
    try await withServer { server in
      let group = "rbac.authorization.k8s.io"
      _ = try await server.admin.create(
        ResourcePath(group: group, "clusterroles"),
        [
          "metadata": ["name": "as-jane"],
          "rules": [["verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"]]],
        ])
      _ = try await server.admin.create(
        ResourcePath(group: group, "clusterrolebindings"),
        [
          "metadata": ["name": "as-jane"], "subjects": [["kind": "User", "apiGroup": .string(group), "name": "u"]],
          "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": "as-jane"],
        ])
      let user = try server.authority.client(user: "u", groups: [])
      func code(_ headers: HTTPHeaders) async throws -> Int {
        try await server.ask(.POST, whoAmI, [:], certificate: user, headers: headers).code
      }
      #expect(try await code(["Impersonate-User": "jane"]) == 201)
      #expect(try await code(["Impersonate-User": "joe"]) == 403)
      // A name is not its groups: these would make an administrator.
      #expect(try await code(["Impersonate-User": "jane", "Impersonate-Group": "system:masters"]) == 403)
    }
  }

  @Test func bootstrapTokens() async throws {
    try await withServer { server in
      func data(_ values: [String: String]) -> JSON {
        JSON(values.mapValues { Base64.encode(Array($0.utf8)) })
      }
      let good = [
        "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers", "expiration": "2199-01-01T00:00:00Z",
      ]
      _ = try await server.admin.create(
        .secrets("kube-system"),
        ["metadata": ["name": "bootstrap-token-abcdef"], "type": "bootstrap.kubernetes.io/token", "data": data(good)])
      let answer = try await server.ask(.POST, whoAmI, [:], token: "abcdef.0123456789abcdef")
      #expect(answer.body["status"]["userInfo"]["username"].string == "system:bootstrap:abcdef", "\(answer.message)")
      #expect(
        answer.body["status"]["userInfo"]["groups"] == ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"])
      #expect(try await server.ask(.GET, "/api", token: "abcdef.0123456789abcdee").code == 401)
      #expect(try await server.ask(.GET, "/api", token: "abcdeg.0123456789abcdef").code == 401)
    }
  }

  @Test(
    arguments: [
      ("expiration", "2001-01-01T00:00:00Z"), ("expiration", "soon"), ("usage-bootstrap-authentication", "false"),
      ("auth-extra-groups", "system:masters"), ("auth-extra-groups", "system:bootstrappers:"), ("token-id", "fedcba"),
    ])
  func bootstrapTokensThatAreWorthless(_ key: String, _ value: String) throws {
    var values = ["token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"]
    let token = try #require(BootstrapToken("abcdef.0123456789abcdef"))
    func secret() -> JSON {
      [
        "type": "bootstrap.kubernetes.io/token", "metadata": ["name": "s"],
        "data": JSON(values.mapValues { Base64.encode(Array($0.utf8)) }),
      ]
    }
    #expect(token.user(secret(), now: .now) != nil)
    values[key] = value
    #expect(token.user(secret(), now: .now) == nil)
  }

  @Test func aFrontProxySpeaksForOthers() async throws {
    try await withServer { server in
      let headers: HTTPHeaders = ["X-Remote-User": "jane", "X-Remote-Group": "dev", "X-Remote-Extra-team": "blue"]
      func who(_ credential: Credential) async throws -> ServerUnderTest.Answer {
        try await server.ask(.POST, whoAmI, [:], certificate: credential, headers: headers)
      }
      let jane = try await who(try server.frontProxyAuthority.client(user: "front-proxy-client", groups: [])).body["status"]["userInfo"]
      #expect(jane["username"].string == "jane" && jane["groups"] == ["dev", "system:authenticated"] && jane["extra"]["team"] == ["blue"])
      // Others of that authority are nobody, whatever their certificate calls them; and to the ordinary authority headers mean nothing.
      let stranger = try server.frontProxyAuthority.client(user: "other", groups: ["system:masters"])
      #expect(try await who(stranger).code == 401)
      #expect(try await server.ask(.GET, "/api/v1/nodes", certificate: stranger).code == 401)
      let user = try server.authority.client(user: "front-proxy-client", groups: [])
      #expect(try await who(user).body["status"]["userInfo"]["username"].string == "front-proxy-client")
      let published = try await server.admin.get(.configMaps("kube-system"), name: "extension-apiserver-authentication")
      #expect(published["data"]["requestheader-client-ca-file"].string == server.frontProxyAuthority.certificatePEM)
      #expect(published["data"]["requestheader-allowed-names"].string == #"["front-proxy-client"]"#)
    }
  }

  @Test func anExpiredCertificateIsNobodys() async throws {
    try await withServer { server in
      let key = Certificate.PublicKey(P256.Signing.PrivateKey().publicKey)
      let pem = try server.authority.issue(
        key, subject: DistinguishedName { CommonName("u") }, from: Date.now.addingTimeInterval(-100), to: Date.now.addingTimeInterval(-1),
        extensions: Certificate.Extensions())
      #expect(try await server.ask(.GET, "/api", certificate: Credential(certificatePEM: pem, keyPEM: "")).code == 401)
    }
  }

  @Test func rsaKeysSignTokensToo() throws {
    let directory = FilePath("/tmp/swiftlet-tokens-\(UUIDs.random())")
    try PrivateDirectory.make(directory)
    defer { PrivateDirectory.remove(directory) }
    let first = try ServiceAccountTokens(directory: directory)
    let claims = ServiceAccountTokens.Claims(namespace: "n", account: "a", accountUID: "", audiences: [], expires: 2000, issued: 0)
    let old = try first.token(claims)
    let keyPath = directory.appending("service-account.key").string
    let keyText = String(decoding: try #require(FileManager.default.contents(atPath: keyPath)), as: UTF8.self)
    try PrivateFile.write(
      Array((try P256.Signing.PrivateKey(pemRepresentation: keyText).publicKey.pemRepresentation).utf8),
      to: directory.appending("service-account.pub").string, mode: 0o600)
    try PrivateFile.write(Array(try _RSA.Signing.PrivateKey(keySize: .bits2048).pemRepresentation.utf8), to: keyPath, mode: 0o600)
    let second = try ServiceAccountTokens(directory: directory)
    let token = try second.token(claims)
    let header = try JSON.parse(try #require(Base64.decode(String(token.split(separator: ".")[0]), orURLSafe: true)))
    #expect(header["alg"].string == "RS256")
    let now = Timestamp(secondsSinceEpoch: 1000)
    #expect(second.claims(token, now: now)?.account == "a" && first.claims(token, now: now) == nil)
    // The old key is known still: its tokens count until they end.
    #expect(second.claims(old, now: now)?.account == "a")
    #expect(Set((second.keySet["keys"].array ?? []).compactMap { $0["kty"].string }) == ["EC", "RSA"])
  }
}
