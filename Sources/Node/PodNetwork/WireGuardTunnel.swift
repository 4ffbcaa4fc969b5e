import NFTables
import Netlink
import SystemPackage

/// This node's end of the encrypted network.
package struct WireGuardTunnel: Sendable {
  /// The private key's file in the network's state directory, in base64 as `wg` reads it.
  package static let keyName = "wireguard.key"

  package let privateKey: WireGuardKey

  package init(privateKey: WireGuardKey) { self.privateKey = privateKey }

  /// What has to be told to a device that holds `found`; nil: nothing.
  static func changes(_ wanted: WireGuardDevice, from found: WireGuardDevice) -> (
    privateKey: [UInt8]?, port: UInt16?, peers: [WireGuardDevice.Peer], gone: [[UInt8]]
  )? {
    let key = wanted.privateKey == found.privateKey ? nil : wanted.privateKey
    let port = wanted.port == found.port ? nil : wanted.port
    let peers = wanted.peers.values.filter { peer in
      guard let before = found.peers[peer.publicKey] else { return true }
      // The endpoint follows the peer when that changes its address; here the Node object counts.
      return before != peer
    }
    .sorted { $0.publicKey.lexicographicallyPrecedes($1.publicKey) }
    let gone = found.peers.keys.filter { wanted.peers[$0] == nil }.sorted { $0.lexicographicallyPrecedes($1) }
    return key == nil && port == nil && peers.isEmpty && gone.isEmpty ? nil : (key, port, peers, gone)
  }
}

extension PeerKernel {
  /// Peers in one message: attributes have 64 KiB.
  private static let peersMax = 200

  func bringWireGuard(_ tunnel: WireGuardTunnel, _ peers: [PeerPlan.TunnelPeer], mtu: UInt32, _ site: NodeSite) throws -> Int32 {
    let name = Overlay.wireGuardName(plan.prefix)
    if let link = try ownDevice(name).flatMap({ Link($0) }) {
      var change = LinkChange()
      if link.mtu != mtu { change.mtu = mtu }
      if !link.isUp { change.isUp = true }
      if change.mtu != nil || change.isUp != nil { try worker.route.request(.setLink(index: link.index, change)) }
    } else {
      switch try worker.route.exchange([.newWireGuard(name: name, mtu: mtu, group: plan.deviceGroup)])[0] {
      case .success: break
      case .failure(let error) where error.errno == .notSupported:
        throw PodNetworkError(
          .kernel, "this kernel has no WireGuard (CONFIG_WIREGUARD): load its module, or use another --pod-network-backend", cause: error)
      case .failure(let error): throw error
      }
    }
    guard let link = try worker.link(name) else { throw NetlinkError("RTM_NEWLINK", name, errno: .noSuchAddressOrDevice) }
    let socket = try NetlinkSocket(.generic)
    guard let family = NetlinkRequest.familyNumber(try socket.request(.genericFamily("wireguard"))) else {
      throw NetlinkError("CTRL_CMD_GETFAMILY", "wireguard", errno: .badMessage)
    }
    let wanted = WireGuardDevice(
      privateKey: tunnel.privateKey.bytes, port: Overlay.wireGuardPort,
      peers: Dictionary(
        uniqueKeysWithValues: peers.map {
          (
            $0.key.bytes,
            WireGuardDevice.Peer(
              publicKey: $0.key.bytes, endpoint: $0.endpoint, port: Overlay.wireGuardPort, allowed: Set($0.allowed))
          )
        }))
    let found = WireGuardDevice(try socket.dump(.getWireGuard(family, link: link.index)))
    if let changes = WireGuardTunnel.changes(wanted, from: found) {
      var rest = changes.peers[...]
      try socket.request(
        .setWireGuard(
          family, link: link.index, privateKey: changes.privateKey, port: changes.port, peers: Array(rest.prefix(Self.peersMax)),
          gone: changes.gone))
      rest = rest.dropFirst(Self.peersMax)
      while !rest.isEmpty {
        try socket.request(
          .setWireGuard(family, link: link.index, privateKey: nil, port: nil, peers: Array(rest.prefix(Self.peersMax)), gone: []))
        rest = rest.dropFirst(Self.peersMax)
      }
    }
    try settle(link, site)
    return link.index
  }
}
