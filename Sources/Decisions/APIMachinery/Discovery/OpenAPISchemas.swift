import JSONCodec

/// The types of the registry as OpenAPI schemas. Version 3 and version 2 differ in how references are written.
struct OpenAPISchemas {
  enum Version { case v2, v3 }

  let version: Version
  /// Every type that a schema has referred to.
  private(set) var referenced: [SchemaType] = []
  private var known: Set<String> = []

  init(version: Version) { self.version = version }

  /// A reference to a type, which from then on belongs to the document.
  mutating func reference(_ type: SchemaType) -> JSON {
    if known.insert(type.openAPIName).inserted { referenced.append(type) }
    return Self.link(type.openAPIName, version)
  }

  func link(to name: String) -> JSON { Self.link(name, version) }

  private static func link(_ name: String, _ version: Version) -> JSON {
    ["$ref": .string((version == .v3 ? "#/components/schemas/" : "#/definitions/") + name)]
  }

  static let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
  static let intOrString = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
  static let meta = "io.k8s.apimachinery.pkg.apis.meta.v1."
  static let rawExtension = "io.k8s.apimachinery.pkg.runtime.RawExtension"

  /// Schemas of what has its own form in JSON.
  static func scalars(_ version: Version) -> [(String, JSON)] {
    [
      (quantity, version == .v3 ? ["oneOf": [["type": "string"], ["type": "number"]]] : ["type": "string"]),
      (
        intOrString,
        version == .v3
          ? ["format": "int-or-string", "oneOf": [["type": "integer"], ["type": "string"]]]
          : ["type": "string", "format": "int-or-string"]
      ),
      (meta + "Time", ["type": "string", "format": "date-time"]),
      (meta + "MicroTime", ["type": "string", "format": "date-time"]),
      (meta + "FieldsV1", ["type": "object"]),
      (rawExtension, ["type": "object"]),
    ]
  }

  /// The schema of a type by its fields.
  mutating func schema(_ type: SchemaType) -> JSON {
    switch type.custom {
    case .object(let custom): return customSchema(custom)
    case .list(let kind): return customListSchema(type, kind: kind)
    case nil: break
    }
    var properties = JSONObject()
    var required: [String] = []
    for field in type.fields {
      let schema = property(field)
      properties[field.name] = OpenAPIDescriptions.of(type, field).map { described(schema, $0) } ?? schema
      if field.isRequired { required.append(field.name) }
    }
    var schema: JSON = [
      "type": "object", "required": required.isEmpty ? .null : JSON(required.sorted()),
      "properties": properties.isEmpty ? .null : .object(properties),
    ]
    if type.isMapAtomic { schema["x-kubernetes-map-type"] = "atomic" }
    if let (group, version) = type.groupVersion {
      schema["x-kubernetes-group-version-kind"] = [["group": .string(group), "version": .string(version), "kind": .string(type.kind)]]
    }
    return schema
  }

  /// A schema with a description. In version 3 nothing may stand beside a reference.
  func described(_ schema: JSON, _ text: String) -> JSON {
    var result: JSON = version == .v3 && !schema["$ref"].isNull ? ["allOf": [schema]] : schema
    result["description"] = .string(text)
    return result
  }

  private mutating func property(_ field: SchemaField) -> JSON {
    var schema = value(field.value, default: field.defaultValue)
    if !field.enumValues.isEmpty, version == .v3, schema["type"] == "string" { schema["enum"] = JSON(field.enumValues) }
    switch field.value {
    case .list:
      switch field.listType {
      case .atomic: schema["x-kubernetes-list-type"] = "atomic"
      case .set: schema["x-kubernetes-list-type"] = "set"
      case .map(let keys):
        schema["x-kubernetes-list-map-keys"] = JSON(keys)
        schema["x-kubernetes-list-type"] = "map"
      }
    case .map where field.isMapAtomic: schema["x-kubernetes-map-type"] = "atomic"
    default: break
    }
    if let key = field.patch.mergeKey { schema["x-kubernetes-patch-merge-key"] = .string(key) }
    var strategies: [String] = []
    if field.patch.merges { strategies.append("merge") }
    if field.patch.retainsKeys { strategies.append("retainKeys") }
    if field.patch.replaces { strategies.append("replace") }
    if !strategies.isEmpty { schema["x-kubernetes-patch-strategy"] = .string(strategies.joined(separator: ",")) }
    return schema
  }

  /// In version 3 a reference that has a default beside it stands in an `allOf`.
  private func link(_ reference: JSON, default value: JSON?) -> JSON {
    guard version == .v3, let value else { return reference }
    return ["allOf": [reference], "default": value]
  }

  private mutating func value(_ value: FieldValue, default fallback: JSON?) -> JSON {
    func plain(_ type: JSON, _ format: JSON = .null) -> JSON {
      ["type": type, "format": format, "default": version == .v3 ? fallback ?? .null : .null]
    }
    switch value {
    case .string: return plain("string")
    case .int32: return plain("integer", "int32")
    case .int64: return plain("integer", "int64")
    case .bool: return plain("boolean")
    case .double: return plain("number", "double")
    case .bytes: return plain("string", "byte")
    case .any, .alternatives: return .object(JSONObject())
    case .quantity: return link(Self.link(Self.quantity, version), default: fallback)
    case .intOrString: return link(Self.link(Self.intOrString, version), default: fallback)
    case .time: return link(Self.link(Self.meta + "Time", version), default: fallback)
    case .microTime: return link(Self.link(Self.meta + "MicroTime", version), default: fallback)
    case .rawExtension: return link(Self.link(Self.rawExtension, version), default: fallback)
    case .fieldsV1: return link(Self.link(Self.meta + "FieldsV1", version), default: fallback)
    case .object(let type): return link(reference(type), default: fallback)
    case .list(let item): return ["type": "array", "items": self.value(item, default: Self.itemDefault(item))]
    case .map(let item): return ["type": "object", "additionalProperties": self.value(item, default: Self.itemDefault(item))]
    }
  }

  private static func itemDefault(_ item: FieldValue) -> JSON? {
    switch item {
    case .string: ""
    case .int32, .int64, .double: 0
    case .object: .object(JSONObject())
    default: nil
    }
  }

  /// Schemas of all types that were referred to, and of those they refer to, by name.
  mutating func components() -> JSON {
    var schemas: [(String, JSON)] = Self.scalars(version)
    var next = 0
    while next < referenced.count {
      let type = referenced[next]
      schemas.append((type.openAPIName, schema(type)))
      next += 1
    }
    return .object(JSONObject(schemas.sorted { $0.0 < $1.0 }))
  }
}
