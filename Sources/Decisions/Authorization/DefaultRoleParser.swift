import JSONCodec
import KubernetesAPI

/// A role or binding that every cluster starts with, as the object to create.
package struct DefaultObject: Sendable {
  /// clusterroles, clusterrolebindings, roles or rolebindings.
  package let plural: String
  package let namespace: String?
  package let name: String
  package let object: JSON
}

/// Reads the texts of DefaultRoles.swift, line by line:
///
///     role [<namespace>/]<name> [label...]      begins a role; a label is short for rbac.authorization.k8s.io/<label>=true
///       gathers <label>                         its rules come from the ClusterRoles with that label
///       <verbs> <groups>: <resources> [names]   verbs, groups, resources and names with commas; group `core` is ""
///       <verbs> paths: <path>,...
///     bind [<namespace>/]<name> <role> <subject>...   a binding; a role with a `+` in front is a Role of that namespace
///
/// `read`, `write` and `change` stand for lists of verbs; subjects are `user:<name>`, `group:<name>`,
/// `account:<namespace>/<name>`. Lines that begin with `#` are comments.
enum DefaultRoleParser {
  private static let words = [
    "read": ["get", "list", "watch"], "write": ["create", "delete", "deletecollection", "patch", "update"],
    "readwrite": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    "note": ["create", "patch", "update"],
  ]
  private static let prefix = "rbac.authorization.k8s.io/"
  private static let annotations: JSON = ["rbac.authorization.kubernetes.io/autoupdate": "true"]

  static func parse(_ text: String) -> [DefaultObject] {
    var result: [DefaultObject] = []
    var open: (place: (namespace: String?, name: String), labels: [String], gathers: [String], rules: [PolicyRule])?
    func close() {
      guard let role = open else { return }
      result.append(makeRole(role.place, role.labels, role.gathers, role.rules))
      open = nil
    }
    for line in text.split(separator: "\n") where !line.drop(while: { $0 == " " }).hasPrefix("#") {
      let parts = line.split(separator: " ").map(String.init)
      switch parts.first {
      case nil: continue
      case "role":
        close()
        open = (place(parts[1]), Array(parts.dropFirst(2)), [], [])
      case "bind":
        close()
        result.append(makeBinding(place(parts[1]), parts[2], Array(parts.dropFirst(3))))
      case "gathers": open?.gathers.append(contentsOf: parts.dropFirst())
      default:
        guard open != nil, parts.count >= 3, parts[1].hasSuffix(":") else { preconditionFailure("default roles: cannot read `\(line)`") }
        open?.rules.append(rule(parts))
      }
    }
    close()
    return result
  }

  private static func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }

  private static func place(_ text: String) -> (namespace: String?, name: String) {
    guard let slash = text.firstIndex(of: "/") else { return (nil, text) }
    return (String(text[..<slash]), String(text[text.index(after: slash)...]))
  }

  private static func rule(_ parts: [String]) -> PolicyRule {
    let verbs = list(parts[0]).flatMap { words[$0] ?? [$0] }.sorted()
    if parts[1] == "paths:" { return PolicyRule(verbs: verbs, paths: list(parts[2])) }
    let groups = list(String(parts[1].dropLast())).map { $0 == "core" ? "" : $0 }
    return PolicyRule(verbs: verbs, groups: groups, resources: list(parts[2]), names: parts.count > 3 ? list(parts[3]) : [])
  }

  private static func metadata(_ place: (namespace: String?, name: String), _ labels: [String] = []) -> JSON {
    var metadata: JSON = [
      "name": .string(place.name), "annotations": annotations, "labels": ["kubernetes.io/bootstrapping": "rbac-defaults"],
    ]
    if let namespace = place.namespace { metadata["namespace"] = .string(namespace) }
    for label in labels { metadata["labels"][prefix + label] = "true" }
    return metadata
  }

  private static func makeRole(
    _ place: (namespace: String?, name: String), _ labels: [String], _ gathers: [String], _ rules: [PolicyRule]
  ) -> DefaultObject {
    var object: JSON = [
      "apiVersion": "rbac.authorization.k8s.io/v1", "kind": place.namespace == nil ? "ClusterRole" : "Role",
      "metadata": metadata(place, labels), "rules": .array(rules.map(\.json)),
    ]
    if !gathers.isEmpty {
      object["aggregationRule"] = [
        "clusterRoleSelectors": .array(gathers.map { ["matchLabels": .object(JSONObject([(prefix + $0, JSON.string("true"))]))] })
      ]
    }
    return DefaultObject(
      plural: place.namespace == nil ? "clusterroles" : "roles", namespace: place.namespace, name: place.name, object: object)
  }

  private static func makeBinding(_ place: (namespace: String?, name: String), _ role: String, _ subjects: [String]) -> DefaultObject {
    let api: JSON = "rbac.authorization.k8s.io"
    let made = subjects.map { subject -> JSON in
      let colon = subject.firstIndex(of: ":") ?? subject.endIndex
      let value = String(subject[colon...].dropFirst())
      switch subject[..<colon] {
      case "user": return ["kind": "User", "apiGroup": api, "name": .string(value)]
      case "group": return ["kind": "Group", "apiGroup": api, "name": .string(value)]
      case "account":
        let (namespace, name) = Self.place(value)
        return ["kind": "ServiceAccount", "name": .string(name), "namespace": .string(namespace ?? "")]
      default: preconditionFailure("default roles: no subject: \(subject)")
      }
    }
    let isRole = role.hasPrefix("+")
    var object: JSON = [
      "apiVersion": "rbac.authorization.k8s.io/v1", "kind": place.namespace == nil ? "ClusterRoleBinding" : "RoleBinding",
      "metadata": metadata(place),
      "roleRef": ["apiGroup": api, "kind": isRole ? "Role" : "ClusterRole", "name": .string(isRole ? String(role.dropFirst()) : role)],
    ]
    if !made.isEmpty { object["subjects"] = .array(made) }
    return DefaultObject(
      plural: place.namespace == nil ? "clusterrolebindings" : "rolebindings", namespace: place.namespace, name: place.name, object: object)
  }
}

