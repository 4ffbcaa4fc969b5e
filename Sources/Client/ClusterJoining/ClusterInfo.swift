import Crypto
import FoundationEssentials
import JSONCodec
import KubernetesClient

/// What a cluster publishes about itself in the ConfigMap kube-public/cluster-info, before and after it is believed.
package struct ClusterInfo: Sendable, Equatable {
  static let name = "cluster-info"
  private static let signaturePrefix = "jws-kubeconfig-"

  /// How the cluster says that it is reached.
  package let server: String
  /// PEM of the authorities that are trusted: those that fit a pin, or all where there is none.
  package let authorityPEM: [UInt8]

  package enum Distrust: Error, Equatable, CustomStringConvertible {
    case unsigned(tokenID: String)
    case wronglySigned(tokenID: String)
    case unpinned(found: [String])
    case malformed(String)

    package var description: String {
      switch self {
      case .unsigned(let id):
        "the cluster has no token \(id): it has expired, was deleted, or is another cluster's. "
          + "Make one on the server: swiftlet token create"
      case .wronglySigned(let id):
        "what the server says about its cluster is not signed with the token \(id): its secret is wrong, or somebody else answers in the server's place. "
          + "Compare the token with what `swiftlet token create` printed."
      case .unpinned(let found):
        "the cluster's authority is not the one that the token names; its own hash is \(found.joined(separator: ", ")). "
          + "This is another cluster, or somebody answers in its place: nothing was sent there."
      case .malformed(let problem): "what the server says about its cluster cannot be used: \(problem)"
      }
    }
  }

  /// Believes the ConfigMap only where it was signed by someone who knows the token, and fits the token's pins.
  package init(_ object: JSON, token: JoinToken) throws {
    let content = object["data"]["kubeconfig"].string ?? ""
    guard let signature = object["data"][Self.signaturePrefix + token.id].string else { throw Distrust.unsigned(tokenID: token.id) }
    guard Self.isSigned(content, signature, by: token) else { throw Distrust.wronglySigned(tokenID: token.id) }
    let cluster: (server: String, authority: [UInt8])
    do {
      cluster = try Kubeconfig.firstCluster(of: content)
    } catch {
      throw Distrust.malformed("\(error)")
    }
    server = cluster.server
    guard let all = try? AuthorityPin.authorities(inPEM: cluster.authority), !all.isEmpty else {
      throw Distrust.malformed("it holds no certificate of an authority")
    }
    guard !token.pins.isEmpty else {
      authorityPEM = cluster.authority
      return
    }
    let pinned = try all.filter { token.pins.contains(try AuthorityPin($0.certificate)) }
    guard !pinned.isEmpty else { throw Distrust.unpinned(found: try all.map { try AuthorityPin($0.certificate).text }) }
    authorityPEM = Array(pinned.map(\.pem).joined().utf8)
  }

  /// A detached JWS (RFC 7515, appendix F) with HMAC-SHA256 of the token's secret.
  static func isSigned(_ content: String, _ signature: String, by token: JoinToken) -> Bool {
    let parts = signature.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[1].isEmpty, let head = bytes(parts[0]), let code = bytes(parts[2]),
      let header = try? JSON.parse(head), header["alg"].string == "HS256", header["kid"].string == token.id
    else { return false }
    let signed = "\(parts[0])." + urlSafe(Array(content.utf8))
    return HMAC<SHA256>.isValidAuthenticationCode(
      code, authenticating: Data(signed.utf8), using: SymmetricKey(data: Data(token.secret.utf8)))
  }

  private static func urlSafe(_ bytes: [UInt8]) -> String {
    var text = Data(bytes).base64EncodedString()
    while text.hasSuffix("=") { text.removeLast() }
    return String(text.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
  }

  private static func bytes(_ text: Substring) -> [UInt8]? {
    let plain = String(text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
    return Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)).map { Array($0) }
  }
}
