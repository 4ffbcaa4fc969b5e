import JSONCodec
import LinuxKernel
import Logging
import NFTables
import Netlink
import Testing

@testable import PodNetwork

#if canImport(Glibc)
  import Glibc
#endif

/// A node with pods in a namespace of its own, on a link to a router or to another node.
private final class Peer: Sendable {
  let cluster: Cluster
  let network: PodNetwork
  let peers: PeerNetwork
  let name: String

  init(_ name: String, _ cluster: Cluster, range: String, address: String, backend: NetworkBackend = .auto) throws {
    self.name = name
    self.cluster = cluster
    network = try cluster.network(podCIDR: range)
    peers = try PeerNetwork(
      PeerConfiguration(backend: backend, nodeName: name, nodeAddresses: [address]), network: network, log: Logger(label: name))
  }

  var node: Machine { cluster.node }
  func pod(_ id: String) async throws -> (machine: Machine, ip: String) {
    let machine = try Machine()
    return (machine, try await network.attach(sandbox: id, netns: machine.namespace).ip)
  }
  func peerRoutes() throws -> [GatewayRoute] {
    try node.route.dump(.routes(.ipv4, origin: Route.ours)).compactMap { GatewayRoute($0) }.filter { $0.gateway != nil }
  }
  func device() throws -> Link? { try node.links().first { $0.name == "swl.vxlan" } }
}

private func object(_ name: String, _ range: String, _ address: String) -> JSON {
  [
    "metadata": ["name": .string(name)], "spec": ["podCIDRs": [.string(range)]],
    "status": ["addresses": [["type": "InternalIP", "address": .string(address)]]],
  ]
}

@Suite("Pods of several machines, through the kernel", .enabled(if: isRoot, "needs root to make network namespaces"))
struct PeerKernelTests {
  let a = object("a", "10.244.7.0/24", "192.0.2.1")
  let b = object("b", "10.244.8.0/24", "192.0.2.2")

  /// Two nodes at the ends of one link.
  private func neighbours(_ backend: NetworkBackend) async throws -> (Peer, Peer) {
    let one = try Cluster()
    let two = try Cluster(other: one)
    let first = try Peer("a", one, range: "10.244.7.0/24", address: "192.0.2.1", backend: backend)
    let second = try Peer("b", two, range: "10.244.8.0/24", address: "192.0.2.2", backend: backend)
    for peer in [first, second] { try await peer.peers.start([a, b]) }
    return (first, second)
  }

  @Test("neighbours reach each other's pods, under the pods' own addresses", arguments: [NetworkBackend.auto, .hostGateway, .vxlan])
  func segment(_ backend: NetworkBackend) async throws {
    let (first, second) = try await neighbours(backend)
    let (one, two) = (try await first.pod("one"), try await second.pod("two"))
    #expect(try one.machine.call(two.ip, 8080, server: two.machine) == one.ip)
    #expect(try two.machine.call(one.ip, 8080, server: one.machine) == two.ip)
    // From the node itself: by a tunnel from the node's address in its range, so that answers take the same way.
    #expect(try first.node.call(two.ip, 8081, server: two.machine) == (backend == .vxlan ? "10.244.7.1" : "192.0.2.1"))
    #expect(try one.machine.call("192.0.2.2", 8082, server: second.node) == "192.0.2.1", "what leaves the pods' network is masqueraded")
    #expect(try (first.device() != nil) == (backend == .vxlan))
    #expect(try one.machine.link("eth0").mtu == (backend == .vxlan ? 1450 : 1500))
    for peer in [first, second] { try peer.network.remove() }
    #expect(try first.peerRoutes().isEmpty && first.device() == nil)
  }

  @Test("nodes behind a router wrap their pods' packets; the router knows no pod")
  func router() async throws {
    let router = try Machine()
    try router.setSysctl("net/ipv4/ip_forward", "1")
    let (one, two) = (
      try Cluster(router: router, "a", "192.0.2.1", "192.0.2.254"), try Cluster(router: router, "b", "198.51.100.1", "198.51.100.254")
    )
    let nodes = [a, object("b", "10.244.8.0/24", "198.51.100.1")]
    let first = try Peer("a", one, range: "10.244.7.0/24", address: "192.0.2.1")
    let second = try Peer("b", two, range: "10.244.8.0/24", address: "198.51.100.1")
    for peer in [first, second] { try await peer.peers.start(nodes) }
    let (pod, other) = (try await first.pod("one"), try await second.pod("two"))
    #expect(try pod.machine.call(other.ip, 8080, server: other.machine) == pod.ip)
    #expect(try other.machine.call(pod.ip, 8080, server: pod.machine) == other.ip)
    #expect(try first.node.call(other.ip, 8081, server: other.machine) == "10.244.7.1")
    #expect(try pod.machine.link("eth0").mtu == 1450 && first.device()?.mtu == 1450)
    #expect(try router.routes().allSatisfy { $0.destination.address.value >> 24 != 10 })

    // The distant node gets another address, then goes.
    try await first.peers.start([a, object("b", "10.244.8.0/24", "198.51.100.9")])
    #expect(throws: TestFailure.self) { try pod.machine.call(other.ip, 8080, server: other.machine) }
    try await first.peers.start(nodes)
    #expect(try pod.machine.call(other.ip, 8080, server: other.machine) == pod.ip)
    try await first.peers.start([a])
    #expect(try first.peerRoutes().isEmpty && first.device() == nil)
    for peer in [first, second] { try peer.network.remove() }
  }

