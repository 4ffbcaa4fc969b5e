import JSONCodec
import KubernetesAPI

/// What a PodCertificateRequest and a podCertificate volume source may say; what takes cryptography is looked at by the server.
///
/// Source: the rules of the certificates.k8s.io/v1beta1 API, 1.36.
enum PodCertificateLimits {
  static let secondsMin = 3_600
  static let secondsMax = 91 * 86_400
  /// Of signers of Kubernetes' own domains.
  static let kubernetesSecondsMax = 86_400
  static let uidBytesMax = 128
  /// Of a public key, a proof and a PKCS#10 request, each.
  static let keyBytesMax = 10 * 1_024
  static let chainBytesMax = 100 * 1_024
  static let annotationBytesMax = 256 * 1_024
  static let keyTypes = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"]

  static func secondsMax(_ signer: JSON) -> Int {
    let domain = signer.string?.split(separator: "/").first ?? ""
    return domain == "kubernetes.io" || domain.hasSuffix(".kubernetes.io") ? kubernetesSecondsMax : secondsMax
  }
}

extension Findings {
  private static let outcomes = ["Issued", "Denied", "Failed"]

  /// `example.com/name`; must be there.
  mutating func signerName(_ name: JSON, _ path: FieldPath) {
    let signer = name.string ?? ""
    if signer.isEmpty { return required(path) }
    let parts = signer.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, !parts.contains(where: \.isEmpty) else {
      return invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
    }
    if parts[0].split(separator: ".").count < 2 { invalid(path, name, "should be a domain with at least two segments separated by dots") }
    for problem in NameProblems.subdomain(String(parts[0])) + NameProblems.subdomain(String(parts[1])) { invalid(path, name, problem) }
  }

  private mutating func userAnnotations(_ annotations: JSON, _ path: FieldPath) {
    var size = 0
    for (key, value) in annotations.object ?? JSONObject() {
      size += key.utf8.count + (value.string ?? "").utf8.count
      let parts = key.split(separator: "/", omittingEmptySubsequences: false)
      if parts.count != 2 {
        invalid(path, .string(key), "must be a domain-prefixed key (such as \"acme.io/foo\")")
      } else {
        for problem in NameProblems.qualified(key.lowercased()) { invalid(path, .string(key), problem) }
      }
    }
    if size > PodCertificateLimits.annotationBytesMax { tooLong(path, bytesMax: PodCertificateLimits.annotationBytesMax) }
  }

  // MARK: requests

  mutating func podCertificateRequest(_ request: JSON, old: JSON?) {
    let spec = request["spec"]
    let path = FieldPath("spec")
    if let old { return immutable(spec, old["spec"], path) }
    signerName(spec["signerName"], path / "signerName")
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
      check(spec[name], path / name, NameProblems.subdomain)
      let text = spec[uid].string ?? ""
      if text.isEmpty { invalid(path / uid, "", "must not be empty") }
      if text.utf8.count > PodCertificateLimits.uidBytesMax { tooLong(path / uid, bytesMax: PodCertificateLimits.uidBytesMax) }
    }
    let range = PodCertificateLimits.secondsMin...PodCertificateLimits.secondsMax(spec["signerName"])
    if let seconds = spec["maxExpirationSeconds"].int {
      if !range.contains(seconds) {
        invalid(
          path / "maxExpirationSeconds", spec["maxExpirationSeconds"], "must be in the range [\(range.lowerBound), \(range.upperBound)]")
      }
    } else {
      required(path / "maxExpirationSeconds", "must be set")
    }
    userAnnotations(spec["unverifiedUserAnnotations"], path / "unverifiedUserAnnotations")
    let given = ["stubPKCS10Request", "pkixPublicKey", "proofOfPossession"].filter { !spec[$0].isEmpty }
    for name in given where (Base64.decode(spec[name].string ?? "") ?? []).count > PodCertificateLimits.keyBytesMax {
      tooLong(path / name, bytesMax: PodCertificateLimits.keyBytesMax)
    }
    if given != ["stubPKCS10Request"], given != ["pkixPublicKey", "proofOfPossession"] {
      invalid(path, .null, "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set")
    }
  }

  /// A request is issued, denied or failed once, and its status does not change otherwise. The certificate itself is looked at elsewhere.
  mutating func podCertificateStatus(_ request: JSON, old: JSON) {
    let path = FieldPath("status")
    let (status, before) = (request["status"], old["status"])
    let count = errors.count
    for (i, condition) in status["conditions"].items.enumerated() {
      let at = (path / "conditions")[i]
      let type = condition["type"]
      if !Self.outcomes.contains(type.string ?? "") {
        notSupported(at / "type", type, Self.outcomes)
        continue
      }
      if i > 0 {
        invalid(at / "type", type, "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"")
      }
      if condition["status"] != "True" { notSupported(at / "status", condition["status"], ["True"]) }
    }
    conditions(status["conditions"], path / "conditions")
    guard errors.count == count else { return }
    func same(_ a: JSON, _ b: JSON) -> Bool { (a.isEmpty && b.isEmpty) || a == b }
    if !before["conditions"].isEmpty {
      if !same(status, before) { invalid(path, status, "immutable after PodCertificateRequest is issued, denied, or failed") }
      return
    }
    switch status["conditions"][0]["type"].string {
    case "Issued":
      if (status["certificateChain"].string ?? "").utf8.count > PodCertificateLimits.chainBytesMax {
        tooLong(path / "certificateChain", bytesMax: PodCertificateLimits.chainBytesMax)
      }
    case "Denied", "Failed":
      var bare = status
      bare["conditions"] = .null
      if !bare.isEmpty {
        invalid(path, status, "non-condition status fields must be empty when denying or failing the PodCertificateRequest")
      }
    default:
      if !same(status, before) {
        invalid(path, status, "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"")
      }
    }
  }

  // MARK: volumes

  /// - Parameter isNew: whether no other file of the volume has a path.
  mutating func podCertificateSource(_ source: JSON, _ path: FieldPath, volume: FieldPath, isNew: (JSON) -> Bool) {
    signerName(source["signerName"], path / "signerName")
    if !PodCertificateLimits.keyTypes.contains(source["keyType"].string ?? "") {
      notSupported(path / "keyType", source["keyType"].isNull ? "" : source["keyType"], PodCertificateLimits.keyTypes)
    }
    if let seconds = source["maxExpirationSeconds"].int {
      let (min, max) = (PodCertificateLimits.secondsMin, PodCertificateLimits.secondsMax(source["signerName"]))
      let at = path / "maxExpirationSeconds"
      if seconds < min { invalid(at, source["maxExpirationSeconds"], "if provided, maxExpirationSeconds must be >= \(min)") }
      if seconds > max { invalid(at, source["maxExpirationSeconds"], "if provided, maxExpirationSeconds must be <= \(max)") }
    }
    let files = ["credentialBundlePath", "keyPath", "certificateChainPath"].filter { !source[$0].isEmpty }
    for file in files {
      volumeFile(source[file], path / file)
      if !isNew(source[file]) { invalid(volume, source[file], "conflicting duplicate paths") }
    }
    if files.isEmpty { required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath") }
    userAnnotations(source["userAnnotations"], path / "userAnnotations")
  }
}
