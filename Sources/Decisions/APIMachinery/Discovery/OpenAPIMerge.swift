import JSONCodec

/// Takes one group version of another server's `/openapi/v2` into this server's.
///
/// Definitions that both have in the same words are shared; one of the same name with other words comes under a name of its own.
package enum OpenAPIMerge {
  private static let prefix = "#/definitions/"

  /// What is needed of a document for the paths of a group version: these paths, and the definitions that they lead to.
  package static func part(of document: JSON, group: String, version: String) -> JSON {
    let root = "/apis/\(group)/\(version)"
    var paths = JSONObject()
    for (path, item) in document["paths"].object ?? JSONObject() where path == root + "/" || path.hasPrefix(root + "/") {
      paths[path] = item
    }
    var definitions = JSONObject()
    var waiting = Array(references(in: .object(paths)))
    // Kinds that no path leads to are explained all the same.
    for (name, schema) in document["definitions"].object ?? JSONObject() where isKind(schema, group, version) { waiting.append(name) }
    while let name = waiting.popLast() {
      guard !definitions.contains(name), let schema = document["definitions"].object?[name] else { continue }
      definitions[name] = schema
      waiting += references(in: schema)
    }
    return ["paths": .object(paths), "definitions": .object(definitions)]
  }

  private static func isKind(_ schema: JSON, _ group: String, _ version: String) -> Bool {
    (schema["x-kubernetes-group-version-kind"].array ?? []).contains { $0["group"].string == group && $0["version"].string == version }
  }

  package static func merged(_ own: JSON, with parts: [JSON]) -> JSON {
    var result = own
    var paths = own["paths"].object ?? JSONObject()
    var definitions = own["definitions"].object ?? JSONObject()
    for part in parts {
      var names: [String: String] = [:]
      for (name, schema) in part["definitions"].object ?? JSONObject() {
        guard let present = definitions[name], present != schema else { continue }
        var number = 2
        while definitions.contains("\(name)_v\(number)") { number += 1 }
        names[name] = "\(name)_v\(number)"
      }
      for (name, schema) in part["definitions"].object ?? JSONObject() { definitions[names[name] ?? name] = renamed(schema, names) }
      for (path, item) in part["paths"].object ?? JSONObject() where !paths.contains(path) { paths[path] = renamed(item, names) }
    }
    result["paths"] = .object(paths)
    result["definitions"] = .object(definitions)
    return result
  }

  private static func references(in value: JSON) -> Set<String> {
    switch value {
    case .object(let fields):
      return fields.reduce(into: Set<String>()) { found, field in
        if field.0 == "$ref", let text = field.1.string, text.hasPrefix(prefix) {
          found.insert(String(text.dropFirst(prefix.count)))
        } else {
          found.formUnion(references(in: field.1))
        }
      }
    case .array(let items): return items.reduce(into: Set<String>()) { $0.formUnion(references(in: $1)) }
    default: return []
    }
  }

  private static func renamed(_ value: JSON, _ names: [String: String]) -> JSON {
    guard !names.isEmpty else { return value }
    switch value {
    case .object(let fields):
      var result = JSONObject()
      for (key, item) in fields {
        if key == "$ref", let text = item.string, text.hasPrefix(prefix), let other = names[String(text.dropFirst(prefix.count))] {
          result[key] = .string(prefix + other)
        } else {
          result[key] = renamed(item, names)
        }
      }
      return .object(result)
    case .array(let items): return .array(items.map { renamed($0, names) })
    default: return value
    }
  }
}
