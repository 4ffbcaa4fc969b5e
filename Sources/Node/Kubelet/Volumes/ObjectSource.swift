import FoundationEssentials
import JSONCodec
import KubernetesAPI

/// Kinds of objects that become files, variables or volumes; the raw value is the singular name in messages.
package enum ObjectKind: String, Sendable, Hashable {
  case configMap = "configmap"
  case secret = "secret"
  case claim = "persistentvolumeclaim"
  /// Of no namespace.
  case volume = "persistentvolume"

  var title: String {
    switch self {
    case .configMap: "ConfigMap"
    case .secret: "Secret"
    case .claim: "PersistentVolumeClaim"
    case .volume: "PersistentVolume"
    }
  }
  var plural: String { rawValue + "s" }
}

/// What is asked of the API for a projected service account token.
package struct TokenSpec: Sendable, Hashable {
  package var namespace: String
  package var serviceAccount: String
  /// Empty: the API server's own.
  package var audience: String
  package var expirationSeconds: Int
  package var podName: String
  package var podUID: String
}

package struct ServiceAccountToken: Sendable {
  package var token: String
  package var issuedAt: Timestamp
  package var expiresAt: Timestamp

  package init(token: String, issuedAt: Timestamp, expiresAt: Timestamp) {
    self.token = token
    self.issuedAt = issuedAt
    self.expiresAt = expiresAt
  }

  /// After 80 % of its life, or a day.
  var refreshAt: Timestamp {
    issuedAt.advanced(bySeconds: min(expiresAt.seconds(since: issuedAt) * 0.8, 86_400))
  }
}

/// Where volumes and variables get what the API knows.
package protocol ObjectSource: Sendable {
  /// The object, or nil where there is none. Throws when nobody could say.
  func object(_ kind: ObjectKind, _ namespace: String, _ name: String) async throws -> JSON?
  /// An element after the object may have changed, until the reader stops.
  func changes(_ kind: ObjectKind, _ namespace: String, _ name: String) -> AsyncStream<Void>
  func token(_ spec: TokenSpec) async throws -> ServiceAccountToken
}

package protocol ServiceSource: Sendable {
  /// All services, once they are known.
  func services() async throws -> [JSON]
}

enum ObjectData {
  /// The keys of a ConfigMap or Secret with their bytes.
  static func values(of object: JSON, _ kind: ObjectKind, withBinary: Bool = true) -> [String: [UInt8]] {
    var result: [String: [UInt8]] = [:]
    switch kind {
    case .configMap:
      for (key, value) in object["data"].object ?? JSONObject() { result[key] = Array((value.string ?? "").utf8) }
      guard withBinary else { break }
      for (key, value) in object["binaryData"].object ?? JSONObject() { result[key] = decoded(value) }
    case .secret:
      for (key, value) in object["data"].object ?? JSONObject() { result[key] = decoded(value) }
    case .claim, .volume: break
    }
    return result
  }

  private static func decoded(_ value: JSON) -> [UInt8] {
    value.string.flatMap { Data(base64Encoded: $0, options: .ignoreUnknownCharacters) }.map { Array($0) } ?? []
  }
}
