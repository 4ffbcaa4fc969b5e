import APIMachinery
import CryptoExtras
import FoundationEssentials
import JSONCodec
import SwiftASN1
import X509

/// A CertificateSigningRequest's request, understood.
struct CertificateRequest: Sendable {
  enum Signer: String, Sendable {
    case client = "kubernetes.io/kube-apiserver-client"
    case kubeletClient = "kubernetes.io/kube-apiserver-client-kubelet"
    case kubeletServing = "kubernetes.io/kubelet-serving"
  }

  struct Malformed: Error {
    let message: String
  }

  let request: CertificateSigningRequest
  let commonName: String
  let organizations: [String]
  let alternatives: [GeneralName]

  /// From `spec.request`, base64 of PEM. The signature proves that the sender holds the key.
  init(base64: String) throws {
    guard let bytes = Base64.decode(base64), !bytes.isEmpty else { throw Malformed(message: "must be base64 of a PEM block") }
    let text = String(decoding: bytes, as: UTF8.self)
    guard let document = try? PEMDocument(pemString: text), document.discriminator == "CERTIFICATE REQUEST" else {
      throw Malformed(message: "PEM block type must be CERTIFICATE REQUEST")
    }
    do {
      request = try CertificateSigningRequest(pemDocument: document)
    } catch {
      throw Malformed(message: "the certificate request cannot be read: \(error)")
    }
    guard request.publicKey.isValidSignature(request.signature, for: request) else {
      throw Malformed(message: "the certificate request is not signed by its own key")
    }
    var (name, organizations): (String, [String]) = ("", [])
    for relative in request.subject {
      for attribute in relative {
        if attribute.type == .RDNAttributeType.commonName { name = String(describing: attribute.value) }
        if attribute.type == .RDNAttributeType.organizationName { organizations.append(String(describing: attribute.value)) }
      }
    }
    commonName = name
    self.organizations = organizations
    alternatives = try request.attributes.extensionRequest?.extensions.subjectAlternativeNames.map(Array.init) ?? []
  }

  private static let nodePrefix = "system:node:"
  private static let clientUsages: Set<String> = ["digital signature", "key encipherment", "client auth"]

  /// Why a signer of ours does not sign this; nil where it does.
  func refusal(_ signer: Signer, usages: Set<String>, username: String) -> String? {
    if let why = keyProblem { return why }
    switch signer {
    case .client:
      return usages.contains("client auth") && usages.isSubset(of: Self.clientUsages)
        ? nil : "usages did not match \(Self.clientUsages.sorted())"
    case .kubeletClient:
      if let why = nodeSubject { return why }
      guard alternatives.isEmpty else { return "subject alternative names are not allowed" }
      return Self.matches(usages, "client auth")
        ? nil : "usages did not match [client auth digital signature], with or without key encipherment"
    case .kubeletServing:
      if let why = nodeSubject { return why }
      guard username == commonName else { return "the requester is not the node that the certificate is for" }
      var (hosts, others) = (0, 0)
      for name in alternatives {
        switch name {
        case .dnsName, .ipAddress: hosts += 1
        default: others += 1
        }
      }
      guard hosts > 0 else { return "at least one DNS or IP subjectAltName is required" }
      guard others == 0 else { return "only DNS and IP subjectAltNames are allowed" }
      return Self.matches(usages, "server auth")
        ? nil : "usages did not match [digital signature server auth], with or without key encipherment"
    }
  }

  /// Bits of an RSA key: shorter ones can be broken, and each use of a longer one costs the server much.
  static let keyBits = 2048...8192

  private var keyProblem: String? {
    guard let key = _RSA.Signing.PublicKey(request.publicKey), !Self.keyBits.contains(key.keySizeInBits) else { return nil }
    return "an RSA key has to have \(Self.keyBits.lowerBound) to \(Self.keyBits.upperBound) bits, not \(key.keySizeInBits)"
  }

  /// Whose it is, of the signers for nodes.
  var nodeName: String? {
    organizations == ["system:nodes"] && commonName.hasPrefix(Self.nodePrefix) ? String(commonName.dropFirst(Self.nodePrefix.count)) : nil
  }

  private var nodeSubject: String? {
    guard organizations == ["system:nodes"] else { return "subject organization is not system:nodes" }
    guard commonName.hasPrefix(Self.nodePrefix), commonName.count > Self.nodePrefix.count else {
      return "subject common name does not begin with system:node:"
    }
    return nil
  }

  private static func matches(_ usages: Set<String>, _ purpose: String) -> Bool {
    usages.subtracting(["key encipherment"]) == ["digital signature", purpose]
  }

  /// What a kubelet's client certificate has to be for, in the permission that lets it be approved without a person:
  /// `selfnodeclient` where a node renews its own, `nodeclient` where a machine joins.
  func automaticPermission(usages: Set<String>, username: String) -> String? {
    guard refusal(.kubeletClient, usages: usages, username: username) == nil else { return nil }
    return username == commonName ? "selfnodeclient" : "nodeclient"
  }
}

extension CertificateAuthority {
  /// Seconds that certificates for requests live when nobody asks for less.
  package static let requestSecondsMax = 365 * 86_400
  /// Seconds before now from which they are valid: clocks differ. At most this part of their life, though.
  private static let backdateSeconds = 300.0
  private static let backdatePart = 0.1

  /// A certificate for a request that has been approved, as PEM.
  func sign(
    _ request: CertificateRequest, usages: Set<String>, expirationSeconds: Int?, secondsMax: Int = requestSecondsMax
  ) throws -> String {
    let now = Date(timeIntervalSince1970: Date.now.timeIntervalSince1970.rounded(.down))
    let seconds = min(expirationSeconds ?? secondsMax, secondsMax)
    let purposes: [ExtendedKeyUsage.Usage] =
      (usages.contains("client auth") ? [.clientAuth] : []) + (usages.contains("server auth") ? [.serverAuth] : [])
    // A node's begins now, as whether it was signed before the node was deleted counts.
    let backdate = request.organizations.contains("system:nodes") ? 0 : min(Self.backdateSeconds, Double(seconds) * Self.backdatePart)
    return try issue(
      request.request.publicKey, subject: request.request.subject, from: now.addingTimeInterval(-backdate),
      to: now.addingTimeInterval(Double(seconds)),
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        // Without a bit it would be malformed (RFC 5280, 4.2.1.3), and Go's programs refuse such a certificate.
        if !usages.isDisjoint(with: ["digital signature", "key encipherment"]) {
          Critical(
            KeyUsage(digitalSignature: usages.contains("digital signature"), keyEncipherment: usages.contains("key encipherment")))
        }
        try ExtendedKeyUsage(purposes)
        if !request.alternatives.isEmpty { SubjectAlternativeNames(request.alternatives) }
      })
  }
}
