import NFTables
import Netlink

/// What the kernel has of our making.
struct FoundPeers: Hashable, Sendable {
  /// Of our origin, by a gateway or by one of our devices, within the cluster's ranges.
  var routes: Set<GatewayRoute> = []
  var neighbours: Set<PermanentNeighbour> = []
  var forwarding: Set<ForwardingEntry> = []

  init(routes: Set<GatewayRoute> = [], neighbours: Set<PermanentNeighbour> = [], forwarding: Set<ForwardingEntry> = []) {
    self.routes = routes
    self.neighbours = neighbours
    self.forwarding = forwarding
  }
}

/// The smallest change from what is found to what is wanted, in an order in which no packet loses its way.
struct PeerChanges: Equatable {
  var addNeighbours: [PermanentNeighbour] = []
  var addForwarding: [ForwardingEntry] = []
  var addRoutes: [GatewayRoute] = []
  /// In place of one of ours to the same destination.
  var replaceRoutes: [GatewayRoute] = []
  var deleteRoutes: [GatewayRoute] = []
  var deleteNeighbours: [PermanentNeighbour] = []
  var deleteForwarding: [ForwardingEntry] = []

  /// - Parameter links: indexes of our devices that exist
  static func decide(_ plan: PeerPlan, found: FoundPeers, links: (vxlan: Int32?, wireguard: Int32?)) -> PeerChanges {
    var changes = PeerChanges()
    let present = Dictionary(found.routes.map { ($0.destination, $0) }, uniquingKeysWith: { first, _ in first })
    for route in plan.routes.values.sorted(by: { $0.destination.address < $1.destination.address }) {
      guard let wanted = resolve(route, links) else { continue }
      switch present[wanted.destination] {
      case wanted: break
      case nil: changes.addRoutes.append(wanted)
      case .some: changes.replaceRoutes.append(wanted)
      }
    }
    // What a replacement leaves, such as a second route to one destination, goes like what is no longer wanted.
    changes.deleteRoutes = found.routes.filter { route in
      plan.routes[route.destination] == nil || present[route.destination] != route
    }.sorted { $0.destination.address < $1.destination.address }
    // A hardware address or remote that replaces another under the same key is one request, and deletes nothing.
    changes.addNeighbours = plan.neighbours.subtracting(found.neighbours).sorted { $0.address < $1.address }
    changes.addForwarding = plan.forwarding.subtracting(found.forwarding).sorted { $0.remote < $1.remote }
    let kept = Set(plan.neighbours.map(\.address))
    changes.deleteNeighbours = found.neighbours.filter { !kept.contains($0.address) }.sorted { $0.address < $1.address }
    let keptHardware = Set(plan.forwarding.map(\.hardwareAddress))
    changes.deleteForwarding = found.forwarding.filter { !keptHardware.contains($0.hardwareAddress) }.sorted { $0.remote < $1.remote }
    return changes
  }

  private static func resolve(_ route: PeerPlan.PlannedRoute, _ links: (vxlan: Int32?, wireguard: Int32?)) -> GatewayRoute? {
    switch route.way {
    case .link(let link): GatewayRoute(route.destination, gateway: route.gateway, link: link)
    case .vxlan: links.vxlan.map { GatewayRoute(route.destination, gateway: route.gateway, link: $0, isGatewayOnLink: true) }
    case .wireguard: links.wireguard.map { GatewayRoute(route.destination, gateway: nil, link: $0) }
    }
  }

  /// Neighbours before the routes that use them, and the other way round.
  func requests(vxlan: Int32?) -> [NetlinkRequest] {
    var requests: [NetlinkRequest] = []
    if let vxlan {
      requests += addForwarding.map { .putForwarding($0, link: vxlan) }
      requests += addNeighbours.map { .putNeighbour($0, link: vxlan) }
    }
    requests += replaceRoutes.map { .replaceRoute($0) }
    requests += addRoutes.map { .addRoute($0) }
    requests += deleteRoutes.map { .deleteRoute($0) }
    if let vxlan {
      requests += deleteNeighbours.map { .deleteNeighbour($0.address, link: vxlan) }
      requests += deleteForwarding.map { .deleteForwarding($0, link: vxlan) }
    }
    return requests
  }
}
