import APIMachinery
import HTTPServing
import JSONCodec
import KubernetesClient
import Testing

@testable import APIServer

/// Policies, matchConditions and rules of custom resources, through the API.
@Suite(.timeLimit(.minutes(2))) struct PolicyAPITests {
  private let maps = "/api/v1/namespaces/default/configmaps"
  private let admission = "/apis/admissionregistration.k8s.io/v1/"

  private func map(_ name: String, data: JSON = ["a": "b"], labels: JSON = .null) -> JSON {
    ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string(name), "labels": labels], "data": data]
  }

  private func constraints(_ changes: JSON = .null) -> JSON {
    var result: JSON = [
      "resourceRules": [["apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]]]
    ]
    for (name, value) in changes.object ?? JSONObject() { result[name] = value }
    return result
  }

  private func object(_ kind: String, _ name: String, _ spec: JSON) -> JSON {
    ["kind": .string(kind), "apiVersion": "admissionregistration.k8s.io/v1", "metadata": ["name": .string(name)], "spec": spec]
  }

  private func make(_ test: TestServer, _ path: String, _ object: JSON) async throws {
    let answer = try await test.call("POST", path, object)
    #expect(answer.status == 201, "\(answer.body["message"])")
  }

  private func validating(
    _ test: TestServer, _ spec: JSON, binding: JSON = .null, actions: JSON = ["Deny"], name: String = "p"
  ) async throws {
    var policy: JSON = ["matchConstraints": constraints()]
    for (name, value) in spec.object ?? JSONObject() { policy[name] = value }
    try await make(test, admission + "validatingadmissionpolicies", object("ValidatingAdmissionPolicy", name, policy))
    var bound: JSON = ["policyName": .string(name), "validationActions": actions]
    for (name, value) in binding.object ?? JSONObject() { bound[name] = value }
    try await make(test, admission + "validatingadmissionpolicybindings", object("ValidatingAdmissionPolicyBinding", name + "-b", bound))
  }

  private func mutating(_ test: TestServer, _ name: String, _ mutation: JSON, _ more: JSON = .null) async throws {
    var policy: JSON = ["matchConstraints": constraints(), "reinvocationPolicy": "Never", "mutations": [mutation]]
    for (name, value) in more.object ?? JSONObject() { policy[name] = value }
    try await make(test, admission + "mutatingadmissionpolicies", object("MutatingAdmissionPolicy", name, policy))
    try await make(
      test, admission + "mutatingadmissionpolicybindings",
      object("MutatingAdmissionPolicyBinding", name + "-b", ["policyName": .string(name)]))
  }

  // MARK: validating policies

  @Test func aPolicyDeniesWithItsMessageAndReason() async throws {
    try await TestServer.with { test in
      try await validating(
        test,
        [
          "variables": [["name": "a", "expression": "object.data.a"]],
          "validations": [
            ["expression": "variables.a != 'bad'", "messageExpression": "'a is ' + variables.a"],
            ["expression": "variables.a != 'secret'", "message": "not you", "reason": "Forbidden"],
          ],
        ])
      #expect(try await test.call("POST", maps, map("good")).status == 201)
      let bad = try await test.call("POST", maps, map("m", data: ["a": "bad"]))
      #expect(
        bad.status == 422 && bad.body["reason"] == "Invalid"
          && bad.body["message"]
            == "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: a is bad",
        "\(bad.body)")
      let secret = try await test.call("POST", maps, map("m", data: ["a": "secret"]))
      #expect(secret.status == 403 && secret.body["reason"] == "Forbidden")
      var changed = map("good", data: ["a": "bad"])
      #expect(try await test.call("PUT", maps + "/good", changed).status == 422)
      changed["data"] = ["a": "c"]
      #expect(try await test.call("PUT", maps + "/good", changed).status == 200)
      // What policies are about does not include policies.
      #expect(try await test.call("DELETE", admission + "validatingadmissionpolicybindings/p-b").status == 200)
      #expect(try await test.call("POST", maps, map("m", data: ["a": "bad"])).status == 201)
    }
  }

  @Test func parametersComeFromBindings() async throws {
    try await TestServer.with { test in
      try await make(test, maps, map("limits", data: ["max": "2"]))
      try await validating(
        test,
        [
          "paramKind": ["apiVersion": "v1", "kind": "ConfigMap"],
          "validations": [["expression": "size(object.data) <= int(params.data.max)"]],
        ],
        binding: ["paramRef": ["name": "limits", "parameterNotFoundAction": "Deny"]])
      #expect(try await test.call("POST", maps, map("two", data: ["a": "1", "b": "2"])).status == 201)
      let three = try await test.call("POST", maps, map("three", data: ["a": "1", "b": "2", "c": "3"]))
      #expect(three.status == 422, "\(three.body["message"])")
      #expect(try await test.call("DELETE", maps + "/limits").status == 200)
      let none = try await test.call("POST", maps, map("one"))
      #expect(
        none.status == 422
          && none.body["message"].string?.hasSuffix("no params found for policy binding with `Deny` parameterNotFoundAction") == true)
    }
  }

  @Test func selectorsAndExclusionsAreFollowed() async throws {
    try await TestServer.with { test in
      try await validating(
        test, ["validations": [["expression": "false"]]],
        binding: [
          "matchResources": [
            "objectSelector": ["matchLabels": ["judged": "yes"]],
            "excludeResourceRules": [
              ["apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"], "resourceNames": ["special"]]
            ],
          ]
        ])
      #expect(try await test.call("POST", maps, map("free")).status == 201)
      #expect(try await test.call("POST", maps, map("judged", labels: ["judged": "yes"])).status == 422)
      #expect(try await test.call("POST", maps, map("special", labels: ["judged": "yes"])).status == 201)
    }
  }

  @Test func aWrittenPolicyIsCompiledAndChecked() async throws {
    try await TestServer.with { test in
      let broken = object(
        "ValidatingAdmissionPolicy", "p", ["matchConstraints": constraints(), "validations": [["expression": "object.a ="]]])
      let refused = try await test.call("POST", admission + "validatingadmissionpolicies", broken)
      #expect(
        refused.status == 422
          && refused.body["message"].string?.contains("spec.validations[0].expression: Invalid value: \"object.a =\": compilation failed")
            == true
      )
      let doubtful = object(
        "ValidatingAdmissionPolicy", "p", ["matchConstraints": constraints(), "validations": [["expression": "object.dat == null"]]])
      try await make(test, admission + "validatingadmissionpolicies", doubtful)
      await PolicyChecker(resources: test.server.resources, policies: test.server.resources.policies.validating).check()
      let stored = try await test.call("GET", admission + "validatingadmissionpolicies/p").body
      #expect(stored["status"]["observedGeneration"] == stored["metadata"]["generation"])
      let warnings = stored["status"]["typeChecking"]["expressionWarnings"]
      #expect(
        warnings[0]["fieldRef"] == "spec.validations[0].expression"
          && warnings[0]["warning"].string?.contains("undefined field 'dat'") == true)
    }
  }

  @Test func whoNamesParametersMustBeAbleToReadThem() async throws {
    try await TestServer.with { test in
      let roles = "/apis/rbac.authorization.k8s.io/v1/"
      try await make(
        test, roles + "clusterroles",
        [
          "kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": ["name": "policies"],
          "rules": [
            ["apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]],
            ["apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]],
          ],
        ])
      try await make(
        test, roles + "clusterrolebindings",
        [
          "kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": ["name": "policies"],
          "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "policies"],
          "subjects": [["kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"]],
        ])
      let jane = LocalTransport(server: test.server, user: UserInfo(name: "jane", groups: [UserInfo.authenticated]))
      func write(_ kind: String) async throws -> APIResponse {
        let policy = object(
          "ValidatingAdmissionPolicy", kind.lowercased(),
          [
            "matchConstraints": constraints(), "paramKind": ["apiVersion": "v1", "kind": .string(kind)],
            "validations": [["expression": "params != null"]],
          ])
        return try await jane.send(APIRequest("POST", admission + "validatingadmissionpolicies", body: policy))
      }
      #expect(try await write("ConfigMap").status == 201)
      let refused = try await write("Secret")
      #expect(
        refused.status == 422 && refused.body["message"].string?.contains("spec.paramKind: Forbidden: ") == true,
        "\(refused.body["message"])")
    }
  }

  // MARK: mutating policies

  @Test func policiesChangeObjects() async throws {
    try await TestServer.with { test in
      try await mutating(
        test, "apply",
        [
          "patchType": "ApplyConfiguration",
          "applyConfiguration": ["expression": "Object{metadata: Object.metadata{labels: {'by': request.userInfo.username}}}"],
        ])
      try await mutating(
        test, "patch",
        [
          "patchType": "JSONPatch",
          "jsonPatch": ["expression": "[JSONPatch{op: 'add', path: '/data/seen', value: object.metadata.labels['by']}]"],
        ])
      let made = try await test.call("POST", maps, map("m"))
      #expect(
        made.status == 201 && made.body["metadata"]["labels"]["by"] == "admin" && made.body["data"]["seen"] == "admin", "\(made.body)")
      #expect(made.body["metadata"]["name"] == "m")
    }
  }

  @Test func policiesChangeTheOptionsOfConnections() async throws {
    try await TestServer.with { test in
      let constraints: JSON = [
        "resourceRules": [["apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["pods/exec"]]]
      ]
      try await mutating(
        test, "container",
        ["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": "Object{container: 'other', tty: false}"]],
        ["matchConstraints": constraints])
      let pod: JSON = [
        "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "p"],
        "spec": ["nodeName": "n", "containers": [["name": "first", "image": "i"]]],
      ]
      #expect(try await test.call("POST", "/api/v1/namespaces/default/pods", pod).status == 201)
      let path = "/api/v1/namespaces/default/pods/p"
      let query = [(name: "container", value: "first"), (name: "command", value: "sh")]
      // The container that the policy names is not there, which shows that it was asked for.
      let exec = try await test.call("POST", path + "/exec", query: query)
      #expect(exec.body["message"].string == "container other is not valid for pod p", "\(exec.body)")
      let attach = try await test.call("POST", path + "/attach", query: query)
      #expect(attach.body["message"].string != "container other is not valid for pod p")
    }
  }

  @Test func anEarlierPolicySeesWhatALaterOneDid() async throws {
    try await TestServer.with { test in
      let first: JSON = [
        "patchType": "ApplyConfiguration",
        "applyConfiguration": ["expression": "has(object.data.later) ? Object{data: {'again': 'yes'}} : Object{}"],
      ]
      let second: JSON = ["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": "Object{data: {'later': 'yes'}}"]]
      try await mutating(test, "a", first, ["reinvocationPolicy": "IfNeeded"])
      try await mutating(test, "b", second)
      let made = try await test.call("POST", maps, map("m"))
      #expect(made.body["data"] == ["a": "b", "later": "yes", "again": "yes"], "\(made.body)")
    }
  }

  @Test func aMutationThatFailsIsRefusedOrIgnored() async throws {
    try await TestServer.with { test in
      let mutation: JSON = ["patchType": "JSONPatch", "jsonPatch": ["expression": "[JSONPatch{op: 'remove', path: '/data/gone'}]"]]
      try await mutating(test, "a", mutation, ["failurePolicy": "Ignore"])
      #expect(try await test.call("POST", maps, map("m")).status == 201)
      try await mutating(test, "b", mutation)
      let refused = try await test.call("POST", maps, map("n"))
      #expect(
        refused.status == 403 && refused.body["message"].string?.hasPrefix("policy 'b' with binding 'b-b' denied request: ") == true,
        "\(refused.body["message"])")
    }
  }

  @Test func deploymentsAreMutatedAndStayWhole() async throws {
    try await TestServer.with { test in
      let rule: JSON = ["apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]]
      try await mutating(
        test, "d",
        [
          "patchType": "ApplyConfiguration",
          "applyConfiguration": [
            "expression":
              "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{initContainers: [Object.spec.template.spec.initContainers{name: 'mesh', image: 'mesh:1', restartPolicy: 'Always'}]}}}}"
          ],
        ], ["matchConstraints": ["resourceRules": [rule]]])
      let deployment: JSON = [
        "kind": "Deployment", "apiVersion": "apps/v1", "metadata": ["name": "d"],
        "spec": [
          "selector": ["matchLabels": ["a": "b"]],
          "template": ["metadata": ["labels": ["a": "b"]], "spec": ["containers": [["name": "c", "image": "i"]]]],
        ],
      ]
      let made = try await test.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment)
      let containers = made.body["spec"]["template"]["spec"]["initContainers"]
      #expect(made.status == 201 && containers[0]["name"] == "mesh" && containers[0]["imagePullPolicy"] == "IfNotPresent", "\(made.body)")
    }
  }

  // MARK: webhooks

  @Test func matchConditionsDecideWhetherAWebhookIsAsked() async throws {
    try await TestServer.with { test in
      let hook = try await TestHook(test.directory.appending("hook")) { _ in ["allowed": false] }
      do {
        let conditions: JSON = [["name": "named", "expression": "object.metadata.name != 'free' && object.data.a == 'b'"]]
        try await make(
          test, admission + "validatingwebhookconfigurations",
          hook.configuration("ValidatingWebhookConfiguration", ["matchConditions": conditions]))
        #expect(try await test.call("POST", maps, map("free")).status == 201)
        #expect(try await test.call("POST", maps, map("judged")).status == 400)
        let unclear = try await test.call("POST", maps, map("unclear", data: .null))
        #expect(
          unclear.status == 403 && unclear.body["message"].string?.hasPrefix("configmaps \"unclear\" is forbidden: expression '") == true,
          "\(unclear.body["message"])")
        let broken = hook.configuration("ValidatingWebhookConfiguration", ["matchConditions": [["name": "x", "expression": "object.x("]]])
        let refused = try await test.call("PUT", admission + "validatingwebhookconfigurations/own", broken)
        #expect(
          refused.status == 422 && refused.body["message"].string?.contains("compilation failed") == true, "\(refused.body["message"])")
      } catch {
        await hook.stop()
        throw error
      }
      await hook.stop()
    }
  }

  // MARK: custom resources

  @Test func rulesOfCustomResourcesAreEnforced() async throws {
    try await TestServer.with { test in
      let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
      func definition(_ rules: JSON) -> JSON {
        [
          "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": ["name": "things.example.org"],
          "spec": [
            "group": "example.org", "scope": "Namespaced",
            "names": ["plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"],
            "versions": [
              [
                "name": "v1", "served": true, "storage": true,
                "schema": [
                  "openAPIV3Schema": [
                    "type": "object",
                    "properties": [
                      "spec": ["type": "object", "properties": ["n": ["type": "integer"]], "x-kubernetes-validations": rules]
                    ],
                  ]
                ],
              ]
            ],
          ],
        ]
      }
      let refused = try await test.call("POST", path, definition([["rule": "self.m > 1"]]))
      #expect(
        refused.status == 422 && refused.body["message"].string?.contains("undefined field 'm'") == true, "\(refused.body["message"])")
      try await make(test, path, definition([["rule": "self.n > 1"], ["rule": "self.n >= oldSelf.n", "message": "n shrinks"]]))
      var stored = try await test.call("GET", path + "/things.example.org").body
      stored["status"] = definitionStatus(stored, others: [stored], now: .now)
      test.server.resources.catalog.replace(test.server.resources.registry.adding([stored], hooks: APIServer.ruleHooks))
      func thing(_ n: JSON) -> JSON { ["kind": "Thing", "apiVersion": "example.org/v1", "metadata": ["name": "t"], "spec": ["n": n]] }
      let things = "/apis/example.org/v1/namespaces/default/things"
      let small = try await test.call("POST", things, thing(1))
      #expect(
        small.status == 422
          && small.body["message"] == "Thing.example.org \"t\" is invalid: spec: Invalid value: \"object\": failed rule: self.n > 1",
        "\(small.body["message"])")
      #expect(try await test.call("POST", things, thing(3)).status == 201)
      let shrunk = try await test.call("PUT", things + "/t", thing(2))
      #expect(shrunk.status == 422 && shrunk.body["message"].string?.hasSuffix("n shrinks") == true, "\(shrunk.body["message"])")
    }
  }
}
