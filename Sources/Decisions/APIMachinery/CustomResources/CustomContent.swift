import JSONCodec

/// The resources of CustomResourceDefinitions, as a registry holds them.
struct CustomContent {
  private(set) var resources: [ResourceInfo] = []
  private(set) var schemas: [String: CustomSchema] = [:]
  private(set) var hashes: [String: UInt64] = [:]

  private static let verbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]

  /// - `known`: schemas of an older registry.
  /// - `isTaken`: for what a built-in resource has already.
  init(_ definitions: [JSON], _ hooks: CustomResourceHooks, known: [String: CustomSchema], isTaken: (ResourceInfo) -> Bool) {
    for definition in definitions where isConditionTrue(definition, "Established") {
      let content = Self.contentKey(definition)
      for version in definition["spec"]["versions"].items where version["served"] == true {
        let key = "\(content)/\(version["name"].string ?? "")"
        let document = version["schema"]["openAPIV3Schema"]
        let schema = known[key] ?? CustomSchema(document, hooks)
        let resource = Self.resource(definition, version, schema)
        guard !isTaken(resource) else { continue }
        schemas[key] = schema
        resources.append(resource)
        let group = SchemaRegistry.key(resource.group, resource.version)
        let accepted = definition["status"]["acceptedNames"].text()
        for byte in "\(key) \(accepted)".utf8 { hashes[group] = ((hashes[group] ?? 0xCBF2) ^ UInt64(byte)) &* 0x100_0000_01B3 }
      }
    }
    resources.sort { a, b in
      if a.group != b.group { return a.group < b.group }
      return a.version == b.version ? a.plural < b.plural : KubeVersion.precedes(a.version, b.version)
    }
  }

  /// Names what a definition says: its spec changes together with its generation.
  private static func contentKey(_ definition: JSON) -> String {
    let metadata = definition["metadata"]
    if let uid = metadata["uid"].string, let generation = metadata["generation"].int { return "\(uid)/\(generation)" }
    return definition["spec"].text()
  }

  private static func resource(_ definition: JSON, _ version: JSON, _ content: CustomSchema) -> ResourceInfo {
    let spec = definition["spec"]
    let accepted = definition["status"]["acceptedNames"]
    let names = accepted["plural"].isEmpty ? spec["names"] : accepted
    let custom = CustomResource(definition: definition, version: version, names: names, content: content)
    let type = SchemaType(
      name: "\(custom.group)/\(custom.version).\(custom.kind)",
      openAPIName: CustomResource.openAPIName(custom.group, custom.version, custom.kind), groupVersion: (custom.group, custom.version),
      shape: CustomResource.objectShape(hasStatus: custom.hasStatus), custom: .object(custom))
    var subresources: [SubresourceInfo] = []
    let verbs = ["get", "patch", "update"]
    if custom.scale != nil, let scale = SchemaRegistry.shared.type("autoscaling/v1.Scale") {
      subresources.append(SubresourceInfo(name: "scale", type: scale, verbs: verbs))
    }
    if custom.hasStatus { subresources.append(SubresourceInfo(name: "status", type: type, verbs: verbs)) }
    let selectable = version["selectableFields"].items.compactMap { $0["jsonPath"].string }
    var resource = ResourceInfo(
      group: custom.group, version: custom.version, plural: names["plural"].string ?? "",
      singular: names["singular"].string ?? custom.kind.lowercased(), kind: custom.kind,
      isNamespaced: spec["scope"] == "Namespaced", verbs: Self.verbs, shortNames: names["shortNames"].strings,
      categories: names["categories"].strings, subresources: subresources,
      fieldSelectors: selectable.map { String($0.drop { $0 == "." }) },
      storageVersionHash: StorageVersionHash.of(group: custom.group, version: custom.storageVersion, kind: custom.kind),
      isServed: true, type: type)
    resource.custom = custom
    return resource
  }
}
