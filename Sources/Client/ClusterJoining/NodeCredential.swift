import FoundationEssentials
import KubernetesClient
import X509

/// As whom a node speaks to its cluster, with the time that its certificate is good for.
package struct NodeCredential: Sendable {
  package let kubeconfig: Kubeconfig
  package let nodeName: String
  package let notBefore: Date
  package let notAfter: Date

  private static let userPrefix = "system:node:"

  /// Nil where the kubeconfig holds no certificate of a node.
  package init?(_ kubeconfig: Kubeconfig) {
    guard let pem = kubeconfig.clientCertificate, kubeconfig.clientKey != nil,
      let certificate = try? Certificate(pemEncoded: String(decoding: pem, as: UTF8.self))
    else { return nil }
    var name = ""
    for relative in certificate.subject {
      for attribute in relative where attribute.type == .RDNAttributeType.commonName { name = String(describing: attribute.value) }
    }
    guard name.hasPrefix(Self.userPrefix), name.count > Self.userPrefix.count else { return nil }
    self.kubeconfig = kubeconfig
    nodeName = String(name.dropFirst(Self.userPrefix.count))
    (notBefore, notAfter) = (certificate.notValidBefore, certificate.notValidAfter)
  }

  package var user: String { Self.userPrefix + nodeName }

  package func isOver(_ now: Date) -> Bool { now >= notAfter }
  package var renewal: Renewal { Renewal(from: notBefore, to: notAfter) }

  /// The same way to the cluster with a newly signed key.
  package func renewed(_ key: SignedKey) throws -> NodeCredential {
    var next = kubeconfig
    next.clientCertificate = Array(key.certificatePEM.utf8)
    next.clientKey = Array(key.keyPEM.utf8)
    guard let credential = NodeCredential(next) else { throw ClusterInfo.Distrust.malformed("the certificate that was signed is no node's") }
    return credential
  }

  package var text: String { kubeconfig.text(name: "swiftlet", user: user) }
}
