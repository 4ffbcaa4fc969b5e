import JSONCodec
import SwiftASN1
import X509

/// What may stand in a certificate for a node's endpoint without a person's look at it: the node's own name, and addresses that belong
/// neither to this server nor to another node. All of them share one authority, so a certificate with the server's name in it would
/// make a node the server.
struct ServingRules: Sendable {
  let ownNames: Set<String>
  /// 4 or 16 bytes each.
  let ownAddresses: Set<[UInt8]>

  /// Why somebody has to look at a request; nil where nothing speaks against it.
  func objection(_ request: CertificateRequest, nodes: [JSON]) -> String? {
    guard let node = request.nodeName else { return "it is no node's" }
    for alternative in request.alternatives {
      switch alternative {
      case .dnsName(let name):
        guard name == node else { return "\(name) is not the node's name" }
        guard !ownNames.contains(name) else { return "\(name) is a name of the API server" }
      case .ipAddress(let octets):
        let bytes = Array(octets.bytes)
        guard !ownAddresses.contains(bytes) else { return "\(Self.text(bytes)) is an address of the API server" }
        let text = Self.text(bytes)
        for other in nodes where other["metadata"]["name"].string != node {
          let addresses = (other["status"]["addresses"].array ?? []).compactMap { $0["address"].string }
          guard !addresses.contains(text) else { return "\(text) is an address of node \(other["metadata"]["name"].string ?? "")" }
        }
      default: return "it names something else than names and addresses"
      }
    }
    return nil
  }

  private static func text(_ bytes: [UInt8]) -> String {
    if bytes.count == 4 { return bytes.map(String.init).joined(separator: ".") }
    var address = in6_addr()
    withUnsafeMutableBytes(of: &address) { $0.copyBytes(from: bytes.prefix(16)) }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    inet_ntop(AF_INET6, &address, &text, socklen_t(INET6_ADDRSTRLEN))
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

#if canImport(Glibc)
  import Glibc
#endif
