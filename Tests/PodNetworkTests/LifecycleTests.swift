import LinuxKernel
import NFTables
import Netlink
import PodNetwork
import SystemPackage
import Testing

@Suite("Attach, detach, recover, remove", .enabled(if: isRoot, "needs root to make network namespaces"))
struct LifecycleTests {
  @Test("the pod has its address, the uplink's MTU and a link-local gateway; the host a route and no ARP")
  func wiring() async throws {
    let cluster = try Cluster(mtu: 1380)
    let network = try cluster.network()
    let pod = try Machine()
    let address = try await network.attach(sandbox: "one", netns: pod.namespace)
    #expect(network.address(of: "one") == address)
    #expect(address.gateway == "169.254.1.1" && address.interface == "eth0")
    let (inside, outside) = (try pod.link("eth0"), try cluster.node.link(address.hostInterface))
    #expect(inside.mtu == 1380 && outside.mtu == 1380 && inside.isUp && outside.isUp)
    #expect(inside.peerIndex == outside.index)
    #expect(outside.name.utf8.count <= 15 && outside.name.hasPrefix("swl"))
    #expect(try pod.link("lo").isUp)
    #expect(
      try pod.routes() == [
        Route(IPv4Prefix("0.0.0.0/0")!, gateway: IPv4Address("169.254.1.1"), link: inside.index, isGatewayOnLink: true)
      ])
    #expect(try cluster.node.routes().contains(Route(IPv4Prefix("\(address.ip)/32")!, scope: .link, link: outside.index)))
    #expect(try cluster.node.sysctl("net/ipv4/conf/\(outside.name)/rp_filter") == "1")
    #expect(try cluster.node.sysctl("net/ipv4/conf/\(outside.name)/route_localnet") == "0")
    try network.remove()
  }

  @Test("attaching again changes nothing, and mends what somebody broke")
  func idempotent() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    let first = try await network.attach(sandbox: "one", netns: pod.namespace)
    let link = try cluster.node.link(first.hostInterface)
    #expect(try await network.attach(sandbox: "one", netns: pod.namespace) == first)
    #expect(try cluster.node.link(first.hostInterface) == link)

    try cluster.node.route.request(.deleteRoute(Route(IPv4Prefix("\(first.ip)/32")!, scope: .link)))
    #expect(try await network.attach(sandbox: "one", netns: pod.namespace) == first)
    #expect(try cluster.node.call(first.ip, 80, server: pod) == "192.0.2.1")

    let anew = try Machine()  // the sandbox was made anew under the same id
    let second = try await network.attach(sandbox: "one", netns: anew.namespace)
    #expect(second.ip != first.ip)
    #expect(try cluster.node.call(second.ip, 80, server: anew) == "192.0.2.1")
    try network.remove()
  }

  @Test("after detach and the end of the namespace nothing is left, and the address rests")
  func detach() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let before = try cluster.node.routes()
    var first: PodAddress?
    do {
      let pod = try Machine()
      first = try await network.attach(sandbox: "one", netns: pod.namespace)
      try await network.detach(sandbox: "one")
      try await network.detach(sandbox: "one")
      #expect(network.address(of: "one") == nil)
      #expect(try cluster.node.routes() == before)
    }
    #expect(try await eventually { try cluster.hostEnds().isEmpty })
    let pod = try Machine()
    let second = try await network.attach(sandbox: "two", netns: pod.namespace)
    #expect(second.ip != first?.ip)
    try network.remove()
  }

  @Test("a sandbox that is attached again at once gets a new address on a new link")
  func attachedAgain() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    let first = try await network.attach(sandbox: "one", netns: pod.namespace)
    try await network.detach(sandbox: "one")
    let second = try await network.attach(sandbox: "one", netns: pod.namespace)
    #expect(second.ip != first.ip)
    #expect(try cluster.hostEnds() == [second.hostInterface])
    #expect(try cluster.node.call(second.ip, 80, server: pod) == "192.0.2.1")
    try network.remove()
  }

  @Test("a host end whose namespace lives on is deleted when patience ends")
  func overdue() async throws {
    let cluster = try Cluster()
    var configuration = cluster.configuration()
    configuration.drainPatience = .milliseconds(50)
    let network = try PodNetwork(configuration)
    try network.start()
    let pod = try Machine()
    _ = try await network.attach(sandbox: "one", netns: pod.namespace)
    try await network.detach(sandbox: "one")
    #expect(try await eventually { try cluster.hostEnds().isEmpty })
    #expect(try pod.links().map(\.name).contains("eth0") == false)
    _ = try await network.attach(sandbox: "one", netns: pod.namespace)
    try network.remove()
  }

  @Test("a full range is one clear error, and an address comes back once its link is gone")
  func exhausted() async throws {
    let cluster = try Cluster()
    let network = try cluster.network(podCIDR: "10.244.7.0/29")
    var pods: [Machine] = []
    for index in 0..<5 {
      let pod = try Machine()
      _ = try await network.attach(sandbox: "pod-\(index)", netns: pod.namespace)
      pods.append(pod)
    }
    let late = try Machine()
    do {
      _ = try await network.attach(sandbox: "late", netns: late.namespace)
      Issue.record("a sixth address was given")
    } catch let error as PodNetworkError {
      #expect(error.code == .exhausted && error.description.contains("10.244.7.0/29"))
    }
    #expect(try late.links().map(\.name).contains("eth0") == false)
    try await network.detach(sandbox: "pod-3")
    await #expect(throws: PodNetworkError.self) { _ = try await network.attach(sandbox: "late", netns: late.namespace) }
    pods.remove(at: 3)
    var address: PodAddress?
    for _ in 0..<300 where address == nil {
      address = try? await network.attach(sandbox: "late", netns: late.namespace)
      if address == nil { try await Task.sleep(for: .milliseconds(10)) }
    }
    #expect(address?.ip == "10.244.7.5")
    try network.remove()
  }

  @Test("the range that was started is the one whose route goes, with a new range and with remove, whatever remove is told")
  func rangeIsRemembered() async throws {
    let cluster = try Cluster()
    let before = try cluster.node.routes()
    func ranges() throws -> [String] { try cluster.node.routes().filter { $0.kind == .unreachable }.map { "\($0.destination)" } }
    try cluster.network(podCIDR: "10.244.3.0/24").close()
    #expect(try ranges() == ["10.244.3.0/24"])
    try cluster.network(podCIDR: "10.244.5.0/24").close()
    #expect(try ranges() == ["10.244.5.0/24"])
    #expect(NodeRange.recorded(in: cluster.directory) == "10.244.5.0/24")
    try PodNetwork(cluster.configuration()).remove()
    #expect(try cluster.node.routes() == before)
    #expect(NodeRange.recorded(in: cluster.directory) == nil)
  }

  @Test("a failed attach leaves neither a link nor a lease")
  func failedAttach() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pod = try Machine()
    try pod.route.request(
      .newVeth(
        host: VethEnd(name: "eth0", hardwareAddress: HardwareAddress([2, 0, 0, 0, 0, 9])),
        peer: VethEnd(name: "eth1", hardwareAddress: HardwareAddress([2, 0, 0, 0, 0, 8])), namespace: pod.namespace, mtu: 1500))
    do {
      _ = try await network.attach(sandbox: "one", netns: pod.namespace)
      Issue.record("eth0 was there already")
    } catch let error as PodNetworkError {
      #expect(error.code == .kernel)
    }
    await #expect(throws: PodNetworkError.self) { _ = try await network.attach(sandbox: "one", netns: 9_999) }
    #expect(network.address(of: "one") == nil)
    #expect(try cluster.hostEnds().isEmpty)
    try network.remove()
  }

  @Test("after a stop the living keep their addresses and links, the dead lose them, strays are found")
  func recover() async throws {
    let cluster = try Cluster()
    let (alive, dead, draining) = (try Machine(), try Machine(), try Machine())
    var network = try cluster.network()
    let port = [HostPort(hostPort: 8080, containerPort: 80)]
    let kept = try await network.attach(sandbox: "alive", netns: alive.namespace, hostPorts: port)
    let lost = try await network.attach(sandbox: "dead", netns: dead.namespace, hostPorts: [HostPort(hostPort: 9, containerPort: 9)])
    let left = try await network.attach(sandbox: "draining", netns: draining.namespace)
    try await network.detach(sandbox: "draining")
    #expect(throws: PodNetworkError.self, "the state directory has one owner") { _ = try cluster.network() }
    network.close()

    try cluster.node.route.request(.deleteRoute(Route(IPv4Prefix("\(kept.ip)/32")!, scope: .link)))
    network = try cluster.network()
    try await network.recover(live: ["alive"])
    #expect(network.address(of: "alive") == kept && network.address(of: "dead") == nil)
    #expect(try cluster.hostEnds() == [kept.hostInterface])
    #expect(try cluster.outside.call("192.0.2.1", 8080, server: alive, serverPort: 80) == "192.0.2.2")
    #expect(try cluster.node.keys("hostports").count == 1)
    #expect(try await network.attach(sandbox: "alive", netns: alive.namespace, hostPorts: port) == kept)
    let pod = try Machine()
    let next = try await network.attach(sandbox: "next", netns: pod.namespace)
    #expect(![kept.ip, lost.ip, left.ip].contains(next.ip))
    try await network.recover(live: ["alive"])  // says nothing of what this process attached
    #expect(network.address(of: "next") == next)
    network.close()

    // The leases are lost, the interfaces are not.
    #expect(unlinkLeases(cluster.directory))
    network = try cluster.network()
    #expect(network.address(of: "alive") == nil)
    try await network.recover(live: ["alive"])
    #expect(network.address(of: "alive") == kept)
    #expect(try cluster.hostEnds() == [kept.hostInterface])
    try network.remove()
  }

  @Test("remove leaves the node as it was")
  func remove() async throws {
    let cluster = try Cluster()
    let (links, routes) = (try cluster.node.links(), try cluster.node.routes())
    // A new namespace inherits the machine's setting.
    try cluster.node.setSysctl("net/ipv4/ip_forward", "0")
    let network = try cluster.network()
    #expect(try cluster.node.sysctl("net/ipv4/ip_forward") == "1")
    #expect(try cluster.node.tables() == [Table(.ipv4, "swiftlet")])
    let pods = try (0..<3).map { _ in try Machine() }
    for (index, pod) in pods.enumerated() { _ = try await network.attach(sandbox: "pod-\(index)", netns: pod.namespace) }
    try network.remove()
    #expect(try cluster.node.links() == links)
    #expect(try cluster.node.routes() == routes)
    #expect(try cluster.node.tables().isEmpty)
    #expect(try cluster.node.sysctl("net/ipv4/ip_forward") == "0")
    #expect(try cluster.node.sysctl("net/ipv4/conf/uplink/forwarding") == "0")
  }

  @Test("two instances on one machine do not disturb each other")
  func twoInstances() async throws {
    let cluster = try Cluster()
    let first = try cluster.network()
    let elsewhere = try Cluster()  // lends its directory
    var configuration = elsewhere.configuration(podCIDR: "10.244.8.0/24")
    configuration.hostNamespace = cluster.node.thread.namespace
    configuration.interfacePrefix = "swlb"
    configuration.tableName = "swiftlet-b"
    let second = try PodNetwork(configuration)
    try second.start()
    let (one, two) = (try Machine(), try Machine())
    let address = try await first.attach(sandbox: "pod", netns: one.namespace)
    let other = try await second.attach(sandbox: "pod", netns: two.namespace)
    #expect(try one.call(other.ip, 80, server: two) == address.ip)
    try await second.recover(live: [])
    try second.remove()
    #expect(try cluster.hostEnds() == [address.hostInterface])
    #expect(try cluster.node.tables() == [Table(.ipv4, "swiftlet")])
    #expect(try cluster.node.sysctl("net/ipv4/ip_forward") == "1")
    #expect(try one.call("192.0.2.2", 80, server: cluster.outside) == "192.0.2.1")
    try first.remove()
  }

  @Test("200 pods come and go, and nothing stays; how long an attach takes")
  func manyPods() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let (links, routes) = (try cluster.node.links(), try cluster.node.routes())
    var attach: [Duration] = []
    var detach: [Duration] = []
    var given: Set<String> = []
    for index in 0..<200 {
      let pod = try NamespaceThread(.new)
      let began = ContinuousClock.now
      let address = try await network.attach(sandbox: "pod-\(index)", netns: pod.namespace.rawValue)
      attach.append(ContinuousClock.now - began)
      given.insert(address.ip)
      let ended = ContinuousClock.now
      try await network.detach(sandbox: "pod-\(index)")
      detach.append(ContinuousClock.now - ended)
    }
    #expect(given.count == 200)  // 253 addresses: none came twice
    #expect(try await eventually { try cluster.node.links() == links })
    #expect(try cluster.node.routes() == routes)
    attach.sort()
    detach.sort()
    print("attach p50 \(attach[100]) p99 \(attach[198]); detach p50 \(detach[100]) p99 \(detach[198])")
    try network.remove()
  }

  @Test("50 at once each get their own address")
  func atOnce() async throws {
    let cluster = try Cluster()
    let network = try cluster.network()
    let pods = try (0..<50).map { _ in try NamespaceThread(.new) }
    let began = ContinuousClock.now
    let addresses = try await withThrowingTaskGroup(of: PodAddress.self) { group in
      for (index, pod) in pods.enumerated() {
        group.addTask { try await network.attach(sandbox: "pod-\(index)", netns: pod.namespace.rawValue) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    print("50 attaches at once: \(ContinuousClock.now - began)")
    #expect(Set(addresses.map(\.ip)).count == 50 && Set(addresses.map(\.hostInterface)).count == 50)
    try network.remove()
    #expect(try cluster.hostEnds().isEmpty)
  }
}
