import APIMachinery
import CEL

/// What expressions know about values that a schema describes: object types by name.
///
/// Source: the table "OpenAPIv3 type / CEL type" of the Kubernetes documentation on validation rules.
struct SchemaTypes {
  private(set) var table = CELTypeTable()

  /// The type of values of a schema; nil for values that rules cannot look at. `name`: for the object type, if it is one.
  /// - `isResource`: the value has apiVersion, kind and metadata, whatever the schema says.
  mutating func type(of schema: StructuralSchema, isResource: Bool, name: String) -> CELType? {
    if schema.isIntOrString { return .dyn }
    switch schema.type {
    case "array":
      guard let items = schema.items else { return nil }
      return type(of: items, isResource: items.isEmbeddedResource, name: name + ".@items").map { .list($0) }
    case "object":
      if case .schema(let inner) = schema.additional {
        return type(of: inner, isResource: inner.isEmbeddedResource, name: name + ".@values").map { .map(.string, $0) }
      }
      return object(schema, isResource: isResource || schema.isEmbeddedResource, name: name)
    case "string":
      switch schema.format {
      case "byte": return .bytes
      case "duration": return .duration
      case "date", "date-time": return .timestamp
      default: return .string
      }
    case "boolean": return .bool
    case "number": return .double
    case "integer": return .int
    default: return nil
    }
  }

  private mutating func object(_ schema: StructuralSchema, isResource: Bool, name: String) -> CELType {
    var fields: [String: CELField] = [:]
    for key in schema.propertyNames {
      // Rules below a field that no expression can name still know the types there.
      guard let property = schema.properties[key],
        let type = type(of: property, isResource: property.isEmbeddedResource, name: "\(name).\(key)"),
        let escaped = CELFieldName.escape(key)
      else { continue }
      fields[escaped] = CELField(type: type, key: key, listKind: property.listKind)
    }
    if isResource {
      for key in ["apiVersion", "kind"] { fields[key] = CELField(type: .string, key: key) }
      let metadata = name + ".metadata"
      table.types[metadata] = [
        "name": CELField(type: .string, key: "name"), "generateName": CELField(type: .string, key: "generateName"),
      ]
      fields["metadata"] = CELField(type: .object(metadata), key: "metadata")
    }
    table.types[name] = fields
    return .object(name)
  }

  // MARK: built-in kinds

  /// The type of a built-in kind's objects, as its OpenAPI schema has it.
  mutating func type(of type: SchemaType) -> CELType {
    let name = type.name
    // Types that hold themselves come to an end here.
    guard table.types[name] == nil else { return .object(name) }
    table.types[name] = [:]
    var fields: [String: CELField] = [:]
    for field in type.fields {
      guard let escaped = CELFieldName.escape(field.name) else { continue }
      let kind: CELListKind
      switch field.listType {
      case .atomic: kind = .atomic
      case .set: kind = .set
      case .map(let keys): kind = .map(keys: keys)
      }
      fields[escaped] = CELField(type: self.type(of: field.value), key: field.name, listKind: kind)
    }
    table.types[name] = fields
    return .object(name)
  }

  private mutating func type(of value: FieldValue) -> CELType {
    switch value {
    case .string: .string
    case .int32, .int64: .int
    case .bool: .bool
    case .double: .double
    case .bytes: .bytes
    case .time, .microTime: .timestamp
    case .any, .quantity, .intOrString, .rawExtension, .fieldsV1, .alternatives: .dyn
    case .object(let inner): type(of: inner)
    case .list(let item): .list(type(of: item))
    case .map(let item): .map(.string, type(of: item))
    }
  }
}

extension StructuralSchema {
  var listKind: CELListKind {
    switch listType {
    case "set": .set
    case "map": .map(keys: listMapKeys)
    default: .atomic
    }
  }
}
