import NFTables

/// A VXLAN device whose peers are told by forwarding entries, not learned from packets.
package struct VXLANDevice: Hashable, Sendable {
  package let name: String
  /// VNI, 24 bits.
  package let identifier: UInt32
  /// The UDP port that it listens on and sends to.
  package let port: UInt16
  /// Packets leave from this address; its family is that of all of them.
  package let local: IPAddress
  package let hardwareAddress: HardwareAddress
  package let mtu: UInt32
  /// IFLA_GROUP
  package let group: UInt32

  package init(
    name: String, identifier: UInt32, port: UInt16, local: IPAddress, hardwareAddress: HardwareAddress, mtu: UInt32, group: UInt32
  ) {
    self.name = name
    self.identifier = identifier
    self.port = port
    self.local = local
    self.hardwareAddress = hardwareAddress
    self.mtu = mtu
    self.group = group
  }

  /// From RTM_NEWLINK. Nil: another kind of device, or one that learns.
  package init?(_ message: NetlinkMessage) {
    guard let link = Link(message), link.kind == "vxlan", link.hardwareAddress.count == 6 else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 16)
    guard let data = attributes[18].flatMap({ NetlinkAttributes($0)[2] }).map({ NetlinkAttributes($0) }),
      let identifier = data[1]?.unsigned32, let local = (data[4] ?? data[17]).flatMap({ IPAddress(bytes: [UInt8]($0)) }),
      data[7]?.first == 0, let port = data[15].map({ [UInt8]($0) }), port.count == 2
    else { return nil }
    self.init(
      name: link.name, identifier: identifier, port: UInt16(port[0]) << 8 | UInt16(port[1]), local: local,
      hardwareAddress: HardwareAddress(link.hardwareAddress), mtu: link.mtu, group: link.group)
  }
}

/// Where a device sends frames for a hardware address (an entry of its forwarding database).
package struct ForwardingEntry: Hashable, Sendable {
  package let hardwareAddress: HardwareAddress
  package let remote: IPAddress

  package init(_ hardwareAddress: HardwareAddress, at remote: IPAddress) {
    self.hardwareAddress = hardwareAddress
    self.remote = remote
  }

  /// From RTM_NEWNEIGH of the bridge family. Nil: another link's, or without a remote end.
  package init?(_ message: NetlinkMessage, link: Int32) {
    guard message.type == 28, message.payload.count >= 12, message.payload[0] == 7, message.payload.native(at: 4, as: Int32.self) == link
    else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 12)
    guard let hardware = attributes[2], hardware.count == 6, let remote = attributes[1].flatMap({ IPAddress(bytes: [UInt8]($0)) })
    else { return nil }
    self.init(HardwareAddress([UInt8](hardware)), at: remote)
  }
}

/// A permanent entry of the neighbour table, of either family.
package struct PermanentNeighbour: Hashable, Sendable {
  package let address: IPAddress
  package let hardwareAddress: HardwareAddress

  package init(_ address: IPAddress, at hardwareAddress: HardwareAddress) {
    self.address = address
    self.hardwareAddress = hardwareAddress
  }

  /// From RTM_NEWNEIGH. Nil: another link's, or not permanent.
  package init?(_ message: NetlinkMessage, link: Int32) {
    guard message.type == 28, message.payload.count >= 12, message.payload[0] == 2 || message.payload[0] == 10,
      message.payload.native(at: 4, as: Int32.self) == link, message.payload.native(at: 8, as: UInt16.self) & 0x80 != 0
    else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 12)
    guard let hardware = attributes[2], hardware.count == 6, let address = attributes[1].flatMap({ IPAddress(bytes: [UInt8]($0)) })
    else { return nil }
    self.init(address, at: HardwareAddress([UInt8](hardware)))
  }
}

