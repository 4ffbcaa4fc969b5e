import JSONCodec
import NFTables
import Netlink
import Testing

@testable import PodNetwork

private func ip(_ text: String) -> IPAddress { IPAddress(text)! }
private func range(_ text: String) -> IPPrefix { IPPrefix(text)! }

private func site(
  _ nodeAddresses: [String] = ["192.0.2.1"], ranges: [String] = ["10.244.1.0/24"], cluster: [String] = ["10.244.0.0/16"],
  addresses: [(String, Int, Int32)] = [("127.0.0.1", 8, 1), ("192.0.2.1", 24, 2), ("198.51.100.1", 24, 3)]
) -> NodeSite {
  NodeSite(
    name: "self", nodeAddresses: nodeAddresses.map(ip), ranges: ranges.map(range), clusterRanges: cluster.map(range),
    addresses: addresses.map { FamilyAddress(ip($0.0), length: $0.1, link: $0.2) })
}

private func node(_ name: String, _ ranges: [String], _ addresses: [String], key: WireGuardKey? = nil) -> PeerNode {
  PeerNode(name: name, ranges: ranges.map(range), addresses: addresses.map(ip), key: key)
}

private let near = node("near", ["10.244.2.0/24"], ["192.0.2.2"])
private let far = node("far", ["10.244.3.0/24"], ["203.0.113.3"])
private let hardware = HardwareAddress([0x06, 0x53, 10, 244, 3, 0])

@Suite("How another node's pods are reached")
struct PeerWayTests {
  @Test(
    "by each backend",
    arguments: [
      (NetworkBackend.auto, PeerWay.gateway(link: 2), PeerWay.vxlan(ip("203.0.113.3"))),
      (.vxlan, .vxlan(ip("192.0.2.2")), .vxlan(ip("203.0.113.3"))),
      (.hostGateway, .gateway(link: 2), .none("it is not on a segment of this node, as --pod-network-backend host-gw wants")),
    ])
  func backends(_ backend: NetworkBackend, _ toNear: PeerWay, _ toFar: PeerWay) {
    #expect(PeerWay.decide(near, from: site(), backend) == toNear)
    #expect(PeerWay.decide(far, from: site(), backend) == toFar)
  }

  @Test("a segment on another link than the one with our node's address is none of ours: answers would come another way")
  func otherLink() {
    let other = node("other", ["10.244.4.0/24"], ["198.51.100.9"])
    #expect(PeerWay.decide(other, from: site(), .auto) == .vxlan(ip("198.51.100.9")))
  }

  @Test("an address of 32 bits has no segment")
  func pointToPoint() {
    #expect(PeerWay.decide(near, from: site(addresses: [("192.0.2.1", 32, 2)]), .auto) == .vxlan(ip("192.0.2.2")))
  }

