import JSONCodec
import NFTables
import NetworkLab
import ServiceRules
import Testing

@testable import ServiceProxy

/// Packets through the kernel's rules, in network namespaces of their own.
@Suite(.enabled(if: isRoot), .serialized)
struct TrafficTests {
  @Test func clusterAddressAndNodePort() async throws {
    let lab = try Lab()
    let servers = try lab.pods.map { try Echo(on: $0, port: 8080) }
    defer { servers.forEach { $0.stop() } }
    var rules = try Rules(lab)
    try await rules.start(
      [service("web", ip: "10.96.0.20", ports: [["port": 80, "protocol": "TCP", "nodePort": 30080]], type: "NodePort")],
      [slice("web", [EndpointFixture(Lab.address(0)), EndpointFixture(Lab.address(1))])])
    var seen: Set<String> = []
    for _ in 0..<20 {
      let answer = try await lab.pods[0].call("10.96.0.20", 80)
      seen.insert(answer.server ?? "\(answer)")
    }
    #expect(seen == ["a", "b"], "both pods answer, also the caller itself")
    #expect(try await lab.outside.call("192.0.2.1", 30080).server != nil)
    #expect(try await lab.pods[1].call("192.0.2.1", 30080).server != nil, "a node port answers pods")
    #expect(try await lab.node.call("192.0.2.1", 30080).server != nil, "a node port answers the node itself")
    #expect(try await lab.node.call("10.96.0.20", 80).server != nil)
    #expect(try await lab.outside.call("10.96.0.20", 80).server != nil)
  }

  @Test func refusesWhereNothingServes() async throws {
    let lab = try Lab()
    var rules = try Rules(lab)
    let ports: [JSON] = [["port": 80, "protocol": "TCP", "nodePort": 30081], ["name": "u", "port": 53, "protocol": "UDP"]]
    try await rules.start([service("none", ip: "10.96.0.21", more: ["fd00:96::21"], ports: ports, type: "NodePort")], [])
    for client in [lab.pods[0], lab.outside, lab.node] {
      #expect(try await client.call("10.96.0.21", 80) == .refused, "no endpoints, from \(client.name)")
      #expect(try await client.call("10.96.0.21", 53, .udp) == .refused, "no endpoints, UDP, from \(client.name)")
      #expect(try await client.call("10.96.0.21", 81) == .refused, "no such port, from \(client.name)")
      #expect(try await client.call("192.0.2.1", 30081) == .refused, "node port, from \(client.name)")
      #expect(try await client.call("10.96.99.99", 80) == .nothing, "nobody's address, from \(client.name)")
      #expect(try await client.call("fd00:96::21", 80) == .refused, "IPv6, from \(client.name)")
    }
  }

  @Test func sourcesAreKeptOrReplaced() async throws {
    let lab = try Lab()
    let server = try Echo(on: lab.pods[0], port: 8080)
    defer { server.stop() }
    var rules = try Rules(lab)
    let endpoints = [EndpointFixture(Lab.address(0))]
    try await rules.start(
      [
        service(
          "cluster", ip: "10.96.0.30", ports: [["port": 80, "nodePort": 30090]], type: "NodePort", spec: ["externalIPs": ["203.0.113.7"]]),
        service(
          "local", ip: "10.96.0.31", ports: [["port": 80, "nodePort": 30091]], type: "NodePort", spec: ["externalTrafficPolicy": "Local"]),
      ], [slice("cluster", endpoints), slice("local", endpoints)])
    #expect(try await lab.pods[1].call("10.96.0.30", 80) == .from("a", seen: Lab.address(1)), "pods keep their address")
    #expect(try await lab.pods[0].call("10.96.0.30", 80) == .from("a", seen: "192.0.2.1"), "a pod that calls itself does not see itself")
    #expect(try await lab.outside.call("10.96.0.30", 80) == .from("a", seen: "192.0.2.1"))
    #expect(try await lab.outside.call("192.0.2.1", 30090) == .from("a", seen: "192.0.2.1"))
    #expect(try await lab.outside.call("203.0.113.7", 80) == .from("a", seen: "192.0.2.1"), "external address")
    #expect(try await lab.outside.call("192.0.2.1", 30091) == .from("a", seen: "192.0.2.2"), "policy Local keeps the client's address")
    #expect(try await lab.outside.call("10.96.0.31", 80) == .from("a", seen: "192.0.2.1"))
    #expect(try await lab.node.call("192.0.2.1", 30091) == .from("a", seen: "192.0.2.1"))
  }

