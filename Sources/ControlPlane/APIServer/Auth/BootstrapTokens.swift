import APIMachinery
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

  private static func value(_ object: JSON, _ key: String) -> String {
    object["data"][key].string.flatMap(Base64.decode).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Whether a Secret is that of a token, and its time is not over.
  private static func isAlive(_ object: JSON, now: Timestamp) -> Bool {
    guard object["type"].string == secretType, object["metadata"]["deletionTimestamp"].isNull else { return false }
    let expiration = value(object, "expiration")
    return expiration.isEmpty || Timestamp(rfc3339: expiration).map { $0 > now } ?? false
  }

  /// The token of a Secret that says that it is for signing; nil for any other.
  static func signing(_ object: JSON, now: Timestamp) -> BootstrapToken? {
    guard isAlive(object, now: now), value(object, "usage-bootstrap-signing") == "true",
      let token = BootstrapToken("\(value(object, "token-id")).\(value(object, "token-secret"))"),
      object["metadata"]["name"].string == "bootstrap-token-\(token.id)"
    else { return nil }
    return token
  }

  /// The bearer by the word of the token's Secret.
  func user(_ object: JSON, now: Timestamp) -> UserInfo? {
    guard Self.isAlive(object, now: now), Self.value(object, "token-id") == id,
      ConstantTime.equal(Array(Self.value(object, "token-secret").utf8), Array(secret.utf8)),
      Self.value(object, "usage-bootstrap-authentication") == "true"
    else { return nil }
    var groups = [Self.group]
    for group in Self.value(object, "auth-extra-groups").split(separator: ",").map(String.init) {
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
