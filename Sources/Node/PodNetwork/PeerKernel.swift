import LinuxKernel
import NFTables
import Netlink

/// Brings the kernel to what the nodes say: devices, neighbours, routes. All of it runs on a worker's thread.
struct PeerKernel: Sendable {
  /// Requests that go to the kernel at once; the answers to them must fit into the socket.
  static let requestsMax = 1_000

  let plan: NetworkPlan
  let backend: NetworkBackend
  let worker: NetworkWorker
  /// This node's name, its addresses and ranges; `addresses` is filled in here.
  let site: NodeSite
  let tunnel: WireGuardTunnel?

  struct Outcome: Sendable {
    /// For new pods' links.
    var mtu: UInt32 = 1500
    /// What stays undone until somebody changes something.
    var problems: [String] = []
    /// What may succeed the next time.
    var failures: [NetlinkError] = []
    /// Links whose changes matter.
    var links: Set<Int32> = []
    var changes = 0
    /// How each node is reached.
    var ways: [String: PeerWay] = [:]
  }

  func bring(_ peers: [PeerNode]) throws -> Outcome {
    var site = site
    site.addresses = try worker.route.dump(.allAddresses).compactMap { FamilyAddress($0) }
    let wanted = PeerPlan.decide(peers, from: site, backend)
    var outcome = Outcome(problems: wanted.problems)
    outcome.ways = wanted.ways
    let uplink = try uplinkMTU(site)
    let outer = site.nodeAddresses.first?.family ?? .ipv4
    outcome.mtu = Overlay.podMTU(uplink: uplink, backend: backend, plan: wanted, outer: outer)
    outcome.links = Set(site.uplinks.map(\.link))

    var links: (vxlan: Int32?, wireguard: Int32?) = (nil, nil)
    if wanted.needsVXLAN {
      let mtu = max(uplink, 656) - Overlay.overhead(.vxlan, outer: outer)
      links.vxlan = try bringVXLAN(site, mtu: mtu)
    }
    if let tunnel, backend == .wireguard {
      let mtu = max(uplink, 656) - Overlay.overhead(.wireguard, outer: outer)
      links.wireguard = try bringWireGuard(tunnel, Array(wanted.tunnelPeers.values), mtu: mtu, site)
    }
    for index in [links.vxlan, links.wireguard].compactMap({ $0 }) { outcome.links.insert(index) }

    let found = try read(links)
    let changes = PeerChanges.decide(wanted, found: found, links: links)
    let requests = changes.requests(vxlan: links.vxlan)
    outcome.changes = requests.count
    for start in stride(from: 0, to: requests.count, by: Self.requestsMax) {
      let some = Array(requests[start..<min(start + Self.requestsMax, requests.count)])
      for case .failure(let error) in try worker.route.exchange(some) where !error.isAbsence {
        if error.errno == .fileExists {
          outcome.problems.append("a route to \(error.target) that is not ours stays")
        } else {
          outcome.failures.append(error)
        }
      }
    }
    if links.vxlan == nil { try deleteDevice(Overlay.vxlanName(plan.prefix)) }
    if links.wireguard == nil { try deleteDevice(Overlay.wireGuardName(plan.prefix)) }
    return outcome
  }

  /// Takes all of it away, whatever was configured. `cluster`: where routes of ours lead.
  static func remove(_ plan: NetworkPlan, cluster: [IPPrefix], _ worker: NetworkWorker) throws {
    let none = NodeSite(name: "", nodeAddresses: [], ranges: [], clusterRanges: cluster, addresses: [])
    let kernel = PeerKernel(plan: plan, backend: .none, worker: worker, site: none, tunnel: nil)
    let found = try kernel.read((nil, nil))
    for case .failure(let error) in try worker.route.exchange(found.routes.map { .deleteRoute($0) }) where !error.isAbsence { throw error }
    for name in [Overlay.vxlanName(plan.prefix), Overlay.wireGuardName(plan.prefix)] { try kernel.deleteDevice(name) }
  }

  // MARK: - What is there

  private func read(_ links: (vxlan: Int32?, wireguard: Int32?)) throws -> FoundPeers {
    var found = FoundPeers()
    for family in [Family.ipv4, .ipv6] {
      let routes = try worker.route.dump(.routes(family, origin: Route.ours)).compactMap { GatewayRoute($0) }
      found.routes.formUnion(
        routes.filter { route in
          // Pods' own routes have no gateway; other instances' lead to other clusters' pods.
          route.origin == Route.ours && (route.gateway != nil || route.link == links.wireguard)
            && site.clusterRanges.contains { $0.length <= route.destination.length && $0.contains(route.destination.address) }
        })
      guard let vxlan = links.vxlan else { continue }
      found.neighbours.formUnion(
        try worker.route.dump(.neighbours(family, link: vxlan)).compactMap { PermanentNeighbour($0, link: vxlan) }
          // The kernel's own, for multicast, are permanent too.
          .filter { $0.address.family == family && $0.hardwareAddress.bytes[0] & 1 == 0 })
    }
    if let vxlan = links.vxlan {
      found.forwarding = Set(try worker.route.dump(.forwardingEntries(link: vxlan)).compactMap { ForwardingEntry($0, link: vxlan) })
    }
    return found
  }

