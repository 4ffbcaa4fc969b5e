import APIMachinery
import JSONCodec
import KubernetesAPI

/// What a request does, as admission sees it.
enum AdmissionOperation: String, Sendable {
  case create = "CREATE"
  case update = "UPDATE"
  case delete = "DELETE"
  case connect = "CONNECT"
}

/// One webhook of a MutatingWebhookConfiguration or ValidatingWebhookConfiguration.
///
/// Source: admissionregistration.k8s.io/v1.
struct AdmissionHook: Sendable {
  enum Failure: String, Sendable { case fail = "Fail", ignore = "Ignore" }

  let configuration: String
  let name: String
  let isMutating: Bool
  let client: JSON
  let rules: [AdmissionRule]
  let namespaces: LabelSelector
  let objects: LabelSelector
  let matchesEquivalents: Bool
  let failure: Failure
  let timeoutSeconds: Int
  let hasSideEffects: Bool
  let reinvokes: Bool
  /// matchConditions.
  let conditions: JSON

  init?(_ hook: JSON, configuration: String, isMutating: Bool) {
    guard let name = hook["name"].string else { return nil }
    // A selector that cannot be read was refused when the configuration was written.
    guard let namespaces = Self.selector(hook["namespaceSelector"]), let objects = Self.selector(hook["objectSelector"]) else { return nil }
    self.configuration = configuration
    self.name = name
    self.isMutating = isMutating
    self.namespaces = namespaces
    self.objects = objects
    client = hook["clientConfig"]
    rules = (hook["rules"].array ?? []).map(AdmissionRule.init)
    matchesEquivalents = hook["matchPolicy"].string != "Exact"
    failure = Failure(rawValue: hook["failurePolicy"].string ?? "") ?? .fail
    timeoutSeconds = hook["timeoutSeconds"].int ?? 10
    hasSideEffects = !["None", "NoneOnDryRun"].contains(hook["sideEffects"].string)
    reinvokes = hook["reinvocationPolicy"].string == "IfNeeded"
    conditions = hook["matchConditions"]
  }

  private static func selector(_ json: JSON) -> LabelSelector? { json.isNull || json.isEmpty ? .everything : LabelSelector(json: json) }

  /// The hooks of all configurations, in the order in which they are called: by configuration, then as written.
  static func all(_ configurations: [JSON], isMutating: Bool) -> [AdmissionHook] {
    configurations.sorted { ($0["metadata"]["name"].string ?? "") < ($1["metadata"]["name"].string ?? "") }.flatMap { configuration in
      (configuration["webhooks"].array ?? []).compactMap {
        AdmissionHook($0, configuration: configuration["metadata"]["name"].string ?? "", isMutating: isMutating)
      }
    }
  }
}

/// Which requests a webhook or a policy is about: RuleWithOperations.
struct AdmissionRule: Sendable {
  let operations: Set<String>
  let groups: Set<String>
  let versions: Set<String>
  let resources: [String]
  let scope: String
  /// Names, for the rules of policies; empty: all.
  let names: Set<String>

  init(_ rule: JSON) {
    operations = Set((rule["operations"].array ?? []).compactMap(\.string))
    groups = Set((rule["apiGroups"].array ?? []).compactMap(\.string))
    versions = Set((rule["apiVersions"].array ?? []).compactMap(\.string))
    resources = (rule["resources"].array ?? []).compactMap(\.string)
    scope = rule["scope"].string ?? "*"
    names = Set((rule["resourceNames"].array ?? []).compactMap(\.string))
  }

  func matches(
    _ operation: AdmissionOperation, group: String, version: String, plural: String, subresource: String?, isNamespaced: Bool, name: String
  ) -> Bool {
    guard operations.contains("*") || operations.contains(operation.rawValue), groups.contains("*") || groups.contains(group),
      versions.contains("*") || versions.contains(version), names.isEmpty || names.contains(name)
    else { return false }
    switch scope {
    case "Namespaced": guard isNamespaced else { return false }
    case "Cluster": guard !isNamespaced else { return false }
    default: break
    }
    return resources.contains { Self.matches($0, plural, subresource) }
  }

  /// `pods`, `pods/status`, `pods/*`, `*/status`, `*` (no subresources), `*/*`.
  static func matches(_ pattern: String, _ plural: String, _ subresource: String?) -> Bool {
    let parts = pattern.split(separator: "/", maxSplits: 1)
    guard let first = parts.first, first == "*" || first == plural else { return false }
    guard parts.count == 2 else { return subresource == nil }
    return parts[1] == "*" || (subresource.map { parts[1] == $0 } ?? false)
  }
}
