import Crypto
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import SystemPackage

/// Makes and checks service-account tokens: JSON Web Tokens signed with ES256 by a key of the server's own.
struct ServiceAccountTokens: Sendable {
  static let issuer = "https://kubernetes.default.svc.cluster.local"
  static let audiencesDefault = [issuer]

  private let key: P256.Signing.PrivateKey
  private let keyID: String

  init(directory: FilePath) throws {
    let path = directory.appending("service-account.key").string
    if let data = FileManager.default.contents(atPath: path) {
      do {
        key = try P256.Signing.PrivateKey(pemRepresentation: String(decoding: data, as: UTF8.self))
      } catch {
        throw IdentityError(path: path, problem: "is no P-256 key in PEM (\(error)); restore it, or remove it to make every token invalid")
      }
    } else {
      key = P256.Signing.PrivateKey()
      try PrivateFile.write(Array(key.pemRepresentation.utf8), to: path, mode: 0o600)
    }
    keyID = TokenBase64.encode(Array(Array(SHA256.hash(data: key.publicKey.derRepresentation))[..<20]), urlSafe: true)
  }

  /// What a token says; times in seconds since the epoch.
  struct Claims: Sendable, Equatable {
    var namespace: String
    var account: String
    var accountUID: String
    var audiences: [String]
    var expires: Int
    var issued: Int
    /// The object it is bound to: kind (pod, node, secret), name, UID.
    var bound: (kind: String, name: String, uid: String)?

    static func == (a: Claims, b: Claims) -> Bool { a.json == b.json }

    var json: JSON {
      var kubernetes: JSON = [
        "namespace": .string(namespace), "serviceaccount": ["name": .string(account), "uid": .string(accountUID)],
      ]
      if let bound { kubernetes[bound.kind] = ["name": .string(bound.name), "uid": .string(bound.uid)] }
      return [
        "aud": JSON(audiences), "exp": JSON(expires), "iat": JSON(issued), "nbf": JSON(issued), "iss": .string(issuer),
        "jti": .string(UUIDs.random()), "kubernetes.io": kubernetes, "sub": .string("system:serviceaccount:\(namespace):\(account)"),
      ]
    }
  }

  func token(_ claims: Claims) throws -> String {
    let header: JSON = ["alg": "ES256", "kid": .string(keyID)]
    let signed = TokenBase64.encode(header.serialized(), urlSafe: true) + "." + TokenBase64.encode(claims.json.serialized(), urlSafe: true)
    let signature = try key.signature(for: Array(signed.utf8)).rawRepresentation
    return signed + "." + TokenBase64.encode(signature, urlSafe: true)
  }

  /// The claims of a token that this server signed and that is valid now; nil otherwise.
  func claims(_ token: String, now: Timestamp) -> Claims? {
    let parts = token.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let headerBytes = TokenBase64.decode(String(parts[0])), let header = try? JSON.parse(headerBytes),
      header["alg"].string == "ES256", let signatureBytes = TokenBase64.decode(String(parts[2])),
      let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signatureBytes),
      key.publicKey.isValidSignature(signature, for: Array("\(parts[0]).\(parts[1])".utf8)),
      let bodyBytes = TokenBase64.decode(String(parts[1])), let body = try? JSON.parse(bodyBytes)
    else { return nil }
    let kubernetes = body["kubernetes.io"]
    guard body["iss"].string == Self.issuer, let expires = body["exp"].int, Int64(expires) > now.secondsSinceEpoch,
      let issued = body["iat"].int, let namespace = kubernetes["namespace"].string,
      let account = kubernetes["serviceaccount"]["name"].string
    else { return nil }
    var bound: (kind: String, name: String, uid: String)?
    for kind in ["pod", "node", "secret"] {
      if let name = kubernetes[kind]["name"].string { bound = (kind, name, kubernetes[kind]["uid"].string ?? "") }
    }
    return Claims(
      namespace: namespace, account: account, accountUID: kubernetes["serviceaccount"]["uid"].string ?? "",
      audiences: (body["aud"].array ?? []).compactMap(\.string), expires: expires, issued: issued, bound: bound)
  }
}
