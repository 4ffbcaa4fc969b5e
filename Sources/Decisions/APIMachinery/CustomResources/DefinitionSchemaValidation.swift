import JSONCodec

/// The rules for the schema of a version in a CustomResourceDefinition.
struct DefinitionSchemaCheck {
  /// A schema with more errors than this is refused with the first of them.
  static let errorsMax = 1_000

  let hooks: CustomResourceHooks
  /// The version has a status subresource.
  let hasStatus: Bool

  private static let atRoot: Set<String> = [
    "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
    "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items", "properties", "externalDocs", "example",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
  ]
  private static let atRootText =
    "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    + "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]"

  func errors(_ document: JSON, old: JSON?, path: String) -> [FieldError] {
    let schema = StructuralSchema(document, patterns: hooks.patterns)
    var findings = Findings()
    let at = FieldPath(path)
    if hasStatus { root(document, at, &findings) }
    if schema.isNullable { findings.forbidden(at / "nullable", "nullable cannot be true at the root") }
    // What was stored as it is now need not become better than it was.
    let oldSchema = old.map { StructuralSchema($0, patterns: hooks.patterns) }
    if oldSchema?.structuralErrors(path: path).isEmpty ?? true {
      let structural = schema.structuralErrors(path: path)
      if structural.isEmpty { defaults(schema, at, isRoot: true, &findings) } else { structural.forEach { findings.add($0) } }
    }
    let before = findings.errors.count
    node(schema, at, Place(isRoot: true), &findings)
    if findings.errors.count == before, findings.errors.isEmpty {
      for error in hooks.ruleProblems(schema, oldSchema, path) { findings.add(error) }
    }
    return Array(findings.errors.prefix(Self.errorsMax))
  }

  private func root(_ document: JSON, _ path: FieldPath, _ findings: inout Findings) {
    let type = document["type"].string ?? ""
    if type != "object", !type.isEmpty {
      findings.invalid(
        path / "type", .string(type),
        "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled")
    }
    let extra = (document.object ?? JSONObject()).contains { !Self.atRoot.contains($0.0) && !$0.1.isEmpty && $0.1 != false }
    if extra {
      findings.invalid(
        path, document, "only \(Self.atRootText) fields are allowed at the root of the schema if the status subresource is enabled")
    }
  }

  /// A default must fit its own schema and hold nothing that would be pruned.
  private func defaults(_ schema: StructuralSchema, _ path: FieldPath, isRoot: Bool, isMeta: Bool = false, _ findings: inout Findings) {
    guard schema.hasDefaults else { return }
    if let value = schema.defaultValue, !isMeta {
      var pruned: JSON = ["value": value]
      let holder = StructuralSchema(["type": "object", "properties": ["value": schema.source]])
      let unknown = (try? pruneCustom(&pruned, holder, kind: "")) ?? []
      if !unknown.isEmpty || (!value.isNull && pruned["value"] != value) {
        findings.invalid(path / "default", value, "must not have unknown fields")
      }
      for error in schema.errors(of: value, path: (path / "default").description) { findings.add(error) }
    }
    if let items = schema.items { defaults(items, path / "items", isRoot: false, isMeta: isMeta, &findings) }
    for name in schema.propertyNames {
      let isInMeta = isMeta || ((isRoot || schema.isEmbeddedResource) && objectFields.contains(name))
      defaults(schema.properties[name]!, (path / "properties")[key: name], isRoot: false, isMeta: isInMeta, &findings)
    }
  }

  // MARK: every schema of the document

  private struct Place {
    var isRoot = false
    var isInMeta = false
    /// Why there must be no default; nil where there may be one.
    var noDefault: String?
  }

  private func node(_ schema: StructuralSchema, _ path: FieldPath, _ place: Place, _ findings: inout Findings) {
    unsupported(schema, path, place, &findings)
    if schema.itemsAreUnique {
      findings.forbidden(
        path / "uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic")
    }
    var inner = place
    inner.isRoot = false
    switch schema.additional {
    case .schema(let additional):
      if !schema.properties.isEmpty { exclusive(path, &findings) }
      if place.isInMeta { inner.noDefault = "inside additionalProperties applying to object metadata" }
      node(additional, path / "additionalProperties", inner, &findings)
      inner.noDefault = place.noDefault
    case .nothing where !schema.properties.isEmpty: exclusive(path, &findings)
    default: break
    }
    for name in schema.propertyNames {
      var below = inner
      if place.isRoot || schema.isEmbeddedResource, objectFields.contains(name) {
        below.isInMeta = true
        if place.isRoot { below.noDefault = "in top-level \(name)" }
      }
      node(schema.properties[name]!, (path / "properties")[key: name], below, &findings)
    }
    if let not = schema.not { node(not, path / "not", inner, &findings) }
    for (key, schemas) in [("allOf", schema.allOf), ("oneOf", schema.oneOf), ("anyOf", schema.anyOf)] {
      for (i, nested) in schemas.enumerated() { node(nested, (path / key)[i], inner, &findings) }
    }
    if let items = schema.items { node(items, path / "items", inner, &findings) }
    extensions(schema, path, &findings)
    rules(schema, path, &findings)
  }

  private func exclusive(_ path: FieldPath, _ findings: inout Findings) {
    findings.forbidden(path / "additionalProperties", "additionalProperties and properties are mutual exclusive")
  }

  private func unsupported(_ schema: StructuralSchema, _ path: FieldPath, _ place: Place, _ findings: inout Findings) {
    let types = ["array", "boolean", "integer", "number", "object", "string"]
    if !schema.type.isEmpty, !types.contains(schema.type) { findings.notSupported(path / "type", .string(schema.type), types) }
    if schema.defaultValue != nil, let reason = place.noDefault { findings.forbidden(path / "default", "must not be set \(reason)") }
    for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] where !schema.source[key].isEmpty {
      findings.forbidden(path / key, "\(key) is not supported")
    }
    if schema.type == "null" { findings.forbidden(path / "type", "type cannot be set to null, use nullable as an alternative") }
    if schema.source["items"].array != nil { findings.forbidden(path / "items", "items must be a schema object and not an array") }
    if place.isInMeta, schema.isEmbeddedResource {
      findings.forbidden(path / "x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    }
    if schema.source["x-kubernetes-preserve-unknown-fields"] == false {
      findings.invalid(path / "x-kubernetes-preserve-unknown-fields", false, "must be true or undefined")
    }
  }

  private func extensions(_ schema: StructuralSchema, _ path: FieldPath, _ findings: inout Findings) {
    func needs(_ type: String, _ field: String) {
      let detail = "must be \(type) if \(field) is specified"
      if schema.type.isEmpty {
        findings.required(path / "type", detail)
      } else {
        findings.invalid(path / "type", .string(schema.type), detail)
      }
    }
    if let mapType = schema.mapType {
      if schema.type != "object" { needs("object", "x-kubernetes-map-type") }
      if !["atomic", "granular"].contains(mapType) {
        findings.notSupported(path / "x-kubernetes-map-type", .string(mapType), ["atomic", "granular"])
      }
    }
    if let listType = schema.listType {
      if schema.type != "array" { needs("array", "x-kubernetes-list-type") }
      if schema.type == "array", listType == "set", let items = schema.items { setItems(items, path / "items", &findings) }
      if !["atomic", "set", "map"].contains(listType) {
        findings.notSupported(path / "x-kubernetes-list-type", .string(listType), ["atomic", "set", "map"])
      }
    }
    if !schema.listMapKeys.isEmpty, schema.listType != "map" {
      let detail = "must be map if x-kubernetes-list-map-keys is non-empty"
      if let listType = schema.listType {
        findings.invalid(path / "x-kubernetes-list-type", .string(listType), detail)
      } else {
        findings.required(path / "x-kubernetes-list-type", detail)
      }
    }
    if schema.listType == "map" { mapItems(schema, path, &findings) }
    if let items = schema.items, items.isNullable, let type = schema.listType, type != "atomic" {
      findings.forbidden(path / "items" / "nullable", "cannot be nullable when x-kubernetes-list-type is \(type)")
    }
  }

  private func setItems(_ items: StructuralSchema, _ path: FieldPath, _ findings: inout Findings) {
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.type == "array", let type = items.listType, type != "atomic" {
      findings.invalid(path / "x-kubernetes-list-type", .string(type), detail)
    }
    if items.type == "object", items.mapType != "atomic" { findings.invalid(path / "x-kubernetes-map-type", JSON(items.mapType), detail) }
  }

  private func mapItems(_ schema: StructuralSchema, _ path: FieldPath, _ findings: inout Findings) {
    let keys = schema.listMapKeys
    let keysPath = path / "x-kubernetes-list-map-keys"
    if keys.isEmpty { findings.required(keysPath, "must not be empty if x-kubernetes-list-type is map") }
    guard let items = schema.items else {
      return findings.required(path / "items", "must have a schema if x-kubernetes-list-type is map")
    }
    guard items.type == "object" else {
      return findings.invalid(
        path / "items" / "type", .string(items.type), "must be object if parent array's x-kubernetes-list-type is map")
    }
    var seen: Set<String> = []
    for key in keys {
      if !seen.insert(key).inserted { findings.invalid(keysPath, JSON(keys), "must not contain duplicate entries") }
      guard let property = items.properties[key] else {
        findings.invalid(keysPath, JSON(keys), "entries must all be names of item properties")
        continue
      }
      let at = (path / "items" / "properties")[key: key]
      if ["array", "object"].contains(property.type) {
        findings.invalid(
          at / "type", .string(items.type), "must be a scalar type if parent array's x-kubernetes-list-type is map")
      }
      if !items.required.contains(key), property.defaultValue == nil {
        findings.required(
          at / "default", "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property")
      }
      if property.isNullable {
        findings.forbidden(at / "nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable")
      }
    }
  }

  /// What can be said about rules without reading them.
  private func rules(_ schema: StructuralSchema, _ path: FieldPath, _ findings: inout Findings) {
    let reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"]
    for (i, rule) in schema.rules.enumerated() {
      let at = (path / "x-kubernetes-validations")[i]
      let text = (rule["rule"].string ?? "").trimmed
      let message = rule["message"].string ?? ""
      if text.isEmpty {
        findings.required(at / "rule", "rule is not specified")
      } else if !message.isEmpty, message.trimmed.isEmpty {
        findings.invalid(at / "message", rule["message"], "must be non-empty if specified")
      } else if message.trimmed.hasLineBreaks {
        findings.invalid(at / "message", rule["message"], "must not contain line breaks")
      } else if text.hasLineBreaks, message.isEmpty {
        findings.required(at / "message", "message must be specified if rule contains line breaks")
      }
      if let expression = rule["messageExpression"].string, !expression.isEmpty, expression.trimmed.isEmpty {
        findings.required(at / "messageExpression", "messageExpression must be non-empty if specified")
      }
      if let reason = rule["reason"].string, !reasons.contains(reason) { findings.notSupported(at / "reason", rule["reason"], reasons) }
      guard let field = rule["fieldPath"].string, !field.isEmpty else { continue }
      if field.trimmed.isEmpty { findings.invalid(at / "fieldPath", rule["fieldPath"], "must be non-empty if specified") }
      if field.hasLineBreaks { findings.invalid(at / "fieldPath", rule["fieldPath"], "must not contain line breaks") }
      if !schema.hasField(at: field) { findings.invalid(at / "fieldPath", rule["fieldPath"], "must be a valid path") }
    }
  }
}

extension StructuralSchema {
  /// Whether a path such as `.spec.a`, `.spec['a']` names a field that the schema knows.
  func hasField(at path: String) -> Bool {
    guard path.hasPrefix(".") || path.hasPrefix("["), let steps = JSONPath(path)?.steps, !steps.isEmpty else { return false }
    var schema = self
    for step in steps {
      guard case .field(let name) = step, let child = schema.child(name) else { return false }
      schema = child
    }
    return true
  }
}

extension String {
  fileprivate var trimmed: String {
    let isBlank: (Character) -> Bool = { $0.isWhitespace }
    return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
  }
  fileprivate var hasLineBreaks: Bool { contains(where: \.isNewline) }
}
