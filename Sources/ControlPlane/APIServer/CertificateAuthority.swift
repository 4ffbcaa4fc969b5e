import Crypto
import FoundationEssentials
import SwiftASN1
import SystemPackage
import X509

/// A key and its certificate, as PEM.
package struct Credential: Sendable {
  package let certificatePEM: String
  package let keyPEM: String
  package init(certificatePEM: String, keyPEM: String) {
    self.certificatePEM = certificatePEM
    self.keyPEM = keyPEM
  }
}

/// A file of the server's identity that cannot be read, written or understood.
package struct IdentityError: Error, CustomStringConvertible {
  package let path: String
  package let problem: String
  package var description: String { "\(path): \(problem)" }
}

/// The cluster's own certificate authority: made on the first start, kept in `<data-dir>/pki`, mode 0600.
package struct CertificateAuthority: Sendable {
  static let yearsValid = 10.0
  /// Leaf certificates live a year, and are made anew at each start.
  static let leafYearsValid = 1.0
  private static let secondsPerYear = 365.25 * 86_400

  private let certificate: Certificate
  private let key: P256.Signing.PrivateKey
  package let certificatePEM: String

  /// Reads the authority in a folder, or makes one there.
  /// - Parameter name: of its files (`<name>.crt`, `<name>.key`); its common name is `swiftlet-<name>`.
  package init(directory: FilePath, name fileName: String = "ca") throws {
    let certificatePath = directory.appending("\(fileName).crt").string
    let keyPath = directory.appending("\(fileName).key").string
    let files = FileManager.default
    // A lost key is no reason for a new authority: everything that trusts the old one would be locked out.
    if files.fileExists(atPath: certificatePath), !files.fileExists(atPath: keyPath) {
      throw IdentityError(path: keyPath, problem: "is missing; \(Self.remedy(fileName))")
    }
    if let keyData = files.contents(atPath: keyPath), let certificateData = files.contents(atPath: certificatePath) {
      certificatePEM = String(decoding: certificateData, as: UTF8.self)
      do {
        certificate = try Certificate(pemEncoded: certificatePEM)
      } catch {
        throw IdentityError(
          path: certificatePath,
          problem: "is no PEM certificate (\(error)); \(Self.remedy(fileName))")
      }
      key = try Self.read(keyData, keyPath, fileName)
      try Self.check(certificate, key, path: certificatePath, fileName)
      return
    }
    // A process that ended between the two files, or somebody, left a key alone: a certificate of the same key serves as the lost one did.
    let key = try files.contents(atPath: keyPath).map { try Self.read($0, keyPath, fileName) } ?? P256.Signing.PrivateKey()
    let name = try DistinguishedName { CommonName("swiftlet-\(fileName)") }
    let certificate = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: Date.now.addingTimeInterval(-3600),
      notValidAfter: Date.now.addingTimeInterval(Self.yearsValid * Self.secondsPerYear), issuer: name, subject: name,
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
        Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
        SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
      }, issuerPrivateKey: .init(key))
    self.key = key
    self.certificate = certificate
    certificatePEM = try certificate.serializeAsPEM().pemString + "\n"
    try PrivateFile.write(Array(key.pemRepresentation.utf8), to: keyPath, mode: 0o600)
    try PrivateFile.write(Array(certificatePEM.utf8), to: certificatePath, mode: 0o644)
  }

  /// An authority that clients will accept: of this key, one that may sign, and in its time.
  private static func check(_ certificate: Certificate, _ key: P256.Signing.PrivateKey, path: String, _ fileName: String) throws {
    let remedy = remedy(fileName)
    guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else {
      throw IdentityError(path: path, problem: "does not belong to the key \(fileName).key beside it; \(remedy)")
    }
    let constraints = try? certificate.extensions.basicConstraints
    guard case .isCertificateAuthority? = constraints else {
      throw IdentityError(path: path, problem: "is not the certificate of an authority; \(remedy)")
    }
    guard certificate.notValidAfter > Date.now else {
      throw IdentityError(path: path, problem: "ended on \(day(certificate.notValidAfter)); \(remedy)")
    }
    guard certificate.notValidBefore < Date.now else {
      throw IdentityError(
        path: path, problem: "is only valid from \(day(certificate.notValidBefore)) on: is this machine's clock right? Otherwise \(remedy)")
    }
  }

  private static func remedy(_ name: String) -> String {
    "restore it from a backup, or remove both \(name).crt and \(name).key to start a new authority (kubeconfig files and nodes then need new ones)"
  }

  private static func read(_ data: Data, _ path: String, _ name: String) throws -> P256.Signing.PrivateKey {
    do {
      return try P256.Signing.PrivateKey(pemRepresentation: String(decoding: data, as: UTF8.self))
    } catch {
      throw IdentityError(path: path, problem: "is no P-256 key in PEM (\(error)); \(remedy(name))")
    }
  }

  private static func day(_ date: Date) -> String { String("\(date)".prefix(10)) }

  /// A server's certificate for these names and IPv4 or IPv6 addresses.
  package func server(commonName: String, organization: String? = nil, names: [String], addresses: [[UInt8]]) throws -> Credential {
    let alternatives = names.map { GeneralName.dnsName($0) } + addresses.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
    return try issue(commonName, organization.map { [$0] } ?? [], [.serverAuth, .clientAuth], alternatives)
  }

  /// A client's certificate: the user's name and groups.
  package func client(user: String, groups: [String]) throws -> Credential { try issue(user, groups, [.clientAuth], []) }

  private func issue(
    _ commonName: String, _ organizations: [String], _ usages: [ExtendedKeyUsage.Usage], _ alternatives: [GeneralName]
  ) throws -> Credential {
    let leaf = P256.Signing.PrivateKey()
    let subject = try DistinguishedName {
      for organization in organizations { OrganizationName(organization) }
      CommonName(commonName)
    }
    // What is a node's begins when it was signed: a node that is deleted loses all that it had until then, and nothing later.
    let backdated = organizations.contains("system:nodes") ? Date.now : Date.now.addingTimeInterval(-3600)
    let pem = try issue(
      .init(leaf.publicKey), subject: subject, from: backdated,
      to: Date.now.addingTimeInterval(Self.leafYearsValid * Self.secondsPerYear),
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage(usages)
        if !alternatives.isEmpty { SubjectAlternativeNames(alternatives) }
      })
    return Credential(certificatePEM: pem, keyPEM: leaf.pemRepresentation + "\n")
  }

  /// A certificate for a public key, as PEM; it never outlives the authority's own.
  func issue(
    _ publicKey: Certificate.PublicKey, subject: DistinguishedName, from: Date, to: Date, extensions: Certificate.Extensions
  ) throws -> String {
    // Certificates know whole seconds, and rounded up one would not be good yet.
    let begin = Date(timeIntervalSince1970: from.timeIntervalSince1970.rounded(.down))
    let leaf = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: begin,
      notValidAfter: min(to, certificate.notValidAfter), issuer: certificate.subject, subject: subject,
      signatureAlgorithm: .ecdsaWithSHA256, extensions: extensions, issuerPrivateKey: .init(key))
    return try leaf.serializeAsPEM().pemString + "\n"
  }
}

/// Files that appear whole or not at all.
package enum PrivateFile {
  package static func write(_ bytes: [UInt8], to path: String, mode: UInt16) throws {
    let temporary = FilePath(path + ".new")
    do {
      let descriptor = try FileDescriptor.open(
        temporary, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: FilePermissions(rawValue: CInterop.Mode(mode)))
      try descriptor.closeAfter {
        _ = try descriptor.writeAll(bytes)
      }
      try rename(temporary, FilePath(path))
    } catch let error as Errno {
      _ = unlink(temporary.string)
      throw IdentityError(path: path, problem: "cannot be written: \(error)")
    }
  }

  private static func rename(_ from: FilePath, _ to: FilePath) throws {
    guard Glibc.rename(from.string, to.string) == 0 else { throw Errno(rawValue: errno) }
  }
}

#if canImport(Glibc)
  import Glibc
#endif
