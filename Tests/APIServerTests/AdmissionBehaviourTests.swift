import APIMachinery
import JSONCodec
import KubernetesClient
import SystemPackage
import Testing

@testable import APIServer

/// What upstream's conformance tests ask of admission webhooks and of policies, each by itself; what takes a Service or a cluster is in
/// Tests/EndToEnd/hooks.py.
@Suite(.timeLimit(.minutes(2))) struct AdmissionBehaviourTests {
  private static let admission = "/apis/admissionregistration.k8s.io/v1/"
  private static let mutating = admission + "mutatingwebhookconfigurations"
  private static let validating = admission + "validatingwebhookconfigurations"
  private static let pods = "/api/v1/namespaces/default/pods"
  private static let maps = "/api/v1/namespaces/default/configmaps"

  private static func patch(_ operations: JSON) -> JSON {
    ["allowed": true, "patchType": "JSONPatch", "patch": .string(Base64.encode(Array(operations.text().utf8)))]
  }

  private static func denied(_ message: String) -> JSON { ["allowed": false, "status": ["message": .string(message)]] }

  private static func rules(_ group: String, _ resources: JSON, _ operations: JSON = ["*"]) -> JSON {
    ["rules": [["operations": operations, "apiGroups": [.string(group)], "apiVersions": ["*"], "resources": resources]]]
  }

  private func withHook(
    _ answer: @escaping @Sendable (JSON) async throws -> JSON, _ body: (TestServer, TestHook) async throws -> Void
  ) async throws {
    try await TestServer.with { test in
      let hook = try await TestHook(test.directory.appending("hook"), answer)
      do { try await body(test, hook) } catch {
        await hook.stop()
        throw error
      }
      await hook.stop()
    }
  }

  // MARK: webhooks

  /// What a webhook adds to a pod gets its defaults as what a client sends does.
  @Test func mutationComesBeforeDefaulting() async throws {
    try await withHook({ _ in
      Self.patch([["op": "add", "path": "/spec/initContainers", "value": [["name": "added", "image": "example.com/i"]]]])
    }) { test, hook in
      let made = try await test.call("POST", Self.mutating, hook.configuration("MutatingWebhookConfiguration", resources: ["pods"]))
      #expect(made.status == 201, "\(made.body["message"])")
      let pod: JSON = [
        "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "p"], "spec": ["containers": [["name": "c", "image": "i"]]],
      ]
      let answer = try await test.call("POST", Self.pods, pod)
      #expect(answer.status == 201, "\(answer.body["message"])")
      let added = answer.body["spec"]["initContainers"][0]
      #expect(added["name"] == "added" && added["terminationMessagePolicy"] == "File" && added["imagePullPolicy"] == "Always")
      #expect(added["terminationMessagePath"] == "/dev/termination-log")
    }
  }

  /// A webhook sees who connects to a pod, and may refuse it.
  @Test func connectionsAreJudged() async throws {
    try await withHook({ request in
      #expect(request["operation"] == "CONNECT" && request["subResource"] == "attach" && request["object"]["kind"] == "PodAttachOptions")
      #expect(request["object"]["container"] == "c" && request["name"] == "p")
      return Self.denied("attaching to pod 'to-be-attached-pod' is not allowed")
    }) { test, hook in
      let rules = Self.rules("", ["pods/attach"], ["CONNECT"])
      #expect(try await test.call("POST", Self.validating, hook.configuration("ValidatingWebhookConfiguration", rules)).status == 201)
      let pod: JSON = ["metadata": ["name": "p"], "spec": ["nodeName": "n", "containers": [["name": "c", "image": "i"]]]]
      #expect(try await test.call("POST", Self.pods, pod).status == 201)
      let refused = try await test.call("POST", Self.pods + "/p/attach", query: [("container", "c"), ("stdout", "true")])
      #expect(refused.body["message"].string?.contains("attaching to pod 'to-be-attached-pod' is not allowed") == true, "\(refused.body)")
      // Another subresource is none of its business.
      let log = try await test.call("GET", Self.pods + "/p/log")
      #expect(log.body["message"].string?.contains("is not allowed") != true)
    }
  }

  /// Webhooks neither see nor change the configurations of webhooks: nobody is locked out.
  @Test func configurationsOfWebhooksAreExempt() async throws {
    try await withHook({ _ in Self.denied("never") }) { test, hook in
      let all = Self.rules("admissionregistration.k8s.io", ["*/*"])
      #expect(try await test.call("POST", Self.validating, hook.configuration("ValidatingWebhookConfiguration", all)).status == 201)
      var changing = hook.configuration("MutatingWebhookConfiguration", all)
      changing["metadata"]["name"] = "changing"
      #expect(try await test.call("POST", Self.mutating, changing).status == 201)
      for (path, kind) in [(Self.validating, "ValidatingWebhookConfiguration"), (Self.mutating, "MutatingWebhookConfiguration")] {
        var other = hook.configuration(kind, Self.rules("example.com", ["nothings"]))
        other["metadata"]["name"] = "other"
        let made = try await test.call("POST", path, other)
        #expect(made.status == 201 && made.body["metadata"]["labels"].isNull, "\(made.body["message"])")
        #expect(try await test.call("DELETE", path + "/other").status == 200)
      }
    }
  }

  /// A configuration that is patched or updated does something else from then on; without it nothing is done.
  @Test func configurationsArePatchedUpdatedListedAndDeletedTogether() async throws {
    try await withHook({ _ in Self.denied("no") }) { test, hook in
      var own = hook.configuration("ValidatingWebhookConfiguration")
      own["metadata"]["labels"] = ["e2e": "x"]
      let made = try await test.call("POST", Self.validating, own)
      let map: JSON = ["metadata": ["generateName": "m-"]]
      #expect(try await test.call("POST", Self.maps, map).status == 400)
      // Updated: no more creates.
      var updated = made.body
      var webhook = made.body["webhooks"][0]
      webhook["rules"] = [["operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]]]
      updated["webhooks"] = [webhook]
      #expect(try await test.call("PUT", Self.validating + "/own", updated).status == 200)
      #expect(try await test.call("POST", Self.maps, map).status == 201)
      // Patched: creates again.
      let patch: JSON = [["op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]]]
      let answer = try await test.call("PATCH", Self.validating + "/own", contentType: "application/json-patch+json", patch)
      #expect(answer.status == 200)
      #expect(try await test.call("POST", Self.maps, map).status == 400)
      let listed = try await test.call("GET", Self.validating, query: [("labelSelector", "e2e=x")])
      #expect(listed.body["items"].array?.count == 1)
      #expect(try await test.call("DELETE", Self.validating, query: [("labelSelector", "e2e=x")]).status == 200)
      #expect(try await test.call("POST", Self.maps, map).status == 201)
    }
  }

  private static func definition(_ name: String, versions: [JSON], labels: JSON = .null) -> JSON {
    [
      "metadata": ["name": .string("\(name)s.hooked.example.com"), "labels": labels],
      "spec": [
        "group": "hooked.example.com", "scope": "Namespaced",
        "names": [
          "plural": .string(name + "s"), "singular": .string(name), "kind": .string(name.capitalized),
          "listKind": .string(name.capitalized + "List"),
        ],
        "versions": .array(versions),
      ],
    ]
  }

  private static func version(_ name: String, isStorage: Bool) -> JSON {
    let data: JSON = ["type": "object", "properties": ["start": ["type": "string"], "known": ["type": "string"]]]
    return [
      "name": .string(name), "served": true, "storage": .bool(isStorage),
      "schema": ["openAPIV3Schema": ["type": "object", "properties": ["data": data]]],
    ]
  }

  /// Custom resources are denied, changed and pruned after the change, in whatever version they are stored; so are definitions.
  @Test func customResourcesAreJudgedAndChanged() async throws {
    try await withServer { server in
      let hook = try await TestHook(FilePath(server.directory + "/hook")) { request in
        let object = request["object"].isNull ? request["oldObject"] : request["object"]
        if object["metadata"]["labels"]["deny"] == "yes" { return Self.denied("the \(request["operation"].string ?? "") is not wanted") }
        guard request["operation"] == "CREATE", request["resource"]["resource"] == "gadgets" else { return ["allowed": true] }
        return Self.patch([
          ["op": "add", "path": "/data/known", "value": "by the hook"], ["op": "add", "path": "/data/unknown", "value": "by the hook"],
        ])
      }
      let definitions = ResourcePath(group: "apiextensions.k8s.io", version: "v1", "customresourcedefinitions")
      var first = [Self.version("v1", isStorage: true), Self.version("v2", isStorage: false)]
      _ = try await server.admin.create(definitions, Self.definition("gadget", versions: first))
      let gadgets: @Sendable (String) -> ResourcePath = { version in
        ResourcePath(group: "hooked.example.com", version: version, "gadgets", namespace: "default")
      }
      try await eventually("gadgets") { (try? await server.admin.list(gadgets("v2"))) != nil }
      let group = "admissionregistration.k8s.io"
      let both: JSON = [
        "rules": [
          ["operations": ["*"], "apiGroups": ["hooked.example.com"], "apiVersions": ["*"], "resources": ["gadgets"]],
          [
            "operations": ["CREATE"], "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"],
            "resources": ["customresourcedefinitions"],
          ],
        ]
      ]
      _ = try await server.admin.create(
        ResourcePath(group: group, version: "v1", "validatingwebhookconfigurations"),
        hook.configuration("ValidatingWebhookConfiguration", both))
      _ = try await server.admin.create(
        ResourcePath(group: group, version: "v1", "mutatingwebhookconfigurations"), hook.configuration("MutatingWebhookConfiguration", both)
      )
      func gadget(_ name: String, _ version: String, labels: JSON = .null) -> JSON {
        [
          "kind": "Gadget", "apiVersion": .string("hooked.example.com/\(version)"), "metadata": ["name": .string(name), "labels": labels],
          "data": ["start": "s"],
        ]
      }
      try await eventually("the hooks are known") {
        let probe: JSON = [
          "kind": "Gadget", "apiVersion": "hooked.example.com/v1", "metadata": ["generateName": "probe-"], "data": ["start": "s"],
        ]
        return try await server.admin.create(gadgets("v1"), probe)["data"]["known"] == "by the hook"
      }
      let made = try await server.admin.create(gadgets("v1"), gadget("one", "v1"))
      #expect(made["data"] == ["start": "s", "known": "by the hook"])
      // Another stored version changes nothing about it.
      first = [Self.version("v1", isStorage: false), Self.version("v2", isStorage: true)]
      var definition = try await server.admin.get(definitions, name: "gadgets.hooked.example.com")
      definition["spec"]["versions"] = .array(first)
      _ = try await server.admin.update(definitions, name: "gadgets.hooked.example.com", definition)
      let two = try await server.admin.create(gadgets("v1"), gadget("two", "v1"))
      #expect(two["data"] == ["start": "s", "known": "by the hook"] && two["apiVersion"] == "hooked.example.com/v1")
      #expect(try await server.admin.get(gadgets("v2"), name: "two")["data"] == two["data"])
      // Create, update and delete are denied.
      let bad = gadget("bad", "v1", labels: ["deny": "yes"])
      let create = await #expect(throws: APIStatusError.self) { try await server.admin.create(gadgets("v1"), bad) }
      #expect(create?.message.hasSuffix("denied the request: the CREATE is not wanted") == true)
      var worse = two
      worse["metadata"]["labels"]["deny"] = "yes"
      let changed = worse
      let update = await #expect(throws: APIStatusError.self) { try await server.admin.update(gadgets("v1"), name: "two", changed) }
      #expect(update?.message.hasSuffix("denied the request: the UPDATE is not wanted") == true)
      let named = Self.definition("banned", versions: [Self.version("v1", isStorage: true)], labels: ["deny": "yes"])
      let kind = await #expect(throws: APIStatusError.self) { try await server.admin.create(definitions, named) }
      #expect(kind?.message.hasSuffix("denied the request: the CREATE is not wanted") == true)
      await hook.stop()
    }
  }

  // MARK: policies

  private static func policy(_ spec: JSON) -> JSON {
    let rules: JSON = [["apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]]]
    var spec = spec
    spec["matchConstraints"] = ["resourceRules": rules]
    return ["metadata": ["name": "p"], "spec": spec]
  }

  private func bind(_ test: TestServer, _ spec: JSON) async throws {
    let made = try await test.call("POST", Self.admission + "validatingadmissionpolicies", Self.policy(spec))
    #expect(made.status == 201, "\(made.body["message"])")
    let binding: JSON = ["metadata": ["name": "b"], "spec": ["policyName": "p", "validationActions": ["Deny"]]]
    #expect(try await test.call("POST", Self.admission + "validatingadmissionpolicybindings", binding).status == 201)
  }

  /// `namespaceObject` is the namespace as it is, with its labels.
  @Test func policiesSeeTheNamespace() async throws {
    try await TestServer.with { test in
      for (name, environment) in [("prod", "prod"), ("dev", "dev")] as [(String, JSON)] {
        let space: JSON = ["metadata": ["name": .string(name), "labels": ["environment": environment]]]
        #expect(try await test.call("POST", "/api/v1/namespaces", space).status == 201)
      }
      try await bind(
        test,
        [
          "variables": [["name": "isProd", "expression": "namespaceObject.metadata.labels['environment'] == 'prod'"]],
          "validations": [["expression": "!variables.isProd || has(object.data)", "message": "prod wants data"]],
        ])
      for (space, data, status) in [("prod", .null, 422), ("prod", ["a": "b"], 201), ("dev", .null, 201)] as [(String, JSON, Int)] {
        let answer = try await test.call(
          "POST", "/api/v1/namespaces/\(space)/configmaps", ["metadata": ["generateName": "m-"], "data": data])
        #expect(answer.status == status, "\(space): \(answer.body["message"])")
      }
    }
  }

  /// A message that cannot be computed gives way to the written one, or to the expression.
  @Test func aMessageThatFailsFallsBack() async throws {
    for (message, told) in [("written", "written"), (nil, "failed expression: false")] as [(String?, String)] {
      try await TestServer.with { test in
        var validation: JSON = ["expression": "false", "messageExpression": "string(object.data.missing)"]
        if let message { validation["message"] = .string(message) }
        try await bind(test, ["validations": [validation]])
        let answer = try await test.call("POST", Self.maps, ["metadata": ["name": "m"], "data": ["a": "b"]])
        #expect(answer.status == 422 && answer.body["reason"] == "Invalid")
        #expect(answer.body["message"].string?.hasSuffix("denied request: \(told)") == true, "\(answer.body["message"])")
      }
    }
  }

  /// A policy's status is read, patched and put; neither endpoint touches what the other one is for.
  @Test func aPolicyHasAStatus() async throws {
    try await TestServer.with { test in
      try await bind(test, ["validations": [["expression": "true"]]])
      let path = Self.admission + "validatingadmissionpolicies/p"
      let condition: JSON = [
        "type": "E2E", "status": "True", "reason": "Set", "message": "from a test", "lastTransitionTime": "2026-01-02T03:04:05Z",
      ]
      let patched = try await test.call(
        "PATCH", path + "/status", contentType: "application/merge-patch+json",
        ["status": ["conditions": [condition]], "spec": ["failurePolicy": "Ignore"]])
      #expect(patched.status == 200 && patched.body["status"]["conditions"][0] == condition, "\(patched.body["message"])")
      #expect(patched.body["spec"]["failurePolicy"] == "Fail")
      var read = try await test.call("GET", path + "/status").body
      #expect(read["status"]["conditions"][0] == condition)
      var again = condition
      again["reason"] = "SetAgain"
      read["status"]["conditions"] = [again]
      let put = try await test.call("PUT", path + "/status", read)
      #expect(put.status == 200 && put.body["status"]["conditions"][0]["reason"] == "SetAgain", "\(put.body["message"])")
      let plain = try await test.call(
        "PATCH", path, contentType: "application/merge-patch+json", ["status": ["conditions": []], "spec": ["failurePolicy": "Ignore"]])
      #expect(plain.body["spec"]["failurePolicy"] == "Ignore" && plain.body["status"]["conditions"][0]["reason"] == "SetAgain")
    }
  }
}
