import NFTables

/// A route to be added, removed, or found in a table.
package struct Route: Hashable, Sendable {
  package enum Kind: UInt8, Sendable { case unicast = 1, local = 2, broadcast = 3, blackhole = 6, unreachable = 7 }
  /// RT_SCOPE_*
  package enum Scope: UInt8, Sendable { case universe = 0, link = 253, host = 254 }

  package let destination: IPv4Prefix
  package let kind: Kind
  package let scope: Scope
  package let gateway: IPv4Address?
  /// The link's index.
  package let link: Int32?
  /// The gateway is reachable through the link although no address of ours is in its network.
  package let isGatewayOnLink: Bool
  /// Who added it (RTPROT_*): 3 at boot, 4 by hand; 83 is Swiftlet.
  package let origin: UInt8
  package let metric: UInt32?

  package static let ours: UInt8 = 83

  package init(
    _ destination: IPv4Prefix, kind: Kind = .unicast, scope: Scope = .universe, gateway: IPv4Address? = nil,
    link: Int32? = nil, isGatewayOnLink: Bool = false, origin: UInt8 = Route.ours, metric: UInt32? = nil
  ) {
    self.destination = destination
    self.kind = kind
    self.scope = scope
    self.gateway = gateway
    self.link = link
    self.isGatewayOnLink = isGatewayOnLink
    self.origin = origin
    self.metric = metric
  }

  /// From RTM_NEWROUTE. Nil: not IPv4 in the main table, or of a kind that is not spoken of here.
  package init?(_ message: NetlinkMessage) {
    guard message.type == 24, message.payload.count >= 12, message.payload[0] == 2, message.payload[4] == 254,
      let kind = Kind(rawValue: message.payload[7]), let scope = Scope(rawValue: message.payload[6]),
      message.payload[1] <= 32
    else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 12)
    self.init(
      IPv4Prefix(attributes[1]?.ipv4 ?? IPv4Address(0), length: Int(message.payload[1])), kind: kind, scope: scope,
      gateway: attributes[5]?.ipv4, link: attributes[4]?.signed32,
      isGatewayOnLink: message.payload.native(at: 8, as: UInt32.self) & 4 != 0, origin: message.payload[5],
      metric: attributes[6]?.unsigned32)
  }
}

// Numbers: include/uapi/linux/rtnetlink.h, if_addr.h, neighbour.h.
extension NetlinkRequest {
  /// Adds the route, or takes the place of the one to the same destination.
  package static func putRoute(_ route: Route) -> NetlinkRequest {
    NetlinkRequest(
      "RTM_NEWROUTE", route.destination.description, type: 24, flags: MessageFlags.create | MessageFlags.replace
    ) { $0.route(route) }
  }

  package static func deleteRoute(_ route: Route) -> NetlinkRequest {
    NetlinkRequest("RTM_DELROUTE", route.destination.description, type: 25) { $0.route(route) }
  }

  /// The IPv4 routes of the main table, for `dump` and `Route.init`.
  package static let routes = NetlinkRequest("RTM_GETROUTE", "main table", type: 26) {
    $0.append([2, 0, 0, 0, 254, 0, 0, 0])  // struct rtmsg: AF_INET, RT_TABLE_MAIN
    $0.append(native: UInt32(0))
  }

  /// An address of a link, or the same again. `scope` as for routes.
  package static func putAddress(_ address: IPv4Prefix, full: IPv4Address, link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWADDR", "\(full)/\(address.length)", type: 20, flags: MessageFlags.create | MessageFlags.replace) {
      $0.append([2, UInt8(address.length), 0, 0])  // struct ifaddrmsg: AF_INET, flags, RT_SCOPE_UNIVERSE
      $0.append(native: link)
      $0.attribute(2, full.bytes)  // IFA_LOCAL
      $0.attribute(1, full.bytes)  // IFA_ADDRESS
    }
  }

  /// The IPv4 addresses of all links, for `dump` and `LinkAddress.init`.
  package static let addresses = NetlinkRequest("RTM_GETADDR", "all addresses", type: 22) {
    $0.append([2, 0, 0, 0])
    $0.append(native: Int32(0))
  }

  /// An entry that needs no ARP and never ages.
  package static func putPermanentNeighbour(
    _ address: IPv4Address, at hardware: HardwareAddress, link: Int32
  ) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWNEIGH", address.description, type: 28, flags: MessageFlags.create | MessageFlags.replace) {
      $0.append([2, 0, 0, 0])  // struct ndmsg: AF_INET
      $0.append(native: link)
      $0.append(native: UInt16(0x80))  // NUD_PERMANENT
      $0.append([0, 0])
      $0.attribute(1, address.bytes)  // NDA_DST
      $0.attribute(2, hardware.bytes)  // NDA_LLADDR
    }
  }
}

/// An IPv4 address of a link.
package struct LinkAddress: Hashable, Sendable {
  package let address: IPv4Address
  package let length: Int
  package let link: Int32

  /// From RTM_NEWADDR.
  package init?(_ message: NetlinkMessage) {
    guard message.type == 20, message.payload.count >= 8, message.payload[0] == 2 else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 8)
    guard let address = (attributes[2] ?? attributes[1])?.ipv4 else { return nil }
    self.address = address
    length = Int(message.payload[1])
    link = message.payload.native(at: 4, as: Int32.self)
  }
}

extension NetlinkWriter {
  /// struct rtmsg and its attributes.
  fileprivate mutating func route(_ route: Route) {
    append([2, UInt8(route.destination.length), 0, 0, 254, route.origin, route.scope.rawValue, route.kind.rawValue])
    append(native: UInt32(route.isGatewayOnLink ? 4 : 0))  // RTNH_F_ONLINK
    if route.destination.length > 0 { attribute(1, route.destination.address.bytes) }  // RTA_DST
    if let gateway = route.gateway { attribute(5, gateway.bytes) }
    if let link = route.link { attribute(4, native: link) }  // RTA_OIF
    if let metric = route.metric { attribute(6, native: metric) }  // RTA_PRIORITY
  }
}