  @Test func policyLocal() async throws {
    let lab = try Lab()
    let servers = try lab.pods.map { try Echo(on: $0, port: 8080) }
    defer { servers.forEach { $0.stop() } }
    var rules = try Rules(lab)
    let nodePort: [JSON] = [["port": 80, "nodePort": 30092]]
    try await rules.start(
      [
        service("here", ip: "10.96.0.40", spec: ["internalTrafficPolicy": "Local"]),
        service(
          "away", ip: "10.96.0.41", ports: nodePort, type: "NodePort",
          spec: ["internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local"]),
      ],
      [
        slice("here", [EndpointFixture(Lab.address(0), node: "other"), EndpointFixture(Lab.address(1))]),
        slice("away", [EndpointFixture(Lab.address(0), node: "other")]),
      ])
    for _ in 0..<8 { #expect(try await lab.outside.call("10.96.0.40", 80).server == "b") }
    #expect(try await lab.outside.call("10.96.0.41", 80) == .nothing, "there are endpoints, but not here")
    #expect(try await lab.outside.call("192.0.2.1", 30092) == .nothing)
    #expect(try await lab.pods[1].call("192.0.2.1", 30092).server == "a", "pods may use the cluster's endpoints")
    #expect(try await lab.node.call("192.0.2.1", 30092).server == "a", "so may the node")
  }

  @Test func clientsStickToTheirEndpoint() async throws {
    let lab = try Lab(pods: ["a", "b", "c"])
    let servers = try lab.pods.map { try Echo(on: $0, port: 8080) }
    defer { servers.forEach { $0.stop() } }
    var rules = try Rules(lab)
    var sticky: JSON = ["sessionAffinity": "ClientIP", "sessionAffinityConfig": ["clientIP": ["timeoutSeconds": 60]]]
    let all = [0, 1, 2].map { EndpointFixture(Lab.address($0)) }
    let ports: [JSON] = [["port": 80, "nodePort": 30093]]
    try await rules.start([service("sticky", ip: "10.96.0.50", ports: ports, type: "NodePort", spec: sticky)], [slice("sticky", all)])
    func answering(_ count: Int) async throws -> Set<String> {
      var names: Set<String> = []
      for _ in 0..<count { names.insert(try await lab.outside.call("10.96.0.50", 80).server ?? "none") }
      return names
    }
    let first = try await answering(15)
    #expect(first.count == 1)
    let chosen = try #require(first.first)
    #expect(try await lab.outside.call("192.0.2.1", 30093).server == chosen, "the node port leads the client to the same endpoint")
    rules.state.put(slice: slice("sticky", all.filter { $0.address != Lab.address(["a", "b", "c"].firstIndex(of: chosen) ?? 0) }))
    try await rules.tell()
    let second = try await answering(10)
    #expect(second.count == 1 && second != first && second != ["none"], "its endpoint is gone: another one, and that one stays")
    sticky = ["sessionAffinity": "None"]
    rules.state.put(service: service("sticky", ip: "10.96.0.50", ports: ports, type: "NodePort", spec: sticky))
    try await rules.tell()
    #expect(try await answering(20).count == 2)
  }

  @Test func onlyListedSourcesPassTheBalancer() async throws {
    let lab = try Lab()
    let server = try Echo(on: lab.pods[0], port: 8080)
    defer { server.stop() }
    var rules = try Rules(lab)
    func balanced(_ range: String) -> JSON {
      service(
        "lb", ip: "10.96.0.60", type: "LoadBalancer", spec: ["loadBalancerSourceRanges": JSON([range])],
        status: ["loadBalancer": ["ingress": [["ip": "203.0.113.9"]]]])
    }
    try await rules.start([balanced("192.0.2.0/30")], [slice("lb", [EndpointFixture(Lab.address(0))])])
    #expect(try await lab.outside.call("203.0.113.9", 80).server == "a")
    #expect(try await lab.pods[1].call("203.0.113.9", 80) == .nothing, "not in the ranges")
    #expect(try await lab.pods[1].call("10.96.0.60", 80).server == "a", "the cluster address is free")
    rules.state.put(service: balanced("10.244.0.12/32"))
    try await rules.tell()
    #expect(try await lab.outside.call("203.0.113.9", 80) == .nothing)
    #expect(try await lab.pods[1].call("203.0.113.9", 80).server == "a")
  }

  @Test func datagramsFollowTheEndpoints() async throws {
    let lab = try Lab()
    let servers = try lab.pods.map { try Echo(on: $0, .udp, port: 5353) }
    defer { servers.forEach { $0.stop() } }
    var rules = try Rules(lab)
    let ports: [JSON] = [["name": "u", "port": 53, "protocol": "UDP", "nodePort": 30053]]
    let udp = service("udp", ip: "10.96.0.70", ports: ports, type: "NodePort")
    func only(_ pod: Int) -> JSON { slice("udp", [EndpointFixture(Lab.address(pod))], port: 5353, portName: "u", transport: "UDP") }
    try await rules.start([udp], [only(0)])
    for (address, port) in [("10.96.0.70", 53 as UInt16), ("192.0.2.1", 30053)] {
      rules.state.put(slice: only(0))
      try await rules.tell()
      #expect(try await lab.outside.call(address, port, .udp, from: 40_001).server == "a")
      rules.state.put(slice: only(1))
      try await rules.tell()
      #expect(
        try await lab.outside.call(address, port, .udp, from: 40_001).server == "b", "the same flow goes to the endpoint that is left")
    }
    rules.state.remove(service: udp)
    try await rules.tell()
    #expect(try await lab.outside.call("10.96.0.70", 53, .udp, from: 40_001).server == nil, "the service is gone, so is the flow")
  }