package enum DefaultRoles {
  /// Everything of DefaultRoles.swift and DefaultControllerRoles.swift, roles before the bindings that name them.
  package static let all: [DefaultObject] = {
    let objects = DefaultRoleParser.parse(texts) + DefaultRoleParser.parse(controllerTexts) + controllerBindings
    return objects.filter { $0.plural.hasSuffix("roles") } + objects.filter { !$0.plural.hasSuffix("roles") }
  }()

  /// Each controller's role is bound to the account of its name in kube-system.
  private static var controllerBindings: [DefaultObject] {
    let prefix = "system:controller:"
    let names = DefaultRoleParser.parse(controllerTexts).filter { $0.plural == "clusterroles" }.map {
      String($0.name.dropFirst(prefix.count))
    }
    return DefaultRoleParser.parse(names.map { "bind \(prefix)\($0) \(prefix)\($0) account:kube-system/\($0)" }.joined(separator: "\n"))
  }

  /// What a present default object lacks; nil where it lacks nothing or asks (by its annotation) to be left alone.
  /// Rules and subjects that were added stay; what was taken away comes back, as upstream does at each start.
  package static func repaired(_ present: JSON, _ wanted: DefaultObject) -> JSON? {
    guard present["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"].string != "false" else { return nil }
    var result = present
    for field in ["labels", "annotations"] {
      for (key, value) in wanted.object["metadata"][field].object ?? JSONObject() where present["metadata"][field][key].isNull {
        result["metadata"][field][key] = value
      }
    }
    if wanted.plural.hasSuffix("roles") {
      if wanted.object["aggregationRule"].isNull {
        let held = PolicyRule.list(present["rules"])
        let missing = Escalation.compact(Escalation.missing(held: held, granted: PolicyRule.list(wanted.object["rules"])))
        if !missing.isEmpty { result["rules"] = .array((present["rules"].array ?? []) + missing.map(\.json)) }
      } else if present["aggregationRule"].isNull {
        result["aggregationRule"] = wanted.object["aggregationRule"]
      }
    } else {
      // A binding to another role cannot be mended: roleRef never changes. Its owner meant it.
      guard present["roleRef"]["name"] == wanted.object["roleRef"]["name"] else { return nil }
      let subjects = present["subjects"].array ?? []
      let missing = (wanted.object["subjects"].array ?? []).filter { subject in
        !subjects.contains {
          $0["kind"] == subject["kind"] && $0["name"] == subject["name"]
            && ($0["namespace"].string ?? "") == (subject["namespace"].string ?? "")
        }
      }
      if !missing.isEmpty { result["subjects"] = .array(subjects + missing) }
    }
    return result == present ? nil : result
  }
}
