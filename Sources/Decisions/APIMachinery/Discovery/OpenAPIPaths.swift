import JSONCodec

/// The paths of a resource as OpenAPI operations: what kubectl looks for is the PATCH operation of a kind, whether it has a query
/// parameter `fieldValidation`, and which patches it takes.
struct OpenAPIPaths {
  let version: OpenAPISchemas.Version
  var schemas: OpenAPISchemas
  private(set) var paths: [(String, JSON)] = []

  init(version: OpenAPISchemas.Version) {
    self.version = version
    schemas = OpenAPISchemas(version: version)
  }

  static let patchTypes = [
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
  ]

  /// Custom resources have neither protobuf nor strategic merge.
  private static func bodyTypes(_ type: SchemaType) -> [String] {
    let plain = ["application/json", "application/yaml"]
    return type.custom == nil ? plain + ["application/vnd.kubernetes.protobuf"] : plain
  }

  mutating func add(_ resource: ResourceInfo, registry: SchemaRegistry) {
    let root = resource.group.isEmpty ? "/api/\(resource.version)" : "/apis/\(resource.group)/\(resource.version)"
    let base = root + (resource.isNamespaced ? "/namespaces/{namespace}/" : "/") + resource.plural
    let listType = resource.custom?.listType ?? registry.type("\(resource.type.packageName).\(resource.kind)List") ?? resource.type
    let named = base + "/{name}"
    var collection = JSONObject()
    var single = JSONObject()
    for verb in resource.verbs {
      switch verb {
      case "list": collection["get"] = operation("list", resource.type, answer: listType, ListParameters.list)
      case "create": collection["post"] = operation("post", resource.type, body: resource.type, ListParameters.write)
      case "deletecollection":
        collection["delete"] = operation("deletecollection", resource.type, answerName: "meta/v1.Status", registry, ListParameters.list)
      case "get": single["get"] = operation("get", resource.type, [])
      case "update": single["put"] = operation("put", resource.type, body: resource.type, ListParameters.write)
      case "patch": single["patch"] = patch(resource.type)
      case "delete": single["delete"] = operation("delete", resource.type, answerName: "meta/v1.Status", registry, ListParameters.delete)
      default: break
      }
    }
    let namespace = resource.isNamespaced ? ["namespace"] : []
    if !collection.isEmpty { append(base, collection, pathParameters: namespace) }
    if !single.isEmpty { append(named, single, pathParameters: ["name"] + namespace) }
    if resource.isNamespaced, resource.verbs.contains("list") {
      append(
        "\(root)/\(resource.plural)", JSONObject([("get", operation("list", resource.type, answer: listType, ListParameters.list))]),
        pathParameters: [])
    }
    for subresource in resource.subresources {
      var operations = JSONObject()
      for verb in subresource.verbs {
        switch verb {
        case "get": operations["get"] = operation(subresource.name == "exec" ? "connect" : "get", subresource.type, [])
        case "create": operations["post"] = operation("post", subresource.type, body: subresource.type, ListParameters.write)
        case "update": operations["put"] = operation("put", subresource.type, body: subresource.type, ListParameters.write)
        case "patch": operations["patch"] = patch(subresource.type)
        default: break
        }
      }
      if !operations.isEmpty { append("\(named)/\(subresource.name)", operations, pathParameters: ["name"] + namespace) }
    }
  }

  private mutating func append(_ path: String, _ operations: JSONObject, pathParameters: [String]) {
    var item = operations
    if !pathParameters.isEmpty {
      item["parameters"] = .array(pathParameters.map { parameter($0, in: "path", "string", isRequired: true) })
    }
    paths.append((path, .object(item)))
  }

  private func parameter(_ name: String, in place: String, _ type: String, isRequired: Bool = false) -> JSON {
    var result: JSON = ["name": .string(name), "in": .string(place), "required": isRequired ? true : .null]
    let schema: JSON = ["type": .string(type), "uniqueItems": true]
    if version == .v3 {
      result["schema"] = schema
    } else {
      result["type"] = .string(type)
      result["uniqueItems"] = true
    }
    return result
  }

  private mutating func operation(
    _ action: String, _ type: SchemaType, answerName: String, _ registry: SchemaRegistry, _ parameters: [(String, String)]
  ) -> JSON {
    operation(action, type, answer: registry.type(answerName) ?? type, parameters)
  }

  private mutating func operation(
    _ action: String, _ type: SchemaType, answer: SchemaType? = nil, body: SchemaType? = nil, _ parameters: [(String, String)]
  ) -> JSON {
    let reference = schemas.reference(answer ?? type)
    var operation: JSON = [
      "parameters": parameters.isEmpty && body == nil ? .null : .array(parameters.map { parameter($0.0, in: "query", $0.1) }),
      "x-kubernetes-action": .string(action),
    ]
    if let body {
      setBody(&operation, schemas.reference(body), Self.bodyTypes(body))
    }
    if let (group, version) = type.groupVersion {
      operation["x-kubernetes-group-version-kind"] = ["group": .string(group), "version": .string(version), "kind": .string(type.kind)]
    }
    let answerTypes = Self.bodyTypes(type)
    if version == .v3 {
      let content = JSON.object(JSONObject(answerTypes.map { ($0, ["schema": reference] as JSON) }))
      operation["responses"] = ["200": ["description": "OK", "content": content]]
    } else {
      operation["produces"] = JSON(answerTypes)
      operation["responses"] = ["200": ["description": "OK", "schema": reference]]
    }
    return operation
  }

  private mutating func setBody(_ operation: inout JSON, _ reference: JSON, _ types: [String]) {
    if version == .v3 {
      operation["requestBody"] = ["required": true, "content": .object(JSONObject(types.map { ($0, ["schema": reference] as JSON) }))]
    } else {
      operation["consumes"] = JSON(types)
      var parameters = operation["parameters"].items
      parameters.append(["name": "body", "in": "body", "required": true, "schema": reference])
      operation["parameters"] = .array(parameters)
    }
  }

  private mutating func patch(_ type: SchemaType) -> JSON {
    var operation = operation("patch", type, ListParameters.write + [("force", "boolean")])
    setBody(&operation, ["type": "object"], Self.patchTypes.filter { type.custom == nil || !$0.contains("strategic") })
    return operation
  }
}

/// Query parameters by name and type.
private enum ListParameters {
  static let write = [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")]
  static let delete = [
    ("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("orphanDependents", "boolean"), ("propagationPolicy", "string"),
  ]
  static let list = [
    ("allowWatchBookmarks", "boolean"), ("continue", "string"), ("fieldSelector", "string"), ("labelSelector", "string"),
    ("limit", "integer"), ("resourceVersion", "string"), ("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"), ("watch", "boolean"),
  ]
}
