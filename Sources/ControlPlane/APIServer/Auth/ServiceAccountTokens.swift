import APIMachinery
import Crypto
import CryptoExtras
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import Synchronization
import SystemPackage

/// Makes and checks service-account tokens: JSON Web Tokens signed with a key of the server's own, ES256 where it is a
/// P-256 key (the one that is made at the first start), RS256 where somebody put an RSA key into its place.
struct ServiceAccountTokens: Sendable {
  static let issuer = "https://kubernetes.default.svc.cluster.local"
  static let audiencesDefault = [issuer]
  /// The issuer of tokens in Secrets.
  static let legacyIssuer = "kubernetes/serviceaccount"

  /// The issuer in tokens and in the discovery document, and who tokens are for when nobody says otherwise.
  let issuer: String
  let audiences: [String]
  private let signer: TokenSigner
  /// Public keys by key ID: the signer's own and those of earlier signers.
  private let verifiers: [String: TokenVerifier]
  /// What tokens said whose signature was found right. A signature does not go bad, and keys do not change while the server runs.
  private let known = KnownTokens()

  /// Keys are `<directory>/service-account.key`, and in `<directory>/service-account.pub` public keys (PEM, one after
  /// another) whose tokens still count.
  init(directory: FilePath, issuer: String = ServiceAccountTokens.issuer) throws {
    self.issuer = issuer
    audiences = [issuer]
    let path = directory.appending("service-account.key").string
    if let data = FileManager.default.contents(atPath: path) {
      signer = try TokenSigner(pem: String(decoding: data, as: UTF8.self), path: path)
    } else {
      let key = P256.Signing.PrivateKey()
      try PrivateFile.write(Array(key.pemRepresentation.utf8), to: path, mode: 0o600)
      signer = .es256(key)
    }
    var verifiers = [signer.verifier.keyID: signer.verifier]
    let publicPath = directory.appending("service-account.pub").string
    if let data = FileManager.default.contents(atPath: publicPath) {
      for pem in TokenVerifier.split(String(decoding: data, as: UTF8.self)) {
        let verifier = try TokenVerifier(pem: pem, path: publicPath)
        verifiers[verifier.keyID] = verifier
      }
    }
    self.verifiers = verifiers
  }

  /// What a token says; times in seconds since the epoch.
  struct Claims: Sendable, Equatable {
    var namespace: String
    var account: String
    var accountUID: String
    var audiences: [String]
    var expires: Int
    var issued: Int
    /// Before this it does not count; not of its own where a token is made: then it is `issued`.
    var notBefore = 0
    /// The object it is bound to: kind (pod, node, secret), name, UID.
    var bound: (kind: String, name: String, uid: String)?
    /// The node of the pod that it is bound to.
    var node: (name: String, uid: String)?
    var id = UUIDs.random()
    /// The Secret that holds it for ever; such a token has neither audience nor end.
    var legacySecret: String?

    static func == (a: Claims, b: Claims) -> Bool { a.json(issuer: "") == b.json(issuer: "") }

    func json(issuer: String) -> JSON {
      let subject = JSON.string(UserInfo.serviceAccount(namespace, account))
      if let legacySecret {
        return [
          "iss": .string(legacyIssuer), "kubernetes.io/serviceaccount/namespace": .string(namespace),
          "kubernetes.io/serviceaccount/secret.name": .string(legacySecret),
          "kubernetes.io/serviceaccount/service-account.name": .string(account),
          "kubernetes.io/serviceaccount/service-account.uid": .string(accountUID), "sub": subject,
        ]
      }
      var kubernetes: JSON = [
        "namespace": .string(namespace), "serviceaccount": ["name": .string(account), "uid": .string(accountUID)],
      ]
      if let node { kubernetes["node"] = ["name": .string(node.name), "uid": .string(node.uid)] }
      if let bound { kubernetes[bound.kind] = ["name": .string(bound.name), "uid": .string(bound.uid)] }
      return [
        "aud": JSON(audiences), "exp": JSON(expires), "iat": JSON(issued), "nbf": JSON(issued), "iss": .string(issuer),
        "jti": .string(id), "kubernetes.io": kubernetes, "sub": subject,
      ]
    }
  }

  func token(_ claims: Claims) throws -> String {
    let header: JSON = ["alg": .string(signer.verifier.algorithm), "kid": .string(signer.verifier.keyID)]
    let body = claims.json(issuer: issuer).serialized()
    let signed = Base64.encode(header.serialized(), urlSafe: true) + "." + Base64.encode(body, urlSafe: true)
    return signed + "." + Base64.encode(try signer.signature(for: Array(signed.utf8)), urlSafe: true)
  }

