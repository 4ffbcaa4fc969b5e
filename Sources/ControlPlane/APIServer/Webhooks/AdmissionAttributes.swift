import APIMachinery
import JSONCodec
import KubernetesAPI

/// A write on its way through admission.
struct AdmissionAttempt: Sendable {
  let operation: AdmissionOperation
  let request: ResourceRequest
  let name: String
  let user: UserInfo
  let isDryRun: Bool
  /// CreateOptions, UpdateOptions, PatchOptions or DeleteOptions as the client sent them.
  var options: JSON
  let old: JSON?
  /// The labels of the object's namespace, and the namespace itself; null for what has none.
  let namespace: JSON

  /// The kind whose objects the request carries: that of the subresource where it has one of its own.
  var kind: (group: String, version: String, kind: String) {
    let resource = request.resource
    guard let subresource = request.subresource.flatMap({ name in resource.subresources.first { $0.name == name } }),
      subresource.type.kind != resource.kind, let version = subresource.type.groupVersion
    else { return (resource.group, resource.version, resource.kind) }
    return (version.group, version.version, subresource.type.kind)
  }

  /// Whether a rule is about it. Nil where it is not; else the version that the rule names.
  func version(matching rules: [AdmissionRule], equivalents versions: [String]) -> String? {
    let resource = request.resource
    for version in versions {
      let isMatched = rules.contains {
        $0.matches(
          operation, group: resource.group, version: version, plural: resource.plural, subresource: request.subresource,
          isNamespaced: resource.isNamespaced, name: name)
      }
      if isMatched { return version }
    }
    return nil
  }

  /// Kinds that say what admission does are not judged by it: they would be able to lock everybody out.
  var isExempt: Bool { request.resource.group == "admissionregistration.k8s.io" }

  /// The object's own labels count, or those it had.
  func matches(objects selector: LabelSelector, _ object: JSON?) -> Bool {
    if selector.selectsEverything { return true }
    for candidate in [object, old] {
      if let candidate, selector.matches(candidate["metadata"]["labels"]) { return true }
    }
    return false
  }

  /// A selector of namespaces lets everything of the cluster scope through, but for namespaces themselves.
  func matches(namespaces selector: LabelSelector, _ object: JSON?) -> Bool {
    if selector.selectsEverything { return true }
    if request.resource.plural == "namespaces", request.resource.group.isEmpty {
      return selector.matches((object ?? old ?? .null)["metadata"]["labels"])
    }
    guard request.resource.isNamespaced else { return true }
    return selector.matches(namespace["metadata"]["labels"])
  }

  /// An admission.k8s.io/v1 AdmissionReview.
  func review(uid: String, object: JSON?, old: JSON?, version: String) -> JSON {
    let (group, kindVersion, kind) = kind
    let resource = request.resource
    let requested: JSON = ["group": .string(group), "version": .string(kindVersion), "kind": .string(kind)]
    var asked = requested
    if group == resource.group { asked["version"] = .string(version) }
    var body: JSON = [
      "uid": .string(uid), "kind": asked,
      "resource": ["group": .string(resource.group), "version": .string(version), "resource": .string(resource.plural)],
    ]
    if let subresource = request.subresource { body["subResource"] = .string(subresource) }
    body["requestKind"] = requested
    body["requestResource"] = [
      "group": .string(resource.group), "version": .string(resource.version), "resource": .string(resource.plural),
    ]
    if let subresource = request.subresource { body["requestSubResource"] = .string(subresource) }
    if !name.isEmpty { body["name"] = .string(name) }
    if let namespace = request.namespace {
      body["namespace"] = .string(namespace)
    } else if resource.plural == "namespaces", !name.isEmpty {
      body["namespace"] = .string(name)
    }
    body["operation"] = .string(operation.rawValue)
    body["userInfo"] = user.json
    body["dryRun"] = .bool(isDryRun)
    var fields = body.object ?? JSONObject()
    // They are there as nulls as well: programs look them up without asking.
    for (name, value) in [("object", object ?? .null), ("oldObject", old ?? .null), ("options", options)] { fields.append(name, value) }
    return ["kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": .object(fields)]
  }
}
