import NFTables
import Netlink
import PodNetwork
import Testing

#if canImport(Glibc)
  import Glibc
#endif

@Suite("Traffic of pods", .enabled(if: isRoot, "needs root to make network namespaces"))
struct TrafficTests {
  @Test("pods of one node reach each other under their own addresses")
  func podToPod() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let (first, second) = (try Machine(), try Machine())
    let one = try await network.attach(sandbox: "one", netns: first.namespace)
    let two = try await network.attach(sandbox: "two", netns: second.namespace)
    #expect(one.ip == "10.244.7.2" && two.ip == "10.244.7.3")
    #expect(try first.call(two.ip, 8080, server: second) == one.ip)
    #expect(try second.call(one.ip, 8080, server: first) == two.ip)
    #expect(try first.call("127.0.0.1", 80, server: first) == "127.0.0.1")
    #expect(try first.call(one.ip, 80, server: first) == one.ip)
    try network.remove()
  }

  @Test("pod and node reach each other")
  func podAndNode() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    let address = try await network.attach(sandbox: "one", netns: pod.namespace)
    #expect(try pod.call("192.0.2.1", 9000, server: cluster.node) == address.ip)
    #expect(try cluster.node.call(address.ip, 9000, server: pod) == "192.0.2.1")
    try network.remove()
  }

  @Test("what leaves the cluster bears the node's address; nobody asks by ARP for pods")
  func masquerade() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    _ = try await network.attach(sandbox: "one", netns: pod.namespace)
    #expect(try pod.call("192.0.2.2", 443, server: cluster.outside) == "192.0.2.1")
    try network.remove()
  }

  @Test("host ports lead into the pod: from outside, other pods, the node, its loopback and the pod itself")
  func hostPorts() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let (pod, other) = (try Machine(), try Machine())
    let ports = [
      HostPort(hostPort: 8080, containerPort: 80), HostPort(hostIP: "192.0.2.1", hostPort: 8081, containerPort: 81),
    ]
    let address = try await network.attach(sandbox: "one", netns: pod.namespace, hostPorts: ports)
    let caller = try await network.attach(sandbox: "two", netns: other.namespace)
    #expect(try cluster.outside.call("192.0.2.1", 8080, server: pod, serverPort: 80) == "192.0.2.2")
    #expect(try cluster.outside.call("192.0.2.1", 8081, server: pod, serverPort: 81) == "192.0.2.2")
    #expect(try other.call("192.0.2.1", 8080, server: pod, serverPort: 80) == caller.ip)
    #expect(try cluster.node.call("192.0.2.1", 8080, server: pod, serverPort: 80) == "192.0.2.1")
    #expect(try cluster.node.call("127.0.0.1", 8080, server: pod, serverPort: 80) == "192.0.2.1")
    #expect(try pod.call("192.0.2.1", 8080, server: pod, serverPort: 80) == "192.0.2.1")
    #expect(throws: TestFailure.self) { try cluster.node.call("127.0.0.1", 8081, server: pod, serverPort: 81) }
    #expect(try cluster.node.keys("hostports").count == 1)
    #expect(try cluster.node.keys("hairpin") == [IPv4Address(address.ip)!.bytes + IPv4Address(address.ip)!.bytes])

    await #expect(throws: PodNetworkError.self) {
      _ = try await network.attach(sandbox: "three", netns: other.namespace, hostPorts: [ports[0]])
    }
    try await network.detach(sandbox: "one")
    #expect(try cluster.node.keys("hostports").isEmpty && cluster.node.keys("hostports-address").isEmpty)
    #expect(try cluster.node.keys("hairpin").isEmpty)
    #expect(throws: TestFailure.self) { try cluster.outside.call("192.0.2.1", 8080, server: pod, serverPort: 80) }
    try network.remove()
  }

  @Test("a pod does not reach what the node listens for on its loopback")
  func loopbackGuard() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    let address = try await network.attach(
      sandbox: "one", netns: pod.namespace, hostPorts: [HostPort(hostPort: 8080, containerPort: 80)])
    // The pod sends 127.0.0.1 over its link instead of keeping it.
    let link = try pod.link("eth0").index
    try pod.thread.performBlocking {
      try Sysctl.write("net/ipv4/conf/eth0/route_localnet", "1")
      try Sysctl.write("net/ipv4/conf/all/route_localnet", "1")
    }
    let localhost = try #require(IPv4Prefix("127.0.0.9/32"))
    try pod.route.request(.deleteLocalRoutes)
    try pod.route.request(
      .putRoute(Route(localhost, gateway: IPv4Address(address.gateway), link: link, isGatewayOnLink: true)))
    #expect(throws: TestFailure.self) { try pod.call("127.0.0.9", 7000, server: cluster.node) }
    try network.remove()
  }

  @Test("an address without a pod is answered at once")
  func emptyAddress() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    _ = try await network.attach(sandbox: "one", netns: pod.namespace)
    do {
      _ = try pod.call("10.244.7.99", 80, server: pod)
      Issue.record("nobody has this address")
    } catch let failure as TestFailure {
      #expect(failure.description.hasSuffix("errno \(EHOSTUNREACH)"), "the node says so; no time runs out")
    }
    try network.remove()
  }
}

extension NetlinkRequest {
  /// 127.0.0.0/8 out of the local table, so that the machine would route it.
  static let deleteLocalRoutes = NetlinkRequest("RTM_DELROUTE", "local 127.0.0.0/8", type: 25) {
    $0.append([2, 8, 0, 0, 255, 2, 254, 2])  // RT_TABLE_LOCAL, RTPROT_KERNEL, RT_SCOPE_HOST, RTN_LOCAL
    $0.append(native: UInt32(0))
    $0.attribute(1, [127, 0, 0, 0])
    $0.attribute(4, native: Int32(1))
  }
}
