import JSONCodec
import Synchronization

/// What a field holds.
package indirect enum FieldValue: Sendable {
  case string, int32, int64, bool, double
  /// Base64 in JSON.
  case bytes
  /// Any JSON value, carried over the wire as JSON text.
  case any
  case quantity, intOrString
  /// RFC 3339, to the second and to the microsecond.
  case time, microTime
  /// Any object.
  case rawExtension, fieldsV1
  case object(SchemaType)
  /// In JSON the bare value of one of the type's fields: an object, a list or a flag.
  case alternatives(SchemaType)
  case list(FieldValue)
  case map(FieldValue)
}

/// How server-side apply sees the items of a list.
package enum ListType: Sendable, Equatable {
  /// Owned and replaced as a whole.
  case atomic
  /// Scalars, each owned by itself.
  case set
  /// Objects with an identity: the values of these fields.
  case map(keys: [String])
}

/// How a strategic merge patch changes a field.
package struct PatchStrategy: Sendable, Equatable {
  /// A list is merged rather than replaced.
  package var merges = false
  /// The field that identifies an item of a merged list of objects; nil for lists of scalars.
  package var mergeKey: String?
  /// Fields that the patch does not name are dropped from the object (`retainKeys`).
  package var retainsKeys = false
  /// An object is replaced as a whole.
  package var replaces = false
}

/// One field of a type.
package struct SchemaField: Sendable {
  /// In JSON.
  package let name: String
  /// In protobuf; 0 for a field that only JSON has.
  package let number: Int
  package let value: FieldValue
  /// Upstream keeps a pointer: absent differs from zero, and zero is written.
  package var isOptional = false
  /// False for what is written even where it is empty.
  package var omitsEmpty = true
  package var isRequired = false
  /// The default that OpenAPI publishes: not what defaulting fills in.
  package var defaultValue: JSON?
  /// What defaulting fills in where the field is not set.
  package var fill: JSON?
  package var listType = ListType.atomic
  package var patch = PatchStrategy()
  /// The object or map is owned as a whole in server-side apply.
  package var isMapAtomic = false
  package var enumValues: [String] = []
  /// The list is a message of its own on the wire, with the items as its field 1.
  package var isWrapped = false
}

/// A member of a protobuf message, by its number.
package enum WireMember: Sendable {
  /// A position in `fields`.
  case field(Int)
  /// A struct whose fields stand in the parent's JSON object, from this position on, but in a message of their own on the wire.
  case embedded(SchemaType, at: Int)
}

/// A type of the API: what its JSON object and its protobuf message hold. The schema text is read on first use.
package final class SchemaType: Sendable {
  /// Package and name: `core/v1.Pod`.
  package let name: String
  /// `io.k8s.api.core.v1.Pod`.
  package let openAPIName: String
  /// Owned as a whole in server-side apply, wherever it is used.
  package let isMapAtomic: Bool
  /// In JSON the bare value of one of its fields.
  let isAlternatives: Bool
  /// A kind of its own, with apiVersion and kind: its group ("" for core) and version.
  package let groupVersion: (group: String, version: String)?

  /// Where the shape comes from: a schema text, or a CustomResourceDefinition.
  private enum Origin: Sendable {
    case text(SchemaSource, Unowned)
    case custom(TypeShape, CustomType)
  }
  /// The table outlives its types: it is what holds them.
  private struct Unowned: Sendable { unowned let table: TypeTable }

  private let origin: Origin
  private let parsed = AtomicLazyReference<TypeShape>()

  init(
    name: String, openAPIName: String, isMapAtomic: Bool, isAlternatives: Bool, groupVersion: (String, String)?, source: SchemaSource,
    table: TypeTable
  ) {
    self.name = name
    self.openAPIName = openAPIName
    self.isMapAtomic = isMapAtomic
    self.isAlternatives = isAlternatives
    self.groupVersion = groupVersion
    origin = .text(source, Unowned(table: table))
  }

  /// The type of a custom kind, or of its list. `shape` has only the fields that every object has.
  init(name: String, openAPIName: String, groupVersion: (String, String), shape: TypeShape, custom: CustomType) {
    self.name = name
    self.openAPIName = openAPIName
    isMapAtomic = false
    isAlternatives = false
    self.groupVersion = groupVersion
    origin = .custom(shape, custom)
  }

  var shape: TypeShape {
    switch origin {
    case .custom(let shape, _): return shape
    case .text(let source, let unowned):
      if let shape = parsed.load() { return shape }
      return parsed.storeIfNil(TypeShape(parsing: source, of: self, unowned.table))
    }
  }

  /// What a CustomResourceDefinition says about the type; nil for a built-in one.
  var custom: CustomType? { if case .custom(_, let custom) = origin { custom } else { nil } }

  /// In JSON's order, with the fields of embedded structs in place.
  package var fields: [SchemaField] { shape.fields }
  package func field(_ json: String) -> SchemaField? { shape.position(json).map { shape.fields[$0] } }

  /// `Pod` of `core/v1.Pod`.
  package var kind: String { String(name[name.index(after: name.lastIndex(of: ".")!)...]) }
  /// `core/v1` of `core/v1.Pod`.
  package var packageName: String { String(name[..<name.lastIndex(of: ".")!]) }
}

extension SchemaType: CustomStringConvertible {
  package var description: String { name }
}

/// What the schema text of a type says.
final class TypeShape: Sendable {
  /// Fewer fields than this are searched in a line.
  private static let linearSearchMax = 8

  let fields: [SchemaField]
  /// Members of the message in ascending order of their numbers.
  let members: [(number: Int, member: WireMember)]
  /// Fields that upstream writes even where nobody set them (`SchemaField.unset`), with what it writes: structs that it keeps no
  /// pointer to, numbers and texts without `omitempty`.
  let alwaysWritten: [(field: SchemaField, unset: JSON)]
  private let positions: [String: Int]

  init(fields: [SchemaField], members: [(Int, WireMember)]) {
    self.fields = fields
    self.members = members.sorted { $0.0 < $1.0 }.map { (number: $0.0, member: $0.1) }
    alwaysWritten = fields.compactMap { field in field.unset.map { (field: field, unset: $0) } }
    positions =
      fields.count > Self.linearSearchMax
      ? Dictionary(fields.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first }) : [:]
  }

  func position(_ name: String) -> Int? {
    if fields.count > Self.linearSearchMax { return positions[name] }
    for i in fields.indices where fields[i].name == name { return i }
    return nil
  }

  func member(_ number: Int) -> WireMember? {
    // Most messages number their fields without gaps.
    if number >= 1, number <= members.count, members[number - 1].number == number { return members[number - 1].member }
    return members.first { $0.number == number }?.member
  }
}
