import JSONCodec

/// What of which requests goes into the audit log (audit.k8s.io/v1 Policy): the first rule that matches decides.
package struct AuditPolicy: Sendable {
  package enum Level: Int, Sendable, Comparable {
    case none, metadata, request, requestResponse

    package static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

    /// As it stands in policies and events.
    package var text: String { ["None", "Metadata", "Request", "RequestResponse"][rawValue] }

    init?(text: String) {
      guard let level = [Level.none, .metadata, .request, .requestResponse].first(where: { $0.text == text }) else { return nil }
      self = level
    }
  }

  package enum Stage: String, Sendable {
    case requestReceived = "RequestReceived"
    case responseStarted = "ResponseStarted"
    case responseComplete = "ResponseComplete"
    case panic = "Panic"
  }

  package struct Verdict: Sendable, Equatable {
    package var level: Level
    package var omittedStages: Set<Stage>
    package var omitsManagedFields: Bool

    /// Nothing is written.
    package static let nothing = Verdict(level: .none, omittedStages: [], omitsManagedFields: false)
  }

  package struct Malformed: Error, CustomStringConvertible {
    package let description: String
  }

  private struct Rule: Sendable {
    var level: Level
    var users: [String]
    var groups: [String]
    var verbs: [String]
    var resources: [(group: String, resources: [String], names: [String])]
    var namespaces: [String]
    var paths: [String]
    var omittedStages: Set<Stage>
    var omitsManagedFields: Bool?
  }

  private var rules: [Rule]
  private let omittedStages: Set<Stage>
  private let omitsManagedFields: Bool

  /// Who, what and when of every request, nothing of their contents.
  package static let metadataOfAll = AuditPolicy(
    rules: [
      Rule(
        level: .metadata, users: [], groups: [], verbs: [], resources: [], namespaces: [], paths: [],
        omittedStages: [.requestReceived], omitsManagedFields: nil)
    ])

  private init(rules: [Rule]) {
    self.rules = rules
    omittedStages = []
    omitsManagedFields = false
  }

  package init(_ json: JSON) throws(Malformed) {
    guard json["kind"].string == "Policy", json["apiVersion"].string == "audit.k8s.io/v1" else {
      throw Malformed(description: "the policy is not of apiVersion audit.k8s.io/v1 and kind Policy")
    }
    omittedStages = try Self.stages(json["omitStages"], "omitStages")
    omitsManagedFields = json["omitManagedFields"].bool ?? false
    rules = []
    for (index, rule) in (json["rules"].array ?? []).enumerated() { rules.append(try Self.rule(rule, "rules[\(index)]")) }
    guard !rules.isEmpty else { throw Malformed(description: "the policy has no rules; write at least `- level: Metadata`") }
  }

  private static func stages(_ json: JSON, _ path: String) throws(Malformed) -> Set<Stage> {
    var result: Set<Stage> = []
    for item in json.array ?? [] {
      guard let stage = item.string.flatMap(Stage.init(rawValue:)) else {
        throw Malformed(description: "\(path): \(item.text()) is no stage")
      }
      result.insert(stage)
    }
    return result
  }

  private static func rule(_ json: JSON, _ path: String) throws(Malformed) -> Rule {
    func list(_ json: JSON) -> [String] { (json.array ?? []).compactMap(\.string) }
    guard let level = json["level"].string.flatMap(Level.init(text:)) else {
      throw Malformed(description: "\(path).level: \(json["level"].text()) is none of None, Metadata, Request, RequestResponse")
    }
    let resources = (json["resources"].array ?? []).map {
      (group: $0["group"].string ?? "", resources: list($0["resources"]), names: list($0["resourceNames"]))
    }
    let paths = list(json["nonResourceURLs"])
    guard paths.isEmpty || (resources.isEmpty && list(json["namespaces"]).isEmpty) else {
      throw Malformed(description: "\(path): nonResourceURLs cannot stand beside resources or namespaces")
    }
    return Rule(
      level: level, users: list(json["users"]), groups: list(json["userGroups"]), verbs: list(json["verbs"]), resources: resources,
      namespaces: list(json["namespaces"]), paths: paths, omittedStages: try stages(json["omitStages"], path + ".omitStages"),
      omitsManagedFields: json["omitManagedFields"].bool)
  }

  package func verdict(_ user: UserInfo, _ request: AccessRequest) -> Verdict {
    guard let rule = rules.first(where: { Self.matches($0, user, request) }) else {
      return .nothing
    }
    return Verdict(
      level: rule.level, omittedStages: omittedStages.union(rule.omittedStages),
      omitsManagedFields: rule.omitsManagedFields ?? omitsManagedFields)
  }

  private static func matches(_ rule: Rule, _ user: UserInfo, _ request: AccessRequest) -> Bool {
    guard rule.users.isEmpty || rule.users.contains(user.name) else { return false }
    guard rule.groups.isEmpty || !Set(rule.groups).isDisjoint(with: user.groups) else { return false }
    guard rule.verbs.isEmpty || rule.verbs.contains(request.verb) else { return false }
    if let path = request.path {
      guard rule.resources.isEmpty, rule.namespaces.isEmpty else { return false }
      return rule.paths.isEmpty || rule.paths.contains { $0 == path || ($0.hasSuffix("*") && path.hasPrefix($0.dropLast())) }
    }
    guard rule.paths.isEmpty else { return false }
    guard rule.namespaces.isEmpty || rule.namespaces.contains(request.namespace) else { return false }
    return rule.resources.isEmpty
      || rule.resources.contains { entry in
        guard entry.group == request.group else { return false }
        if entry.resources.isEmpty { return true }
        guard entry.names.isEmpty || entry.names.contains(request.name) else { return false }
        return entry.resources.contains { resource in
          resource == "*" || resource == request.combined || (!request.subresource.isEmpty && resource == "*/\(request.subresource)")
            || resource == "\(request.resource)/*"
        }
      }
  }
}
