import APIMachinery
import Crypto
import CryptoExtras
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import SwiftASN1
import X509

/// What cryptography has to say about a PodCertificateRequest: that its sender holds the key, and that a certificate which a signer
/// gives is one for that key and of the times that its status tells.
enum PodCertificates {
  private static let clockSeconds = 300.0
  private static let lifeSecondsMin = 3_600.0
  private static let refreshMarginSeconds = 600.0
  private static let rsaBits = [3_072, 4_096]

  static func problems(_ request: JSON, old: JSON?, subresource: String?, now: Timestamp) -> [FieldError] {
    switch subresource {
    case nil where old == nil: keyProblem(request["spec"]).map { [$0] } ?? []
    case "status"?:
      if let old, old["status"]["conditions"].isEmpty, request["status"]["conditions"][0]["type"] == "Issued" {
        chainProblems(request["status"], old["spec"], now)
      } else {
        []
      }
    default: []
    }
  }

  private static func invalid(_ path: String, _ value: JSON?, _ detail: String) -> FieldError {
    let shown = value.map { "Invalid value: \($0.text()): " } ?? "Invalid value: "
    return FieldError(path: path, reason: .invalid, message: shown + detail)
  }

  private static func bytes(_ json: JSON) -> [UInt8] { json.string.flatMap { Base64.decode($0) } ?? [] }

  // MARK: the key

  /// The key that a request is about; nil where it is none.
  private static func key(_ spec: JSON) -> Certificate.PublicKey? {
    if !spec["pkixPublicKey"].isEmpty { return try? Certificate.PublicKey(derEncoded: bytes(spec["pkixPublicKey"])) }
    return try? CertificateSigningRequest(derEncoded: bytes(spec["stubPKCS10Request"])).publicKey
  }

  private static func keyProblem(_ spec: JSON) -> FieldError? {
    guard spec["pkixPublicKey"].isEmpty else { return proofProblem(spec) }
    let path = "spec.stubPKCS10Request"
    guard let stub = try? CertificateSigningRequest(derEncoded: bytes(spec["stubPKCS10Request"])) else {
      return invalid(path, spec["stubPKCS10Request"], "must be a valid PKCS#10 certificate signing request with a supported key")
    }
    if let why = rsaProblem(stub.publicKey, path) { return why }
    guard stub.publicKey.isValidSignature(stub.signature, for: stub) else {
      return invalid(path, nil, "could not verify the signature of the certificate signing request")
    }
    return nil
  }

  private static func proofProblem(_ spec: JSON) -> FieldError? {
    let path = "spec.pkixPublicKey"
    guard let key = key(spec) else {
      return invalid(path, spec["pkixPublicKey"], "must be a valid PKIX-serialized public key; supported types are Ed25519, ECDSA, and RSA")
    }
    if let why = rsaProblem(key, path) { return why }
    return holds(key, bytes(spec["proofOfPossession"]), of: spec["podUID"].string ?? "")
      ? nil : invalid("spec.proofOfPossession", nil, "could not verify proof-of-possession signature")
  }

  private static func rsaProblem(_ key: Certificate.PublicKey, _ path: String) -> FieldError? {
    guard let rsa = _RSA.Signing.PublicKey(key), !rsaBits.contains(rsa.keySizeInBits) else { return nil }
    return invalid(path, .string("\(rsa.keySizeInBits)-bit modulus"), "RSA keys must have modulus size 3072 or 4096")
  }

  /// Whether a proof is the key's signature of the pod's UID: Ed25519 of the text, the others of its SHA-256 (RSA with PSS).
  private static func holds(_ key: Certificate.PublicKey, _ proof: [UInt8], of uid: String) -> Bool {
    let text = Array(uid.utf8)
    let digest = SHA256.hash(data: text)
    if let key = Curve25519.Signing.PublicKey(key) { return key.isValidSignature(proof, for: text) }
    if let key = P256.Signing.PublicKey(key) {
      return (try? P256.Signing.ECDSASignature(derRepresentation: proof)).map { key.isValidSignature($0, for: digest) } ?? false
    }
    if let key = P384.Signing.PublicKey(key) {
      return (try? P384.Signing.ECDSASignature(derRepresentation: proof)).map { key.isValidSignature($0, for: digest) } ?? false
    }
    if let key = P521.Signing.PublicKey(key) {
      return (try? P521.Signing.ECDSASignature(derRepresentation: proof)).map { key.isValidSignature($0, for: digest) } ?? false
    }
    guard let key = _RSA.Signing.PublicKey(key) else { return false }
    return key.isValidSignature(_RSA.Signing.RSASignature(rawRepresentation: proof), for: digest, padding: .PSS)
  }

