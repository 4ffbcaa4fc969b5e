import APIMachinery

/// Which resources lie encrypted, and with what. The first rule that names a resource decides.
package struct EncryptionRules: Sendable {
  /// One way of storing a value.
  enum Provider: Sendable {
    case keys(SecretKeys)
    /// As it is.
    case identity
  }

  struct Rule: Sendable {
    let resources: [ResourcePattern]
    /// The first one writes, all of them read.
    var providers: [Provider]
  }

  let rules: [Rule]
  /// Prefixes of the store that hold everything the rules are about; none of them within another.
  let prefixes: [String]
  /// The file that they are from, for messages.
  package let path: String

  init(_ rules: [Rule], path: String) {
    self.rules = rules
    self.path = path
    let all = Set(rules.flatMap { $0.resources.map(\.prefix) })
    prefixes = all.filter { one in !all.contains { $0 != one && one.hasPrefix($0) } }.sorted()
  }

  /// Secrets alone, under the keys of the own key file; plain ones, written before there was a key, are read.
  package init(keys: SecretKeys, path: String = "the key file") {
    self.init([Rule(resources: [.secrets], providers: [.keys(keys), .identity])], path: path)
  }

  /// Reads what the keys of the own key file wrote as well, wherever Secrets are concerned.
  package func reading(_ keys: SecretKeys) -> EncryptionRules {
    var result = rules
    for i in result.indices { result[i].providers.append(.keys(keys)) }
    if rule(of: "/registry/secrets/") == nil { result.append(Rule(resources: [.secrets], providers: [.keys(keys), .identity])) }
    return EncryptionRules(result, path: path)
  }

  /// - key: of the store, or a resource's prefix.
  func rule(of key: String) -> Rule? {
    guard let place = ResourcePattern.place(of: key) else { return nil }
    return rules.first { $0.resources.contains { $0.matches(place) } }
  }

  func encrypt(_ value: [UInt8], place: String) throws -> [UInt8] {
    guard case .keys(let keys)? = rule(of: place)?.providers.first else { return value }
    return try keys.encrypt(value, place: place)
  }

  func decrypt(_ value: [UInt8], place: String) throws -> [UInt8] {
    let providers = rule(of: place)?.providers
    guard let head = SecretKeys.head(value) else {
      guard let providers else { return value }
      if providers.contains(where: { if case .identity = $0 { true } else { false } }) { return value }
      throw SecretKeyError(message: "\(place) is not encrypted; to read it, add `- identity: {}` to the end of its providers in \(path)")
    }
    for case .keys(let keys) in providers ?? [] where keys.reads(head) { return try keys.decrypt(value, head, place: place) }
    let what = head.cipher == .gcm ? "the key" : "the aescbc key"
    let remedy = providers == nil ? "\(path) has no entry for the resource; add one with it" : "which is not in \(path); add it again"
    throw SecretKeyError(message: "\(place) is encrypted with \(what) \(head.name), \(remedy)")
  }

  /// Whether a value of a resource with a rule is not as the first provider writes it.
  func isStale(_ value: [UInt8], place: String) -> Bool {
    switch rule(of: place)?.providers.first {
    case .keys(let keys)?: !keys.isFresh(value)
    case .identity?: SecretKeys.head(value) != nil
    case nil: false
    }
  }
}

/// `secrets`, `deployments.apps`, `*.apps`, `*.` (all of the core group) or `*.*`.
struct ResourcePattern: Sendable, Equatable {
  /// nil: any.
  let plural: String?
  /// "" is the core group; nil: any.
  let group: String?

  static let secrets = ResourcePattern(plural: "secrets", group: "")

  /// Where the objects that it matches lie, at least.
  var prefix: String {
    guard let group, !(group.isEmpty && plural == nil) else { return "/registry/" }
    return "/registry/" + (group.isEmpty ? "" : group + "/") + (plural.map { $0 + "/" } ?? "")
  }

  func matches(_ place: (group: Substring, plural: Substring)) -> Bool {
    (group.map { $0 == place.group } ?? true) && (plural.map { $0 == place.plural } ?? true)
  }

  /// Whether every resource that the other one matches is matched.
  func covers(_ other: ResourcePattern) -> Bool {
    (group == nil || group == other.group) && (plural == nil || plural == other.plural)
  }

  /// Groups without a dot, whose names cannot be told from plurals of the core group by their look.
  private static let plainGroups = Set(SchemaRegistry.shared.resources.map(\.group).filter { !$0.isEmpty && !$0.contains(".") })

  /// The resource of `/registry/[group/]plural/...`; nil for what is none, such as the ranges of service addresses.
  static func place(of key: String) -> (group: Substring, plural: Substring)? {
    let parts = key.split(separator: "/", maxSplits: 4, omittingEmptySubsequences: true)
    guard parts.count >= 2, parts[0] == "registry", parts[1] != "ranges" else { return nil }
    guard parts[1].contains(".") || plainGroups.contains(String(parts[1])) else { return ("", parts[1]) }
    return parts.count >= 3 ? (parts[1], parts[2]) : nil
  }
}
