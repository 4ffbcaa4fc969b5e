import JSONCodec

/// Takes out of a custom resource what its schema does not know.
///
/// Embedded resources keep apiVersion, kind and metadata; metadata follows ObjectMeta's own schema. Nulls of fields that are
/// not nullable go too: they stand for fields that are not set.
/// - Returns: the paths of unknown fields, those of the metadata first.
func pruneCustom(_ object: inout JSON, _ schema: StructuralSchema, kind: String) throws(SchemaError) -> [UnknownField] {
  guard case .object = object else {
    throw SchemaError(message: "json: cannot unmarshal \(object.kindName) into Go value of type map[string]interface {}")
  }
  for field in ["apiVersion", "kind"] where !object[field].isNull && object[field].string == nil {
    throw SchemaError(message: "unable to get \(field) from the object: it must be a string, not \(object[field].kindName)")
  }
  var unknown: [UnknownField] = []
  try pruneMetadata(&object, path: "metadata", &unknown)
  var pruner = StructuralPruner()
  object = pruner.prune(object, schema, isRoot: true)
  unknown += pruner.unknown.sorted().map { UnknownField(path: $0) }
  if schema.hasEmbeddedResources {
    var embedded: [UnknownField] = []
    try pruneEmbeddedMetadata(&object, schema, path: "", isRoot: true, &embedded)
    unknown += embedded.sorted { $0.path < $1.path }
  }
  return unknown
}

/// Metadata as upstream's ObjectMeta reads it.
private func pruneMetadata(_ object: inout JSON, path: String, _ unknown: inout [UnknownField]) throws(SchemaError) {
  guard !object["metadata"].isNull, let type = SchemaRegistry.shared.type("meta/v1.ObjectMeta") else { return }
  var metadata = object["metadata"]
  for field in try pruneObject(&metadata, type: type) { unknown.append(UnknownField(path: "\(path).\(field.path)")) }
  object["metadata"] = metadata
}

private func pruneEmbeddedMetadata(
  _ value: inout JSON, _ schema: StructuralSchema, path: String, isRoot: Bool, _ unknown: inout [UnknownField]
) throws(SchemaError) {
  guard schema.hasEmbeddedResources else { return }
  switch value {
  case .object(let fields):
    if schema.isEmbeddedResource, !isRoot { try pruneMetadata(&value, path: path.isEmpty ? "metadata" : path + ".metadata", &unknown) }
    for (name, child) in fields {
      guard let inner = schema.child(name), inner.hasEmbeddedResources else { continue }
      var copy = child
      try pruneEmbeddedMetadata(&copy, inner, path: path.isEmpty ? name : "\(path).\(name)", isRoot: false, &unknown)
      value[name] = copy
    }
  case .array(var items):
    guard let inner = schema.items else { return }
    for i in items.indices { try pruneEmbeddedMetadata(&items[i], inner, path: "\(path)[\(i)]", isRoot: false, &unknown) }
    value = .array(items)
  default: break
  }
}

private struct StructuralPruner {
  var unknown: [String] = []
  private var path: [SchemaStep] = []

  /// `schema` nil: nothing is known inside the value.
  mutating func prune(_ value: JSON, _ schema: StructuralSchema?, isRoot: Bool = false) -> JSON {
    switch value {
    case .object(let fields):
      var result = JSONObject()
      result.reserveCapacity(fields.count)
      let keepsMeta = isRoot || schema?.isEmbeddedResource == true
      for (name, child) in fields {
        if keepsMeta, objectFields.contains(name) {
          result.append(name, child)
          continue
        }
        path.append(.field(name))
        if let kept = field(child, name, schema) { result.append(name, kept) }
        path.removeLast()
      }
      return .object(result)
    case .array(let items):
      // A list in a field that keeps unknown fields is kept with what is in it.
      if let schema, schema.preservesUnknownFields, schema.items == nil { return value }
      var result: [JSON] = []
      result.reserveCapacity(items.count)
      for (i, item) in items.enumerated() {
        path.append(.index(i))
        result.append(prune(item, schema?.items))
        path.removeLast()
      }
      return .array(result)
    default: return value
    }
  }

  /// What stays of a field; nil where it goes.
  private mutating func field(_ child: JSON, _ name: String, _ schema: StructuralSchema?) -> JSON? {
    guard let schema else {
      unknown.append(SchemaStep.text(path))
      return nil
    }
    if let property = schema.properties[name] {
      if child.isNull, !property.isNullable { return nil }
      return prune(child, property)
    }
    switch schema.additional {
    case .schema(let inner):
      if child.isNull, !inner.isNullable { return nil }
      return prune(child, inner)
    case .none where schema.preservesUnknownFields: return child
    case .anything where schema.preservesUnknownFields: return child
    case .anything, .nothing: return prune(child, nil)
    case .none:
      unknown.append(SchemaStep.text(path))
      return nil
    }
  }
}

/// A step from a value to one inside it.
enum SchemaStep {
  case field(String)
  case index(Int)

  /// As in `spec.bars[0].name`.
  static func text(_ path: [SchemaStep]) -> String {
    var text = ""
    for step in path {
      switch step {
      case .field(let name): text += text.isEmpty ? name : "." + name
      case .index(let i): text += "[\(i)]"
      }
    }
    return text
  }
}

extension JSON {
  /// As Go's decoder names it.
  var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "bool"
    case .int, .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}