  // MARK: the certificate

  private static func chainProblems(_ status: JSON, _ spec: JSON, _ now: Timestamp) -> [FieldError] {
    let path = "status.certificateChain"
    let chain = status["certificateChain"]
    func refuse(_ detail: String) -> [FieldError] { [invalid(path, chain.isNull ? "" : chain, detail)] }
    guard let documents = try? PEMDocument.parseMultiple(pemString: chain.string ?? ""), let first = documents.first else {
      return refuse("issued certificate chain must contain at least one certificate")
    }
    guard documents.allSatisfy({ $0.discriminator == "CERTIFICATE" }) else {
      return refuse("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
    }
    guard let leaf = try? Certificate(pemDocument: first) else { return refuse("leaf certificate does not parse as valid X.509") }
    for document in documents.dropFirst() where (try? Certificate(pemDocument: document)) == nil {
      return refuse("intermediate certificate does not parse as valid X.509")
    }
    for case .dnsName(let name) in (try? leaf.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames([]) {
      if name.isEmpty { return [invalid(path, .string(name), "leaf certificate should not contain empty DNSName")] }
      if name.contains("..") { return [invalid(path, .string(name), "leaf certificate's DNSName should not contain '..'")] }
      if name.hasPrefix(".") || name.hasSuffix(".") {
        return [invalid(path, .string(name), "leaf certificate's DNSName should not start or end with '.'")]
      }
    }
    guard leaf.publicKey == key(spec) else { return refuse("leaf certificate was not issued to the requested public key") }
    return timeProblems(status, leaf, spec, now)
  }

  private static func timeProblems(_ status: JSON, _ leaf: Certificate, _ spec: JSON, _ now: Timestamp) -> [FieldError] {
    var missing: [FieldError] = []
    for (field, detail) in [
      ("notBefore", "must be present and consistent with the issued certificate"),
      ("notAfter", "must be present and consistent with the issued certificate"),
      ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ] where status[field].timestamp == nil {
      missing.append(FieldError(path: "status.\(field)", reason: .required, message: "Required value: \(detail)"))
    }
    guard missing.isEmpty, let begin = status["notBefore"].timestamp, let end = status["notAfter"].timestamp,
      let refresh = status["beginRefreshAt"].timestamp
    else { return missing }
    func seconds(_ date: Date) -> Double { date.timeIntervalSince1970.rounded(.down) }
    func refuse(_ field: String, _ detail: String) -> [FieldError] { [invalid("status.\(field)", status[field], detail)] }
    let (from, to) = (seconds(leaf.notValidBefore), seconds(leaf.notValidAfter))
    if Double(begin.secondsSinceEpoch) != from {
      return refuse("notBefore", "must be set to the NotBefore time encoded in the leaf certificate")
    }
    if abs(now.seconds(since: begin)) > clockSeconds {
      return refuse("notBefore", "must be set to within 5 minutes of kube-apiserver's current time")
    }
    if Double(end.secondsSinceEpoch) != to { return refuse("notAfter", "must be set to the NotAfter time encoded in the leaf certificate") }
    let life = JSON.string("\(Int(to - from))s")
    if to - from < lifeSecondsMin { return [invalid("status.certificateChain", life, "leaf certificate lifetime must be >= 1 hour")] }
    let most = spec["maxExpirationSeconds"].int ?? 0
    if to - from > Double(most) {
      let detail = "leaf certificate lifetime must be <= spec.maxExpirationSeconds (\(most))"
      return [invalid("status.certificateChain", life, detail)]
    }
    if refresh.seconds(since: begin) < refreshMarginSeconds {
      return refuse("beginRefreshAt", "must be at least 10 minutes after status.notBefore")
    }
    if end.seconds(since: refresh) < refreshMarginSeconds {
      return refuse("beginRefreshAt", "must be at least 10 minutes before status.notAfter")
    }
    return []
  }
}
