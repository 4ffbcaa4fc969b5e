import JSONCodec

/// What a version of a CustomResourceDefinition says about a value: `openAPIV3Schema` and every schema inside it.
///
/// Parsing takes what it can read and judges nothing: `structuralErrors` tells what upstream would refuse.
package final class StructuralSchema: Sendable {
  /// Schemas inside schemas beyond this are not read and are refused by validation.
  package static let depthMax = 200

  package indirect enum Additional: Sendable {
    case none
    /// `additionalProperties: true`.
    case anything
    /// `additionalProperties: false`.
    case nothing
    case schema(StructuralSchema)
  }

  package let type: String
  package let format: String
  package let title: String
  package let description: String
  package let isNullable: Bool
  package let defaultValue: JSON?
  /// In the order of the document.
  package let propertyNames: [String]
  package let properties: [String: StructuralSchema]
  package let additional: Additional
  package let items: StructuralSchema?
  package let required: [String]

  package let preservesUnknownFields: Bool
  package let isEmbeddedResource: Bool
  package let isIntOrString: Bool
  /// `atomic`, `set` or `map`.
  package let listType: String?
  package let listMapKeys: [String]
  /// `atomic` or `granular`.
  package let mapType: String?
  /// `x-kubernetes-validations`, as they stand in the document.
  package let rules: [JSON]

  package let enumValues: [JSON]?
  package let pattern: SchemaPattern?
  package let maximum: JSON?
  package let minimum: JSON?
  package let isMaximumExclusive: Bool
  package let isMinimumExclusive: Bool
  package let multipleOf: JSON?
  package let maxLength: Int?
  package let minLength: Int?
  package let maxItems: Int?
  package let minItems: Int?
  package let maxProperties: Int?
  package let minProperties: Int?
  package let itemsAreUnique: Bool
  package let allOf: [StructuralSchema]
  package let anyOf: [StructuralSchema]
  package let oneOf: [StructuralSchema]
  package let not: StructuralSchema?

  /// As it stands in the document.
  package let source: JSON
  /// Whether the schema, or one inside it, has such: so that walks for nothing can be left out.
  package let hasDefaults: Bool
  package let hasListTypes: Bool
  package let hasEmbeddedResources: Bool
  package let hasRules: Bool
  /// The document goes on below this schema, deeper than `depthMax`.
  let isCut: Bool

  package convenience init(_ json: JSON, patterns: PatternCompiler = linearPatterns) { self.init(json, patterns, depth: 0) }

  private init(_ json: JSON, _ patterns: PatternCompiler, depth: Int) {
    source = json
    let isCut = depth >= Self.depthMax
    func schema(_ key: String) -> StructuralSchema? {
      json[key].object == nil || isCut ? nil : StructuralSchema(json[key], patterns, depth: depth + 1)
    }
    func schemas(_ key: String) -> [StructuralSchema] {
      isCut ? [] : json[key].items.map { StructuralSchema($0, patterns, depth: depth + 1) }
    }
    self.isCut = isCut
    type = json["type"].string ?? ""
    format = json["format"].string ?? ""
    title = json["title"].string ?? ""
    description = json["description"].string ?? ""
    isNullable = json["nullable"] == true
    defaultValue = json["default"].isNull ? nil : json["default"]
    let fields = isCut ? JSONObject() : json["properties"].object ?? JSONObject()
    propertyNames = fields.keys
    var properties: [String: StructuralSchema] = [:]
    for (name, field) in fields { properties[name] = StructuralSchema(field, patterns, depth: depth + 1) }
    self.properties = properties
    switch json["additionalProperties"] {
    case .bool(let flag): additional = flag ? .anything : .nothing
    case .object: additional = schema("additionalProperties").map { .schema($0) } ?? .anything
    default: additional = .none
    }
    items = schema("items")
    required = json["required"].strings
    preservesUnknownFields = json["x-kubernetes-preserve-unknown-fields"] == true
    isEmbeddedResource = json["x-kubernetes-embedded-resource"] == true
    isIntOrString = json["x-kubernetes-int-or-string"] == true
    listType = json["x-kubernetes-list-type"].string
    listMapKeys = json["x-kubernetes-list-map-keys"].strings
    mapType = json["x-kubernetes-map-type"].string
    rules = json["x-kubernetes-validations"].items
    enumValues = json["enum"].array.flatMap { $0.isEmpty ? nil : $0 }
    pattern = json["pattern"].string.flatMap { $0.isEmpty ? nil : SchemaPattern($0, patterns) }
    maximum = json["maximum"].double == nil ? nil : json["maximum"]
    minimum = json["minimum"].double == nil ? nil : json["minimum"]
    isMaximumExclusive = json["exclusiveMaximum"] == true
    isMinimumExclusive = json["exclusiveMinimum"] == true
    multipleOf = json["multipleOf"].double == nil ? nil : json["multipleOf"]
    maxLength = json["maxLength"].int
    minLength = json["minLength"].int
    maxItems = json["maxItems"].int
    minItems = json["minItems"].int
    maxProperties = json["maxProperties"].int
    minProperties = json["minProperties"].int
    itemsAreUnique = json["uniqueItems"] == true
    allOf = schemas("allOf")
    anyOf = schemas("anyOf")
    oneOf = schemas("oneOf")
    not = schema("not")

    var inner = Array(properties.values)
    if let items { inner.append(items) }
    if case .schema(let schema) = additional { inner.append(schema) }
    hasDefaults = defaultValue != nil || inner.contains(where: \.hasDefaults)
    hasListTypes = listType == "set" || listType == "map" || inner.contains(where: \.hasListTypes)
    hasEmbeddedResources = isEmbeddedResource || inner.contains(where: \.hasEmbeddedResources)
    hasRules = !rules.isEmpty || inner.contains(where: \.hasRules)
  }

  /// What a version without a schema is like: everything is kept.
  package static let untyped = StructuralSchema(["type": "object", "x-kubernetes-preserve-unknown-fields": true])

  /// The schema of what a field of this object holds; nil where the schema says nothing about it.
  func child(_ name: String) -> StructuralSchema? {
    if let property = properties[name] { return property }
    if case .schema(let schema) = additional { return schema }
    return nil
  }

  var hasAdditional: Bool { if case .none = additional { false } else { true } }
}

/// Fields that every object has, whatever its schema says.
let objectFields: Set<String> = ["apiVersion", "kind", "metadata"]
