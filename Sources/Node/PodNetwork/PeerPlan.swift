import NFTables
import Netlink

/// This machine among the others, as the kernel and its configuration say.
struct NodeSite: Hashable, Sendable {
  let name: String
  /// Our node's addresses; the first one's family is that of tunnels.
  var nodeAddresses: [IPAddress]
  /// Our own pods.
  var ranges: [IPPrefix]
  /// All pods of the cluster. A node that claims other addresses gets none.
  var clusterRanges: [IPPrefix]
  /// Of all links.
  var addresses: [FamilyAddress]

  /// The links that have our node's addresses, as (address with its segment).
  var uplinks: [FamilyAddress] { addresses.filter { nodeAddresses.contains($0.address) } }
}

/// The way to another node's pods.
enum PeerWay: Hashable, Sendable {
  /// The node is our neighbour on this link.
  case gateway(link: Int32)
  /// Wrapped in UDP to the node's address.
  case vxlan(IPAddress)
  /// Encrypted to the node's key.
  case wireguard(IPAddress, WireGuardKey)
  /// The other node is in our own network namespace: its pods have routes here already.
  case here
  /// Why there is no way.
  case none(String)

  static func decide(_ peer: PeerNode, from site: NodeSite, _ backend: NetworkBackend) -> PeerWay {
    if backend == .none { return .none("the pod network is somebody else's business") }
    if peer.addresses.isEmpty { return .none("it has no InternalIP yet") }
    if peer.addresses.contains(where: site.nodeAddresses.contains) { return .here }
    let outer = peer.addresses.first { $0.family == site.nodeAddresses.first?.family }
    switch backend {
    case .auto:
      if let link = segment(of: peer, site) { return .gateway(link: link) }
      return outer.map { .vxlan($0) } ?? .none("no address of it is of the family of this node's address")
    case .hostGateway:
      return segment(of: peer, site).map { .gateway(link: $0) }
        ?? .none("it is not on a segment of this node, as --pod-network-backend host-gw wants")
    case .vxlan: return outer.map { .vxlan($0) } ?? .none("no address of it is of the family of this node's address")
    case .wireguard:
      guard let key = peer.key else { return .none("it has not told its WireGuard key (annotation \(PeerNode.keyAnnotation))") }
      return outer.map { .wireguard($0, key) } ?? .none("no address of it is of the family of this node's address")
    case .none: return .none("")
    }
  }

  /// The link on which the peer is a neighbour in every family in which it has pods. IPv4 pods need an IPv4 neighbour: with RFC 5549 alone
  /// not every kernel and switch agrees.
  private static func segment(of peer: PeerNode, _ site: NodeSite) -> Int32? {
    let families = Set(peer.ranges.map(\.family)).intersection(site.ranges.map(\.family))
    var links: Set<Int32> = []
    for family in families {
      guard let link = gateway(of: peer, family, site)?.link else { return nil }
      links.insert(link)
    }
    return links.count == 1 ? links.first : nil
  }

  /// The peer's address of a family on one of our segments.
  static func gateway(of peer: PeerNode, _ family: Family, _ site: NodeSite) -> (address: IPAddress, link: Int32)? {
    for address in peer.addresses where address.family == family {
      for uplink in site.uplinks where uplink.address.family == family && IPPrefix(uplink.address, length: uplink.length).contains(address)
      {
        return (address, uplink.link)
      }
    }
    return nil
  }
}

/// What is to be in the kernel so that pods reach those of other nodes.
struct PeerPlan: Hashable, Sendable {
  enum Way: Hashable, Sendable { case link(Int32), vxlan, wireguard }

  struct PlannedRoute: Hashable, Sendable {
    let destination: IPPrefix
    /// Nil: by a device without neighbours.
    let gateway: IPAddress?
    let way: Way
  }

  struct TunnelPeer: Hashable, Sendable {
    let key: WireGuardKey
    let endpoint: IPAddress
    var allowed: [IPPrefix]
  }

  var routes: [IPPrefix: PlannedRoute] = [:]
  var neighbours: Set<PermanentNeighbour> = []
  var forwarding: Set<ForwardingEntry> = []
  var tunnelPeers: [WireGuardKey: TunnelPeer] = [:]
  var ways: [String: PeerWay] = [:]
  /// Nodes or ranges that are left out, and why; for people.
  var problems: [String] = []

  /// The same for the same nodes, in whatever order they come.
  static func decide(_ peers: some Sequence<PeerNode>, from site: NodeSite, _ backend: NetworkBackend) -> PeerPlan {
    var plan = PeerPlan()
    if backend == .none { return plan }
    var taken = TakenRanges(lengths: Set(peers.flatMap { $0.ranges.map(\.length) } + site.ranges.map(\.length)), site.ranges)
    for peer in peers.sorted(by: { $0.name < $1.name }) where peer.name != site.name {
      let ranges = plan.acceptable(peer, site, &taken)
      if ranges.isEmpty { continue }
      let way = PeerWay.decide(peer, from: site, backend)
      plan.ways[peer.name] = way
      plan.add(peer, ranges, way, site)
    }
    return plan
  }