  @Test("our address is on no link, as behind a cloud's translation")
  func translated() { #expect(PeerWay.decide(near, from: site(addresses: []), .auto) == .vxlan(ip("192.0.2.2"))) }

  @Test("another agent in our own network namespace needs no way")
  func sameNamespace() { #expect(PeerWay.decide(node("twin", ["10.244.9.0/24"], ["192.0.2.1"]), from: site(), .auto) == .here) }

  @Test("without an address there is no way yet")
  func noAddress() {
    guard case .none(let reason) = PeerWay.decide(node("new", ["10.244.9.0/24"], []), from: site(), .auto) else {
      Issue.record("a way to nowhere")
      return
    }
    #expect(reason.contains("InternalIP"))
  }

  @Test("tunnels speak the family of our first address")
  func outerFamily() {
    let dual = node("dual", ["10.244.9.0/24"], ["203.0.113.9", "2001:db8::9"])
    #expect(PeerWay.decide(dual, from: site(["2001:db8::1", "192.0.2.1"]), .vxlan) == .vxlan(ip("2001:db8::9")))
    #expect(PeerWay.decide(dual, from: site(), .vxlan) == .vxlan(ip("203.0.113.9")))
    guard case .none = PeerWay.decide(far, from: site(["2001:db8::1"]), .vxlan) else {
      Issue.record("a tunnel between families")
      return
    }
  }

  @Test("both families by gateway, or both by tunnel")
  func dualStack() {
    let here = site(
      ["192.0.2.1", "2001:db8::1"], ranges: ["10.244.1.0/24", "fd00:1::/64"], cluster: ["10.244.0.0/16", "fd00::/16"],
      addresses: [("192.0.2.1", 24, 2), ("2001:db8::1", 64, 2)])
    let both = node("both", ["10.244.2.0/24", "fd00:2::/64"], ["192.0.2.2", "2001:db8::2"])
    #expect(PeerWay.decide(both, from: here, .auto) == .gateway(link: 2))
    let plan = PeerPlan.decide([both], from: here, .auto)
    #expect(
      plan.routes[range("fd00:2::/64")]?.gateway == ip("2001:db8::2") && plan.routes[range("10.244.2.0/24")]?.gateway == ip("192.0.2.2"))
    let half = node("half", ["10.244.2.0/24", "fd00:2::/64"], ["192.0.2.2", "2001:db8:f::2"])
    #expect(PeerWay.decide(half, from: here, .auto) == .vxlan(ip("192.0.2.2")))
    #expect(PeerPlan.decide([half], from: here, .auto).neighbours.count == 2)
  }

  @Test("a key that is not told is no reason to speak in clear")
  func keys() {
    let key = WireGuardKey([UInt8](repeating: 7, count: 32))!
    guard case .none = PeerWay.decide(far, from: site(), .wireguard) else {
      Issue.record("it speaks in clear")
      return
    }
    let known = node("far", ["10.244.3.0/24"], ["203.0.113.3"], key: key)
    #expect(PeerWay.decide(known, from: site(), .wireguard) == .wireguard(ip("203.0.113.3"), key))
    let plan = PeerPlan.decide([known, node("thief", ["10.244.4.0/24"], ["203.0.113.4"], key: key)], from: site(), .wireguard)
    #expect(plan.tunnelPeers[key]?.allowed == [range("10.244.3.0/24")] && plan.routes.count == 1 && plan.problems.count == 1)
  }
}

@Suite("What is to be in the kernel for other nodes")
struct PeerPlanTests {
  @Test("a neighbour's range goes by the neighbour, a distant one's by the device, with its entries")
  func both() {
    let plan = PeerPlan.decide([far, near], from: site(), .auto)
    #expect(
      plan.routes == [
        range("10.244.2.0/24"): .init(destination: range("10.244.2.0/24"), gateway: ip("192.0.2.2"), way: .link(2)),
        range("10.244.3.0/24"): .init(destination: range("10.244.3.0/24"), gateway: ip("10.244.3.1"), way: .vxlan),
      ])
    #expect(plan.neighbours == [PermanentNeighbour(ip("10.244.3.1"), at: hardware)])
    #expect(plan.forwarding == [ForwardingEntry(hardware, at: ip("203.0.113.3"))])
    #expect(plan.needsVXLAN && plan.problems.isEmpty)
  }

  @Test("one node, or only neighbours: no device")
  func noDevice() {
    #expect(PeerPlan.decide([], from: site(), .auto) == PeerPlan())
    #expect(!PeerPlan.decide([near], from: site(), .auto).needsVXLAN)
    #expect(PeerPlan.decide([node("self", ["10.244.1.0/24"], ["192.0.2.1"])], from: site(), .vxlan).routes.isEmpty)
    #expect(PeerPlan.decide([near, far], from: site(), .none) == PeerPlan())
  }

