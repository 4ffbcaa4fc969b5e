import JSONCodec
import KubernetesAPI
import RevisionStore

/// A token with which a machine joins: `<id>.<secret>`, kept in the Secret kube-system/bootstrap-token-<id>
/// (kubernetes: "Authenticating with Bootstrap Tokens").
struct BootstrapToken: Sendable, Equatable {
  static let secretType = "bootstrap.kubernetes.io/token"
  static let group = "system:bootstrappers"

  let id: String
  let secret: String

  /// Nil where the text has not the form of one.
  init?(_ text: String) {
    guard text.utf8.count == 23 else { return nil }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    func isPlain(_ part: Substring, _ count: Int) -> Bool {
      part.utf8.count == count && part.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) }
    }
    guard parts.count == 2, isPlain(parts[0], 6), isPlain(parts[1], 16) else { return nil }
    (id, secret) = (String(parts[0]), String(parts[1]))
  }

  func user(_ resources: Resources, now: Timestamp) async throws -> UserInfo? {
    let key = ResourceRequest.prefix(resources.resource("secrets"), namespace: "kube-system") + "bootstrap-token-\(id)"
    guard let stored = try await resources.store.get(key, at: nil) else { return nil }
    return user(try resources.decoded.object(stored), now: now)
  }

  /// The bearer by the word of the token's Secret.
  func user(_ object: JSON, now: Timestamp) -> UserInfo? {
    func value(_ key: String) -> String {
      object["data"][key].string.flatMap(TokenBase64.decode).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    guard object["type"].string == Self.secretType, object["metadata"]["deletionTimestamp"].isNull, value("token-id") == id,
      ConstantTime.equal(Array(value("token-secret").utf8), Array(secret.utf8)), value("usage-bootstrap-authentication") == "true"
    else { return nil }
    let expiration = value("expiration")
    if !expiration.isEmpty {
      guard let end = Timestamp(rfc3339: expiration), end > now else { return nil }
    }
    var groups = [Self.group]
    for group in value("auth-extra-groups").split(separator: ",").map(String.init) {
      // One group of another kind makes the whole token worthless: it may be an attempt to become more.
      guard Self.isGroup(group) else { return nil }
      groups.append(group)
    }
    return UserInfo(name: "system:bootstrap:\(id)", groups: groups + [UserInfo.authenticated])
  }

  private static func isGroup(_ group: String) -> Bool {
    guard group.hasPrefix(Self.group + ":") else { return false }
    let rest = group.dropFirst(Self.group.count + 1).utf8
    func isWord(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) }
    guard let last = rest.last, isWord(last), rest.count <= 256 else { return false }
    return rest.allSatisfy { isWord($0) || $0 == 0x3A || $0 == 0x2D }
  }
}
