import APIServer
import ClusterJoining
import FoundationEssentials
import KubernetesClient
import SwiftASN1
import SystemPackage
import X509

/// What a node that joined by token keeps in `<data-dir>/agent`, all of it readable by root alone: `kubeconfig` with its key and
/// certificate, and `serving.pem` with those of its endpoint. Each is one file, so that a key and its certificate change together.
struct MembershipFiles {
  private let directory: FilePath

  init(data: FilePath) throws {
    directory = data.appending("agent")
    try makeDirectory(directory.string, mode: 0o700)
  }

  var path: String { directory.appending("kubeconfig").string }
  private var servingPath: String { directory.appending("serving.pem").string }

  func credential() throws -> NodeCredential? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    guard let credential = NodeCredential(try Kubeconfig(file: path)) else {
      throw StartFailure("\(path) holds no node's certificate. Remove it and join again with --token.")
    }
    return credential
  }

  func keep(_ credential: NodeCredential) throws { try write(credential.text, path) }

  func keep(serving key: SignedKey) throws -> Credential {
    try write(key.certificatePEM + key.keyPEM, servingPath)
    return Credential(certificatePEM: key.certificatePEM, keyPEM: key.keyPEM)
  }

  private func write(_ text: String, _ path: String) throws {
    do {
      try PrivateFile.write(Array(text.utf8), to: path, mode: 0o600)
    } catch {
      throw StartFailure("\(error). Free some space there, or check its permissions.")
    }
  }

  /// The stored certificate of the endpoint where it is good for this node and address.
  func serving(nodeName: String, address: String) -> Credential? {
    guard let bytes = FileManager.default.contents(atPath: servingPath),
      let documents = try? PEMDocument.parseMultiple(pemString: String(decoding: bytes, as: UTF8.self)),
      let first = documents.first(where: { $0.discriminator == "CERTIFICATE" }), let key = documents.first(where: { $0.discriminator != "CERTIFICATE" }),
      let certificate = try? Certificate(pemDocument: first), certificate.notValidAfter > .now,
      let alternatives = try? certificate.extensions.subjectAlternativeNames
    else { return nil }
    let wanted = Machine.addressBytes(address).map { GeneralName.ipAddress(ASN1OctetString(contentBytes: $0[...])) }
    guard alternatives.contains(.dnsName(nodeName)), wanted.map({ alternatives.contains($0) }) ?? false else { return nil }
    return Credential(certificatePEM: first.pemString + "\n", keyPEM: key.pemString + "\n")
  }

  /// Nil for one of the node's own authority, which has to give way as soon as the cluster signs one.
  func renewal(of credential: Credential) -> Renewal? {
    guard let certificate = try? Certificate(pemEncoded: credential.certificatePEM), FileManager.default.fileExists(atPath: servingPath)
    else { return nil }
    return Renewal(from: certificate.notValidBefore, to: certificate.notValidAfter)
  }
}
