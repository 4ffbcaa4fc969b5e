import NFTables

/// What a WireGuard device holds.
package struct WireGuardDevice: Hashable, Sendable {
  package struct Peer: Hashable, Sendable {
    /// 32 bytes.
    package let publicKey: [UInt8]
    package var endpoint: IPAddress?
    package var port: UInt16
    /// What is sent to it, and whose addresses it may use.
    package var allowed: Set<IPPrefix>

    package init(publicKey: [UInt8], endpoint: IPAddress?, port: UInt16, allowed: Set<IPPrefix>) {
      self.publicKey = publicKey
      self.endpoint = endpoint
      self.port = port
      self.allowed = allowed
    }
  }

  /// 32 bytes; nil: none is set yet.
  package var privateKey: [UInt8]?
  package var port: UInt16
  /// By public key.
  package var peers: [[UInt8]: Peer]

  package init(privateKey: [UInt8]? = nil, port: UInt16 = 0, peers: [[UInt8]: Peer] = [:]) {
    self.privateKey = privateKey
    self.port = port
    self.peers = peers
  }

  /// From the messages of a dump of `getWireGuard`: a peer with many addresses goes on in the next message.
  package init(_ messages: [NetlinkMessage]) {
    self.init()
    for message in messages {
      let attributes = NetlinkAttributes(message.payload, from: 4)
      privateKey = attributes[3].map { [UInt8]($0) } ?? privateKey
      if let value = attributes[6], value.count == 2 { port = UInt16(value[value.startIndex]) | UInt16(value[value.startIndex + 1]) << 8 }
      guard let list = attributes[8] else { continue }
      for entry in NetlinkAttributes(list) {
        guard let peer = Self.peer(NetlinkAttributes(entry.value)) else { continue }
        peers[peer.publicKey, default: peer].allowed.formUnion(peer.allowed)
      }
    }
  }

  private static func peer(_ attributes: NetlinkAttributes) -> Peer? {
    guard let key = attributes[1], key.count == 32 else { return nil }
    var peer = Peer(publicKey: [UInt8](key), endpoint: nil, port: 0, allowed: [])
    if let endpoint = attributes[4].map({ [UInt8]($0) }), endpoint.count >= 16 {
      // struct sockaddr_in or sockaddr_in6
      peer.port = UInt16(endpoint[2]) << 8 | UInt16(endpoint[3])
      peer.endpoint = IPAddress(bytes: endpoint[0] == 2 ? Array(endpoint[4..<8]) : Array(endpoint.dropFirst(8).prefix(16)))
    }
    for entry in attributes[9].map({ NetlinkAttributes($0) }) ?? NetlinkAttributes([]) {
      let allowed = NetlinkAttributes(entry.value)
      guard let address = allowed[2].flatMap({ IPAddress(bytes: [UInt8]($0)) }), let length = allowed[3]?.first,
        Int(length) <= address.bytes.count * 8
      else { continue }
      peer.allowed.insert(IPPrefix(address, length: Int(length)))
    }
    return peer
  }
}

// Numbers: include/uapi/linux/wireguard.h, genetlink.h.
extension NetlinkRequest {
  /// A device of this kind, up, without key and peers. EOPNOTSUPP where the kernel has no WireGuard.
  package static func newWireGuard(name: String, mtu: UInt32, group: UInt32) -> NetlinkRequest {
    NetlinkRequest("RTM_NEWLINK", name, type: 16, flags: MessageFlags.create | MessageFlags.exclusive) {
      $0.linkHeader(index: 0, isUp: true)
      $0.attribute(3, string: name)
      $0.attribute(4, native: mtu)
      $0.attribute(27, native: group)
      $0.nested(18, flagged: false) { $0.attribute(1, string: "wireguard") }
    }
  }

  /// Asks for the number of a generic netlink family, on a socket of `.generic`.
  package static func genericFamily(_ name: String) -> NetlinkRequest {
    NetlinkRequest("CTRL_CMD_GETFAMILY", name, type: 16) {
      $0.append([3, 1, 0, 0])  // struct genlmsghdr
      $0.attribute(2, string: name)  // CTRL_ATTR_FAMILY_NAME
    }
  }

  /// The number in the answer to `genericFamily`.
  package static func familyNumber(_ answer: [NetlinkMessage]) -> UInt16? {
    answer.first.flatMap { NetlinkAttributes($0.payload, from: 4)[1] }.flatMap {
      $0.count >= 2 ? UInt16($0[$0.startIndex]) | UInt16($0[$0.startIndex + 1]) << 8 : nil
    }
  }

  /// For `dump` and `WireGuardDevice.init`.
  package static func getWireGuard(_ family: UInt16, link: Int32) -> NetlinkRequest {
    NetlinkRequest("WG_CMD_GET_DEVICE", "#\(link)", type: family) {
      $0.append([0, 1, 0, 0])
      $0.attribute(1, native: link)  // WGDEVICE_A_IFINDEX
    }
  }

  /// Sets key and port where they are given, sets these peers as they are here, and removes those of `gone`.
  package static func setWireGuard(
    _ family: UInt16, link: Int32, privateKey: [UInt8]?, port: UInt16?, peers: [WireGuardDevice.Peer], gone: [[UInt8]]
  ) -> NetlinkRequest {
    NetlinkRequest("WG_CMD_SET_DEVICE", "#\(link)", type: family) {
      $0.append([1, 1, 0, 0])
      $0.attribute(1, native: link)  // WGDEVICE_A_IFINDEX
      if let privateKey { $0.attribute(3, privateKey) }  // WGDEVICE_A_PRIVATE_KEY
      if let port { $0.attribute(6, native: port) }  // WGDEVICE_A_LISTEN_PORT
      if peers.isEmpty, gone.isEmpty { return }
      $0.nested(8) { writer in  // WGDEVICE_A_PEERS
        for key in gone {
          writer.nested(0) {
            $0.attribute(1, key)  // WGPEER_A_PUBLIC_KEY
            $0.attribute(3, native: UInt32(1))  // WGPEER_A_FLAGS: WGPEER_F_REMOVE_ME
          }
        }
        for peer in peers { writer.nested(0) { $0.tunnelPeer(peer) } }
      }
    }
  }
}

extension NetlinkWriter {
  fileprivate mutating func tunnelPeer(_ peer: WireGuardDevice.Peer) {
    attribute(1, peer.publicKey)
    attribute(3, native: UInt32(2))  // WGPEER_F_REPLACE_ALLOWEDIPS
    if let endpoint = peer.endpoint { attribute(4, Self.socketAddress(endpoint, peer.port)) }  // WGPEER_A_ENDPOINT
    nested(9) { writer in  // WGPEER_A_ALLOWEDIPS
      for prefix in peer.allowed.sorted(by: { $0.description < $1.description }) {
        writer.nested(0) {
          $0.attribute(1, native: UInt16(prefix.family.addressFamily))  // WGALLOWEDIP_A_FAMILY
          $0.attribute(2, prefix.address.bytes)
          $0.attribute(3, native: UInt8(prefix.length))
        }
      }
    }
  }

  /// struct sockaddr_in or sockaddr_in6.
  private static func socketAddress(_ address: IPAddress, _ port: UInt16) -> [UInt8] {
    let start = [address.family.addressFamily, 0, UInt8(port >> 8), UInt8(port & 255)]
    return address.family == .ipv4
      ? start + address.bytes + [UInt8](repeating: 0, count: 8)
      : start + [0, 0, 0, 0] + address.bytes + [0, 0, 0, 0]
  }
}
