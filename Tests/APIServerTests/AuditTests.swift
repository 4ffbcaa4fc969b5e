import AsyncHTTPClient
import Foundation
import HTTPServing
import JSONCodec
import KubernetesClient
import Logging
import NIOHTTP1
import NIOPosix
import SwiftASN1
import SystemPackage
import Testing

@testable import APIServer

@Suite struct AuditTests {
  private func withAudit(_ policy: String?, _ body: (ServerUnderTest, @Sendable () throws -> [JSON]) async throws -> Void) async throws {
    let directory = NSTemporaryDirectory() + "swl-audit-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let path = directory + "/audit.log"
    if let policy { try Data(policy.utf8).write(to: URL(fileURLWithPath: directory + "/policy.yaml")) }
    let log = try AuditLog(
      path: FilePath(path), policyFile: policy.map { _ in FilePath(directory + "/policy.yaml") },
      log: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
    try await withServer({ $0.auditLog = log }) { server in
      try await body(server) {
        let text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
        return try text.split(separator: "\n").map { try JSON.parse(String($0)) }
      }
    }
  }

  @Test func everyRequestLeavesALine() async throws {
    try await withAudit(nil) { server, events in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let made = try await server.ask(
        .POST, "/api/v1/namespaces/default/configmaps", ["metadata": ["generateName": "c-"]], certificate: admin,
        headers: ["User-Agent": "t/1", "Impersonate-User": "jane", "Impersonate-Group": "system:masters"])
      #expect(made.code == 201)
      _ = try await server.ask(.GET, "/api/v1/nodes", certificate: try server.authority.client(user: "u", groups: []))
      _ = try await server.ask(.GET, "/api")
      try await eventually("three events") { try events().count == 3 }
      let all = try events()
      let create = all[0]
      #expect(create["verb"].string == "create" && create["stage"].string == "ResponseComplete" && create["level"].string == "Metadata")
      #expect(create["user"]["username"].string == "a" && create["impersonatedUser"]["username"].string == "jane")
      #expect(create["objectRef"]["resource"].string == "configmaps" && create["objectRef"]["name"] == made.body["metadata"]["name"])
      #expect(create["responseStatus"]["code"].int == 201 && create["userAgent"].string == "t/1" && create["requestObject"].isNull)
      #expect(create["auditID"].string == made.headers.first(name: "audit-id"))
      #expect(all[1]["responseStatus"]["code"].int == 403 && all[1]["annotations"]["authorization.k8s.io/decision"].string == "forbid")
      #expect(all[2]["responseStatus"]["code"].int == 401 && all[2]["requestURI"].string == "/api")
    }
  }

  @Test func admissionPoliciesWriteBesideTheRequest() async throws {
    try await withAudit(nil) { server, events in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
      let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
      let policy: JSON = [
        "metadata": ["name": "p"],
        "spec": [
          "matchConstraints": [
            "resourceRules": [["apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]]]
          ],
          "validations": [["expression": "false", "message": "noted"]],
          "auditAnnotations": [["key": "who", "valueExpression": "'by ' + request.userInfo.username"]],
        ],
      ]
      #expect(try await server.ask(.POST, path, policy, certificate: admin).code == 201)
      let binding: JSON = ["metadata": ["name": "b"], "spec": ["policyName": "p", "validationActions": ["Audit"]]]
      #expect(try await server.ask(.POST, bindings, binding, certificate: admin).code == 201)
      try await eventually("an audited request") {
        let made = try await server.ask(
          .POST, "/api/v1/namespaces/default/configmaps", ["metadata": ["generateName": "c-"]], certificate: admin)
        return try made.code == 201 && events().last?["annotations"]["p/who"].isNull == false
      }
      let last = try events().last?["annotations"] ?? .null
      #expect(last["p/who"] == "by a")
      let failure = try JSON.parse(last["validation.policy.admission.k8s.io/validation_failure"].string ?? "[]")
      #expect(failure[0]["message"] == "noted" && failure[0]["policy"] == "p" && failure[0]["binding"] == "b")
    }
  }

  @Test func thePolicySaysHowMuch() async throws {
    let policy = """
      apiVersion: audit.k8s.io/v1
      kind: Policy
      omitManagedFields: true
      rules:
      - level: Metadata
        resources: [{group: "", resources: [secrets]}]
      - level: RequestResponse
        resources: [{group: "", resources: [configmaps]}]
        omitStages: [RequestReceived]
      """
    try await withAudit(policy) { server, events in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let data: JSON = ["metadata": ["name": "x"], "data": ["canary": "Y2FuYXJ5"]]
      _ = try await server.ask(.POST, "/api/v1/namespaces/default/secrets", data, certificate: admin)
      _ = try await server.ask(.POST, "/api/v1/namespaces/default/configmaps", data, certificate: admin)
      _ = try await server.ask(.GET, "/api/v1/nodes", certificate: admin)
      try await eventually("three events") { try events().count == 3 }
      let all = try events()
      #expect(all.map { $0["stage"].string } == ["RequestReceived", "ResponseComplete", "ResponseComplete"])
      #expect(!all[1].text().contains("canary"))
      #expect(all[2]["requestObject"]["data"]["canary"].string == "Y2FuYXJ5")
      #expect(all[2]["responseObject"]["metadata"]["uid"].string != nil && all[2]["responseObject"]["metadata"]["managedFields"].isNull)
    }
  }

  // MARK: field by field, after upstream's audit.k8s.io/v1 Event

  private static let maps = "/api/v1/namespaces/default/configmaps"

  /// Runs one request and gives the events that it left.
  private func events(
    _ policy: String? = nil, _ wanted: Int = 1, _ body: (ServerUnderTest, Credential) async throws -> Void
  ) async throws -> [JSON] {
    var found: [JSON] = []
    try await withAudit(policy) { server, events in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      try await body(server, admin)
      try await eventually("\(wanted) events") { try events().count >= wanted }
      found = try events()
    }
    return found
  }

  private static func policy(_ rule: String, _ more: String = "") -> String {
    "apiVersion: audit.k8s.io/v1\nkind: Policy\n\(more)rules:\n- \(rule)\n"
  }

  @Test func stagesOfARequestAndOfAWatch() async throws {
    let all = try await events(Self.policy("level: Metadata"), 5) { server, admin in
      _ = try await server.ask(.GET, Self.maps, certificate: admin)
      // A watch that ends at once: its answer begins, and is over.
      let der = Array(try PEMDocument(pemString: admin.certificatePEM).derBytes)
      let http = HTTPServer(
        configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: .singletonMultiThreadedEventLoopGroup
      ) { request in
        var request = request
        request.peerCertificateDER = der
        return await server.server.serve(request)
      }
      let port = try await http.start()
      let url = "http://127.0.0.1:\(port)\(Self.maps)?watch=1&timeoutSeconds=1"
      let answer = try await HTTPClient.shared.execute(HTTPClientRequest(url: url), timeout: .seconds(30))
      for try await _ in answer.body {}
      await http.stop()
    }
    #expect(
      all.map { "\($0["verb"].string ?? "") \($0["stage"].string ?? "")" } == [
        "list RequestReceived", "list ResponseComplete", "watch RequestReceived", "watch ResponseStarted", "watch ResponseComplete",
      ])
    #expect(all.allSatisfy { $0["kind"] == "Event" && $0["apiVersion"] == "audit.k8s.io/v1" && $0["level"] == "Metadata" })
    #expect(all[0]["responseStatus"].isNull && all[0]["auditID"] == all[1]["auditID"] && all[1]["auditID"] != all[2]["auditID"])
    #expect(all[1]["requestReceivedTimestamp"] == all[0]["requestReceivedTimestamp"])
    #expect((all[1]["stageTimestamp"].string ?? "") > (all[1]["requestReceivedTimestamp"].string ?? "z"))
    #expect(all[3]["responseStatus"]["code"] == 200 && all[4]["responseStatus"]["code"] == 200)
    #expect(all[4]["requestURI"] == .string(Self.maps + "?watch=1&timeoutSeconds=1"))
  }

  @Test func theAuditIDIsTheClients() async throws {
    let id = String(repeating: "i", count: 80)
    let all = try await events(nil, 2) { server, admin in
      let own = try await server.ask(.GET, Self.maps, certificate: admin, headers: ["Audit-ID": "mine"])
      #expect(own.headers["audit-id"] == ["mine"])
      _ = try await server.ask(.GET, Self.maps, certificate: admin, headers: ["Audit-ID": id])
    }
    #expect(all.map { $0["auditID"].string } == ["mine", id])
  }

  @Test(
    arguments: [
      ([:], "192.0.2.9:4711", ["192.0.2.9"]),
      (["X-Forwarded-For": "198.51.100.1, 198.51.100.2"], "192.0.2.9:4711", ["198.51.100.1", "198.51.100.2", "192.0.2.9"]),
      (["X-Forwarded-For": "no address\", 198.51.100.1"], "192.0.2.9:4711", ["198.51.100.1", "192.0.2.9"]),
      (["X-Forwarded-For": "192.0.2.9"], "192.0.2.9:4711", ["192.0.2.9"]),
      (["X-Real-Ip": "198.51.100.1"], "[2001:db8::1]:4711", ["198.51.100.1", "2001:db8::1"]),
      (["X-Forwarded-For": "198.51.100.1", "X-Real-Ip": "198.51.100.1"], "192.0.2.9:1", ["198.51.100.1", "192.0.2.9"]),
    ] as [([String: String], String, [String])])
  func addresses(_ headers: [String: String], _ remote: String, _ sources: [String]) throws {
    var fields = HTTPHeaders()
    for (name, value) in headers { fields.add(name: name, value: value) }
    var request = try #require(ServedRequest(method: .GET, uri: "/api", headers: fields, body: .init()))
    request.remoteAddress = remote
    #expect(AuditTrail.sources(request) == sources)
  }

  @Test func whoAskedAndForWhom() async throws {
    let all = try await events { server, admin in
      _ = try await server.ask(
        .GET, Self.maps, certificate: admin,
        headers: [
          "Impersonate-User": "jane", "Impersonate-Uid": "u-1", "Impersonate-Group": "staff", "Impersonate-Extra-Scopes": "read",
          "User-Agent": String(repeating: "x", count: 1_025),
        ])
    }
    let event = all[0]
    #expect(event["user"]["username"] == "a" && event["user"]["groups"] == ["system:masters", "system:authenticated"])
    #expect(event["user"]["extra"]["authentication.kubernetes.io/credential-id"][0].string?.hasPrefix("X509SHA256=") == true)
    let jane = event["impersonatedUser"]
    #expect(jane["username"] == "jane" && jane["uid"] == "u-1" && jane["extra"] == ["scopes": ["read"]])
    #expect(jane["groups"] == ["staff", "system:authenticated"])
    #expect(event["userAgent"] == .string(String(repeating: "x", count: 1_024) + "...TRUNCATED"))
    #expect(event["annotations"]["authorization.k8s.io/decision"] == "forbid" && event["responseStatus"]["code"] == 403)
  }

  @Test func theObjectThatIsMeant() async throws {
    var made = JSON.null
    let all = try await events(nil, 4) { server, admin in
      made = try await server.ask(.POST, Self.maps, ["metadata": ["name": "m"]], certificate: admin).body
      _ = try await server.ask(.PUT, Self.maps + "/m", made, certificate: admin)
      _ = try await server.ask(.GET, "/api/v1/namespaces/default/serviceaccounts/default", certificate: admin)
      _ = try await server.ask(
        .POST, "/api/v1/namespaces/default/serviceaccounts/default/token", ["spec": .object(JSONObject())], certificate: admin)
    }
    #expect(all[0]["objectRef"] == ["resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1"])
    #expect(
      all[1]["objectRef"] == [
        "resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1", "uid": made["metadata"]["uid"],
        "resourceVersion": made["metadata"]["resourceVersion"],
      ])
    #expect(all[2]["objectRef"]["subresource"].isNull)
    #expect(all[3]["verb"] == "create" && all[3]["objectRef"]["subresource"] == "token" && all[3]["objectRef"]["name"] == "default")
  }

  @Test func theAnswersStatus() async throws {
    let all = try await events(nil, 3) { server, admin in
      _ = try await server.ask(.POST, Self.maps, ["metadata": ["name": "m"]], certificate: admin)
      _ = try await server.ask(.GET, Self.maps + "/none", certificate: admin)
      _ = try await server.ask(.DELETE, Self.maps + "/m", certificate: admin)
    }
    #expect(all[0]["responseStatus"] == ["metadata": .object(JSONObject()), "code": 201])
    let missing = all[1]["responseStatus"]
    #expect(missing["status"] == "Failure" && missing["reason"] == "NotFound" && missing["code"] == 404)
    #expect(missing["message"] == "configmaps \"none\" not found" && missing["details"]["name"] == "none")
    #expect(all[2]["responseStatus"]["status"] == "Success" && all[2]["responseStatus"]["details"]["kind"] == "configmaps")
  }

  @Test func whatAPatchSaid() async throws {
    let rule = "level: RequestResponse\n  omitStages: [RequestReceived]\n  verbs: [patch]"
    let operations: JSON = [["op": "add", "path": "/data", "value": ["a": "b"]]]
    let merge: JSON = ["data": ["a": "c"]]
    let applied: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "m"], "data": ["d": "e"]]
    let all = try await events(Self.policy(rule), 3) { server, admin in
      _ = try await server.ask(.POST, Self.maps, ["metadata": ["name": "m"]], certificate: admin)
      for (body, type) in [
        (operations, "application/json-patch+json"), (merge, "application/merge-patch+json"), (applied, "application/apply-patch+yaml"),
      ] {
        let answer = try await server.ask(
          .PATCH, Self.maps + "/m?fieldManager=t", body, certificate: admin, headers: ["Content-Type": type])
        #expect(answer.code == 200, "\(answer.message)")
      }
    }
    #expect(all.map { $0["requestObject"] } == [operations, merge, applied])
    #expect(all.map { $0["responseObject"]["data"]["a"] } == ["b", "c", "c"] && all[2]["responseObject"]["data"]["d"] == "e")
    #expect(all.allSatisfy { $0["level"] == "RequestResponse" && !$0["responseObject"]["metadata"]["managedFields"].isNull })
  }

  /// A rule may keep managedFields out, or in where the policy leaves them out.
  @Test func managedFieldsAreLeftOutWhereARuleSaysSo() async throws {
    let rules =
      "level: RequestResponse\n  omitManagedFields: false\n  resources: [{group: \"\", resources: [configmaps]}]\n- level: RequestResponse"
    let body: JSON = ["metadata": ["name": "m", "managedFields": .array([])], "data": ["a": "Yg=="]]
    let all = try await events(Self.policy(rules, "omitManagedFields: true\nomitStages: [RequestReceived]\n"), 3) { server, admin in
      _ = try await server.ask(.POST, Self.maps, body, certificate: admin)
      _ = try await server.ask(.POST, "/api/v1/namespaces/default/secrets", body, certificate: admin)
      _ = try await server.ask(.GET, "/api/v1/namespaces/default/secrets", certificate: admin)
    }
    #expect(all.map { $0["stage"] } == ["ResponseComplete", "ResponseComplete", "ResponseComplete"])
    #expect(!all[0]["responseObject"]["metadata"]["managedFields"].isNull)
    #expect(all[1]["responseObject"]["metadata"]["managedFields"].isNull && all[1]["requestObject"]["metadata"]["managedFields"].isNull)
    #expect(all[2]["responseObject"]["items"].array?.isEmpty == false)
    #expect(all[2]["responseObject"]["items"].array?.allSatisfy { $0["metadata"]["managedFields"].isNull } == true)
  }

  @Test func whyItWasAllowed() async throws {
    let all = try await events(nil, 2) { server, _ in
      try await server.grant([["apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]]], to: ["kind": "User", "name": "u"])
      let user = try server.authority.client(user: "u", groups: [])
      try await eventually("the right") { try await server.ask(.GET, Self.maps, certificate: user).code == 200 }
      _ = try await server.ask(.GET, "/api/v1/nodes", certificate: user)
    }
    let allowed = try #require(all.first { $0["responseStatus"]["code"] == 200 })
    #expect(allowed["annotations"]["authorization.k8s.io/decision"] == "allow")
    #expect(allowed["annotations"]["authorization.k8s.io/reason"].string?.hasPrefix("RBAC: allowed by RoleBinding \"b-") == true)
    #expect(allowed["annotations"]["authorization.k8s.io/reason"].string?.hasSuffix("to User \"u\"") == true)
    #expect(all.last?["annotations"]["authorization.k8s.io/decision"] == "forbid")
  }

  @Test func whatPodSecurityFound() async throws {
    let all = try await events(
      Self.policy("level: Metadata\n  omitStages: [RequestReceived]\n  resources: [{group: \"\", resources: [pods]}]"), 3
    ) {
      server, admin in
      for (space, labels) in [
        ("free", ["pod-security.kubernetes.io/audit": "baseline"]), ("held", ["pod-security.kubernetes.io/enforce": "baseline"]),
      ] as [(String, JSON)] {
        _ = try await server.admin.create(.namespaces, ["metadata": ["name": .string(space), "labels": labels]])
        try await eventually("the account") { (try? await server.admin.get(.serviceAccounts(space), name: "default")) != nil }
      }
      let plain: JSON = ["containers": [["name": "c", "image": "i"]]]
      var open = plain
      open["hostNetwork"] = true
      for (space, spec, code) in [("free", open, 201), ("held", plain, 201), ("held", open, 403)] {
        let body: JSON = ["metadata": ["generateName": "p-"], "spec": spec]
        #expect(try await server.ask(.POST, "/api/v1/namespaces/\(space)/pods", body, certificate: admin).code == code)
      }
    }
    let prefix = "pod-security.kubernetes.io/"
    #expect(all[0]["annotations"][prefix + "enforce-policy"] == "privileged:latest")
    #expect(
      all[0]["annotations"][prefix + "audit-violations"].string?.hasPrefix(
        "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)") == true)
    #expect(
      all[1]["annotations"][prefix + "enforce-policy"] == "baseline:latest" && all[1]["annotations"][prefix + "audit-violations"].isNull)
    #expect(all[2]["responseStatus"]["code"] == 403 && all[2]["annotations"][prefix + "enforce-policy"] == "baseline:latest")
  }

  /// What webhooks did, and which could not be asked; a patch stands there only where contents do.
  @Test(arguments: ["Metadata", "Request"]) func whatWebhooksDid(_ level: String) async throws {
    let rule = "level: \(level)\n  omitStages: [RequestReceived]\n  resources: [{group: \"\", resources: [configmaps]}]"
    let all = try await events(Self.policy(rule)) { server, admin in
      let hook = try await TestHook(FilePath(server.directory + "/hook")) { request in
        let patch = #"[{"op":"add","path":"/data","value":{"a":"b"}}]"#
        return [
          "allowed": true, "patchType": "JSONPatch", "patch": .string(Data(patch.utf8).base64EncodedString()),
          "auditAnnotations": ["said": "so"],
        ]
      }
      let group = "admissionregistration.k8s.io"
      _ = try await server.admin.create(
        ResourcePath(group: group, version: "v1", "mutatingwebhookconfigurations"), hook.configuration("MutatingWebhookConfiguration"))
      let gone: JSON = ["failurePolicy": "Ignore", "name": "gone.example.org", "clientConfig": ["url": "https://127.0.0.1:1/x"]]
      _ = try await server.admin.create(
        ResourcePath(group: group, version: "v1", "validatingwebhookconfigurations"),
        hook.configuration("ValidatingWebhookConfiguration", gone))
      try await eventually("both are asked") {
        let probe: JSON = ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["generateName": "probe-"]]
        return try await server.admin.create(.configMaps("default"), probe)["data"]["a"] == "b"
      }
      try await Task.sleep(for: .milliseconds(300))
      #expect(try await server.ask(.POST, Self.maps, ["metadata": ["name": "m"]], certificate: admin).code == 201)
      await hook.stop()
    }
    let notes = all[0]["annotations"]
    let key = "mutation.webhook.admission.k8s.io/round_0_index_0"
    #expect(try JSON.parse(notes[key].string ?? "{}") == ["configuration": "own", "webhook": "hook.example.org", "mutated": true])
    #expect(notes["hook.example.org/said"] == "so")
    #expect(notes["failed-open.validation.webhook.admission.k8s.io/round_0_index_0"] == "gone.example.org")
    let patch = notes["patch.webhook.admission.k8s.io/round_0_index_0"]
    if level == "Metadata" {
      #expect(patch.isNull)
    } else {
      let told = try JSON.parse(patch.string ?? "{}")
      #expect(told["patchType"] == "JSONPatch" && told["patch"][0]["path"] == "/data" && told["webhook"] == "hook.example.org")
    }
  }

  @Test func aPolicyThatIsNoneStopsTheStart() async throws {
    await #expect(throws: IdentityError.self) { try await withAudit("rules: []") { _, _ in } }
  }
}
