import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

/// Moments and shorthands of the ownership tests.
enum Ownership {
  static let t0 = Timestamp(secondsSinceEpoch: 1_800_000_000)
  static let t1 = t0.advanced(bySeconds: 60)
  static let t2 = t0.advanced(bySeconds: 120)

  static func type(_ name: String) throws -> SchemaType { try #require(SchemaRegistry.shared.type(name)) }

  static func deployment(replicas: Int? = 1, image: String = "nginx:1", labels: [String: String] = ["app": "web"]) -> JSON {
    [
      "apiVersion": "apps/v1", "kind": "Deployment",
      "metadata": ["name": "web", "namespace": "default", "labels": JSON(labels)],
      "spec": [
        "replicas": replicas.map { JSON($0) } ?? .null,
        "selector": ["matchLabels": ["app": "web"]],
        "template": [
          "metadata": ["labels": ["app": "web"]],
          "spec": ["containers": [["name": "web", "image": .string(image)]]],
        ],
      ],
    ]
  }

  static func update(
    _ old: JSON?, _ new: JSON, by manager: String, subresource: String? = nil, type name: String = "apps/v1.Deployment",
    at now: Timestamp = t0
  ) throws -> JSON {
    var result = new
    let type = try type(name)
    updateManagedFields(
      old: old, new: &result, manager: manager, subresource: subresource, type: type,
      apiVersion: new["apiVersion"].string ?? "v1", now: now)
    return result
  }

  /// What a manager owns, as FieldsV1.
  static func fields(_ object: JSON, _ manager: String, _ operation: String = "Update") -> JSON {
    object["metadata"]["managedFields"].array?.first {
      $0["manager"].string == manager && $0["operation"].string == operation
    }?["fieldsV1"] ?? .null
  }

  static func time(_ object: JSON, _ manager: String) -> String? {
    object["metadata"]["managedFields"].array?.first { $0["manager"].string == manager }?["time"].string
  }

  static func managers(_ object: JSON) -> [String] {
    (object["metadata"]["managedFields"].array ?? []).map { "\($0["manager"].string ?? "")/\($0["operation"].string ?? "")" }
  }
}

@Suite struct ManagedFieldsApplyTests {
  typealias O = Ownership

