import NFTables

/// A route by a gateway, of either family: what leads to another machine's pods.
package struct GatewayRoute: Hashable, Sendable {
  package let destination: IPPrefix
  /// Nil: straight by the link, as for a device that has no neighbours.
  package let gateway: IPAddress?
  /// The link's index.
  package let link: Int32
  /// The gateway is reachable through the link although no address of ours is in its network.
  package let isGatewayOnLink: Bool
  /// The address that the machine itself calls from; nil: the kernel chooses.
  package let source: IPAddress?
  /// Who added it (RTPROT_*), as in `Route`.
  package let origin: UInt8

  package init(
    _ destination: IPPrefix, gateway: IPAddress?, link: Int32, isGatewayOnLink: Bool = false, source: IPAddress? = nil,
    origin: UInt8 = Route.ours
  ) {
    self.destination = destination
    self.gateway = gateway
    self.link = link
    self.isGatewayOnLink = isGatewayOnLink
    self.source = source
    self.origin = origin
  }

  /// From RTM_NEWROUTE or RTM_DELROUTE. Nil: not of the main table, no unicast, or by several links or none.
  package init?(_ message: NetlinkMessage) {
    guard message.type == 24 || message.type == 25, message.payload.count >= 12, message.payload[4] == 254, message.payload[7] == 1
    else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 12)
    let none = [UInt8](repeating: 0, count: message.payload[0] == 2 ? 4 : 16)
    guard message.payload[0] == 2 || message.payload[0] == 10, let link = attributes[4]?.signed32,
      let address = IPAddress(bytes: attributes[1].map { [UInt8]($0) } ?? none), Int(message.payload[1]) <= none.count * 8
    else { return nil }
    self.init(
      IPPrefix(address, length: Int(message.payload[1])), gateway: attributes[5].flatMap { IPAddress(bytes: [UInt8]($0)) }, link: link,
      isGatewayOnLink: message.payload.native(at: 8, as: UInt32.self) & 4 != 0,
      source: attributes[7].flatMap { IPAddress(bytes: [UInt8]($0)) },
      origin: message.payload[5])
  }
}

/// An address of a link, of either family.
package struct FamilyAddress: Hashable, Sendable {
  package let address: IPAddress
  package let length: Int
  package let link: Int32

  package init(_ address: IPAddress, length: Int, link: Int32) {
    self.address = address
    self.length = length
    self.link = link
  }

  /// From RTM_NEWADDR or RTM_DELADDR.
  package init?(_ message: NetlinkMessage) {
    guard message.type == 20 || message.type == 21, message.payload.count >= 8 else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 8)
    guard let bytes = attributes[2] ?? attributes[1], let address = IPAddress(bytes: [UInt8](bytes)) else { return nil }
    self.init(address, length: Int(message.payload[1]), link: message.payload.native(at: 4, as: Int32.self))
  }
}

// Numbers: include/uapi/linux/rtnetlink.h, if_addr.h.
extension NetlinkRequest {
  /// Adds the route; refused (EEXIST) where there is one to the same destination, whoever added it.
  package static func addRoute(_ route: GatewayRoute) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWROUTE", "\(route.destination)", type: 24, flags: MessageFlags.create | MessageFlags.exclusive) {
      $0.route(route)
    }
  }

  /// Takes the place of the one to the same destination.
  package static func replaceRoute(_ route: GatewayRoute) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWROUTE", "\(route.destination)", type: 24, flags: MessageFlags.create | MessageFlags.replace) { $0.route(route) }
  }

  package static func deleteRoute(_ route: GatewayRoute) -> NetlinkRequest {
    NetlinkRequest("RTM_DELROUTE", "\(route.destination)", type: 25) { $0.route(route) }
  }

  /// The routes of a family in the main table that `origin` added, for `dump` and `GatewayRoute.init`.
  package static func routes(_ family: Family, origin: UInt8) -> NetlinkRequest {
    NetlinkRequest("RTM_GETROUTE", "routes of origin \(origin)", type: 26) {
      $0.append([family.addressFamily, 0, 0, 0, 254, origin, 0, 0])
      $0.append(native: UInt32(0))
    }
  }

  /// An address of a link, or the same again.
  package static func putAddress(_ address: FamilyAddress) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWADDR", "\(address.address)/\(address.length)", type: 20, flags: MessageFlags.create | MessageFlags.replace) {
      $0.address(address)
    }
  }

  package static func deleteAddress(_ address: FamilyAddress) -> NetlinkRequest {
    NetlinkRequest("RTM_DELADDR", "\(address.address)/\(address.length)", type: 21) { $0.address(address) }
  }

  /// The addresses of all links, of both families, for `dump` and `FamilyAddress.init`.
  package static let allAddresses = NetlinkRequest("RTM_GETADDR", "all addresses", type: 22) {
    $0.append([0, 0, 0, 0])
    $0.append(native: Int32(0))
  }
}

extension Family {
  /// AF_INET or AF_INET6.
  var addressFamily: UInt8 { self == .ipv4 ? 2 : 10 }
}

extension NetlinkWriter {
  fileprivate mutating func route(_ route: GatewayRoute) {
    let scope: Route.Scope = route.gateway == nil && route.destination.family == .ipv4 ? .link : .universe
    append([route.destination.family.addressFamily, UInt8(route.destination.length), 0, 0, 254, route.origin, scope.rawValue, 1])
    append(native: UInt32(route.isGatewayOnLink ? 4 : 0))  // RTNH_F_ONLINK
    if route.destination.length > 0 { attribute(1, route.destination.address.bytes) }  // RTA_DST
    if let gateway = route.gateway { attribute(5, gateway.bytes) }
    attribute(4, native: route.link)  // RTA_OIF
    if let source = route.source { attribute(7, source.bytes) }  // RTA_PREFSRC
  }

  fileprivate mutating func address(_ address: FamilyAddress) {
    append([address.address.family.addressFamily, UInt8(address.length), 0, 0])
    append(native: address.link)
    attribute(2, address.address.bytes)  // IFA_LOCAL
    attribute(1, address.address.bytes)  // IFA_ADDRESS
  }
}