// Numbers: include/uapi/linux/if_link.h, neighbour.h.
extension NetlinkRequest {
  /// The device, up.
  package static func newVXLAN(_ device: VXLANDevice) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWLINK", device.name, type: 16, flags: MessageFlags.create | MessageFlags.exclusive) {
      $0.linkHeader(index: 0, isUp: true)
      $0.attribute(3, string: device.name)  // IFLA_IFNAME
      $0.attribute(4, native: device.mtu)  // IFLA_MTU
      $0.attribute(1, device.hardwareAddress.bytes)  // IFLA_ADDRESS
      $0.attribute(27, native: device.group)  // IFLA_GROUP
      $0.nested(18, flagged: false) {  // IFLA_LINKINFO
        $0.attribute(1, string: "vxlan")  // IFLA_INFO_KIND
        $0.nested(2, flagged: false) {  // IFLA_INFO_DATA
          $0.attribute(1, native: device.identifier)  // IFLA_VXLAN_ID
          $0.attribute(device.local.family == .ipv4 ? 4 : 17, device.local.bytes)  // IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6
          $0.attribute(7, native: UInt8(0))  // IFLA_VXLAN_LEARNING
          $0.attribute(15, big: device.port)  // IFLA_VXLAN_PORT
        }
      }
    }
  }

  /// The forwarding entry, in place of another one of the same hardware address.
  package static func putForwarding(_ entry: ForwardingEntry, link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWNEIGH", "\(entry.remote)", type: 28, flags: MessageFlags.create | MessageFlags.replace) {
      $0.forwarding(entry, link)
    }
  }

  package static func deleteForwarding(_ entry: ForwardingEntry, link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_DELNEIGH", "\(entry.remote)", type: 29) { $0.forwarding(entry, link) }
  }

  /// A link's forwarding database, for `dump` and `ForwardingEntry.init`.
  package static func forwardingEntries(link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_GETNEIGH", "forwarding entries of #\(link)", type: 30) {
      $0.append([7, 0, 0, 0])  // struct ndmsg: AF_BRIDGE
      $0.append(native: link)
      $0.append(native: UInt32(0))
    }
  }

  package static func putNeighbour(_ neighbour: PermanentNeighbour, link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWNEIGH", "\(neighbour.address)", type: 28, flags: MessageFlags.create | MessageFlags.replace) {
      $0.neighbour(neighbour.address, link)
      $0.attribute(2, neighbour.hardwareAddress.bytes)  // NDA_LLADDR
    }
  }

  package static func deleteNeighbour(_ address: IPAddress, link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_DELNEIGH", "\(address)", type: 29) { $0.neighbour(address, link) }
  }

  /// A link's neighbours of a family, for `dump` and `PermanentNeighbour.init`.
  package static func neighbours(_ family: Family, link: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_GETNEIGH", "neighbours of #\(link)", type: 30) {
      $0.append([family.addressFamily, 0, 0, 0])
      $0.append(native: Int32(0))
      $0.append(native: UInt32(0))
      $0.attribute(8, native: link)  // NDA_IFINDEX
    }
  }
}

extension NetlinkWriter {
  /// struct ndmsg and the attributes of an entry in a device's own table.
  fileprivate mutating func forwarding(_ entry: ForwardingEntry, _ link: Int32) {
    append([7, 0, 0, 0])  // AF_BRIDGE
    append(native: link)
    append(native: UInt16(0xc0))  // NUD_PERMANENT | NUD_NOARP
    append([2, 0])  // NTF_SELF
    attribute(2, entry.hardwareAddress.bytes)  // NDA_LLADDR
    attribute(1, entry.remote.bytes)  // NDA_DST
  }

  fileprivate mutating func neighbour(_ address: IPAddress, _ link: Int32) {
    append([address.family.addressFamily, 0, 0, 0])
    append(native: link)
    append(native: UInt16(0x80))  // NUD_PERMANENT
    append([0, 0])
    attribute(1, address.bytes)  // NDA_DST
  }
}
