import JSONCodec

/// The resources of CustomResourceDefinitions, as a registry holds them.
struct CustomContent: Sendable {
  /// What one definition brings.
  private struct Entry: Sendable {
    var resources: [ResourceInfo] = []
    /// By the definition's content and the version's name.
    var schemas: [String: CustomSchema] = [:]
    var hashes: [String: UInt64] = [:]
  }

  private(set) var resources: [ResourceInfo] = []
  /// Names the content of a group and version.
  private(set) var hashes: [String: UInt64] = [:]
  private var schemas: [String: CustomSchema] = [:]
  /// By uid and resourceVersion.
  private var entries: [String: Entry] = [:]

  private static let verbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]

  init() {}

  /// - `known`: the content of an older registry, from which is taken what did not change.
  /// - `isTaken`: for what a built-in resource has already.
  init(_ definitions: [JSON], _ hooks: CustomResourceHooks, known: CustomContent, isTaken: (ResourceInfo) -> Bool) {
    for definition in definitions where isConditionTrue(definition, "Established") {
      let key = Self.entryKey(definition)
      let entry = key.flatMap { known.entries[$0] } ?? Self.entry(definition, hooks, known.schemas)
      if let key { entries[key] = entry }
      resources += entry.resources.filter { !isTaken($0) }
      schemas.merge(entry.schemas) { first, _ in first }
      hashes.merge(entry.hashes) { $0 &* 31 &+ $1 }
    }
    resources.sort { a, b in
      if a.group != b.group { return a.group < b.group }
      return a.version == b.version ? a.plural < b.plural : KubeVersion.precedes(a.version, b.version)
    }
  }

  private static func entry(_ definition: JSON, _ hooks: CustomResourceHooks, _ known: [String: CustomSchema]) -> Entry {
    var entry = Entry()
    let content = contentKey(definition)
    for version in definition["spec"]["versions"].items where version["served"] == true {
      let key = "\(content)/\(version["name"].string ?? "")"
      let schema = known[key] ?? CustomSchema(version["schema"]["openAPIV3Schema"], hooks)
      let resource = resource(definition, version, schema)
      entry.schemas[key] = schema
      entry.resources.append(resource)
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for byte in "\(key) \(definition["status"]["acceptedNames"].text())".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      entry.hashes[SchemaRegistry.key(resource.group, resource.version)] = hash
    }
    return entry
  }

  /// Nil for a definition that does not come from a store.
  private static func entryKey(_ definition: JSON) -> String? {
    let metadata = definition["metadata"]
    guard let uid = metadata["uid"].string, let version = metadata["resourceVersion"].string else { return nil }
    return "\(uid)/\(version)"
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
