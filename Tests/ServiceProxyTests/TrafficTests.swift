import JSONCodec
import NFTables
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
      let answer = try lab.pods[0].call("10.96.0.20", 80)
      seen.insert(answer.server ?? "\(answer)")
    }
    #expect(seen == ["a", "b"], "both pods answer, also the caller itself")
    #expect(try lab.outside.call("192.0.2.1", 30080).server != nil)
    #expect(try lab.pods[1].call("192.0.2.1", 30080).server != nil, "a node port answers pods")
    #expect(try lab.node.call("192.0.2.1", 30080).server != nil, "a node port answers the node itself")
    #expect(try lab.node.call("10.96.0.20", 80).server != nil)
    #expect(try lab.outside.call("10.96.0.20", 80).server != nil)
  }
}