  /// The peer's ranges of families that our pods have too, without those that are not its own to claim.
  private mutating func acceptable(_ peer: PeerNode, _ site: NodeSite, _ taken: inout TakenRanges) -> [IPPrefix] {
    peer.ranges.filter { range in
      guard site.ranges.contains(where: { $0.family == range.family }) else { return false }
      guard site.clusterRanges.contains(where: { $0.length <= range.length && $0.contains(range.address) }) else {
        problems.append("node \(peer.name) claims \(range), which is outside the cluster's pod addresses")
        return false
      }
      // Two claims to one address: the first by name has it, on every node alike.
      guard taken.take(range) else {
        problems.append("node \(peer.name) claims \(range), which is another node's, as a whole or in part")
        return false
      }
      return true
    }
  }

  private mutating func add(_ peer: PeerNode, _ ranges: [IPPrefix], _ way: PeerWay, _ site: NodeSite) {
    switch way {
    case .here: break
    case .none(let reason): problems.append("pods of node \(peer.name) are not reached: \(reason)")
    case .gateway:
      for range in ranges {
        guard let gateway = PeerWay.gateway(of: peer, range.family, site) else { continue }
        routes[range] = PlannedRoute(destination: range, gateway: gateway.address, way: .link(gateway.link))
      }
    case .vxlan(let remote):
      let hardware = Overlay.hardwareAddress(peer.ranges)
      forwarding.insert(ForwardingEntry(hardware, at: remote))
      for range in ranges {
        let gateway = Overlay.nodeAddress(range)
        neighbours.insert(PermanentNeighbour(gateway, at: hardware))
        routes[range] = PlannedRoute(destination: range, gateway: gateway, way: .vxlan)
      }
    case .wireguard(let endpoint, let key):
      if tunnelPeers[key] != nil {
        problems.append("pods of node \(peer.name) are not reached: it has told the WireGuard key of another node")
        return
      }
      tunnelPeers[key] = TunnelPeer(key: key, endpoint: endpoint, allowed: ranges)
      for range in ranges { routes[range] = PlannedRoute(destination: range, gateway: nil, way: .wireguard) }
    }
  }

  var needsVXLAN: Bool { !forwarding.isEmpty }
}

/// What all nodes must agree on without telling each other.
enum Overlay {
  /// The kernel's own default port, which flannel, k3s and Cilium use too: firewalls between nodes of clusters have it open already. The
  /// assigned one, 4789, is taken by the virtual networks of some hypervisors, which swallow what comes by it.
  static let port: UInt16 = 8472
  /// VNI. Not flannel's 1, so that both may be on a machine while one takes the other's place.
  static let identifier: UInt32 = 0x53574c  // "SWL"
  static let wireGuardPort: UInt16 = 51820

  static func vxlanName(_ prefix: String) -> String { prefix + ".vxlan" }
  static func wireGuardName(_ prefix: String) -> String { prefix + ".wg" }

  /// The first address after the network's: no pod has it.
  static func nodeAddress(_ range: IPPrefix) -> IPAddress {
    var bytes = range.address.bytes
    bytes[bytes.count - 1] |= 1
    return IPAddress(bytes: bytes) ?? range.address
  }

  /// Locally administered, and as unique as the node's range: everybody knows it from the Node object.
  static func hardwareAddress(_ ranges: [IPPrefix]) -> HardwareAddress {
    if let first = ranges.first(where: { $0.family == .ipv4 }) { return HardwareAddress([0x06, 0x53] + first.address.bytes) }
    let hash = stableHash(ranges.first?.description ?? "")
    return HardwareAddress([0x0a, 0x53] + (0..<4).map { UInt8(truncatingIfNeeded: hash >> UInt64($0 * 8)) })
  }

  /// Bytes that wrapping takes from a packet. UDP, VXLAN and Ethernet headers over those of IP; WireGuard's by its own recommendation.
  static func overhead(_ way: PeerPlan.Way, outer: Family) -> UInt32 {
    switch way {
    case .link: 0
    case .vxlan: outer == .ipv6 ? 70 : 50
    case .wireguard: 80
    }
  }

  /// What new pods' links get. A pod that has more learns of the smaller way by ICMP from its own node.
  static func podMTU(uplink: UInt32, backend: NetworkBackend, plan: PeerPlan, outer: Family) -> UInt32 {
    let way: PeerPlan.Way =
      switch backend {
      case .none, .hostGateway: .link(0)
      case .vxlan: .vxlan
      case .wireguard: .wireguard
      case .auto: plan.needsVXLAN ? .vxlan : .link(0)
      }
    return max(uplink, 576 + 80) - overhead(way, outer: outer)
  }
}

/// Ranges that somebody has; asking costs as much as there are lengths, however many ranges there are.
struct TakenRanges {
  private let lengths: [Int]
  private var ranges: Set<IPPrefix> = []
  /// What holds one of `ranges`.
  private var around: Set<IPPrefix> = []

  /// - Parameter lengths: of all ranges that will ever be asked for
  init(lengths: Set<Int>, _ first: [IPPrefix]) {
    self.lengths = lengths.sorted()
    for range in first { _ = take(range) }
  }

  /// False: it overlaps one that somebody has.
  mutating func take(_ range: IPPrefix) -> Bool {
    let wider = lengths.prefix { $0 <= range.length }.map { IPPrefix(range.address, length: $0) }
    if around.contains(range) || wider.contains(where: ranges.contains) { return false }
    ranges.insert(range)
    around.formUnion(wider)
    return true
  }
}
