import APIMachinery
import AdmissionPolicies
import CEL
import JSONCodec
import KubernetesAPI
import Testing

@Suite struct PolicyTests {
  private func input(_ object: JSON?, old: JSON? = nil, parameters: JSON? = nil) -> PolicyInput {
    PolicyInput(
      object: object, old: old,
      request: [
        "kind": ["group": "", "version": "v1", "kind": "ConfigMap"], "operation": "CREATE", "name": "m", "namespace": "default",
        "userInfo": ["username": "jane", "groups": ["dev"]], "dryRun": false,
      ],
      namespace: ["metadata": ["name": "default", "labels": ["env": "test"]]], parameters: parameters,
      authorizer: CELAuthorizer { CELAuthorizationDecision(isAllowed: $0.resource == "configmaps" && $0.verb == "get") },
      requestResource: CELAuthorizationCheck())
  }

  private func policy(_ spec: JSON) -> JSON { ["metadata": ["name": "p"], "spec": spec] }

  private func messages(_ spec: JSON, _ object: JSON, parameters: JSON? = nil) -> [String] {
    ValidatingPolicy(policy(spec)).judge(input(object, parameters: parameters)).refusals.map(\.message)
  }

  @Test(arguments: [
    ("object.data.a == 'b'", []),
    ("object.data.a == 'c'", ["failed expression: object.data.a == 'c'"]),
    ("object.data.x == 'c'", ["expression 'object.data.x == 'c'' resulted in error: no such key: x"]),
    ("request.userInfo.username == 'jane' && 'dev' in request.userInfo.groups", []),
    ("namespaceObject.metadata.labels['env'] == 'test'", []),
    ("oldObject == null", []),
    ("authorizer.group('').resource('configmaps').check('get').allowed()", []),
    ("authorizer.requestResource.check('get').allowed()", ["failed expression: authorizer.requestResource.check('get').allowed()"]),
  ])
  func expressionsSeeTheRequest(_ expression: String, _ expected: [String]) {
    #expect(messages(["validations": [["expression": .string(expression)]]], ["data": ["a": "b"]]) == expected)
  }

  @Test func messagesAndReasons() {
    let findings = ValidatingPolicy(
      policy([
        "validations": [
          ["expression": "false", "message": " plain ", "reason": "Forbidden"],
          ["expression": "false", "message": "plain", "messageExpression": "'name: ' + object.metadata.name"],
          ["expression": "false", "messageExpression": "object.gone"],
        ]
      ])
    ).judge(input(["metadata": ["name": "m"]]))
    #expect(findings.refusals.map(\.message) == ["plain", "name: m", "failed expression: false"])
    #expect(findings.refusals.map(\.reason) == ["Forbidden", "Invalid", "Invalid"])
  }

