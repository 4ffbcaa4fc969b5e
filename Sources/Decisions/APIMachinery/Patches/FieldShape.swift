import JSONCodec

/// How server-side apply sees a value: what it owns as a whole and what it looks into.
///
/// Source: the structured merge schema that upstream derives from its OpenAPI document.
indirect enum FieldShape {
  /// Scalars, and objects, maps and lists that are owned as a whole.
  case leaf
  case object(SchemaType)
  case map(FieldShape)
  case set
  case list(keys: [String], element: FieldShape, defaults: KeyDefaults)
  /// An object of a custom resource, with fields that its schema declares and maybe others.
  case structured(StructuralSchema, isResource: Bool)
  /// No schema: objects are looked into, lists and scalars are leaves.
  case deduced

  init(_ type: SchemaType?) {
    guard let type else {
      self = .deduced
      return
    }
    if case .object(let custom) = type.custom {
      self = .structured(custom.keepsEverything ? .untyped : custom.schema, isResource: true)
      return
    }
    self = type.isMapAtomic ? .leaf : .object(type)
  }

  /// What keys of list items are where they are left out.
  enum KeyDefaults {
    case builtIn(SchemaType)
    case custom(StructuralSchema)

    subscript(key: String) -> JSON? {
      switch self {
      case .builtIn(let type): type.field(key)?.defaultValue
      case .custom(let schema): schema.properties[key]?.defaultValue
      }
    }
  }

  init(_ schema: StructuralSchema) {
    switch schema.type {
    case "object":
      if schema.mapType == "atomic" {
        self = .leaf
      } else if schema.properties.isEmpty, !schema.isEmbeddedResource {
        if case .schema(let inner) = schema.additional { self = .map(FieldShape(inner)) } else { self = .deduced }
      } else {
        self = .structured(schema, isResource: schema.isEmbeddedResource)
      }
    case "array":
      switch (schema.listType, schema.items) {
      case ("set", _): self = .set
      case ("map", let items?): self = .list(keys: schema.listMapKeys, element: FieldShape(items), defaults: .custom(items))
      default: self = .leaf
      }
    case "" where schema.preservesUnknownFields && !schema.isIntOrString: self = .deduced
    default: self = .leaf
    }
  }

  init(_ field: SchemaField) {
    switch field.value {
    case .object, .map: self = field.isMapAtomic ? .leaf : FieldShape(field.value, isGranular: true)
    case .list(let item):
      switch field.listType {
      case .atomic: self = .leaf
      case .set: self = .set
      case .map(let keys):
        if case .object(let type) = item {
          self = .list(keys: keys, element: FieldShape(type), defaults: .builtIn(type))
        } else {
          self = .leaf
        }
      }
    default: self = FieldShape(field.value, isGranular: false)
    }
  }

  /// `isGranular`: the field says so, whatever its type says.
  private init(_ value: FieldValue, isGranular: Bool) {
    switch value {
    case .object(let type): self = isGranular || !type.isMapAtomic ? .object(type) : .leaf
    case .map(let element): self = .map(FieldShape(element, isGranular: false))
    case .any, .rawExtension, .fieldsV1, .alternatives: self = .deduced
    default: self = .leaf
    }
  }

  /// The shape of what an object holds under a name; nil for a field that the schema does not know.
  func child(_ name: String) -> FieldShape? {
    switch self {
    case .object(let type): type.field(name).map { FieldShape($0) }
    case .map(let element): element
    case .structured(let schema, let isResource):
      if isResource, objectFields.contains(name) {
        name == "metadata" ? SchemaRegistry.shared.type("meta/v1.ObjectMeta").map { FieldShape($0) } : .leaf
      } else if let child = schema.child(name) {
        FieldShape(child)
      } else {
        schema.preservesUnknownFields || schema.hasAdditional ? .deduced : nil
      }
    case .deduced: .deduced
    default: nil
    }
  }

  /// True for fields of a declared type, as opposed to keys of a map.
  func declares(_ name: String) -> Bool {
    switch self {
    case .object(let type): type.field(name) != nil
    case .structured(let schema, let isResource): (isResource && objectFields.contains(name)) || schema.properties[name] != nil
    default: false
    }
  }

  /// The shape for these values: without a schema, they tell it.
  func resolved(_ values: JSON?...) -> FieldShape {
    guard case .deduced = self else { return self }
    for case .some(let value) in values where !value.isNull && value.object == nil { return .leaf }
    return .map(.deduced)
  }

  /// The element of a list's item; nil where the item has no identity.
  func element(of item: JSON) -> PathElement? {
    switch self {
    case .set: return item.object == nil && item.array == nil ? .value(of: item) : nil
    case .list(let keys, _, let defaults):
      guard case .object(let object) = item else { return nil }
      var fields: [(String, JSON)] = []
      for key in keys {
        guard let value = object[key] ?? defaults[key] else { return nil }
        fields.append((key, value))
      }
      return .key(fields)
    default: return nil
    }
  }

  /// The shape of a list's items.
  var itemShape: FieldShape {
    if case .list(_, let element, _) = self { element } else { .leaf }
  }
}

extension FieldSet {
  /// The set with the declared fields that lie above its members (upstream: EnsureNamedFieldsAreMembers).
  func withNamedParents(_ shape: FieldShape) -> FieldSet {
    var result = self
    for (element, child) in children {
      var below = child
      switch element {
      case .field(let name):
        below = child.withNamedParents((shape.child(name) ?? .deduced))
        if shape.declares(name) { below.isMember = true }
      default: below = child.withNamedParents(shape.itemShape)
      }
      result[element] = below
    }
    return result
  }

  /// The fields that a configuration sets (upstream: ToFieldSet).
  init(of value: JSON, _ shape: FieldShape) {
    self.init()
    switch shape.resolved(value) {
    case .leaf: isMember = true
    case let shape where value.array != nil:
      for item in value.array ?? [] {
        guard let element = shape.element(of: item) else { continue }
        var below = FieldSet(of: item, shape.itemShape)
        below.isMember = true
        self[element] = self[element].union(below)
      }
    case let shape:
      for (name, child) in value.object ?? JSONObject() {
        var below = FieldSet(of: child, shape.child(name) ?? .deduced)
        if child.isNull || child.object?.isEmpty == true || !shape.declares(name) { below.isMember = true }
        self[.field(name)] = below
      }
    }
  }
}