  private func uplinkMTU(_ site: NodeSite) throws -> UInt32 {
    let mtus = try site.uplinks.compactMap { uplink in
      try worker.route.request(.getLink(index: uplink.link)).first.flatMap { Link($0) }?.mtu
    }
    return min(try mtus.min() ?? worker.defaultMTU(), 65_535)
  }

  // MARK: - Devices

  /// The device as it has to be; its index.
  private func bringVXLAN(_ site: NodeSite, mtu: UInt32) throws -> Int32 {
    guard let local = site.nodeAddresses.first else {
      throw PodNetworkError(.badConfiguration, "a node without an address has no tunnels")
    }
    let name = Overlay.vxlanName(plan.prefix)
    let wanted = VXLANDevice(
      name: name, identifier: Overlay.identifier, port: Overlay.port, local: local, hardwareAddress: Overlay.hardwareAddress(site.ranges),
      mtu: mtu, group: plan.deviceGroup)
    if let index = try adoptVXLAN(wanted) { return try settled(index, site) }
    try deleteDevice(name)
    switch try worker.route.exchange([.newVXLAN(wanted), .getLink(name: name)])[0] {
    case .success: break
    case .failure(let error) where error.errno == .notSupported:
      throw PodNetworkError(
        .kernel, "this kernel has no VXLAN (CONFIG_VXLAN), which nodes on other segments need; use --pod-network-backend host-gw or none",
        cause: error)
    case .failure(let error): throw error
    }
    return try settled(nil, site, name: name)
  }

  /// The device that is there, with what can be changed in it brought up to date. Nil: there is none, or one that must be made anew.
  private func adoptVXLAN(_ wanted: VXLANDevice) throws -> Int32? {
    guard let message = try ownDevice(wanted.name), let found = VXLANDevice(message), let link = Link(message),
      found.identifier == wanted.identifier, found.port == wanted.port, found.local == wanted.local
    else { return nil }
    if found.mtu == wanted.mtu, found.hardwareAddress == wanted.hardwareAddress, link.isUp { return link.index }
    var change = LinkChange()
    change.mtu = wanted.mtu
    change.hardwareAddress = wanted.hardwareAddress
    change.isUp = true
    try worker.route.request(.setLink(index: link.index, change))
    return link.index
  }

  private func settled(_ index: Int32?, _ site: NodeSite, name: String = "") throws -> Int32 {
    let request = index.map { NetlinkRequest.getLink(index: $0) } ?? .getLink(name: name)
    guard let link = try worker.route.request(request).first.flatMap({ Link($0) }) else {
      throw NetlinkError("RTM_NEWLINK", name, errno: .noSuchAddressOrDevice)
    }
    try settle(link, site)
    return link.index
  }

  /// Addresses and settings of a device of ours; what is there already is not touched.
  func settle(_ link: Link, _ site: NodeSite) throws {
    let wanted = Set(
      site.ranges.map { FamilyAddress(Overlay.nodeAddress($0), length: $0.address.bytes.count * 8, link: link.index) })
    let present = Set(site.addresses.filter { $0.link == link.index && !isLinkLocal($0.address) })
    let requests: [NetlinkRequest] =
      wanted.subtracting(present).map { .putAddress($0) } + present.subtracting(wanted).map { .deleteAddress($0) }
    try worker.route.requestAll(requests)
    let setting = "net/ipv4/conf/\(link.name)/forwarding"
    if try Sysctl.read(setting) != "1" { try Sysctl.write(setting, "1") }
  }

  private func isLinkLocal(_ address: IPAddress) -> Bool {
    if case .v6(let address) = address { address.high >> 54 == 0xfe80 >> 6 } else { false }
  }

  /// Nil: there is none of this name.
  func ownDevice(_ name: String) throws -> NetlinkMessage? {
    switch try worker.route.exchange([.getLink(name: name)])[0] {
    case .failure(let error) where error.isAbsence: return nil
    case .failure(let error): throw error
    case .success(let messages):
      guard let message = messages.first, let link = Link(message) else { return nil }
      guard link.group == plan.deviceGroup else {
        throw PodNetworkError(.kernel, "link \(name) is there and not ours; remove it, or choose another --interface-prefix")
      }
      return message
    }
  }

  private func deleteDevice(_ name: String) throws {
    guard let link = try? ownDevice(name).flatMap({ Link($0) }) else { return }  // another's stays
    if case .failure(let error) = try worker.route.exchange([.deleteLink(index: link.index)])[0], !error.isAbsence { throw error }
  }
}
