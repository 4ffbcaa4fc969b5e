import JSONCodec

/// A version 2 document as the `Document` message of gnostic's OpenAPIv2.proto, which kubectl 1.27 reads before it creates or
/// applies anything. Only what our own documents hold is written.
struct OpenAPIProtobuf {
  private var encoder = ProtobufEncoder()

  static func encode(_ document: JSON) -> [UInt8] {
    var writer = OpenAPIProtobuf()
    writer.text(1, document["swagger"])
    writer.nested(2) {
      $0.text(1, document["info"]["title"])
      $0.text(2, document["info"]["version"])
    }
    writer.nested(8) { paths in
      for (path, item) in document["paths"].object ?? JSONObject() { paths.named(2, path) { $0.pathItem(item) } }
    }
    writer.nested(9) { definitions in
      for (name, schema) in document["definitions"].object ?? JSONObject() { definitions.named(1, name) { $0.schema(schema) } }
    }
    return writer.encoder.out
  }

  // MARK: the wire

  private mutating func text(_ number: Int, _ value: JSON) {
    if let text = value.string, !text.isEmpty { encoder.string(number, text) }
  }

  private mutating func texts(_ number: Int, _ values: JSON) {
    for value in values.items { encoder.string(number, value.string ?? "") }
  }

  private mutating func flag(_ number: Int, _ value: JSON) {
    if value == true { encoder.integer(number, 1) }
  }

  private mutating func nested(_ number: Int, _ content: (inout OpenAPIProtobuf) -> Void) {
    var inner = OpenAPIProtobuf()
    content(&inner)
    encoder.bytes(number, inner.encoder.out)
  }

  /// An entry of a map: its name and its value.
  private mutating func named(_ number: Int, _ name: String, _ content: (inout OpenAPIProtobuf) -> Void) {
    nested(number) {
      $0.encoder.string(1, name)
      $0.nested(2, content)
    }
  }

  /// Extensions are carried as YAML, of which JSON is a part.
  private mutating func extensions(_ number: Int, _ object: JSON) {
    for (key, value) in object.object ?? JSONObject() where key.hasPrefix("x-") {
      named(number, key) { $0.encoder.string(2, value.text() + "\n") }
    }
  }

  // MARK: the document

  private mutating func pathItem(_ item: JSON) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] where !item[method].isNull {
      nested(number) { $0.operation(item[method]) }
    }
    for parameter in item["parameters"].items { nested(9) { $0.parameter(parameter) } }
  }

  private mutating func operation(_ operation: JSON) {
    texts(6, operation["produces"])
    texts(7, operation["consumes"])
    for parameter in operation["parameters"].items { nested(8) { $0.parameter(parameter) } }
    nested(9) { responses in
      for (code, response) in operation["responses"].object ?? JSONObject() {
        responses.named(1, code) { value in
          value.nested(1) {
            $0.text(1, response["description"])
            if !response["schema"].isNull { $0.nested(2) { $0.nested(1) { $0.schema(response["schema"]) } } }
          }
        }
      }
    }
    extensions(13, operation)
  }

  /// A ParametersItem: a parameter, which is a body, or one of a query or a path.
  private mutating func parameter(_ parameter: JSON) {
    nested(1) { item in
      if parameter["in"] == "body" {
        item.nested(1) {
          $0.text(2, parameter["name"])
          $0.text(3, parameter["in"])
          $0.flag(4, parameter["required"])
          $0.nested(5) { $0.schema(parameter["schema"]) }
        }
        return
      }
      let isQuery = parameter["in"] == "query"
      item.nested(2) {
        $0.nested(isQuery ? 3 : 4) {
          $0.flag(1, parameter["required"])
          $0.text(2, parameter["in"])
          $0.text(4, parameter["name"])
          $0.text(isQuery ? 6 : 5, parameter["type"])
          $0.flag(isQuery ? 20 : 19, parameter["uniqueItems"])
        }
      }
    }
  }

  private mutating func schema(_ schema: JSON) {
    text(1, schema["$ref"])
    text(2, schema["format"])
    text(3, schema["title"])
    text(4, schema["description"])
    text(13, schema["pattern"])
    texts(19, schema["required"])
    for value in schema["enum"].items { nested(20) { $0.encoder.string(2, value.text() + "\n") } }
    if !schema["additionalProperties"].isNull { nested(21) { $0.nested(1) { $0.schema(schema["additionalProperties"]) } } }
    if !schema["type"].isNull { nested(22) { $0.text(1, schema["type"]) } }
    if !schema["items"].isNull { nested(23) { $0.nested(1) { $0.schema(schema["items"]) } } }
    if let properties = schema["properties"].object {
      nested(25) { message in
        for (name, property) in properties { message.named(1, name) { $0.schema(property) } }
      }
    }
    extensions(31, schema)
  }
}
