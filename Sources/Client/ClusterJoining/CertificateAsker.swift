import Crypto
import FoundationEssentials
import JSONCodec
import KubernetesClient
import Logging
import SwiftASN1
import X509

/// A key and the certificate that the cluster signed for it, as PEM.
package struct SignedKey: Sendable {
  package let certificatePEM: String
  package let keyPEM: String
}

/// Asks the cluster's certificates API for a node's certificate and waits for it.
package struct CertificateAsker: Sendable {
  package enum Purpose: Sendable, Equatable {
    /// To speak to the API server as the node.
    case client
    /// For the node's own endpoint, at these addresses (4 or 16 bytes each).
    case serving(addresses: [[UInt8]])

    var signer: String { self == .client ? "kubernetes.io/kube-apiserver-client-kubelet" : "kubernetes.io/kubelet-serving" }
    var usage: String { self == .client ? "client auth" : "server auth" }
  }

  package enum Refusal: Error, CustomStringConvertible {
    case denied(request: String, why: String)
    case late(request: String, seconds: Double)

    package var description: String {
      switch self {
      case .denied(let request, let why): "the cluster refused the certificate request \(request): \(why)"
      case .late(let request, let seconds):
        "nobody approved the certificate request \(request) within \(Int(seconds)) s; on the server: kubectl certificate approve \(request)"
      }
    }
  }

  /// Seconds of silence after which a waiting request is told to the log.
  static let patienceSeconds = 10.0
  /// Seconds to wait where something else will do for the time being.
  package static var patience: Double { patienceSeconds }
  private static let path = ResourcePath(group: "certificates.k8s.io", "certificatesigningrequests")

  let client: KubernetesClient
  let nodeName: String
  let log: Logger

  package init(client: KubernetesClient, nodeName: String, log: Logger) {
    self.client = client
    self.nodeName = nodeName
    self.log = log
  }

  /// - Parameter seconds: how long to wait for the signature; nil: until somebody decides.
  /// - Throws: `APIStatusError` where the request was not even taken, `Refusal`.
  package func ask(_ purpose: Purpose, within seconds: Double? = nil) async throws -> SignedKey {
    let key = P256.Signing.PrivateKey()
    let spec: JSON = [
      "request": .string(Data(try request(purpose, key).utf8).base64EncodedString()), "signerName": .string(purpose.signer),
      "usages": ["digital signature", .string(purpose.usage)],
    ]
    let made = try await client.create(
      Self.path,
      [
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": ["generateName": .string("node-csr-")], "spec": spec,
      ])
    let name = made["metadata"]["name"].string ?? ""
    let pem = try await signed(name, within: seconds)
    return SignedKey(certificatePEM: pem, keyPEM: key.pemRepresentation + "\n")
  }

  private func request(_ purpose: Purpose, _ key: P256.Signing.PrivateKey) throws -> String {
    let subject = try DistinguishedName {
      OrganizationName("system:nodes")
      CommonName("system:node:\(nodeName)")
    }
    var attributes = CertificateSigningRequest.Attributes()
    if case .serving(let addresses) = purpose {
      let names: [GeneralName] = [.dnsName(nodeName)] + addresses.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
      let extensions = try Certificate.Extensions { SubjectAlternativeNames(names) }
      attributes = try CertificateSigningRequest.Attributes([.init(ExtensionRequest(extensions: extensions))])
    }
    return try CertificateSigningRequest(
      version: .v1, subject: subject, privateKey: .init(key), attributes: attributes, signatureAlgorithm: .ecdsaWithSHA256
    ).serializeAsPEM().pemString + "\n"
  }

  private func signed(_ name: String, within seconds: Double?) async throws -> String {
    try await withThrowingTaskGroup(of: String?.self) { group in
      group.addTask {
        for await event in client.reflect(Self.path, fieldSelector: "metadata.name=\(name)", log: log) {
          switch event {
          case .synced(let all):
            guard let object = all.first else { throw Refusal.denied(request: name, why: "it was deleted") }
            if let pem = try Self.outcome(object, name) { return pem }
          case .changed(let object): if let pem = try Self.outcome(object, name) { return pem }
          case .deleted: throw Refusal.denied(request: name, why: "it was deleted")
          }
        }
        throw CancellationError()
      }
      group.addTask {
        try await Task.sleep(for: .seconds(min(seconds ?? .infinity, Self.patienceSeconds)))
        if let seconds, seconds <= Self.patienceSeconds { throw Refusal.late(request: name, seconds: seconds) }
        log.warning("the certificate request \(name) waits for somebody to approve it; on the server: kubectl certificate approve \(name)")
        guard let seconds else { return nil }
        try await Task.sleep(for: .seconds(seconds - Self.patienceSeconds))
        throw Refusal.late(request: name, seconds: seconds)
      }
      defer { group.cancelAll() }
      while let result = try await group.next() {
        if let result { return result }
      }
      throw CancellationError()
    }
  }

  /// The certificate; nil while it is still to come.
  static func outcome(_ object: JSON, _ name: String) throws -> String? {
    for condition in object["status"]["conditions"].array ?? [] where ["Denied", "Failed"].contains(condition["type"].string ?? "") {
      throw Refusal.denied(request: name, why: condition["message"].string ?? condition["reason"].string ?? "no reason was given")
    }
    guard let text = object["status"]["certificate"].string, let data = Data(base64Encoded: text), !data.isEmpty else { return nil }
    return String(decoding: data, as: UTF8.self)
  }
}
