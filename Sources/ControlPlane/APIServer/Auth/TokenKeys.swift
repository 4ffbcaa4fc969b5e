import APIMachinery
import Crypto
import CryptoExtras
import FoundationEssentials
import JSONCodec
import SwiftASN1

/// What signs tokens.
enum TokenSigner: Sendable {
  case es256(P256.Signing.PrivateKey)
  case rs256(_RSA.Signing.PrivateKey)

  init(pem: String, path: String) throws {
    if let key = try? P256.Signing.PrivateKey(pemRepresentation: pem) {
      self = .es256(key)
    } else if let key = try? _RSA.Signing.PrivateKey(pemRepresentation: pem) {
      self = .rs256(key)
    } else {
      throw IdentityError(
        path: path, problem: "is neither a P-256 nor an RSA key in PEM; restore it, or remove it to make every token invalid")
    }
  }

  var verifier: TokenVerifier {
    switch self {
    case .es256(let key): TokenVerifier(.es256(key.publicKey))
    case .rs256(let key): TokenVerifier(.rs256(key.publicKey))
    }
  }

  func signature(for bytes: [UInt8]) throws -> [UInt8] {
    switch self {
    case .es256(let key): Array(try key.signature(for: bytes).rawRepresentation)
    case .rs256(let key): Array(try key.signature(for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5).rawRepresentation)
    }
  }
}

/// What checks tokens' signatures (RFC 7518: RS256, ES256).
struct TokenVerifier: Sendable {
  enum Key: Sendable {
    case es256(P256.Signing.PublicKey)
    case rs256(_RSA.Signing.PublicKey)
  }

  let key: Key
  /// The first 20 bytes of the public key's SHA-256, in base64url.
  let keyID: String

  init(_ key: Key) {
    self.key = key
    let der: Data =
      switch key {
      case .es256(let key): key.derRepresentation
      case .rs256(let key): key.derRepresentation
      }
    keyID = Base64.encode(Array(Array(SHA256.hash(data: der))[..<20]), urlSafe: true)
  }

  init(pem: String, path: String) throws {
    if let key = try? P256.Signing.PublicKey(pemRepresentation: pem) {
      self.init(.es256(key))
    } else if let key = try? _RSA.Signing.PublicKey(pemRepresentation: pem) {
      self.init(.rs256(key))
    } else {
      throw IdentityError(path: path, problem: "has a block that is neither a P-256 nor an RSA public key in PEM")
    }
  }

  /// The PEM blocks of a text.
  static func split(_ text: String) -> [String] {
    text.split(separator: "-----BEGIN ").compactMap { $0.contains("-----END ") ? "-----BEGIN " + $0 : nil }
  }

  var algorithm: String {
    switch key {
    case .es256: "ES256"
    case .rs256: "RS256"
    }
  }

  func verifies(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
    switch key {
    case .es256(let key):
      guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
      return key.isValidSignature(signature, for: bytes)
    case .rs256(let key):
      return key.isValidSignature(
        _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5)
    }
  }

  /// A JSON Web Key.
  var webKey: JSON {
    func text(_ bytes: some Collection<UInt8>) -> JSON { .string(Base64.encode(bytes, urlSafe: true)) }
    var json: JSON = ["use": "sig", "kid": .string(keyID), "alg": .string(algorithm)]
    switch key {
    case .es256(let key):
      let point = Array(key.rawRepresentation)
      json["kty"] = "EC"
      json["crv"] = "P-256"
      json["x"] = text(point.prefix(32))
      json["y"] = text(point.suffix(32))
    case .rs256(let key):
      json["kty"] = "RSA"
      let parts = try? key.getKeyPrimitives()
      json["n"] = text(parts?.modulus ?? Data())
      json["e"] = text(parts?.publicExponent ?? Data())
    }
    return json
  }
}
