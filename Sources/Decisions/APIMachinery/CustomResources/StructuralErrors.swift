import JSONCodec

extension StructuralSchema {
  /// What keeps the schema from being structural, with upstream's paths and words; sorted, as upstream's are.
  ///
  /// Source: the rules of "Specifying a structural schema" in the Kubernetes documentation.
  package func structuralErrors(path: String) -> [FieldError] {
    var check = StructuralCheck()
    check.invariants(self, .root, FieldPath(path))
    for finding in StructuralCheck.incomplete(self, FieldPath(path)) { check.findings.required(finding.0, finding.1) }
    return check.findings.errors.sorted { $0.description < $1.description }
  }
}

private struct StructuralCheck {
  enum Level { case root, item, field }

  var findings = Findings()

  mutating func invariants(_ schema: StructuralSchema, _ level: Level, _ path: FieldPath) {
    if schema.isCut {
      findings.forbidden(path, "schemas must not be nested deeper than \(StructuralSchema.depthMax)")
      return
    }
    if schema.type == "array", schema.items == nil { findings.required(path / "items", "must be specified") }
    if let items = schema.items { invariants(items, .item, path / "items") }
    for name in schema.propertyNames { invariants(schema.properties[name]!, .field, (path / "properties")[key: name]) }
    if schema.hasAdditional {
      if level == .root { findings.forbidden(path / "additionalProperties", "must not be used at the root") }
      if case .schema(let inner) = schema.additional { invariants(inner, .field, path / "additionalProperties") }
    }
    extensions(schema, path)
    values(
      schema, path, skipsAnyOf: Self.isIntOrString(schema.anyOf),
      skipsFirstAllOf: schema.allOf.first.map { Self.isIntOrString($0.anyOf) } ?? false)
    types(schema, level, path)
    meta(schema, level, path)
  }

  private mutating func extensions(_ schema: StructuralSchema, _ path: FieldPath) {
    guard schema.isIntOrString else { return }
    let detail = "must be false if x-kubernetes-int-or-string is true"
    if schema.preservesUnknownFields { findings.invalid(path / "x-kubernetes-preserve-unknown-fields", true, detail) }
    if schema.isEmbeddedResource { findings.invalid(path / "x-kubernetes-embedded-resource", true, detail) }
  }

  private mutating func types(_ schema: StructuralSchema, _ level: Level, _ path: FieldPath) {
    if schema.isEmbeddedResource, schema.type != "object" {
      let detail = "must be object if x-kubernetes-embedded-resource is true"
      if schema.type.isEmpty {
        findings.required(path / "type", detail)
      } else {
        findings.invalid(path / "type", .string(schema.type), detail)
      }
    } else if schema.type.isEmpty, !schema.isIntOrString, !schema.preservesUnknownFields {
      switch level {
      case .root: findings.required(path / "type", "must not be empty at the root")
      case .item: findings.required(path / "type", "must not be empty for specified array items")
      case .field: findings.required(path / "type", "must not be empty for specified object fields")
      }
    }
    if schema.isEmbeddedResource, schema.hasAdditional {
      findings.forbidden(path / "additionalProperties", "must not be used if x-kubernetes-embedded-resource is set")
    }
    if level == .root, !schema.type.isEmpty, schema.type != "object" {
      findings.invalid(path / "type", .string(schema.type), "must be object at the root")
    }
  }

  private mutating func meta(_ schema: StructuralSchema, _ level: Level, _ path: FieldPath) {
    let isObject = level == .root || schema.isEmbeddedResource
    for name in ["kind", "apiVersion"] where isObject {
      if let type = schema.properties[name]?.type, type != "string" {
        findings.invalid((path / "properties")[key: name] / "type", .string(type), "must be string")
      }
    }
    if let metadata = schema.properties["metadata"] {
      let at = (path / "properties")[key: "metadata"]
      if isObject, metadata.type != "object" { findings.invalid(at / "type", .string(metadata.type), "must be object") }
      if level == .root, !Self.restrictsNamesOnly(metadata) {
        findings.forbidden(at, "must not specify anything other than name and generateName, but metadata is implicitly specified")
      }
    }
    if schema.isEmbeddedResource, !schema.preservesUnknownFields, schema.properties.isEmpty {
      findings.required(
        path / "properties",
        "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields")
    }
  }

  /// The type, a default and rules for name and generateName are all that the root's metadata may say.
  private static func restrictsNamesOnly(_ metadata: StructuralSchema) -> Bool {
    for (key, value) in metadata.source.object ?? JSONObject() where !value.isEmpty && value != false {
      switch key {
      case "type", "default": continue
      case "properties":
        guard metadata.propertyNames.allSatisfy({ $0 == "name" || $0 == "generateName" }) else { return false }
      default: return false
      }
    }
    return true
  }

  /// `anyOf: [{type: integer}, {type: string}]`.
  private static func isIntOrString(_ choices: [StructuralSchema]) -> Bool {
    choices.count == 2 && choices[0].source == ["type": "integer"] && choices[1].source == ["type": "string"]
  }