  @Test func bothFamilies() async throws {
    let lab = try Lab()
    let servers = try lab.pods.map { try Echo(on: $0, port: 8080) }
    defer { servers.forEach { $0.stop() } }
    var rules = try Rules(lab)
    let sticky: JSON = ["sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local"]
    try await rules.start(
      [service("dual", ip: "fd00:96::20", more: ["10.96.0.80"], ports: [["port": 80, "nodePort": 30094]], type: "NodePort", spec: sticky)],
      [
        slice("dual", [EndpointFixture(Lab.address6(0)), EndpointFixture(Lab.address6(1))], name: "six"),
        slice("dual", [EndpointFixture(Lab.address(1))], name: "four"),
      ])
    #expect(try await lab.outside.call("10.96.0.80", 80).server == "b")
    var six: Set<String?> = []
    for _ in 0..<12 { six.insert(try await lab.outside.call("fd00:96::20", 80).server) }
    #expect(six.count == 1 && six != [nil])
    guard case .from(_, let seen) = try await lab.outside.call("fd00:2::1", 30094) else {
      Issue.record("no answer at the node port")
      return
    }
    #expect(seen == "fd00:2::2")
    #expect(try await lab.pods[0].call("fd00:96::20", 80).server != nil)
  }

  @Test func oneEndpointIsAFewElements() async throws {
    let lab = try Lab()
    var rules = try Rules(lab)
    let services = (0..<300).map { service("s\($0)", ip: "10.96.\(1 + $0 / 200).\(1 + $0 % 200)") }
    let slices = (0..<300).map {
      slice("s\($0)", ["10.244.1.\($0 % 250)", "10.244.2.\($0 % 250)"].map { EndpointFixture($0, node: "other") })
    }
    try await rules.start(services, slices)
    rules.state.put(slice: slice("s7", ["10.244.1.7", "10.244.9.9"].map { EndpointFixture($0, node: "other") }))
    #expect(try await rules.tell().map(\.summary).count == 2, "one element out, one in")
    let found = try #require(try await rules.kernel.read(rules.state.tables[0].layout.table))
    #expect(rules.state.differences(0, from: found).isEmpty, "the kernel holds exactly what it was told")
  }
}
