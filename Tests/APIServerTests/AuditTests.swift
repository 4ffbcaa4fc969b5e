import Foundation
import JSONCodec
import KubernetesClient
import Logging
import NIOHTTP1
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

  @Test func aPolicyThatIsNoneStopsTheStart() async throws {
    await #expect(throws: IdentityError.self) { try await withAudit("rules: []") { _, _ in } }
  }
}
