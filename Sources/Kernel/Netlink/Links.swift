import NFTables

#if canImport(Glibc)
  import Glibc
#endif

/// Six bytes of an Ethernet address.
package struct HardwareAddress: Hashable, Sendable {
  package let bytes: [UInt8]

  package init(_ bytes: [UInt8]) {
    precondition(bytes.count == 6, "an Ethernet address has 6 bytes")
    self.bytes = bytes
  }
}

/// A network interface as the kernel describes it.
package struct Link: Hashable, Sendable {
  package let index: Int32
  package let name: String
  package let isUp: Bool
  package let mtu: UInt32
  package let hardwareAddress: [UInt8]
  /// For a veth: the index of its other end, in that one's namespace.
  package let peerIndex: Int32?
  /// Such as "veth"; empty for devices that no driver made by request.
  package let kind: String
  /// IFLA_GROUP; 0 unless somebody set it.
  package let group: UInt32

  /// From RTM_NEWLINK or RTM_DELLINK.
  package init?(_ message: NetlinkMessage) {
    guard message.type == 16 || message.type == 17, message.payload.count >= 16 else { return nil }
    index = message.payload.native(at: 4, as: Int32.self)
    isUp = message.payload.native(at: 8, as: UInt32.self) & 1 != 0  // IFF_UP
    let attributes = NetlinkAttributes(message.payload, from: 16)
    name = attributes[3]?.string ?? ""
    mtu = attributes[4]?.unsigned32 ?? 0
    hardwareAddress = attributes[1].map { [UInt8]($0) } ?? []
    peerIndex = attributes[5]?.signed32
    kind = attributes[18].flatMap { NetlinkAttributes($0)[1]?.string } ?? ""
    group = attributes[27]?.unsigned32 ?? 0
  }
}

/// One end of a veth pair to be made.
package struct VethEnd: Sendable {
  package let name: String
  package let hardwareAddress: HardwareAddress
  /// IFLA_GROUP
  package let group: UInt32

  package init(name: String, hardwareAddress: HardwareAddress, group: UInt32 = 0) {
    self.name = name
    self.hardwareAddress = hardwareAddress
    self.group = group
  }
}

/// What `NetlinkRequest.setLink` changes.
package struct LinkChange: Sendable {
  package var isUp: Bool?
  package var name: String?
  package var mtu: UInt32?
  package var hardwareAddress: HardwareAddress?
  package var group: UInt32?
  package init() {}
}

// Numbers: include/uapi/linux/rtnetlink.h, if_link.h, veth.h.
extension NetlinkRequest {
  /// A veth pair: `host` in the socket's namespace, up; `peer` in the one that `namespace` (a descriptor) names, down, because the
  /// kernel brings up no end before it knows the other.
  package static func newVeth(host: VethEnd, peer: VethEnd, namespace: Int32, mtu: UInt32) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWLINK", host.name, type: 16, flags: MessageFlags.create | MessageFlags.exclusive) {
      $0.linkHeader(index: 0, isUp: true)
      $0.vethEnd(host, mtu: mtu)
      $0.nested(18, flagged: false) {  // IFLA_LINKINFO
        $0.attribute(1, string: "veth")  // IFLA_INFO_KIND
        $0.nested(2, flagged: false) {  // IFLA_INFO_DATA
          $0.nested(1, flagged: false) {  // VETH_INFO_PEER
            $0.linkHeader(index: 0)
            $0.vethEnd(peer, mtu: mtu)
            $0.attribute(28, native: namespace)  // IFLA_NET_NS_FD
          }
        }
      }
    }
  }

  package static func getLink(name: String) -> NetlinkRequest {
    NetlinkRequest("RTM_GETLINK", name, type: 18) {
      $0.linkHeader(index: 0)
      $0.attribute(3, string: name)  // IFLA_IFNAME
    }
  }

  package static func getLink(index: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_GETLINK", "#\(index)", type: 18) { $0.linkHeader(index: index) }
  }

  /// For `dump`.
  package static let links = NetlinkRequest("RTM_GETLINK", "all links", type: 18) { $0.linkHeader(index: 0) }

  package static func setLink(index: Int32, _ change: LinkChange) -> NetlinkRequest {
    NetlinkRequest("RTM_SETLINK", change.name ?? "#\(index)", type: 19) {
      $0.linkHeader(index: index, isUp: change.isUp)
      if let name = change.name { $0.attribute(3, string: name) }
      if let mtu = change.mtu { $0.attribute(4, native: mtu) }
      if let address = change.hardwareAddress { $0.attribute(1, address.bytes) }
      if let group = change.group { $0.attribute(27, native: group) }
    }
  }

  package static func setUp(index: Int32) -> NetlinkRequest {
    var change = LinkChange()
    change.isUp = true
    return setLink(index: index, change)
  }

  /// Waits in the kernel until no packet uses the device: 10 to 20 ms. A veth takes its other end along.
  package static func deleteLink(index: Int32) -> NetlinkRequest {
    NetlinkRequest("RTM_DELLINK", "#\(index)", type: 17) { $0.linkHeader(index: index) }
  }

  /// All links of a group, with one wait for all of them.
  package static func deleteLinks(group: UInt32) -> NetlinkRequest {
    precondition(group != 0, "group 0 is every link that nobody put into a group")
    return NetlinkRequest("RTM_DELLINK", "group \(group)", type: 17) {
      $0.linkHeader(index: 0)
      $0.attribute(27, native: group)  // IFLA_GROUP
    }
  }
}

extension NetlinkWriter {
  /// struct ifinfomsg. `isUp` nil leaves the state alone.
  mutating func linkHeader(index: Int32, isUp: Bool? = nil) {
    append(native: UInt16(0))  // AF_UNSPEC, padding
    append(native: UInt16(0))
    append(native: index)
    append(native: UInt32(isUp == true ? 1 : 0))  // IFF_UP
    append(native: UInt32(isUp == nil ? 0 : 1))
  }

  fileprivate mutating func vethEnd(_ end: VethEnd, mtu: UInt32) {
    attribute(3, string: end.name)  // IFLA_IFNAME
    attribute(4, native: mtu)  // IFLA_MTU
    attribute(1, end.hardwareAddress.bytes)  // IFLA_ADDRESS
    attribute(31, native: UInt32(1))  // IFLA_NUM_TX_QUEUES: by default one for each processor, each with its objects in sysfs
    attribute(32, native: UInt32(1))  // IFLA_NUM_RX_QUEUES
    if end.group != 0 { attribute(27, native: end.group) }
  }
}