  /// The claims of a token that this server signed and that is valid now; nil otherwise.
  func claims(_ token: String, now: Timestamp) -> Claims? {
    guard let claims = known.claims(token) ?? verifiedClaims(token) else { return nil }
    guard claims.legacySecret == nil else { return claims }
    let seconds = now.secondsSinceEpoch
    return Int64(claims.expires) > seconds && Int64(claims.notBefore) <= seconds ? claims : nil
  }

  /// What a token says whose signature is right, whenever it is valid.
  private func verifiedClaims(_ token: String) -> Claims? {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let headerBytes = Base64.decode(String(parts[0]), orURLSafe: true), let header = try? JSON.parse(headerBytes),
      let keyID = header["kid"].string, let verifier = verifiers[keyID], header["alg"].string == verifier.algorithm,
      let signature = Base64.decode(String(parts[2]), orURLSafe: true),
      verifier.verifies(signature, of: Array("\(parts[0]).\(parts[1])".utf8)),
      let bodyBytes = Base64.decode(String(parts[1]), orURLSafe: true), let body = try? JSON.parse(bodyBytes)
    else { return nil }
    let isLegacy = body["iss"].string == Self.legacyIssuer
    guard isLegacy || body["iss"].string == issuer, let claims = isLegacy ? Self.legacy(body) : Self.bound(body) else { return nil }
    known.remember(claims, token)
    return claims
  }

  private static func bound(_ body: JSON) -> Claims? {
    let kubernetes = body["kubernetes.io"]
    guard let expires = body["exp"].int, let issued = body["iat"].int,
      let namespace = kubernetes["namespace"].string, let account = kubernetes["serviceaccount"]["name"].string,
      body["sub"].string == UserInfo.serviceAccount(namespace, account)
    else { return nil }
    func object(_ kind: String) -> (name: String, uid: String)? {
      kubernetes[kind]["name"].string.map { ($0, kubernetes[kind]["uid"].string ?? "") }
    }
    // A token for a pod names the pod's node beside; only one for a node alone is bound to the node.
    let bound = ["pod", "secret", "node"].lazy.compactMap { kind in object(kind).map { (kind: kind, name: $0.name, uid: $0.uid) } }.first
    var claims = Claims(
      namespace: namespace, account: account, accountUID: kubernetes["serviceaccount"]["uid"].string ?? "",
      audiences: (body["aud"].array ?? []).compactMap(\.string), expires: expires, issued: issued, bound: bound, node: object("node"),
      id: body["jti"].string ?? "")
    claims.notBefore = body["nbf"].int ?? 0
    return claims
  }

  private static func legacy(_ body: JSON) -> Claims? {
    let prefix = "kubernetes.io/serviceaccount/"
    guard let namespace = body[prefix + "namespace"].string, let account = body[prefix + "service-account.name"].string,
      let secret = body[prefix + "secret.name"].string, body["sub"].string == UserInfo.serviceAccount(namespace, account)
    else { return nil }
    return Claims(
      namespace: namespace, account: account, accountUID: body[prefix + "service-account.uid"].string ?? "", audiences: [], expires: .max,
      issued: 0, id: "", legacySecret: secret)
  }

  // MARK: discovery

  /// OpenID Connect Discovery 1.0: where the keys are, for those who check tokens without asking this server.
  var discoveryDocument: JSON {
    [
      "issuer": .string(issuer), "jwks_uri": .string(issuer + "/openid/v1/jwks"), "response_types_supported": ["id_token"],
      "subject_types_supported": ["public"],
      "id_token_signing_alg_values_supported": JSON(Set(verifiers.values.map(\.algorithm)).sorted()),
    ]
  }

  /// RFC 7517.
  var keySet: JSON { ["keys": .array(verifiers.values.sorted { $0.keyID < $1.keyID }.map(\.webKey))] }
}

/// Tokens that were found to be signed by this server. Every request of a pod carries one, and checking its signature and reading it
/// costs more than all else about a small request.
private final class KnownTokens: Sendable {
  /// How many are kept; then all are forgotten.
  static let countMax = 4_096
  /// By the token's digest, so that memory holds no credentials.
  private let tokens = Mutex<[SHA256.Digest: ServiceAccountTokens.Claims]>([:])

  func claims(_ token: String) -> ServiceAccountTokens.Claims? {
    let digest = Self.digest(token)
    return tokens.withLock { $0[digest] }
  }

  func remember(_ claims: ServiceAccountTokens.Claims, _ token: String) {
    let digest = Self.digest(token)
    tokens.withLock { tokens in
      if tokens.count >= Self.countMax { tokens.removeAll() }
      tokens[digest] = claims
    }
  }

  private static func digest(_ token: String) -> SHA256.Digest {
    var token = token
    return token.withUTF8 { SHA256.hash(data: UnsafeRawBufferPointer($0)) }
  }
}
