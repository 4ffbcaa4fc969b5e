import JSONCodec
import Yams

// Unlike upstream: documents may be nested 512 deep, not 10,000.

/// YAML as JSON values, with a bound on what aliases may unfold to.
package enum YAMLDocument {
  /// Values in one document, aliases unfolded: a bomb stops here.
  static let valuesMax = 1_000_000
  /// Bytes of all its scalars, aliases unfolded: several times the largest body.
  static let bytesMax = 24 << 20

  private struct Size {
    var values = 0
    var bytes = 0
  }

  /// Of a key that stands twice in a mapping the last value counts.
  package static func parse(_ text: String) throws -> JSON {
    var repeated: [String] = []
    return try parse(text, repeated: &repeated)
  }

  /// - repeated: complaints about keys that stand twice, such as `line 9: key "foo" already set in map`.
  static func parse(_ text: String, repeated: inout [String]) throws -> JSON {
    guard let node = try RepeatedKeys.compose(text) else { return .null }
    var size = Size()
    let value = try convert(node, &size, depth: 1)
    repeated = RepeatedKeys.complaints(node)
    return value
  }

  private static func convert(_ node: Node, _ size: inout Size, depth: Int) throws -> JSON {
    size.values += 1
    guard size.values <= valuesMax, size.bytes <= bytesMax else {
      throw JSONError(reason: "document contains excessive aliasing", offset: 0)
    }
    guard depth <= JSON.depthMax else { throw JSONError(reason: "exceeded max depth of \(JSON.depthMax)", offset: 0) }
    switch node {
    case .scalar(let scalar):
      size.bytes += scalar.string.utf8.count
      if node.tag == Tag(.str) { return .string(scalar.string) }
      if let bool = node.bool { return .bool(bool) }
      if let int = node.int { return JSON(int) }
      if let double = node.float { return .double(double) }
      if node.null != nil { return .null }
      return .string(scalar.string)
    case .mapping(let mapping):
      var object = JSONObject()
      for (key, value) in mapping {
        guard let name = key.string else { throw JSONError(reason: "a key that is no text", offset: 0) }
        if RepeatedKeys.original(name) != nil { continue }
        object[name] = try convert(value, &size, depth: depth + 1)
      }
      return .object(object)
    case .sequence(let sequence):
      var items: [JSON] = []
      for item in sequence { items.append(try convert(item, &size, depth: depth + 1)) }
      return .array(items)
    case .alias: throw JSONError(reason: "an alias without an anchor", offset: 0)
    }
  }
}

extension YAMLDocument {
  /// An object as a YAML document, keys in the object's order.
  static func text(_ object: JSON) throws -> String { try Yams.serialize(node: node(object)) }

  private static func node(_ value: JSON) -> Node {
    switch value {
    case .object(let fields): Node(fields.map { (Node($0.0), node($0.1)) })
    case .array(let items): Node(items.map(node))
    case .string(let text): needsQuotes(text) ? Node(text, Tag(.str), .doubleQuoted) : Node(text, Tag(.str))
    case .null: Node("null", Tag(.null))
    case .bool(let flag): Node(flag ? "true" : "false", Tag(.bool))
    default: Node(value.text(), Tag(.implicit))
    }
  }

  private static let nullWords: Set<String> = ["~", "null", "Null", "NULL"]

  /// Text that would be read as something else than text.
  private static func needsQuotes(_ text: String) -> Bool {
    let plain = Node(text)
    return text.isEmpty || nullWords.contains(text) || plain.bool != nil || plain.int != nil || plain.float != nil || text.contains("\n")
  }
}
