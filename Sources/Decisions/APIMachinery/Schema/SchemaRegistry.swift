import JSONCodec

/// A subresource such as `pods/eviction`.
package struct SubresourceInfo: Sendable {
  package let name: String
  /// Of what it takes and gives: `eviction` is a policy/v1 Eviction.
  package let type: SchemaType
  package let verbs: [String]
  package var kind: String { type.kind }
}

/// A resource of the API and how it is named, found and stored.
package struct ResourceInfo: Sendable {
  /// "" for core.
  package let group: String
  package let version: String
  package let plural: String
  package let singular: String
  package let kind: String
  package let isNamespaced: Bool
  package let verbs: [String]
  package let shortNames: [String]
  package let categories: [String]
  package let subresources: [SubresourceInfo]
  /// Fields beside metadata.name and metadata.namespace that a field selector may name.
  package let fieldSelectors: [String]
  package let storageVersionHash: String
  /// False: the type is known, for decoding, but the resource is not offered.
  package let isServed: Bool
  package let type: SchemaType
  /// What the CustomResourceDefinition says; nil for a built-in resource.
  package var custom: CustomResource?
  /// For the kind CustomResourceDefinition itself.
  var hooks = CustomResourceHooks.standard

  package func subresource(_ name: String) -> SubresourceInfo? { subresources.first { $0.name == name } }
}