  private mutating func values(_ schema: StructuralSchema, _ path: FieldPath, skipsAnyOf: Bool, skipsFirstAllOf: Bool) {
    if !skipsAnyOf {
      for (i, inner) in schema.anyOf.enumerated() { nested(inner, (path / "anyOf")[i], skipsAnyOf: false) }
    }
    for (i, inner) in schema.allOf.enumerated() { nested(inner, (path / "allOf")[i], skipsAnyOf: skipsFirstAllOf && i == 0) }
    for (i, inner) in schema.oneOf.enumerated() { nested(inner, (path / "oneOf")[i], skipsAnyOf: false) }
    if let not = schema.not { nested(not, path / "not", skipsAnyOf: false) }
    if let pattern = schema.pattern, let problem = pattern.problem {
      findings.invalid(path / "pattern", .string(pattern.text), "must be a valid regular expression, but isn't: \(problem)")
    }
  }

  /// A schema under allOf, anyOf, oneOf or not may restrict values and say nothing else.
  private mutating func nested(_ schema: StructuralSchema, _ path: FieldPath, skipsAnyOf: Bool) {
    values(schema, path, skipsAnyOf: skipsAnyOf, skipsFirstAllOf: false)
    if let items = schema.items { nested(items, path / "items", skipsAnyOf: false) }
    for name in schema.propertyNames { nested(schema.properties[name]!, (path / "properties")[key: name], skipsAnyOf: false) }
    func forbid(_ condition: Bool, _ field: String, _ what: String) {
      if condition { findings.forbidden(path / field, "must be \(what) to be structural") }
    }
    forbid(!schema.type.isEmpty, "type", "empty")
    forbid(schema.hasAdditional, "additionalProperties", "undefined")
    forbid(schema.defaultValue != nil, "default", "undefined")
    forbid(!schema.title.isEmpty, "title", "empty")
    forbid(!schema.description.isEmpty, "description", "empty")
    forbid(schema.isNullable, "nullable", "false")
    forbid(!schema.source["externalDocs"].isNull, "externalDocs", "undefined")
    forbid(schema.preservesUnknownFields, "x-kubernetes-preserve-unknown-fields", "false")
    forbid(schema.isEmbeddedResource, "x-kubernetes-embedded-resource", "false")
    forbid(schema.isIntOrString, "x-kubernetes-int-or-string", "false")
    forbid(!schema.listMapKeys.isEmpty, "x-kubernetes-list-map-keys", "empty")
    forbid(schema.listType != nil, "x-kubernetes-list-type", "undefined")
    forbid(schema.mapType != nil, "x-kubernetes-map-type", "undefined")
    forbid(!schema.rules.isEmpty, "x-kubernetes-validations", "empty")
    if schema.properties["metadata"] != nil {
      findings.forbidden((path / "properties")[key: "metadata"], "must not be specified in a nested context")
    }
  }

  /// Every field that a nested schema names must be specified outside of it too.
  static func incomplete(_ schema: StructuralSchema, _ path: FieldPath) -> [(FieldPath, String)] {
    var missing = valuesIncomplete(schema, in: schema, path, path)
    if let items = schema.items { missing += incomplete(items, path / "items") }
    for name in schema.propertyNames { missing += incomplete(schema.properties[name]!, (path / "properties")[key: name]) }
    if case .schema(let inner) = schema.additional { missing += incomplete(inner, path / "additionalProperties") }
    return missing
  }

  private static func valuesIncomplete(
    _ values: StructuralSchema, in schema: StructuralSchema, _ path: FieldPath, _ valuesPath: FieldPath
  ) -> [(FieldPath, String)] {
    var missing: [(FieldPath, String)] = []
    for (key, inner) in [("allOf", values.allOf), ("anyOf", values.anyOf), ("oneOf", values.oneOf)] {
      for (i, nested) in inner.enumerated() { missing += nestedIncomplete(nested, in: schema, path, (valuesPath / key)[i]) }
    }
    if let not = values.not { missing += nestedIncomplete(not, in: schema, path, valuesPath / "not") }
    return missing
  }

  private static func nestedIncomplete(
    _ nested: StructuralSchema, in schema: StructuralSchema, _ path: FieldPath, _ nestedPath: FieldPath
  ) -> [(FieldPath, String)] {
    var missing = valuesIncomplete(nested, in: schema, path, nestedPath)
    if let items = nested.items {
      if let counterpart = schema.items {
        missing += nestedIncomplete(items, in: counterpart, path / "items", nestedPath / "items")
      } else {
        missing.append((path / "items", "because it is defined in \(nestedPath / "items")"))
      }
    }
    for name in nested.propertyNames {
      let at = (path / "properties")[key: name]
      let nestedAt = (nestedPath / "properties")[key: name]
      if let counterpart = schema.properties[name] {
        missing += nestedIncomplete(nested.properties[name]!, in: counterpart, at, nestedAt)
      } else {
        missing.append((at, "because it is defined in \(nestedAt)"))
      }
    }
    return missing
  }
}
