import JSONCodec

/// What a client asks first: which groups, versions and resources there are. Built from the registry, so that a resource is in
/// discovery exactly where it is served.
package struct DiscoveryDocuments: Sendable {
  let registry: SchemaRegistry

  package init(registry: SchemaRegistry = .shared) { self.registry = registry }

  private func resources(_ group: String, _ version: String) -> [ResourceInfo] {
    registry.servedResources(group: group, version: version).sorted { $0.plural < $1.plural }
  }

  /// Named groups in the order of discovery, with their versions, preferred first.
  private var namedGroups: [(name: String, versions: [String])] {
    var result: [(name: String, versions: [String])] = []
    var positions: [String: Int] = [:]
    for (group, version) in registry.servedGroupVersions where !group.isEmpty {
      if let i = positions[group] {
        result[i].versions.append(version)
      } else {
        positions[group] = result.count
        result.append((group, [version]))
      }
    }
    return result
  }

  // MARK: aggregated

  package enum AggregatedVersion: String, Sendable { case v2, v2beta1 }

  /// `/api` (core) or `/apis` (the rest) for Accept `application/json;g=apidiscovery.k8s.io;v=...;as=APIGroupDiscoveryList`.
  package func aggregated(core: Bool, as version: AggregatedVersion) -> JSON {
    let groups = core ? [(name: "", versions: ["v1"])] : namedGroups
    return [
      "kind": "APIGroupDiscoveryList", "apiVersion": .string("apidiscovery.k8s.io/\(version.rawValue)"),
      "metadata": .object(JSONObject()),
      "items": .array(
        groups.map { group in
          [
            "metadata": group.name.isEmpty ? .object(JSONObject()) : ["name": .string(group.name)],
            "versions": .array(
              group.versions.map { version in
                [
                  "version": .string(version), "resources": .array(resources(group.name, version).map(Self.aggregated)),
                  "freshness": "Current",
                ]
              }),
          ]
        }),
    ]
  }

  private static func kind(_ type: SchemaType, _ fallback: ResourceInfo) -> JSON {
    let group = type.groupVersion?.group ?? fallback.group
    let version = type.groupVersion?.version ?? fallback.version
    return ["group": .string(group), "version": .string(version), "kind": .string(type.kind)]
  }

  private static func list(_ values: [String]) -> JSON { values.isEmpty ? .null : JSON(values) }

  private static func aggregated(_ resource: ResourceInfo) -> JSON {
    [
      "resource": .string(resource.plural), "responseKind": kind(resource.type, resource),
      "scope": resource.isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(resource.singular),
      "verbs": JSON(resource.verbs), "shortNames": list(resource.shortNames), "categories": list(resource.categories),
      "subresources": resource.subresources.isEmpty
        ? .null
        : .array(
          resource.subresources.map {
            ["subresource": .string($0.name), "responseKind": kind($0.type, resource), "verbs": JSON($0.verbs)]
          }),
    ]
  }

  // MARK: legacy

  /// `/api`.
  package func apiVersions(serverAddress: String) -> JSON {
    [
      "kind": "APIVersions", "versions": ["v1"],
      "serverAddressByClientCIDRs": [["clientCIDR": "0.0.0.0/0", "serverAddress": .string(serverAddress)]],
    ]
  }

  /// `/apis`.
  package func apiGroupList() -> JSON {
    ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(namedGroups.map { Self.apiGroup($0.name, $0.versions) })]
  }

  /// `/apis/<group>`; nil for a group that is not served.
  package func apiGroup(_ name: String) -> JSON? {
    guard let group = namedGroups.first(where: { $0.name == name }) else { return nil }
    var document: JSON = ["kind": "APIGroup", "apiVersion": "v1"]
    for (key, value) in Self.apiGroup(group.name, group.versions).object ?? JSONObject() { document[key] = value }
    return document
  }

  private static func apiGroup(_ name: String, _ versions: [String]) -> JSON {
    let entries: [JSON] = versions.map { ["groupVersion": .string("\(name)/\($0)"), "version": .string($0)] }
    return ["name": .string(name), "versions": .array(entries), "preferredVersion": entries[0]]
  }

  /// `/api/v1` and `/apis/<group>/<version>`; nil for what is not served.
  package func apiResourceList(group: String, version: String) -> JSON? {
    let resources = resources(group, version)
    guard !resources.isEmpty else { return nil }
    return [
      "kind": "APIResourceList", "apiVersion": group.isEmpty ? .null : "v1",
      "groupVersion": .string(group.isEmpty ? version : "\(group)/\(version)"),
      "resources": .array(resources.flatMap { [Self.legacy($0)] + $0.subresources.map(legacySubresource($0)) }),
    ]
  }

  private static func legacy(_ resource: ResourceInfo) -> JSON {
    [
      "name": .string(resource.plural), "singularName": .string(resource.singular), "namespaced": .bool(resource.isNamespaced),
      "kind": .string(resource.kind), "verbs": JSON(resource.verbs), "shortNames": list(resource.shortNames),
      "categories": list(resource.categories),
      "storageVersionHash": resource.storageVersionHash.isEmpty ? .null : .string(resource.storageVersionHash),
    ]
  }

  private func legacySubresource(_ resource: ResourceInfo) -> (SubresourceInfo) -> JSON {
    { subresource in
      let own = subresource.type.groupVersion
      let isForeign = own.map { $0.group != resource.group || $0.version != resource.version } ?? false
      return [
        "name": .string("\(resource.plural)/\(subresource.name)"), "singularName": "", "namespaced": .bool(resource.isNamespaced),
        "group": isForeign ? .string(own!.group) : .null, "version": isForeign ? .string(own!.version) : .null,
        "kind": .string(subresource.kind), "verbs": JSON(subresource.verbs),
      ]
    }
  }
}
