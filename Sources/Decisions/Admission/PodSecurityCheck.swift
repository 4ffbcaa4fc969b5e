import JSONCodec

/// What the checks look at: a pod, or the template of one.
struct CheckedPod {
  let annotations: JSON
  let spec: JSON
  /// In the order in which messages name them.
  let containers: [JSON]

  init(metadata: JSON, spec: JSON) {
    annotations = metadata["annotations"]
    self.spec = spec
    containers = ["initContainers", "containers", "ephemeralContainers"].flatMap { spec[$0].array ?? [] }
  }

  /// Some checks make no sense on Windows.
  var isWindows: Bool { spec["os"]["name"] == "windows" }
  /// Root in a user namespace of its own is nobody on the node.
  var hasUserNamespace: Bool { spec["hostUsers"] == false }

  /// The names of containers of which something holds.
  func names(where holds: (JSON) -> Bool) -> [String] {
    containers.filter(holds).map { $0["name"].string ?? "" }
  }
}

/// Why a pod breaks a rule: `hostPort (container "a" uses hostPort 80)`.
struct PodSecurityViolation: Equatable {
  let reason: String
  let detail: String
}

/// One rule of the Pod Security Standards. It changes with releases: of `versions` the last applies whose minor number is
/// not above the release that a namespace asks for.
struct PodSecurityCheck: Sendable {
  typealias Rule = @Sendable (CheckedPod) -> PodSecurityViolation?

  let id: String
  let level: PodSecurityLevel
  /// Checks of the level below that this one makes superfluous.
  var overrides: String?
  let versions: [(minimum: Int, rule: Rule)]

  init(_ id: String, _ level: PodSecurityLevel, overrides: String? = nil, _ versions: [(minimum: Int, rule: Rule)]) {
    self.id = id
    self.level = level
    self.overrides = overrides
    self.versions = versions
  }

  func rule(_ version: PodSecurityVersion) -> Rule? { versions.last { version.isAtLeast($0.minimum) }?.rule }

  /// Baseline before restricted, each by name: the order of messages.
  static let all =
    (baseline.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) })
    + (restricted.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) })

  /// Everything in which a pod breaks a standard.
  static func violations(of pod: CheckedPod, _ standard: PodSecurityStandard) -> [PodSecurityViolation] {
    guard standard.level != .privileged else { return [] }
    let active = all.filter { $0.level <= standard.level }.compactMap { check in
      check.rule(standard.version).map { (check: check, rule: $0) }
    }
    let overridden = Set(active.compactMap(\.check.overrides))
    return active.filter { !overridden.contains($0.check.id) }.compactMap { $0.rule(pod) }
  }
}

extension PodSecurityViolation {
  /// `a (x), b (y)`
  static func details(_ violations: [PodSecurityViolation]) -> String {
    violations.map { $0.detail.isEmpty ? $0.reason : "\($0.reason) (\($0.detail))" }.joined(separator: ", ")
  }

  static func reasons(_ violations: [PodSecurityViolation]) -> String { violations.map(\.reason).joined(separator: ", ") }
}

/// How messages list things.
enum Phrases {
  static func quoted(_ names: [String]) -> String { names.map { "\"\($0)\"" }.joined(separator: ", ") }
  static func quoted(_ names: Set<String>) -> String { quoted(names.sorted()) }
  static func plural(_ one: String, _ many: String, _ count: Int) -> String { count == 1 ? one : many }
  /// `container "a"`, `containers "a", "b"`
  static func containers(_ names: [String]) -> String { "\(plural("container", "containers", names.count)) \(quoted(names))" }

  /// `pod and container "a"`; nil where nobody is to blame.
  static func setters(pod: Bool, _ containers: [String]) -> String? {
    let setters = (pod ? ["pod"] : []) + (containers.isEmpty ? [] : [Self.containers(containers)])
    return setters.isEmpty ? nil : setters.joined(separator: " and ")
  }
}
