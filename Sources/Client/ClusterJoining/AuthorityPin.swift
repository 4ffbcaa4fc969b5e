import Crypto
import FoundationEssentials
import SwiftASN1
import X509

/// By what a cluster's authority is known before anything of it is trusted: SHA-256 of its certificate's SubjectPublicKeyInfo in DER,
/// as kubeadm's `--discovery-token-ca-cert-hash` has it (RFC 7469, 2.4, in hex).
package struct AuthorityPin: Sendable, Equatable {
  private static let prefix = "sha256:"
  private static let hexDigits = 64

  /// `sha256:` and 64 hex digits.
  package let text: String

  package init(_ text: String) throws {
    let text = text.lowercased()
    let digits = text.dropFirst(Self.prefix.count).utf8
    guard text.hasPrefix(Self.prefix), digits.count == Self.hexDigits,
      digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else {
      throw JoinToken.Malformed(
        description: "\(text) is no hash of an authority: one looks like sha256: with \(Self.hexDigits) hex digits behind it")
    }
    self.text = text
  }

  /// The pin of a certificate.
  package init(_ certificate: Certificate) throws {
    let key = try certificate.publicKey.serializeAsPEM().derBytes
    let digest = SHA256.hash(data: key).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    text = Self.prefix + digest
  }

  /// The pins of all certificates in a PEM text.
  package static func pins(ofPEM pem: [UInt8]) throws -> [AuthorityPin] {
    try authorities(inPEM: pem).map { try AuthorityPin($0.certificate) }
  }

  static func authorities(inPEM pem: [UInt8]) throws -> [(certificate: Certificate, pem: String)] {
    try PEMDocument.parseMultiple(pemString: String(decoding: pem, as: UTF8.self)).filter { $0.discriminator == "CERTIFICATE" }.map {
      (try Certificate(pemDocument: $0), $0.pemString + "\n")
    }
  }
}
