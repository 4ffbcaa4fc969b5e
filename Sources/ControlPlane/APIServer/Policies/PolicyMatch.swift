import APIMachinery
import JSONCodec
import KubernetesAPI

/// Which requests a policy or a binding is about: MatchResources.
struct PolicyMatch: Sendable {
  private let rules: [AdmissionRule]
  private let excluded: [AdmissionRule]
  private let namespaces: LabelSelector
  private let objects: LabelSelector
  private let matchesEquivalents: Bool

  /// Nil where a selector cannot be read.
  init?(_ match: JSON) {
    func selector(_ json: JSON) -> LabelSelector? { json.isNull || json.isEmpty ? .everything : LabelSelector(json: json) }
    guard let namespaces = selector(match["namespaceSelector"]), let objects = selector(match["objectSelector"]) else { return nil }
    self.namespaces = namespaces
    self.objects = objects
    rules = (match["resourceRules"].array ?? []).map(AdmissionRule.init)
    excluded = (match["excludeResourceRules"].array ?? []).map(AdmissionRule.init)
    matchesEquivalents = match["matchPolicy"].string != "Exact"
  }

  /// The version of the kind in which the request is to be looked at; nil where it is not to be. Without rules, everything matches.
  func version(_ attempt: AdmissionAttempt, _ object: JSON?, _ registry: SchemaRegistry) -> String? {
    guard attempt.matches(namespaces: namespaces, object), attempt.matches(objects: objects, object) else { return nil }
    let resource = attempt.request.resource
    var versions = [resource.version]
    if matchesEquivalents {
      versions += registry.resources.filter {
        $0.group == resource.group && $0.plural == resource.plural && $0.version != resource.version
      }.map(\.version)
    }
    if attempt.version(matching: excluded, equivalents: versions) != nil { return nil }
    return rules.isEmpty ? resource.version : attempt.version(matching: rules, equivalents: versions)
  }
}