  @Test(
    "ranges that a node may not claim",
    arguments: ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "10.245.0.0/24", "10.244.1.0/24", "10.244.1.128/25", "10.244.0.0/16"])
  func claims(_ claimed: String) {
    let plan = PeerPlan.decide([node("bad", [claimed], ["192.0.2.66"]), near], from: site(), .auto)
    #expect(plan.routes.keys.map(\.description) == ["10.244.2.0/24"] && plan.problems.count == 1, "\(plan.problems)")
  }

  @Test("of two claims to one range the first by name counts, whatever comes first")
  func doubleClaim() {
    let (a, b) = (node("a", ["10.244.5.0/24"], ["192.0.2.5"]), node("b", ["10.244.5.0/24"], ["192.0.2.6"]))
    for order in [[a, b], [b, a]] {
      let plan = PeerPlan.decide(order, from: site(), .auto)
      #expect(plan.routes[range("10.244.5.0/24")]?.gateway == ip("192.0.2.5") && plan.problems.count == 1)
    }
  }

  @Test("ranges of a family that our pods lack are left out without a word")
  func otherFamily() {
    let plan = PeerPlan.decide([node("dual", ["10.244.2.0/24", "fd00:2::/64"], ["192.0.2.2"])], from: site(), .auto)
    #expect(plan.routes.count == 1 && plan.problems.isEmpty)
  }

  @Test("hardware addresses are local, single and different")
  func hardwareAddresses() {
    let addresses = (0..<256).map { Overlay.hardwareAddress([range("10.244.\($0).0/24")]) }
    #expect(Set(addresses).count == 256 && addresses.allSatisfy { $0.bytes[0] & 3 == 2 })
    let v6 = Overlay.hardwareAddress([range("fd00:1::/64")])
    #expect(v6.bytes[0] & 3 == 2 && v6 != Overlay.hardwareAddress([range("fd00:2::/64")]))
    #expect(Overlay.nodeAddress(range("fd00:2::/64")) == ip("fd00:2::1"))
  }

  @Test(
    "what a pod's link carries",
    arguments: [
      (NetworkBackend.none, 1500), (.hostGateway, 1500), (.vxlan, 1450), (.wireguard, 1420), (.auto, 1450),
    ] as [(NetworkBackend, UInt32)])
  func mtu(_ backend: NetworkBackend, _ expected: UInt32) {
    let plan = PeerPlan.decide([near, far], from: site(), backend)
    #expect(Overlay.podMTU(uplink: 1500, backend: backend, plan: plan, outer: .ipv4) == expected)
  }

  @Test("a larger outer header, larger frames, and no tunnel among neighbours")
  func otherMTUs() {
    let plan = PeerPlan.decide([near], from: site(), .auto)
    #expect(Overlay.podMTU(uplink: 1500, backend: .auto, plan: plan, outer: .ipv4) == 1500)
    #expect(Overlay.podMTU(uplink: 9000, backend: .vxlan, plan: plan, outer: .ipv6) == 8930)
    #expect(Overlay.podMTU(uplink: 0, backend: .wireguard, plan: plan, outer: .ipv4) == 576)
  }
}

@Suite("Changes from one state to the next")
struct PeerChangesTests {
  let wanted = PeerPlan.decide([near, far], from: site(), .auto)
  let byNeighbour = GatewayRoute(range("10.244.2.0/24"), gateway: ip("192.0.2.2"), link: 2)
  let byDevice = GatewayRoute(range("10.244.3.0/24"), gateway: ip("10.244.3.1"), link: 9, isGatewayOnLink: true)

  var complete: FoundPeers { FoundPeers(routes: [byNeighbour, byDevice], neighbours: wanted.neighbours, forwarding: wanted.forwarding) }

