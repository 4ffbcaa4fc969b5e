import JSONCodec
import Yams

/// YAML as JSON values, with a bound on what aliases may unfold to.
package enum YAMLDocument {
  /// Values in one document, aliases unfolded: a bomb stops here.
  static let valuesMax = 1_000_000

  package static func parse(_ text: String) throws -> JSON {
    guard let node = try Yams.compose(yaml: text) else { return .null }
    var count = 0
    return try convert(node, &count)
  }

  private static func convert(_ node: Node, _ count: inout Int) throws -> JSON {
    count += 1
    guard count <= valuesMax else { throw JSONError(reason: "the document unfolds to more than \(valuesMax) values", offset: 0) }
    switch node {
    case .scalar(let scalar):
      if node.tag == Tag(.str) { return .string(scalar.string) }
      if let bool = node.bool { return .bool(bool) }
      if let int = node.int { return JSON(int) }
      if let double = node.float { return .double(double) }
      if node.null != nil { return .null }
      return .string(scalar.string)
    case .mapping(let mapping):
      var object = JSONObject()
      for (key, value) in mapping { object[key.string ?? ""] = try convert(value, &count) }
      return .object(object)
    case .sequence(let sequence):
      var items: [JSON] = []
      for item in sequence { items.append(try convert(item, &count)) }
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