  @Test("an agent that starts again finds everything as it was, and changes nothing", arguments: [NetworkBackend.hostGateway, .vxlan])
  func restart(_ backend: NetworkBackend) async throws {
    let (first, second) = try await neighbours(backend)
    let (routes, device) = (try first.peerRoutes(), try first.device())
    first.network.close()
    let again = try Peer("a", first.cluster, range: "10.244.7.0/24", address: "192.0.2.1", backend: backend)
    try await again.peers.start([a, b])
    #expect(await again.peers.changes == 0)
    #expect(try again.peerRoutes() == routes && again.device() == device && routes.count == 1)

    // With another backend, one way takes the other's place; what the former needed goes.
    again.network.close()
    let other = try Peer(
      "a", first.cluster, range: "10.244.7.0/24", address: "192.0.2.1", backend: backend == .vxlan ? .hostGateway : .vxlan)
    try await other.peers.start([a, b])
    #expect(try other.peerRoutes().count == 1 && (other.device() != nil) == (backend != .vxlan))
    other.network.close()
    let none = try Peer("a", first.cluster, range: "10.244.7.0/24", address: "192.0.2.1", backend: .none)
    try await none.peers.start([])
    #expect(try none.peerRoutes().isEmpty && none.device() == nil)
    for peer in [none, second] { try peer.network.remove() }
  }

  @Test("routes and links of others stay as they are")
  func foreign() async throws {
    let cluster = try Cluster()
    let link = try cluster.node.link("uplink").index
    let byHand = GatewayRoute(IPPrefix("10.244.8.0/24")!, gateway: IPAddress("192.0.2.77"), link: link, origin: 4)
    let another = GatewayRoute(IPPrefix("10.9.8.0/24")!, gateway: IPAddress("192.0.2.78"), link: link)
    try cluster.node.route.requestAll([.addRoute(byHand), .addRoute(another)])
    let peer = try Peer("a", cluster, range: "10.244.7.0/24", address: "192.0.2.1")
    try await peer.peers.start([a, b, object("c", "10.244.9.0/24", "192.0.2.3")])
    #expect(try peer.peerRoutes().map(\.destination.description).sorted() == ["10.244.9.0/24", "10.9.8.0/24"])
    #expect(try cluster.node.routes().contains { $0.destination.description == "10.244.8.0/24" && $0.origin == 4 })
    try peer.network.remove()
    #expect(try peer.peerRoutes() == [another])
    #expect(try cluster.node.routes().contains { $0.origin == 4 && $0.destination.description == "10.244.8.0/24" })
  }

  @Test("a device of our name that is not ours stops a node that wants one, and stays")
  func foreignDevice() async throws {
    let cluster = try Cluster()
    try cluster.node.route.request(
      .newVXLAN(
        VXLANDevice(
          name: "swl.vxlan", identifier: 1, port: 4789, local: IPAddress("192.0.2.1")!,
          hardwareAddress: HardwareAddress([2, 0, 0, 0, 0, 9]),
          mtu: 1400, group: 0)))
    let peer = try Peer("a", cluster, range: "10.244.7.0/24", address: "192.0.2.1", backend: .vxlan)
    await #expect(throws: PodNetworkError.self) { try await peer.peers.start([a, b]) }
    try peer.network.remove()
    #expect(try peer.device()?.mtu == 1400)
  }

  @Test("a device whose settings differ is made right, in place where that is possible")
  func deviceRepair() async throws {
    let (first, second) = try await neighbours(.vxlan)
    let before = try #require(try first.device())
    var change = LinkChange()
    change.mtu = 1300
    change.hardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 9])
    try first.node.route.request(.setLink(index: before.index, change))
    try await first.peers.start([a, b])
    #expect(try first.device() == before)
    try first.node.route.request(.deleteLink(index: before.index))
    try await first.peers.start([a, b])
    #expect(try first.device()?.mtu == 1450 && first.peerRoutes().count == 1)
    let (one, two) = (try await first.pod("one"), try await second.pod("two"))
    #expect(try one.machine.call(two.ip, 8080, server: two.machine) == one.ip)
    for peer in [first, second] { try peer.network.remove() }
  }

  @Test("a thousand nodes: told in one go, then only what changes")
  func many() async throws {
    let cluster = try Cluster(mtu: 1500, clusterCIDR: "10.0.0.0/8")
    let network = try cluster.network(podCIDR: "10.255.7.0/24")
    let peers = try PeerNetwork(
      PeerConfiguration(backend: .auto, nodeName: "a", nodeAddresses: ["192.0.2.1"]), network: network, log: Logger(label: "many"))
    let nodes = (0..<1_000).map { object("n\($0)", "10.\($0 / 256).\($0 % 256).0/24", "203.0.\($0 / 250).\($0 % 250 + 1)") }
    let clock = ContinuousClock()
    let all = try await clock.measure { try await peers.start(nodes) }
    #expect(await peers.changes == 3_000)
    let one = try await clock.measure { try await peers.start(nodes.dropLast() + [object("n999", "10.3.231.0/24", "203.0.113.250")]) }
    #expect(await peers.changes == 3_001)
    #expect(one < .seconds(10), "that is quadratic")
    print("1,000 nodes in \(all), one that moves in \(one)")
    try network.remove()
  }
}
