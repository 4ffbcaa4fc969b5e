import JSONCodec
import KubernetesClient
import Logging
import NFTables
import NetworkLab
import PolicyRules
import ServiceRules
import Testing

@testable import NetworkPolicies

/// Policies through the kernel, between pods in network namespaces of their own, over both families.
@Suite(.enabled(if: isRoot), .serialized)
struct EnforcerTests {
  let lab: Lab
  let api = FakeAPI()
  let enforcer: PolicyEnforcer

  init() throws {
    lab = try Lab()
    var configuration = PolicyConfiguration(nodeName: "node", tableName: "policies")
    configuration.families = [.ipv4, .ipv6]
    configuration.patienceSeconds = 2
    configuration.hostNamespace = lab.node.thread.namespace
    enforcer = PolicyEnforcer(configuration, client: KubernetesClient(transport: api), log: Logger(label: "test"))
    api.put("namespaces", ["metadata": ["name": "default", "labels": ["team": "red"]]])
  }

  private func pod(_ index: Int, labels: JSON = ["app": "web"], hasStatus: Bool = true) -> JSON {
    [
      "metadata": ["namespace": "default", "name": .string(lab.pods[index].name), "labels": labels],
      "spec": [
        "nodeName": "node", "containers": [["name": "c", "ports": [["name": "http", "containerPort": 8080]]]],
      ],
      "status": hasStatus
        ? ["phase": "Running", "podIPs": [["ip": .string(Lab.address(index))], ["ip": .string(Lab.address6(index))]]]
        : ["phase": "Pending"],
    ]
  }

  private func policy(_ name: String, _ spec: JSON) -> JSON {
    ["metadata": ["namespace": "default", "name": .string(name)], "spec": spec]
  }

  private func settled() async throws {
    #expect(try await eventually { await enforcer.isSettled })
  }

  private func tables() throws -> String { try lab.node.run("nft list tables") }

  @Test func bothFamiliesObey() async throws {
    let servers = try [8080, 8081].map { try Echo(on: lab.pods[0], port: $0) }
    defer { servers.forEach { $0.stop() } }
    let running = Task { await enforcer.run() }
    defer { running.cancel() }
    api.put("pods", pod(0))
    api.put("pods", pod(1, labels: ["app": "client"]))
    try await settled()
    #expect(try tables().isEmpty, "no policy, no table")

    api.put("networkpolicies", policy("p", ["podSelector": ["matchLabels": ["app": "web"]], "policyTypes": ["Ingress"]]))
    #expect(try await eventually { try tables().contains("ip6 policies") })
    try await settled()
    for address in [Lab.address(0), Lab.address6(0)] {
      #expect(try await lab.pods[1].call(address, 8080) == .nothing, "from a pod to \(address)")
      #expect(try await lab.outside.call(address, 8080) == .nothing, "from outside to \(address)")
      #expect(try await lab.node.call(address, 8080).server == "a", "the node itself reaches \(address)")
    }
    let ingress: JSON = [
      ["from": [["podSelector": ["matchLabels": ["app": "client"]]]], "ports": [["port": "http"]]],
      [
        "from": [["ipBlock": ["cidr": "192.0.2.0/24", "except": ["192.0.2.3/32"]]], ["ipBlock": ["cidr": "fd00:2::/64"]]],
        "ports": [["port": 8081]],
      ],
    ]
    api.put(
      "networkpolicies", policy("p", ["podSelector": ["matchLabels": ["app": "web"]], "policyTypes": ["Ingress"], "ingress": ingress]))
    for address in [Lab.address(0), Lab.address6(0)] {
      #expect(try await eventually { try await lab.pods[1].call(address, 8080).server == "a" }, "the named port of \(address)")
      #expect(try await lab.pods[1].call(address, 8081) == .nothing, "another port of \(address)")
      #expect(try await lab.outside.call(address, 8081).server == "a", "the block, to \(address)")
      #expect(try await lab.outside.call(address, 8080) == .nothing, "the block, to another port of \(address)")
    }
    try lab.node.run("nft flush ruleset")
    #expect(try await eventually { try tables().contains("ip policies") && tables().contains("ip6 policies") })
    try await settled()
    #expect(try await lab.pods[1].call(Lab.address(0), 8081) == .nothing, "after a foreign flush")
    api.remove("networkpolicies", "p")
    #expect(try await eventually { try tables().isEmpty })
    #expect(try await lab.pods[1].call(Lab.address6(0), 8081).server == "a")
  }

  @Test func aStartTakesWhatIsLeftFromBefore() async throws {
    try lab.node.run("nft add table ip policies && nft add table ip somebody")
    let running = Task { await enforcer.run() }
    defer { running.cancel() }
    #expect(try await eventually { try tables() == "table ip somebody\n" })
  }

  @Test func aPodThatStartsIsProtectedFirst() async throws {
    let server = try Echo(on: lab.pods[0], port: 8080)
    defer { server.stop() }
    api.put("networkpolicies", policy("p", ["podSelector": [:], "policyTypes": ["Ingress"]]))
    api.put("pods", pod(0, hasStatus: false))
    let running = Task { await enforcer.run() }
    defer { running.cancel() }
    let facts = try #require(PolicyPod(pod(0, hasStatus: false), addresses: [Lab.address(0)]))
    try await enforcer.protect(facts, sandbox: "s")
    #expect(try await lab.outside.call(Lab.address(0), 8080) == .nothing)
    await enforcer.release(sandbox: "s")
    #expect(try await eventually { try tables().isEmpty })
  }

  /// The server is away when an agent starts again: what held before goes on to hold.
  @Test func rulesFromBeforeOutliveASilentServer() async throws {
    try lab.node.run("nft add table ip policies")
    let silent = FakeAPI()
    silent.isSilent = true
    var configuration = PolicyConfiguration(nodeName: "node", tableName: "policies")
    configuration.hostNamespace = lab.node.thread.namespace
    configuration.silenceSeconds = 1
    let enforcer = PolicyEnforcer(configuration, client: KubernetesClient(transport: silent), log: Logger(label: "test"))
    let running = Task { await enforcer.run() }
    defer { running.cancel() }
    let facts = try #require(PolicyPod(pod(0), addresses: [Lab.address(0)]))
    #expect(try await eventually(within: .seconds(60)) { (try? await enforcer.protect(facts, sandbox: "s")) != nil })
    #expect(try tables() == "table ip policies\n")
  }

  /// Without an answer from the server nobody is waited for for ever.
  @Test func whereNoPolicyCanBeReadPodsStartAfterAWhile() async throws {
    let facts = try #require(PolicyPod(pod(0), addresses: [Lab.address(0)]))
    let starting = Task { try await enforcer.protect(facts, sandbox: "s") }
    let error = await #expect(throws: PolicyError.self) { try await starting.value }
    #expect(error?.description.contains("could not be listed yet") == true)
  }
}