/// All types and resources that are registered: the built-in ones of the schema texts and, in registries made with `adding`, those
/// of CustomResourceDefinitions.
package final class SchemaRegistry: Sendable {
  package static let shared = SchemaRegistry(texts: SchemaTexts.all)

  /// In the order of discovery.
  package let resources: [ResourceInfo]
  /// Groups and versions with at least one served resource, in the order of discovery.
  package let servedGroupVersions: [(group: String, version: String)]
  private let builtIns: BuiltIns
  private let builtInCount: Int
  private let positions: [String: Int]
  private let kindPositions: [String: Int]
  private let groupPositions: [String: [Int]]
  private let customContent: CustomContent

  /// What the schema texts say; shared by all registries.
  private struct BuiltIns: Sendable {
    let table: TypeTable
    let packages: [String: String]
    let sources: [String: SchemaSource]
  }

  /// Notes where every type stands; types are read on first use.
  init(texts: [StaticString]) {
    let table = TypeTable()
    var headers: [SchemaPackage] = []
    for text in texts { headers.append(SchemaPackage(indexing: text, into: table)) }
    var resources: [ResourceInfo] = []
    for header in headers {
      for block in header.resources { resources.append(ResourceInfo(parsing: block, of: header, table)) }
    }
    self.resources = resources
    builtInCount = resources.count
    builtIns = BuiltIns(
      table: table,
      packages: Dictionary(headers.map { (Self.key($0.group, $0.version), $0.name) }, uniquingKeysWith: { first, _ in first }),
      sources: Dictionary(headers.map { (Self.key($0.group, $0.version), $0.source) }, uniquingKeysWith: { first, _ in first }))
    let index = Self.index(resources)
    (positions, kindPositions, groupPositions, servedGroupVersions) = index
    customContent = CustomContent()
  }

  private init(_ base: SchemaRegistry, custom: CustomContent, hooks: CustomResourceHooks) {
    var resources = Array(base.resources[..<base.builtInCount])
    for i in resources.indices where resources[i].group == "apiextensions.k8s.io" { resources[i].hooks = hooks }
    resources += custom.resources
    self.resources = resources
    builtInCount = base.builtInCount
    builtIns = base.builtIns
    (positions, kindPositions, groupPositions, servedGroupVersions) = Self.index(resources)
    customContent = custom
  }

  /// A registry with the resources of all served versions of established definitions, instead of those that this one has beside
  /// the built-in ones. Cheap enough to be done again on each change of a definition: schemas are made when they are first needed,
  /// and what comes from definitions that did not change (by uid and resourceVersion, or generation) is taken over from this registry.
  /// The hooks must be the same ones each time.
  package func adding(_ definitions: [JSON], hooks: CustomResourceHooks = .standard) -> SchemaRegistry {
    let taken = Set(resources[..<builtInCount].map { Self.key($0.group, $0.version, $0.plural) })
    let content = CustomContent(definitions, hooks, known: customContent) { taken.contains(Self.key($0.group, $0.version, $0.plural)) }
    return SchemaRegistry(self, custom: content, hooks: hooks)
  }

  static func key(_ parts: String...) -> String { parts.joined(separator: "/") }

  private typealias Index = (
    positions: [String: Int], kinds: [String: Int], groups: [String: [Int]], served: [(group: String, version: String)]
  )

  private static func index(_ resources: [ResourceInfo]) -> Index {
    var index: Index = ([:], [:], [:], [])
    index.positions.reserveCapacity(resources.count)
    index.kinds.reserveCapacity(resources.count)
    for (i, resource) in resources.enumerated() {
      let position = key(resource.group, resource.version, resource.plural)
      if index.positions[position] == nil { index.positions[position] = i }
      let kind = key(resource.group, resource.version, resource.kind)
      if index.kinds[kind] == nil { index.kinds[kind] = i }
      guard resource.isServed else { continue }
      let group = key(resource.group, resource.version)
      if index.groups[group] == nil { index.served.append((resource.group, resource.version)) }
      index.groups[group, default: []].append(i)
    }
    return index
  }

  package func resource(group: String, version: String, plural: String) -> ResourceInfo? {
    positions[Self.key(group, version, plural)].map { resources[$0] }
  }

  /// The resource whose objects are of a kind.
  package func resource(group: String, version: String, kind: String) -> ResourceInfo? {
    kindPositions[Self.key(group, version, kind)].map { resources[$0] }
  }

  /// The served resources of a group and version.
  package func servedResources(group: String, version: String) -> [ResourceInfo] {
    (groupPositions[Self.key(group, version)] ?? []).map { resources[$0] }
  }

  /// The resources of CustomResourceDefinitions.
  package var customResources: ArraySlice<ResourceInfo> { resources[builtInCount...] }

  /// By package and name: `core/v1.Pod`.
  package func type(_ name: String) -> SchemaType? { builtIns.table.types[name] }

  /// The type of a kind. Kinds of meta/v1 (Status, DeleteOptions, ...) are part of every group.
  package func kind(group: String, version: String, kind: String) -> SchemaType? {
    if let name = builtIns.packages[Self.key(group, version)], let type = type("\(name).\(kind)") { return type }
    if let i = kindPositions[Self.key(group, version, kind)], resources[i].custom != nil { return resources[i].type }
    return type("meta/v1.\(kind)")
  }

  /// The type that `apiVersion` and `kind` of a document name.
  package func kind(apiVersion: String, kind: String) -> SchemaType? {
    let parts = apiVersion.split(separator: "/", omittingEmptySubsequences: false)
    switch parts.count {
    case 1: return self.kind(group: "", version: apiVersion, kind: kind)
    case 2: return self.kind(group: String(parts[0]), version: String(parts[1]), kind: kind)
    default: return nil
    }
  }

  /// Names the content of a group and version: its schema text, and its definitions.
  func textHash(_ group: String, _ version: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ (customContent.hashes[Self.key(group, version)] ?? 0)
    guard let source = builtIns.sources[Self.key(group, version)] else { return hash }
    for byte in source.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return hash
  }
}

/// Types by name. Filled while the registry is made and only read afterwards, which is what makes it Sendable.
final class TypeTable: @unchecked Sendable {
  /// Room for what is registered, so that the table does not grow step by step.
  private static let typesExpected = 640
  fileprivate(set) var types: [String: SchemaType]

  init() { types = Dictionary(minimumCapacity: Self.typesExpected) }

  func add(_ type: SchemaType) { types[type.name] = type }

  /// A name as it stands in a schema text, where the own package is left out.
  func resolve(_ name: String, in package: String) -> SchemaType {
    guard let type = types[name.utf8.contains(UInt8(ascii: "/")) ? name : package + "." + name] else {
      preconditionFailure("schema text of \(package) names the type \(name), which is not registered")
    }
    return type
  }
}
