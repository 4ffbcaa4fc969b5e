import APIMachinery
import JSONCodec
import Testing

@testable import APIServer

private func options(_ body: JSON, query: [(name: String, value: String)] = []) throws -> DeleteOptions {
  let call = APICall(user: UserInfo(name: "u", groups: []), method: "DELETE", path: [], query: query)
  return try DeleteOptions(call, body: body)
}

private func resource(_ group: String, _ plural: String) -> ResourceInfo {
  SchemaRegistry.shared.resource(group: group, version: "v1", plural: plural)!
}

@Suite struct CascadingTests {
  struct Case: Sendable {
    let present: [String]
    let body: JSON
    let group: String
    let plural: String
    let expected: [String]
  }

  @Test(arguments: [
    Case(present: [], body: [:], group: "", plural: "configmaps", expected: []),
    Case(present: ["a/b"], body: ["propagationPolicy": "Foreground"], group: "", plural: "pods", expected: ["a/b", "foregroundDeletion"]),
    Case(present: ["a/b"], body: ["propagationPolicy": "Orphan"], group: "", plural: "pods", expected: ["a/b", "orphan"]),
    Case(present: ["orphan"], body: ["propagationPolicy": "Background"], group: "apps", plural: "deployments", expected: []),
    Case(present: ["orphan"], body: [:], group: "apps", plural: "deployments", expected: ["orphan"]),
    Case(present: ["foregroundDeletion"], body: [:], group: "batch", plural: "jobs", expected: ["foregroundDeletion"]),
    Case(present: [], body: ["orphanDependents": true], group: "apps", plural: "replicasets", expected: ["orphan"]),
    Case(present: ["foregroundDeletion"], body: ["orphanDependents": false], group: "", plural: "pods", expected: []),
    Case(present: [], body: [:], group: "batch", plural: "jobs", expected: ["orphan"]),
    Case(present: [], body: ["propagationPolicy": "Background"], group: "batch", plural: "jobs", expected: []),
    Case(present: [], body: [:], group: "", plural: "replicationcontrollers", expected: ["orphan"]),
    Case(present: [], body: [:], group: "batch", plural: "cronjobs", expected: []),
    Case(present: [], body: [:], group: "apps", plural: "replicasets", expected: []),
    Case(present: [], body: ["propagationPolicy": "Orphan"], group: "", plural: "events", expected: []),
  ])
  func finalizersSayWhatBecomesOfDependents(_ one: Case) throws {
    let options = try options(one.body)
    #expect(Cascading.finalizers(one.present, options, resource(one.group, one.plural)) == one.expected)
  }

  @Test func theQueryCountsToo() throws {
    #expect(try options([:], query: [("propagationPolicy", "Foreground")]).propagationPolicy == "Foreground")
    #expect(try options([:], query: [("orphanDependents", "true")]).orphanDependents == true)
    #expect(try options([:], query: [("orphanDependents", "false")]).orphanDependents == false)
  }

  @Test func optionsThatContradictEachOther() async throws {
    let both = #expect(throws: APIFailure.self) { try options(["orphanDependents": true, "propagationPolicy": "Background"]) }
    #expect(both?.code == 422)
    #expect(
      both?.message
        == "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Background\": "
        + "orphanDependents and deletionPropagation cannot be both set"
    )
    let unknown = #expect(throws: APIFailure.self) { try options(["propagationPolicy": "Sideways"]) }
    #expect(
      unknown?.message
        == "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": "
        + "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
    )
    #expect(throws: APIFailure.self) { try options(["dryRun": ["Some"]]) }
  }

  private static let path = "/api/v1/namespaces/default/configmaps"

  @Test func theServerSetsAndTakesTheFinalizers() async throws {
    try await TestServer.with { test in
      for name in ["a", "b", "c"] { _ = try await test.call("POST", Self.path, ["metadata": ["name": .string(name)]]) }
      let foreground = try await test.call("DELETE", Self.path + "/a", ["propagationPolicy": "Foreground"])
      #expect(foreground.status == 202)
      #expect(foreground.body["metadata"]["finalizers"] == ["foregroundDeletion"])
      #expect(foreground.body["metadata"]["deletionTimestamp"].string != nil)
      #expect(foreground.body["metadata"]["deletionGracePeriodSeconds"] == 0)
      // Another policy later: the kind has no grace, so the new one holds.
      let again = try await test.call("DELETE", Self.path + "/a", ["propagationPolicy": "Orphan"])
      #expect(again.body["metadata"]["finalizers"] == ["orphan"])
      #expect(try await test.call("DELETE", Self.path + "/a", ["propagationPolicy": "Background"]).body["status"] == "Success")
      #expect(try await test.call("GET", Self.path + "/a").status == 404)
      let dry = try await test.call("DELETE", Self.path + "/b", ["propagationPolicy": "Orphan", "dryRun": ["All"]])
      #expect(dry.body["metadata"]["finalizers"] == ["orphan"])
      #expect(try await test.call("GET", Self.path + "/b").body["metadata"]["finalizers"].isNull)
      #expect(try await test.call("DELETE", Self.path, ["propagationPolicy": "Orphan"]).status == 200)
      for name in ["b", "c"] {
        #expect(try await test.call("GET", Self.path + "/" + name).body["metadata"]["finalizers"] == ["orphan"])
      }
    }
  }

  @Test func preconditionsHold() async throws {
    try await TestServer.with { test in
      let made = try await test.call("POST", Self.path, ["metadata": ["name": "a"]]).body["metadata"]
      let stranger = try await test.call("DELETE", Self.path + "/a", ["preconditions": ["uid": "x"]])
      #expect(stranger.status == 409)
      #expect(
        stranger.body["message"].string?.contains(
          "the UID in the precondition (x) does not match the UID in record (\(made["uid"].string ?? "")). The object might have been deleted"
        )
          == true)
      #expect(try await test.call("DELETE", Self.path + "/a", ["preconditions": ["resourceVersion": "1"]]).status == 409)
      let right: JSON = ["preconditions": ["uid": made["uid"], "resourceVersion": made["resourceVersion"]]]
      #expect(try await test.call("DELETE", Self.path + "/a", right).status == 200)
    }
  }

  @Test func aJobsPodsStayUnlessToldOtherwise() async throws {
    try await withServer { server in
      let jobs = "/apis/batch/v1/namespaces/default/jobs"
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let job: JSON = [
        "apiVersion": "batch/v1", "kind": "Job", "metadata": ["name": "j"],
        "spec": ["template": ["spec": ["restartPolicy": "Never", "containers": [["name": "c", "image": "i"]]]]],
      ]
      _ = try await server.ask(.POST, jobs, job, certificate: admin)
      let silent = try await server.ask(.DELETE, jobs + "/j", certificate: admin)
      #expect(silent.body["metadata"]["finalizers"] == ["orphan"])
      #expect(silent.headers.first(name: "warning")?.contains("child pods are preserved by default") == true)
      let told = try await server.ask(.DELETE, jobs + "/j", ["propagationPolicy": "Background"], certificate: admin)
      #expect(told.code == 200 && told.headers.first(name: "warning") == nil)
    }
  }
}
