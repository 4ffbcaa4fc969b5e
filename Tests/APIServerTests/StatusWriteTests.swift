import JSONCodec
import KubernetesAPI
import KubernetesClient
import Testing

@testable import APIServer

@Suite struct StatusWriteTests {
  private static let jobs = ResourcePath(group: "batch", "jobs", namespace: "default")
  private static let deployments = ResourcePath(group: "apps", "deployments", namespace: "default")

  @Test func metadataComesWithAStatus() async throws {
    let server = try await ServerUnderTest()
    let admin = server.admin
    let template: JSON = [
      "metadata": ["labels": ["a": "b"]], "spec": ["restartPolicy": "Never", "containers": [["name": "c", "image": "i"]]],
    ]
    try await admin.create(Self.jobs, ["metadata": ["name": "j"], "spec": ["suspend": true, "template": template]])
    let patch: JSON = ["metadata": ["annotations": ["patchedstatus": "true"], "labels": ["l": "m"]], "spec": ["suspend": false]]
    var answer = try await admin.patch(Self.jobs, name: "j", subresource: "status", type: .merge, patch)
    #expect(answer["metadata"]["annotations"]["patchedstatus"].string == "true" && answer["metadata"]["labels"]["l"].string == "m")
    #expect(answer["spec"]["suspend"].bool == true, "the spec is no part of a status")
    answer["metadata"]["annotations"]["patchedstatus"] = "again"
    answer = try await admin.update(Self.jobs, name: "j", subresource: "status", answer)
    #expect(answer["metadata"]["annotations"]["patchedstatus"].string == "again")
    var pods = template
    pods["spec"]["restartPolicy"] = "Always"
    try await admin.create(
      Self.deployments, ["metadata": ["name": "d"], "spec": ["selector": ["matchLabels": ["a": "b"]], "template": pods]])
    answer = try await admin.patch(Self.deployments, name: "d", subresource: "status", type: .merge, patch)
    #expect(answer["metadata"]["annotations"]["patchedstatus"].string == "true" && answer["metadata"]["labels"]["l"].isNull)
    await server.close()
  }

  @Test func reviewsHaveNoTables() {
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    #expect(AnswerForm.negotiate(table, hasMessages: true, hasTables: false) == nil)
    #expect(AnswerForm.negotiate(table + ",application/json", hasMessages: true, hasTables: false) == AnswerForm())
    #expect(AnswerForm.negotiate(table, hasMessages: true)?.clause == table)
  }

  @Test(arguments: ["foo-", "bar..", "-x", "kernel..x", "A", "a b", "a/"]) func namesOfSysctls(name: String) async throws {
    let server = try await ServerUnderTest()
    let admin = server.admin
    func pod(_ names: [String]) -> JSON {
      let sysctls = names.map { ["name": JSON.string($0), "value": "1"] as JSON }
      return [
        "metadata": ["name": "p"], "spec": ["securityContext": ["sysctls": .array(sysctls)], "containers": [["name": "c", "image": "i"]]],
      ]
    }
    try await admin.create(.pods("default"), pod(["kernel.shm_rmid_forced", "net/ipv4/ip_local_port_range", "safe-and-unsafe"]))
    do {
      try await admin.create(.pods("default"), pod([name, "kernel.shmmax"]))
      Issue.record("taken")
    } catch let error as APIStatusError {
      #expect(
        error.code == 422 && "\(error)".contains("Invalid value: \"\(name)\"") && !"\(error)".contains("Invalid value: \"kernel.shmmax"))
    }
    await server.close()
  }
}
