import JSONCodec
import KubernetesAPI
import Testing

@testable import APIMachinery

@Suite struct ServerSideApplyTests {
  typealias O = Ownership

  private func apply(
    _ applied: JSON, to live: JSON?, by manager: String = "a", force: Bool = false, subresource: String? = nil,
    type name: String? = "apps/v1.Deployment", at now: Timestamp = O.t1
  ) throws -> JSON {
    try serverSideApply(
      live: live, applied: applied, manager: manager, force: force, subresource: subresource, type: try name.map(O.type),
      apiVersion: applied["apiVersion"].string ?? "", now: now)
  }

  private func map(_ data: JSON, labels: JSON = .null) -> JSON {
    ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c", "labels": labels], "data": data]
  }

  private func error(_ body: () throws -> JSON) -> ApplyError? {
    do {
      _ = try body()
      return nil
    } catch { return error as? ApplyError }
  }

  @Test func creates() throws {
    let created = try apply(O.deployment(), to: nil)
    #expect(O.managers(created) == ["a/Apply"])
    #expect(
      O.fields(created, "a", "Apply")
        == (try JSON.parse(
          ##"""
          {"f:metadata":{"f:labels":{"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{"f:app":{}}},
            "f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{}}}}}}}
          """##)))
    #expect(created["spec"]["replicas"] == 1)
  }

  @Test func theSameAgainChangesNothing() throws {
    let created = try apply(O.deployment(), to: nil)
    #expect(try apply(O.deployment(), to: created, at: O.t2) == created)
  }

  @Test func whatIsNoLongerAppliedIsRemoved() throws {
    let created = try apply(map(["a": "1", "b": "2"], labels: ["x": "y"]), to: nil, type: "core/v1.ConfigMap")
    let next = try apply(map(["a": "1"]), to: created, type: "core/v1.ConfigMap", at: O.t2)
    #expect(next["data"] == ["a": "1"])
    #expect(next["metadata"]["labels"].isNull)
    #expect(O.fields(next, "a", "Apply") == ["f:data": ["f:a": [:]]])
    #expect(O.time(next, "a") == O.t2.rfc3339)
  }

  @Test func whatOthersOwnStays() throws {
    let created = try apply(map(["a": "1", "b": "2"]), to: nil, by: "one", type: "core/v1.ConfigMap")
    let shared = try apply(map(["b": "2", "c": "3"]), to: created, by: "two", type: "core/v1.ConfigMap")
    #expect(shared["data"] == ["a": "1", "b": "2", "c": "3"])
    let less = try apply(map(["a": "1"]), to: shared, by: "one", type: "core/v1.ConfigMap")
    #expect(less["data"] == ["a": "1", "b": "2", "c": "3"])
    let least = try apply(map(["c": "3"]), to: less, by: "two", type: "core/v1.ConfigMap")
    #expect(least["data"] == ["a": "1", "c": "3"])
  }

  @Test func conflictsWithAnUpdater() throws {
    let live = try O.update(nil, O.deployment(replicas: 3), by: "kubectl-client-side-apply")
    let refused = error { try apply(O.deployment(replicas: 5), to: live) }
    guard case .conflict(let conflict)? = refused else {
      Issue.record("no conflict: \(String(describing: refused))")
      return
    }
    #expect(conflict.message == #"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#)
    #expect(
      conflict.details == [
        [
          "reason": "FieldManagerConflict", "message": #"conflict with "kubectl-client-side-apply" using apps/v1"#,
          "field": ".spec.replicas",
        ]
      ])
  }

  @Test func severalConflicts() throws {
    let live = try apply(O.deployment(replicas: 3), to: nil, by: "gitops")
    var scaled = live
    scaled["status"]["x"] = .null
    scaled["metadata"]["labels"]["tier"] = "a"
    scaled = try O.update(live, scaled, by: "labeller", at: O.t1)
    var wanted = O.deployment(replicas: 4, image: "nginx:2")
    wanted["metadata"]["labels"]["tier"] = "b"
    let refused = error { try apply(wanted, to: scaled, by: "me") }
    #expect(
      refused?.message
        == """
        Apply failed with 3 conflicts: conflicts with "gitops":
        - .spec.replicas
        - .spec.template.spec.containers[name="web"].image
        conflicts with "labeller" using apps/v1:
        - .metadata.labels.tier
        """)
    let forced = try apply(wanted, to: scaled, by: "me", force: true)
    #expect(forced["spec"]["replicas"] == 4)
    #expect(O.fields(forced, "gitops", "Apply")["f:spec"]["f:replicas"].isNull)
    #expect(O.managers(forced) == ["gitops/Apply", "me/Apply"])
  }

  @Test func aSubresourceIsNamedInConflicts() throws {
    let created = try O.update(nil, O.deployment(), by: "creator")
    var scaled = created
    scaled["spec"]["replicas"] = 7
    scaled = try O.update(created, scaled, by: "hpa", subresource: "scale", at: O.t1)
    let refused = error { try apply(O.deployment(replicas: 1), to: scaled) }
    #expect(
      refused?.message == #"Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas"#)
  }

  @Test func theSameValueIsSharedWithoutConflict() throws {
    let live = try O.update(nil, O.deployment(replicas: 3), by: "updater")
    let both = try apply(O.deployment(replicas: 3), to: live)
    #expect(both["spec"] == live["spec"])
    #expect(O.managers(both) == ["a/Apply", "updater/Update"])
    #expect(!O.fields(both, "updater")["f:spec"]["f:replicas"].isNull)
  }

  @Test func givingAFieldUpLeavesItWithTheOther() throws {
    let one = try apply(O.deployment(replicas: 3), to: nil, by: "one")
    let two = try O.update(
      one,
      {
        var new = one
        new["spec"]["replicas"] = 8
        return new
      }(), by: "hpa", at: O.t1)
    let without = try apply(O.deployment(replicas: nil), to: two, by: "one", at: O.t2)
    #expect(without["spec"]["replicas"] == 8)
    #expect(O.fields(without, "hpa") == ["f:spec": ["f:replicas": [:]]])
  }

  @Test func listsOfObjectsAreMergedByTheirKeys() throws {
    func pod(_ containers: [JSON]) -> JSON {
      ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p"], "spec": ["containers": .array(containers)]]
    }
    let one = try apply(pod([["name": "a", "image": "1"], ["name": "b", "image": "1"]]), to: nil, by: "one", type: "core/v1.Pod")
    let two = try apply(
      pod([["name": "x", "image": "2"], ["name": "b", "image": "1", "tty": true]]), to: one, by: "two", type: "core/v1.Pod")
    #expect((two["spec"]["containers"].array ?? []).map { $0["name"].string } == ["a", "x", "b"])
    #expect(two["spec"]["containers"][2]["tty"] == true)
    let less = try apply(pod([["name": "a", "image": "1"]]), to: two, by: "one", type: "core/v1.Pod")
    #expect((less["spec"]["containers"].array ?? []).map { $0["name"].string } == ["a", "x", "b"])
    let least = try apply(pod([["name": "x", "image": "2"]]), to: less, by: "two", type: "core/v1.Pod")
    #expect((least["spec"]["containers"].array ?? []).map { $0["name"].string } == ["a", "x"])
  }

  @Test func portsHaveTwoKeysAndADefault() throws {
    func service(_ ports: [JSON]) -> JSON {
      ["apiVersion": "v1", "kind": "Service", "metadata": ["name": "s"], "spec": ["ports": .array(ports)]]
    }
    let type = "core/v1.Service"
    var live = try apply(service([["port": 53, "name": "dns"], ["port": 53, "protocol": "UDP", "name": "udp"]]), to: nil, type: type)
    live["spec"]["ports"] = [
      ["port": 53, "name": "dns", "protocol": "TCP"], ["port": 53, "protocol": "UDP", "name": "udp"],
    ]
    let next = try apply(service([["port": 53, "name": "tcp"]]), to: live, type: type)
    #expect(next["spec"]["ports"] == [["port": 53, "name": "tcp", "protocol": "TCP"]])
  }

  @Test func setsAndAtomics() throws {
    func pod(_ finalizers: JSON, _ tolerations: JSON, _ selector: JSON) -> JSON {
      [
        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p", "finalizers": finalizers],
        "spec": ["containers": [["name": "c"]], "tolerations": tolerations, "nodeSelector": selector],
      ]
    }
    let one = try apply(pod(["a/a"], [["key": "x"]], ["d": "1"]), to: nil, by: "one", type: "core/v1.Pod")
    let two = try apply(pod(["b/b"], .null, .null), to: one, by: "two", type: "core/v1.Pod")
    #expect(two["metadata"]["finalizers"] == ["a/a", "b/b"])
    let atomic = error { try apply(pod(.null, [["key": "y"]], ["e": "2"]), to: two, by: "three", type: "core/v1.Pod") }
    guard case .conflict(let conflict)? = atomic else {
      Issue.record("no conflict")
      return
    }
    #expect(conflict.causes.map(\.field) == [".spec.nodeSelector", ".spec.tolerations"])
    let gone = try apply(pod(.null, .null, .null), to: two, by: "one", type: "core/v1.Pod")
    #expect(gone["metadata"]["finalizers"] == ["b/b"])
    #expect(gone["spec"]["tolerations"].isNull)
  }

  @Test func statusThroughItsSubresource() throws {
    let live = try apply(O.deployment(), to: nil)
    var status = O.deployment(replicas: 9)
    status["status"] = ["conditions": [["type": "Available", "status": "True"]]]
    let result = try apply(status, to: live, by: "controller", subresource: "status")
    #expect(result["spec"]["replicas"] == 1)
    let entry = result["metadata"]["managedFields"].array?.first { $0["subresource"].string == "status" }
    #expect(
      entry?["fieldsV1"]["f:status"]
        == (try JSON.parse(##"{"f:conditions":{"k:{\"type\":\"Available\"}":{".":{},"f:status":{},"f:type":{}}}}"##)))
    // The main resource leaves the status alone.
    let again = try apply(status, to: result, by: "main", force: true)
    #expect(again["status"] == result["status"])
    #expect(O.fields(again, "main", "Apply")["f:status"].isNull)
  }

  @Test func anObjectThatNobodyOwned() throws {
    let result = try apply(O.deployment(replicas: 1), to: O.deployment(replicas: 1))
    #expect(O.managers(result) == ["a/Apply", "before-first-apply/Update"])
    let refused = error { try apply(O.deployment(replicas: 2), to: O.deployment(replicas: 1)) }
    #expect(
      refused?.message == #"Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas"#)
  }

  /// `kubectl apply --server-side` on what `kubectl apply` made: its own earlier fields are no conflict.
  @Test func kubectlUpgradesFromClientSideApply() throws {
    var first = O.deployment(replicas: 2)
    first["metadata"]["annotations"][LastApplied.annotation] = .string(O.deployment(replicas: 2).text() + "\n")
    let live = try O.update(nil, first, by: "kubectl-client-side-apply")
    let result = try apply(O.deployment(replicas: 3), to: live, by: "kubectl")
    #expect(result["spec"]["replicas"] == 3)
    let annotation = try #require(result["metadata"]["annotations"][LastApplied.annotation].string)
    #expect(try JSON.parse(annotation)["spec"]["replicas"] == 3)
    #expect(error { try apply(O.deployment(replicas: 3), to: live, by: "somebody") } != nil)
    // A field that client-side apply did not set stays a conflict.
    var edited = live
    edited["spec"]["paused"] = true
    edited = try O.update(live, edited, by: "kubectl-edit", at: O.t1)
    var wanted = O.deployment(replicas: 3)
    wanted["spec"]["paused"] = false
    let refused = error { try apply(wanted, to: edited, by: "kubectl") }
    #expect(refused?.message == #"Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.paused"#)
  }

  @Test func withoutASchemaListsAreAtomic() throws {
    let crd: JSON = ["apiVersion": "x.io/v1", "kind": "Widget", "metadata": ["name": "w"], "spec": ["a": ["b": 1], "l": [1, 2]]]
    let one = try apply(crd, to: nil, by: "one", type: nil)
    #expect(O.fields(one, "one", "Apply")["f:spec"] == (try JSON.parse(#"{".":{},"f:a":{".":{},"f:b":{}},"f:l":{}}"#)))
    let other: JSON = ["apiVersion": "x.io/v1", "kind": "Widget", "metadata": ["name": "w"], "spec": ["a": ["c": 2]]]
    let two = try apply(other, to: one, by: "two", type: nil)
    #expect(two["spec"] == ["a": ["b": 1, "c": 2], "l": [1, 2]])
  }

  @Test func itemsNeedTheirKeys() throws {
    let account: JSON = ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "s"], "secrets": [["kind": "x"]]]
    #expect(
      error { try apply(account, to: nil, type: "core/v1.ServiceAccount") }?.message
        == "failed to create typed patch object (s; v1, Kind=ServiceAccount): .secrets: element 0: "
        + "associative list with keys has an element that omits key field \"name\" (and doesn't have default value)")
  }

  @Test func refusals() throws {
    func message(_ change: (inout JSON) -> Void) -> String? {
      var wanted = O.deployment()
      change(&wanted)
      return error {
        try serverSideApply(
          live: nil, applied: wanted, manager: "a", force: false, type: try O.type("apps/v1.Deployment"), apiVersion: "apps/v1", now: O.t0)
      }?.message
    }
    let prefix = "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): "
    #expect(message { $0["spec"]["frobs"] = 1 } == prefix + ".spec.frobs: field not declared in schema")
    #expect(
      message { $0["spec"]["template"]["spec"]["containers"] = [["name": "a"], ["name": "a"]] } == prefix
        + #".spec.template.spec.containers: duplicate entries for key [name="a"]"#)
    #expect(
      message { $0["spec"]["template"]["spec"]["containers"] = ["a"] } == prefix
        + ".spec.template.spec.containers: element 0: associative list with keys may not have non-map elements")
    #expect(message { $0["spec"]["template"] = [1] } == prefix + ".spec.template: expected map, got [1]")
    #expect(message { $0["metadata"]["managedFields"] = [["manager": "x"]] } == "metadata.managedFields must be nil")
    #expect(
      message { $0["apiVersion"] = "apps/v1beta1" }
        == "Incorrect version specified in apply patch. Specified patch version: apps/v1beta1, expected: apps/v1")
  }
}
