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

  package func subresource(_ name: String) -> SubresourceInfo? { subresources.first { $0.name == name } }
}

/// All types and resources that are registered.
package final class SchemaRegistry: Sendable {
  package static let shared = SchemaRegistry(texts: SchemaTexts.all)

  /// In the order of discovery.
  package let resources: [ResourceInfo]
  private let table: TypeTable
  private let positions: [String: Int]
  private let packages: [String: String]
  private let sources: [String: SchemaSource]

  /// Notes where every type stands; types are read on first use.
  init(texts: [StaticString]) {
    let table = TypeTable()
    var headers: [SchemaPackage] = []
    for text in texts { headers.append(SchemaPackage(indexing: text, into: table)) }
    var resources: [ResourceInfo] = []
    for header in headers {
      for block in header.resources { resources.append(ResourceInfo(parsing: block, of: header, table)) }
    }
    self.table = table
    self.resources = resources
    positions = Dictionary(
      resources.enumerated().map { (Self.key($1.group, $1.version, $1.plural), $0) }, uniquingKeysWith: { first, _ in first })
    sources = Dictionary(headers.map { (Self.key($0.group, $0.version), $0.source) }, uniquingKeysWith: { first, _ in first })
    packages = Dictionary(headers.map { (Self.key($0.group, $0.version), $0.name) }, uniquingKeysWith: { first, _ in first })
  }

  private static func key(_ parts: String...) -> String { parts.joined(separator: "/") }

  package func resource(group: String, version: String, plural: String) -> ResourceInfo? {
    positions[Self.key(group, version, plural)].map { resources[$0] }
  }

  /// The resource whose objects are of a kind.
  package func resource(group: String, version: String, kind: String) -> ResourceInfo? {
    resources.first { $0.group == group && $0.version == version && $0.kind == kind }
  }

  /// By package and name: `core/v1.Pod`.
  package func type(_ name: String) -> SchemaType? { table.types[name] }

  /// The type of a kind. Kinds of meta/v1 (Status, DeleteOptions, ...) are part of every group.
  package func kind(group: String, version: String, kind: String) -> SchemaType? {
    if let name = packages[Self.key(group, version)], let type = table.types["\(name).\(kind)"] { return type }
    return table.types["meta/v1.\(kind)"]
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

  /// Names the content of a group and version's schema text.
  func textHash(_ group: String, _ version: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    guard let source = sources[Self.key(group, version)] else { return hash }
    for byte in source.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return hash
  }

  /// Groups and versions with at least one served resource, in the order of discovery.
  package var servedGroupVersions: [(group: String, version: String)] {
    var result: [(group: String, version: String)] = []
    for resource in resources where resource.isServed {
      if !result.contains(where: { $0.group == resource.group && $0.version == resource.version }) {
        result.append((resource.group, resource.version))
      }
    }
    return result
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
