import JSONCodec

/// One rule of a role (rbac/v1 PolicyRule).
package struct PolicyRule: Sendable, Hashable {
  package var verbs: [String]
  package var groups: [String]
  package var resources: [String]
  package var names: [String]
  package var paths: [String]

  package init(verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], paths: [String] = []) {
    self.verbs = verbs
    self.groups = groups
    self.resources = resources
    self.names = names
    self.paths = paths
  }

  package init(_ json: JSON) {
    func list(_ field: String) -> [String] { (json[field].array ?? []).compactMap(\.string) }
    self.init(
      verbs: list("verbs"), groups: list("apiGroups"), resources: list("resources"), names: list("resourceNames"),
      paths: list("nonResourceURLs"))
  }

  package static func list(_ json: JSON) -> [PolicyRule] { (json.array ?? []).map { PolicyRule($0) } }

  package var json: JSON {
    var json: JSON = ["verbs": JSON(verbs)]
    if !groups.isEmpty { json["apiGroups"] = JSON(groups) }
    if !resources.isEmpty { json["resources"] = JSON(resources) }
    if !names.isEmpty { json["resourceNames"] = JSON(names) }
    if !paths.isEmpty { json["nonResourceURLs"] = JSON(paths) }
    return json
  }

  /// Whether the rule allows the request.
  package func allows(_ request: AccessRequest) -> Bool {
    guard Self.holds(verbs, request.verb) else { return false }
    if let path = request.path { return Self.paths(paths, cover: path) }
    guard Self.holds(groups, request.group), Self.resources(resources, cover: request.combined, request.subresource) else { return false }
    return names.isEmpty || names.contains(request.name)
  }

  private static func holds(_ list: [String], _ value: String) -> Bool { list.contains("*") || list.contains(value) }

  /// `*` is every resource and subresource, `*/scale` the subresource of any resource.
  private static func resources(_ list: [String], cover combined: String, _ subresource: String) -> Bool {
    list.contains { $0 == "*" || $0 == combined || (!subresource.isEmpty && $0 == "*/\(subresource)") }
  }

  private static func paths(_ list: [String], cover path: String) -> Bool {
    list.contains { $0 == "*" || $0 == path || ($0.hasSuffix("*") && path.hasPrefix($0.dropLast())) }
  }

  // MARK: one rule within another

  /// Whether everything that `other` allows is allowed by this rule alone.
  func covers(_ other: PolicyRule) -> Bool {
    func all(_ mine: [String], _ theirs: [String]) -> Bool { mine.contains("*") || theirs.allSatisfy(mine.contains) }
    guard all(verbs, other.verbs), all(groups, other.groups) else { return false }
    let coversResources = other.resources.allSatisfy { resource in
      let slash = resource.firstIndex(of: "/")
      return Self.resources(resources, cover: resource, slash.map { String(resource[resource.index(after: $0)...]) } ?? "")
    }
    // A rule for some names never covers one for all.
    let coversNames = names.isEmpty || (!other.names.isEmpty && other.names.allSatisfy(names.contains))
    return coversResources && coversNames && other.paths.allSatisfy { Self.paths(paths, cover: $0) }
  }

  /// The rule as rules with one verb, one group, one resource and at most one name each.
  var single: [PolicyRule] {
    var result: [PolicyRule] = []
    for group in groups {
      for resource in resources {
        for verb in verbs {
          if names.isEmpty { result.append(PolicyRule(verbs: [verb], groups: [group], resources: [resource])) }
          for name in names { result.append(PolicyRule(verbs: [verb], groups: [group], resources: [resource], names: [name])) }
        }
      }
    }
    for path in paths {
      for verb in verbs { result.append(PolicyRule(verbs: [verb], paths: [path])) }
    }
    return result
  }

  /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
  package var text: String {
    let parts = [("APIGroups", groups), ("Resources", resources), ("NonResourceURLs", paths), ("ResourceNames", names), ("Verbs", verbs)]
    return "{" + parts.filter { !$0.1.isEmpty }.map { "\($0.0):\(quotedList($0.1))" }.joined(separator: ", ") + "}"
  }
}

/// `["a" "b"]`, as Go's %q writes a slice.
func quotedList(_ values: [String]) -> String {
  "[" + values.map { JSON.string($0).text() }.joined(separator: " ") + "]"
}