  @Test("what is there already is not touched: a restart changes no packet")
  func adoption() { #expect(PeerChanges.decide(wanted, found: complete, links: (9, nil)) == PeerChanges()) }

  @Test("from nothing: entries before the routes that need them")
  func fresh() {
    let changes = PeerChanges.decide(wanted, found: FoundPeers(), links: (9, nil))
    #expect(changes.addRoutes == [byNeighbour, byDevice] && changes.addForwarding.count == 1 && changes.addNeighbours.count == 1)
    #expect(changes.requests(vxlan: 9).map(\.operation) == ["RTM_NEWNEIGH", "RTM_NEWNEIGH", "RTM_NEWROUTE", "RTM_NEWROUTE"])
  }

  @Test("a node that is gone: routes before the entries that they need")
  func gone() {
    let changes = PeerChanges.decide(PeerPlan.decide([near], from: site(), .auto), found: complete, links: (9, nil))
    #expect(changes.deleteRoutes == [byDevice] && changes.addRoutes.isEmpty && changes.replaceRoutes.isEmpty)
    #expect(changes.requests(vxlan: 9).map(\.operation) == ["RTM_DELROUTE", "RTM_DELNEIGH", "RTM_DELNEIGH"])
  }

  @Test("a neighbour that moves away is replaced in one step")
  func moved() {
    let elsewhere = node("near", ["10.244.2.0/24"], ["203.0.113.2"])
    let changes = PeerChanges.decide(PeerPlan.decide([elsewhere, far], from: site(), .auto), found: complete, links: (9, nil))
    #expect(changes.replaceRoutes == [GatewayRoute(range("10.244.2.0/24"), gateway: ip("10.244.2.1"), link: 9, isGatewayOnLink: true)])
    #expect(changes.deleteRoutes.isEmpty, "it is gone by then")
  }

  @Test("a distant node with another address: its entry changes, its route stays")
  func newAddress() {
    let renumbered = node("far", ["10.244.3.0/24"], ["203.0.113.33"])
    let changes = PeerChanges.decide(PeerPlan.decide([near, renumbered], from: site(), .auto), found: complete, links: (9, nil))
    #expect(changes.addForwarding == [ForwardingEntry(hardware, at: ip("203.0.113.33"))])
    #expect(changes.deleteForwarding.isEmpty && changes.addRoutes.isEmpty && changes.replaceRoutes.isEmpty && changes.deleteRoutes.isEmpty)
  }

  @Test("a device made anew has another index: its routes follow")
  func newDevice() {
    let changes = PeerChanges.decide(wanted, found: FoundPeers(routes: complete.routes), links: (11, nil))
    #expect(changes.replaceRoutes.map(\.link) == [11] && changes.addForwarding.count == 1)
  }
}

@Suite("Nodes as the network reads them")
struct PeerNodeTests {
  @Test("ranges, addresses and key of a Node")
  func whole() throws {
    let key = WireGuardKey(base64: "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
    let json = try JSON.parse(
      Array(
        """
        {"metadata": {"name": "n", "annotations": {"swiftlet.io/wireguard-public-key": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="}},
         "spec": {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24", "fd00:2::/64", "nonsense"]},
         "status": {"addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "192.0.2.2"},
           {"type": "ExternalIP", "address": "203.0.113.1"}, {"type": "InternalIP", "address": "2001:db8::2"}, {"type": "InternalIP", "address": "x"}]}}
        """.utf8))
    let expected = node("n", ["10.244.2.0/24", "fd00:2::/64"], ["192.0.2.2", "2001:db8::2"], key: key)
    #expect(PeerNode(json) == expected && key?.bytes == Array(1...32))
  }

  @Test("an old Node with one range, a new one with none, and no Node at all")
  func partial() {
    #expect(PeerNode(["metadata": ["name": "n"], "spec": ["podCIDR": "10.244.2.0/24"]]) == node("n", ["10.244.2.0/24"], []))
    #expect(PeerNode(["metadata": ["name": "n"]]) == node("n", [], []))
    #expect(PeerNode(["kind": "Node"]) == nil)
  }

  @Test("keys in base64", arguments: 0..<20)
  func base64(_ seed: Int) {
    let key = WireGuardKey((0..<32).map { UInt8(truncatingIfNeeded: ($0 + 1) * (seed * 37 + 11)) })!
    #expect(key.base64.utf8.count == 44 && WireGuardKey(base64: key.base64) == key)
  }

  @Test(
    "texts that are no keys",
    arguments: [
      "", "AQID", String(repeating: "A", count: 44), String(repeating: "*", count: 43) + "=", String(repeating: "A", count: 42) + "B=",
      String(repeating: "é", count: 22),
    ])
  func noKeys(_ text: String) { #expect(WireGuardKey(base64: text) == nil) }

  @Test("a tunnel's device is told only what differs")
  func tunnelChanges() {
    let peer = { (key: UInt8, host: String) in
      WireGuardDevice.Peer(
        publicKey: [UInt8](repeating: key, count: 32), endpoint: ip(host), port: 51820, allowed: [range("10.244.\(key).0/24")])
    }
    let (one, two, moved) = (peer(1, "192.0.2.1"), peer(2, "192.0.2.2"), peer(2, "192.0.2.3"))
    let secret = [UInt8](repeating: 9, count: 32)
    let device = { (peers: [WireGuardDevice.Peer]) in
      WireGuardDevice(privateKey: secret, port: 51820, peers: Dictionary(uniqueKeysWithValues: peers.map { ($0.publicKey, $0) }))
    }
    #expect(WireGuardTunnel.changes(device([one, two]), from: device([two, one])) == nil)
    let fresh = WireGuardTunnel.changes(device([one, two]), from: WireGuardDevice())
    #expect(fresh?.privateKey == secret && fresh?.port == 51820 && fresh?.peers == [one, two] && fresh?.gone == [])
    let next = WireGuardTunnel.changes(device([moved]), from: device([one, two]))
    #expect(next?.privateKey == nil && next?.port == nil && next?.peers == [moved] && next?.gone == [one.publicKey])
  }
}
