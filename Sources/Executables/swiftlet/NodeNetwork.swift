import APIServer
import Crypto
import FoundationEssentials
import JSONCodec
import Kubelet
import KubernetesClient
import Logging
import PodNetwork
import SystemPackage

/// The ways from this node's pods to those of other nodes.
struct NodeNetwork {
  let role: NodeRole
  let agent: NodeAgent
  let network: PodNetwork

  /// Nil: they are somebody else's business.
  func start() async throws -> PeerNetwork? {
    let backend = role.options.podNetworkBackend
    let tunnel = backend == .wireguard ? try await takeKey() : nil
    let peers = try PeerNetwork(
      PeerConfiguration(backend: backend, nodeName: role.nodeName, nodeAddresses: [role.nodeAddress], tunnel: tunnel), network: network,
      log: role.log
    ) { [agent] problem in if backend != .none { agent.set(network: problem.map { .unavailable($0) } ?? .available) } }
    var nodes: [JSON] = []
    if backend != .none {
      do {
        nodes = try await role.servicesClient.list(.nodes).items
      } catch {
        role.log.warning("the other nodes are not known yet, so their pods are not reached: \(error)")
      }
    }
    do {
      try await peers.start(nodes)
    } catch let error as PodNetworkError {
      throw StartFailure("\(error.message)")
    }
    return backend == .none ? nil : peers
  }

  /// The node's own key, made once; its public half is told to the others by the Node object.
  private func takeKey() async throws -> WireGuardTunnel {
    let path = role.paths.data.appending("network").appending(WireGuardTunnel.keyName).string
    let secret: Curve25519.KeyAgreement.PrivateKey
    if FileManager.default.fileExists(atPath: path) {
      let text = try TextFile.read(path).split(whereSeparator: \.isWhitespace).first.map { String($0) } ?? ""
      guard let key = WireGuardKey(base64: text) else {
        throw StartFailure("\(path) holds no WireGuard key. Remove it, and the node gets another one.")
      }
      secret = try Curve25519.KeyAgreement.PrivateKey(rawRepresentation: key.bytes)
    } else {
      secret = Curve25519.KeyAgreement.PrivateKey()
      guard let key = WireGuardKey(Array(secret.rawRepresentation)) else { throw StartFailure("no WireGuard key could be made") }
      try PrivateFile.write(Array((key.base64 + "\n").utf8), to: path, mode: 0o600)
    }
    guard let own = WireGuardKey(Array(secret.rawRepresentation)), let told = WireGuardKey(Array(secret.publicKey.rawRepresentation)) else {
      throw StartFailure("\(path) holds no WireGuard key")
    }
    var annotations = JSON.object(JSONObject())
    annotations[PeerNode.keyAnnotation] = .string(told.base64)
    if agent.node?["metadata"]["annotations"][PeerNode.keyAnnotation].string != told.base64 {
      try await role.client.patch(.nodes, name: role.nodeName, ["metadata": ["annotations": annotations]])
    }
    return WireGuardTunnel(privateKey: own)
  }
}
