import JSONCodec

/// Custom kinds in OpenAPI documents. Version 3 shows the schema as it is; what kubectl makes of version 2 needs some care.
///
/// Source: "Publish Validation Schema in OpenAPI" in the Kubernetes documentation.
extension OpenAPISchemas {
  mutating func customSchema(_ custom: CustomResource) -> JSON {
    let schema = custom.schema
    var result: JSON
    if custom.content.isMissing || (version == .v2 && (schema.preservesUnknownFields || custom.preservesUnknownFields)) {
      // With properties in it, kubectl would refuse every field that is not among them.
      result = ["type": "object"]
    } else {
      result = published(schema)
      addObjectFields(&result)
    }
    result["x-kubernetes-group-version-kind"] = [
      ["group": .string(custom.group), "version": .string(custom.version), "kind": .string(custom.kind)]
    ]
    return result
  }

  mutating func customListSchema(_ type: SchemaType, kind: String) -> JSON {
    let (group, groupVersion) = type.groupVersion ?? ("", "")
    var properties = JSONObject()
    addTypeFields(&properties)
    properties["items"] = [
      "type": "array", "description": .string("List of \(kind) objects."),
      "items": link(to: CustomResource.openAPIName(group, groupVersion, kind)),
    ]
    properties["metadata"] = SchemaRegistry.shared.type("meta/v1.ListMeta").map { reference($0) } ?? .null
    return [
      "description": .string("\(type.kind) is a list of \(kind)"), "type": "object", "required": ["items"],
      "properties": .object(properties),
      "x-kubernetes-group-version-kind": [
        ["group": .string(group), "version": .string(groupVersion), "kind": .string(type.kind)]
      ],
    ]
  }

  private func addTypeFields(_ properties: inout JSONObject) {
    properties["apiVersion"] = [
      "type": "string", "description": "APIVersion defines the group and the version that this object is written in.",
    ]
    properties["kind"] = ["type": "string", "description": "Kind tells the type of this object, in words that begin with capitals."]
  }

  private mutating func addObjectFields(_ schema: inout JSON) {
    var properties = schema["properties"].object ?? JSONObject()
    addTypeFields(&properties)
    if let type = SchemaRegistry.shared.type("meta/v1.ObjectMeta") {
      properties["metadata"] = described(
        reference(type), "Standard object's metadata: its name, its labels and what the server notes about it.")
    }
    schema["properties"] = .object(properties)
  }

  /// A schema as a document shows it, with the fields that embedded resources have.
  private mutating func published(_ schema: StructuralSchema) -> JSON {
    guard var result = schema.source.object else { return schema.source }
    let isV2 = version == .v2
    let hidesContent = isV2 && (schema.isNullable || schema.preservesUnknownFields)
    if isV2 {
      for key in ["allOf", "anyOf", "oneOf", "not", "nullable"] { result[key] = Optional<JSON>.none }
      if schema.isNullable { result["type"] = Optional<JSON>.none }
      if hidesContent {
        result["items"] = Optional<JSON>.none
        result["properties"] = Optional<JSON>.none
      }
      let hasNoItems = schema.type == "array" && (hidesContent || schema.items == nil)
      if hasNoItems || (schema.preservesUnknownFields && schema.type == "object") { result["type"] = Optional<JSON>.none }
      let required = schema.required.filter { schema.properties[$0]?.isNullable != true }
      if required.count < schema.required.count { result["required"] = required.isEmpty ? Optional<JSON>.none : JSON(required) }
    } else if schema.isIntOrString, schema.anyOf.isEmpty, schema.allOf.isEmpty {
      result["anyOf"] = [["type": "integer"], ["type": "string"]]
    }
    if !hidesContent {
      if let items = schema.items { result["items"] = published(items) }
      if !schema.properties.isEmpty {
        var properties = JSONObject()
        for name in schema.propertyNames { properties[name] = published(schema.properties[name]!) }
        result["properties"] = .object(properties)
      }
    }
    if case .schema(let inner) = schema.additional { result["additionalProperties"] = published(inner) }
    var json = JSON.object(result)
    if schema.isEmbeddedResource, !(isV2 && schema.preservesUnknownFields) { addObjectFields(&json) }
    return json
  }
}