  @Test func variablesAreComputedWhenTheyAreNeeded() {
    let spec: JSON = [
      "variables": [
        ["name": "broken", "expression": "object.data.none"], ["name": "a", "expression": "object.data.a"],
        ["name": "both", "expression": "variables.a + '!'"],
      ],
      "validations": [["expression": "variables.both == 'b!'"], ["expression": "object.data.a == 'b' || variables.broken == 'x'"]],
    ]
    #expect(messages(spec, ["data": ["a": "b"]]) == [])
    var failing = spec
    failing["validations"] = [["expression": "variables.broken == 'x'"]]
    #expect(
      messages(failing, ["data": ["a": "b"]]) == [
        "expression 'variables.broken == 'x'' resulted in error: composited variable \"broken\" fails to evaluate: no such key: none"
      ])
  }

  @Test func longChainsOfVariablesNeedNoStack() throws {
    func spec(_ count: Int) -> JSON {
      let chain = (0..<count).map { i -> JSON in
        ["name": .string("v\(i)"), "expression": .string(i == 0 ? "object.data.n" : "variables.v\(i - 1) + 1")]
      }
      return ["variables": .array(chain), "validations": [["expression": .string("variables.v\(count - 1) == \(count)")]]]
    }
    #expect(messages(spec(1_000), ["data": ["n": 1]]) == [])
    #expect(messages(spec(1_000), ["data": ["n": 2]]).count == 1)
    #expect(
      try problems("ValidatingAdmissionPolicy", ["spec": spec(1_001)]) == ["spec.variables: Too many: 1001: must have at most 1000 items"])
  }

  @Test func failurePolicyDecidesAboutErrorsOnly() {
    let spec: JSON = ["failurePolicy": "Ignore", "validations": [["expression": "object.gone == 1"], ["expression": "false"]]]
    #expect(messages(spec, .object(JSONObject())) == ["failed expression: false"])
  }

  @Test func conditionsGoFirst() {
    let rule: JSON = [["expression": "false"]]
    #expect(
      messages(["matchConditions": [["name": "c", "expression": "object.data.a == 'x'"]], "validations": rule], ["data": ["a": "b"]]) == [])
    let unclear: JSON = [["name": "c", "expression": "object.gone"], ["name": "d", "expression": "object.gone == 1"]]
    #expect(messages(["matchConditions": unclear, "validations": rule], .object(JSONObject())).count == 1)
    #expect(messages(["matchConditions": unclear, "failurePolicy": "Ignore", "validations": rule], .object(JSONObject())) == [])
  }

  @Test func parametersAndAnnotations() {
    let spec: JSON = [
      "paramKind": ["apiVersion": "v1", "kind": "ConfigMap"],
      "validations": [["expression": "object.spec.replicas <= int(params.data.max)"]],
      "auditAnnotations": [
        ["key": "k", "valueExpression": "'replicas ' + string(object.spec.replicas)"], ["key": "n", "valueExpression": "null"],
      ],
    ]
    let findings = ValidatingPolicy(policy(spec)).judge(input(["spec": ["replicas": 5]], parameters: ["data": ["max": "3"]]))
    #expect(findings.refusals.count == 1 && findings.annotations.map(\.key) == ["k"] && findings.annotations.map(\.value) == ["replicas 5"])
    #expect(messages(spec, ["spec": ["replicas": 3]], parameters: ["data": ["max": "3"]]) == [])
  }

  @Test func aPolicyCannotRunForEver() {
    let bomb = "[0,1,2,3,4,5,6,7,8,9]"
    let expression =
      "\(bomb).all(a, \(bomb).all(b, \(bomb).all(c, \(bomb).all(d, \(bomb).all(e, \(bomb).all(f, a + b + c + d + e + f >= 0))))))"
    let found = messages(["validations": [["expression": .string(expression)]]], .object(JSONObject()))
    #expect(found.count == 1 && found[0].hasSuffix("operation cancelled: actual cost limit exceeded"))
  }

  // MARK: mutations

  private func mutated(_ mutations: JSON, _ object: JSON, type: String = "core/v1.ConfigMap") -> (object: JSON, problems: [String]) {
    MutatingPolicy(policy(["mutations": mutations])).mutate(input(object), type: SchemaRegistry.shared.type(type)) { $0 }
  }

  private func apply(_ expression: String) -> JSON {
    ["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": .string(expression)]]
  }
  private func patch(_ expression: String) -> JSON { ["patchType": "JSONPatch", "jsonPatch": ["expression": .string(expression)]] }

  @Test func configurationsAreMerged() {
    let object: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "m", "labels": ["a": "b"]], "data": ["x": "y"]]
    let (result, problems) = mutated([apply("Object{metadata: Object.metadata{labels: {'c': object.data.x}}, data: {'n': 'm'}}")], object)
    #expect(problems == [])
    #expect(
      result["metadata"]["labels"] == ["a": "b", "c": "y"] && result["data"] == ["x": "y", "n": "m"] && result["kind"] == "ConfigMap")
  }

  @Test func listsWithKeysAreMergedByThem() {
    let pod: JSON = [
      "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p"],
      "spec": ["containers": [["name": "a", "image": "i"], ["name": "b", "image": "j"]]],
    ]
    let (result, problems) = mutated(
      [
        apply(
          "Object{spec: Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, workingDir: '/w'})}}")
      ], pod,
      type: "core/v1.Pod")
    #expect(problems == [])
    #expect(
      result["spec"]["containers"] == [["name": "a", "image": "i", "workingDir": "/w"], ["name": "b", "image": "j", "workingDir": "/w"]])
  }

  @Test func whatIsOwnedAsAWholeIsNotTouched() {
    let (result, problems) = mutated(
      [apply("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a', command: ['x']}]}}")],
      ["apiVersion": "v1", "kind": "Pod", "spec": ["containers": [["name": "a"]]]], type: "core/v1.Pod")
    #expect(
      problems.count == 1 && problems[0].contains("may not mutate atomic arrays, maps or structs: .spec.containers[name=\"a\"].command"),
      "\(problems)")
    #expect(result["spec"]["containers"] == [["name": "a"]])
  }

  @Test func typeNamesFollowTheFields() {
    let (_, problems) = mutated([apply("Object{metadata: Object.spec{labels: {'c': 'd'}}}")], ["metadata": ["name": "m"]])
    #expect(
      problems == [
        "type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path from root Object type"
      ])
  }

  @Test func patchesAreAppliedOneAfterTheOther() {
    let (result, problems) = mutated(
      [
        patch(
          "[JSONPatch{op: 'test', path: '/data/x', value: 'y'}, JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"
        ),
        patch("[JSONPatch{op: 'add', path: '/metadata/labels', value: Object.metadata.labels{seen: object.data['a/b']}}]"),
      ], ["metadata": ["name": "m"], "data": ["x": "y"]])
    #expect(problems == [])
    #expect(result["data"] == ["x": "y", "a/b": "c"] && result["metadata"]["labels"] == ["seen": "c"])
    let failing = mutated([patch("[JSONPatch{op: 'remove', path: '/gone'}]")], ["data": ["x": "y"]])
    #expect(failing.problems.count == 1 && failing.object == ["data": ["x": "y"]])
  }

  // MARK: when they are written

  private func problems(_ kind: String, _ object: JSON, old: JSON? = nil) throws -> [String] {
    let resource = try #require(SchemaRegistry.shared.resource(group: "admissionregistration.k8s.io", version: "v1", kind: kind))
    return expressionProblems(object, old: old, resource: resource).map(\.description)
  }

  @Test func expressionsAreCompiledWhenTheyAreWritten() throws {
    let hook: JSON = ["webhooks": [["matchConditions": [["name": "c", "expression": "object.x =="], ["name": "d", "expression": "1"]]]]]
    let found = try problems("ValidatingWebhookConfiguration", hook)
    #expect(
      found.count == 2
        && found[0].hasPrefix(
          "webhooks[0].matchConditions[0].expression: Invalid value: \"object.x ==\": compilation failed: ERROR: <input>:1:")
    )
    #expect(found.last == "webhooks[0].matchConditions[1].expression: Invalid value: \"1\": must evaluate to bool but got int")
    #expect(try problems("ValidatingWebhookConfiguration", hook, old: hook) == [])
    let policy: JSON = [
      "spec": [
        "variables": [["name": "a", "expression": "object.x"], ["name": "1b", "expression": "1"]],
        "validations": [["expression": "variables.a == 1"], ["expression": "variables.c == 1"], ["expression": "params.x == 1"]],
      ]
    ]
    let more = try problems("ValidatingAdmissionPolicy", policy)
    #expect(more.count == 3, "\(more)")
    #expect(more.contains { $0.hasPrefix("spec.variables[1].name: ") && $0.hasSuffix("name is not a valid CEL identifier") })
    #expect(more.contains { $0.contains("undefined field 'c'") } && more.contains { $0.contains("undeclared reference to 'params'") })
  }

  @Test func wrongFieldNamesAreWarnedAbout() {
    let policy: JSON = [
      "spec": [
        "matchConstraints": [
          "resourceRules": [["apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["*"]]]
        ],
        "variables": [["name": "n", "expression": "object.spec.replicas"]],
        "validations": [
          ["expression": "object.spec.replicas > 1", "messageExpression": "'name ' + object.metadata.nam"],
          ["expression": "object.foo == 1"], ["expression": "variables.n == 'x'"],
        ],
      ]
    ]
    let warnings = expressionWarnings(policy, registry: .shared)
    #expect(
      warnings.map { $0["fieldRef"].string } == [
        "spec.validations[0].messageExpression", "spec.validations[1].expression", "spec.validations[2].expression",
      ])
    let text = warnings.count > 1 ? warnings[1]["warning"].string ?? "" : ""
    #expect(text.hasPrefix("apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'foo'"), "\(text)")
  }

  @Test func customKindsAreCheckedToo() {
    let definition: JSON = [
      "metadata": ["name": "things.example.org"],
      "spec": [
        "group": "example.org", "scope": "Namespaced",
        "names": ["plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"],
        "versions": [
          [
            "name": "v1", "served": true, "storage": true,
            "schema": [
              "openAPIV3Schema": [
                "type": "object", "properties": ["spec": ["type": "object", "properties": ["n": ["type": "integer"]]]],
              ]
            ],
          ]
        ],
      ],
    ]
    var established = definition
    established["status"] = definitionStatus(definition, others: [definition], now: .now)
    let policy: JSON = [
      "spec": [
        "matchConstraints": [
          "resourceRules": [["apiGroups": ["example.org"], "apiVersions": ["v1"], "resources": ["things"], "operations": ["*"]]]
        ],
        "validations": [
          ["expression": "object.spec.n > 1"], ["expression": "object.spec.m > 1"], ["expression": "object.metadata.name == 1"],
        ],
      ]
    ]
    let warnings = expressionWarnings(policy, registry: SchemaRegistry.shared.adding([established]))
    #expect(warnings.map { $0["fieldRef"].string } == ["spec.validations[1].expression", "spec.validations[2].expression"], "\(warnings)")
  }
}