  /// As upstream records `kubectl create deployment`: structs that are always there are not owned, pointers and maps are.
  @Test func creation() throws {
    var new = O.deployment()
    new["spec"]["strategy"] = ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": "25%"]]
    new["status"] = .object(JSONObject())
    let created = try O.update(nil, new, by: "kubectl-create")
    let entry = created["metadata"]["managedFields"][0]
    #expect(entry["time"].string == O.t0.rfc3339)
    #expect(entry["fieldsType"] == "FieldsV1")
    #expect(entry["apiVersion"] == "apps/v1")
    #expect(
      entry["fieldsV1"]
        == (try JSON.parse(
          ##"""
          {"f:metadata":{"f:labels":{".":{},"f:app":{}}},
           "f:spec":{"f:replicas":{},"f:selector":{},
             "f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}},"f:type":{}},
             "f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},
               "f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}}}}}}
          """##)))
  }

  @Test func aChangeMovesTheFieldToItsAuthor() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    var changed = created
    changed["spec"]["replicas"] = 5
    let result = try O.update(created, changed, by: "scaler", at: O.t1)
    #expect(O.fields(result, "scaler") == ["f:spec": ["f:replicas": [:]]])
    #expect(O.fields(result, "creator")["f:spec"]["f:replicas"].isNull)
    #expect(O.time(result, "creator") == O.t0.rfc3339)
    #expect(O.time(result, "scaler") == O.t1.rfc3339)
  }

  @Test func nothingChangedKeepsTheTimes() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    #expect(try O.update(created, created, by: "creator", at: O.t1) == created)
    #expect(try O.update(created, created, by: "other", at: O.t1) == created)
  }

  @Test func removedFieldsAreForgottenAndEmptyEntriesDropped() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    var labelled = created
    labelled["metadata"]["labels"]["tier"] = "a"
    labelled = try O.update(created, labelled, by: "labeller", at: O.t1)
    #expect(O.managers(labelled) == ["creator/Update", "labeller/Update"])
    var plain = labelled
    plain["metadata"]["labels"]["tier"] = .null
    plain = try O.update(labelled, plain, by: "creator", at: O.t2)
    #expect(O.managers(plain) == ["creator/Update"])
    #expect(O.time(plain, "creator") == O.t0.rfc3339)
  }

  @Test func clientsThatDropTheListDoNotEraseIt() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    var bare = O.deployment()
    bare["spec"]["replicas"] = 2
    let result = try O.update(created, bare, by: "old-client", at: O.t1)
    #expect(O.managers(result) == ["creator/Update", "old-client/Update"])
  }

  @Test func aResetForgetsEverybody() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    var reset = created
    reset["metadata"]["managedFields"] = [[:]]
    #expect(try O.update(created, reset, by: "other")["metadata"]["managedFields"].isNull)
    // A subresource cannot reset the list.
    #expect(O.managers(try O.update(created, reset, by: "other", subresource: "status")) == ["creator/Update"])
  }

  @Test func statusBelongsToItsSubresource() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    var running = created
    running["status"]["replicas"] = 1
    running["spec"]["replicas"] = 9  // the status endpoint ignores it
    let result = try O.update(created, running, by: "controller", subresource: "status", at: O.t1)
    let entry = result["metadata"]["managedFields"][1]
    #expect(entry["subresource"] == "status")
    #expect(entry["fieldsV1"] == ["f:status": ["f:replicas": [:]]])
    // The main resource ignores the status.
    #expect(try O.update(created, running, by: "creator", at: O.t1)["metadata"]["managedFields"].array?.count == 1)
    let main = try O.update(created, running, by: "user", at: O.t1)
    #expect(O.fields(main, "user") == ["f:spec": ["f:replicas": [:]]])
  }

  @Test func namesAndVersionsAreNeverTracked() throws {
    let bare: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c", "namespace": "n", "uid": "u"]]
    #expect(try O.update(nil, bare, by: "x", type: "core/v1.ConfigMap")["metadata"]["managedFields"].isNull)
  }

  @Test func setsAndAtomicLists() throws {
    let pod: JSON = [
      "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p", "finalizers": ["a/b"]],
      "spec": ["containers": [["name": "c"]], "tolerations": [["key": "x"]]],
    ]
    let created = try O.update(nil, pod, by: "creator", type: "core/v1.Pod")
    var changed = created
    changed["metadata"]["finalizers"] = ["a/b", "c/d"]
    changed["spec"]["tolerations"] = [["key": "x"], ["key": "y"]]
    let result = try O.update(created, changed, by: "other", type: "core/v1.Pod", at: O.t1)
    #expect(
      O.fields(result, "other")
        == (try JSON.parse(##"{"f:metadata":{"f:finalizers":{"v:\"c/d\"":{}}},"f:spec":{"f:tolerations":{}}}"##)))
    #expect(
      O.fields(result, "creator")["f:metadata"] == (try JSON.parse(##"{"f:finalizers":{".":{},"v:\"a/b\"":{}}}"##)))
  }

  @Test func manyUpdatersAreCapped() throws {
    var object: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c"], "data": ["k": "0"]]
    for i in 0..<15 {
      var next = object
      next["data"]["k\(i)"] = .string("\(i)")
      object = try O.update(object, next, by: "m\(i)", type: "core/v1.ConfigMap", at: O.t0.advanced(bySeconds: Double(i)))
    }
    #expect(O.managers(object).count == ManagedFields.updatersMax)
    #expect(O.managers(object).first == "ancient-changes/Update")
    #expect(O.fields(object, "ancient-changes")["f:data"].object?.count == 6)
  }

  @Test(arguments: [
    ("kubectl-edit", "kubectl/v1", "kubectl-edit"), ("", "kubectl/v1.36.0 (linux/amd64) kubernetes/abc", "kubectl"),
    ("", "curl", "curl"), ("", "", ""),
  ]) func managerOfARequest(_ parameter: String, _ userAgent: String, _ expected: String) {
    #expect(fieldManager(parameter: parameter, userAgent: userAgent) == expected)
  }

  /// kubectl takes client-side apply's entry over with a JSON patch on managedFields.
  @Test func ownershipTransfer() throws {
    let csa = try O.update(nil, O.deployment(), by: "kubectl-client-side-apply")
    let entry = csa["metadata"]["managedFields"][0]
    var moved = entry
    moved["manager"] = "kubectl"
    moved["operation"] = "Apply"
    let patch: JSON = [
      ["op": "test", "path": "/metadata/managedFields/0/manager", "value": "kubectl-client-side-apply"],
      ["op": "replace", "path": "/metadata/managedFields", "value": .array([moved])],
    ]
    let patched = try jsonPatch(original: csa, patch: patch)
    let stored = try O.update(csa, patched, by: "kubectl-client-side-apply", at: O.t1)
    #expect(O.managers(stored) == ["kubectl/Apply"])
    #expect(O.fields(stored, "kubectl", "Apply") == entry["fieldsV1"])
  }
}
