import JSONCodec
import KubernetesAPI
import KubernetesClient
import Testing

@testable import APIServer

@Suite struct NamespaceTests {
  @Test func whatANamespaceMustHaveComesBack() async throws {
    let server = try await ServerUnderTest()
    let admin = server.admin
    @Sendable func map() async -> JSON? { try? await admin.get(.configMaps("default"), name: "kube-root-ca.crt") }
    let certificate = try await admin.get(.configMaps("default"), name: "kube-root-ca.crt")["data"]
    try await admin.delete(.configMaps("default"), name: "kube-root-ca.crt")
    try await eventually("made anew") { await map()?["data"] == certificate }
    try await admin.patch(.configMaps("default"), name: "kube-root-ca.crt", type: .merge, ["data": ["ca.crt": "", "other": "x"]])
    try await eventually("mended") { await map()?["data"] == certificate }
    try await admin.delete(.serviceAccounts("default"), name: "default")
    try await eventually("the account is back") { (try? await admin.get(.serviceAccounts("default"), name: "default")) != nil }
    await server.close()
  }

  @Test func podsGoBeforeAnythingElse() async throws {
    let server = try await ServerUnderTest()
    let admin = server.admin
    try await admin.create(.namespaces, ["metadata": ["name": "n"]])
    try await eventually("account") { (try? await admin.get(.serviceAccounts("n"), name: "default")) != nil }
    try await admin.create(.configMaps("n"), ["metadata": ["name": "c"]])
    try await admin.create(
      .pods("n"),
      ["metadata": ["name": "p", "finalizers": ["example.com/held"]], "spec": ["containers": [["name": "c", "image": "i"]]]])
    try await admin.delete(.namespaces, name: "n")
    @Sendable func condition(_ type: String) async throws -> JSON? {
      try await admin.get(.namespaces, name: "n")["status"]["conditions"].array?.first { $0["type"].string == type }
    }
    try await eventually("told of") { try await condition("NamespaceFinalizersRemaining")?["status"].string == "True" }
    #expect(
      try await condition("NamespaceContentRemaining")?["message"].string == "Some resources are remaining: pods. has 1 resource instances")
    #expect(try await condition("NamespaceDeletionContentFailure")?["status"].string == "False")
    #expect(try await admin.get(.namespaces, name: "n")["status"]["phase"].string == "Terminating")
    #expect(try await admin.get(.configMaps("n"), name: "c")["metadata"]["deletionTimestamp"].isNull)
    try await admin.patch(.pods("n"), name: "p", type: .merge, ["metadata": ["finalizers": .array([])]])
    try await eventually("gone") { try await admin.list(.namespaces).items.allSatisfy { $0["metadata"]["name"].string != "n" } }
    await server.close()
  }

  @Test func conditionsChangeTheirTimeOnlyWithTheirStatus() {
    var contents = NamespaceContents()
    contents.add("pods", finalizers: ["a/b"])
    contents.add("deployments.apps", finalizers: [])
    let early = Timestamp(nanosecondsSinceEpoch: 0)
    let late = Timestamp(nanosecondsSinceEpoch: 1_000_000_000)
    let first = NamespaceContents.conditions(of: [:], contents, now: early)
    var namespace: JSON = ["status": ["conditions": first ?? .null]]
    #expect(NamespaceContents.conditions(of: namespace, contents, now: late) == nil)
    contents.add("pods", finalizers: [])
    let second = NamespaceContents.conditions(of: namespace, contents, now: late)?.array?[3]
    #expect(
      second?["message"].string == "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances"
    )
    #expect(second?["lastTransitionTime"].string == "1970-01-01T00:00:00Z")
    namespace["status"]["conditions"] = first ?? .null
    let done = NamespaceContents.conditions(of: namespace, NamespaceContents(), now: late)?.array ?? []
    #expect(done.count == 5 && done.allSatisfy { $0["status"].string == "False" })
    #expect(
      done[3]["lastTransitionTime"].string == "1970-01-01T00:00:01Z" && done[0]["lastTransitionTime"].string == "1970-01-01T00:00:00Z")
  }
}
