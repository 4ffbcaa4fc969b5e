import JSONCodec

/// One step of a path to a field, as FieldsV1 names it.
package enum PathElement: Hashable, Sendable {
  /// `f:replicas`.
  case field(String)
  /// `k:{"name":"web"}`: an item of a list by its key fields, as compact JSON with the fields in order.
  case key(String)
  /// `v:"kubernetes"`: an item of a set, as compact JSON.
  case value(String)
  /// `i:0`.
  case index(Int)

  private var rank: Int {
    switch self {
    case .field: 0
    case .key: 1
    case .value: 2
    case .index: 3
    }
  }
}

extension PathElement: Comparable {
  package static func < (a: PathElement, b: PathElement) -> Bool {
    switch (a, b) {
    case (.field(let x), .field(let y)), (.key(let x), .key(let y)), (.value(let x), .value(let y)): x < y
    case (.index(let x), .index(let y)): x < y
    default: a.rank < b.rank
    }
  }
}

/// A set of fields of an object, as a tree of paths: this node, and what is below it.
///
/// A node may belong to the set (`isMember`) without what is below it, and the other way round. Empty children are never kept.
package struct FieldSet: Sendable, Equatable {
  package var isMember = false
  package private(set) var children: [PathElement: FieldSet] = [:]

  package init() {}

  static let member: FieldSet = {
    var set = FieldSet()
    set.isMember = true
    return set
  }()

  package var isEmpty: Bool { !isMember && children.isEmpty }

  package subscript(_ element: PathElement) -> FieldSet {
    get { children[element] ?? FieldSet() }
    set { children[element] = newValue.isEmpty ? nil : newValue }
  }

  /// The node at a path of field names.
  package init(field path: String...) {
    self = path.reversed().reduce(FieldSet.member) { below, name in
      var set = FieldSet()
      set[.field(name)] = below
      return set
    }
  }

  package func union(_ other: FieldSet) -> FieldSet {
    var result = self
    result.formUnion(other)
    return result
  }

  package mutating func formUnion(_ other: FieldSet) {
    isMember = isMember || other.isMember
    for (element, child) in other.children {
      if children[element] == nil { children[element] = child } else { children[element]!.formUnion(child) }
    }
  }

  package func intersection(_ other: FieldSet) -> FieldSet {
    var result = FieldSet()
    result.isMember = isMember && other.isMember
    for (element, child) in children {
      if let match = other.children[element] { result[element] = child.intersection(match) }
    }
    return result
  }

  /// Without the paths of `other`; a parent in `other` does not take its children along.
  package func subtracting(_ other: FieldSet) -> FieldSet {
    var result = self
    result.isMember = isMember && !other.isMember
    for (element, child) in other.children {
      if let mine = children[element] { result[element] = mine.subtracting(child) }
    }
    return result
  }

  /// Without the paths of `other` and everything below them.
  package func subtractingRecursively(_ other: FieldSet) -> FieldSet {
    if other.isMember { return FieldSet() }
    var result = self
    for (element, child) in other.children {
      if let mine = children[element] { result[element] = mine.subtractingRecursively(child) }
    }
    return result
  }

  /// The paths of the set in order, in the notation of conflict messages: `.spec.containers[name="web"].image`.
  package var paths: [String] {
    var result: [String] = []
    collectPaths(prefix: "", into: &result)
    return result
  }

  private func collectPaths(prefix: String, into result: inout [String]) {
    for element in children.keys.sorted() {
      let path = prefix + element.pathText
      if children[element]!.isMember { result.append(path) }
      children[element]!.collectPaths(prefix: path, into: &result)
    }
  }
}

extension PathElement {
  /// The element of an item that has these values in its key fields.
  static func key(_ fields: [(String, JSON)]) -> PathElement {
    .key(JSON.object(JSONObject(fields.sorted { $0.0 < $1.0 })).text())
  }

  static func value(of item: JSON) -> PathElement { .value(item.text()) }

  /// `.name`, `[name="web"]`, `[="kubernetes"]`, `[0]`.
  var pathText: String {
    switch self {
    case .field(let name): return ".\(name)"
    case .value(let text): return "[=\(text)]"
    case .index(let index): return "[\(index)]"
    case .key(let text):
      let fields = (try? JSON.parse(text))?.object ?? JSONObject()
      return "[" + fields.map { "\($0.0)=\($0.1.text())" }.joined(separator: ",") + "]"
    }
  }

  /// The name in FieldsV1.
  var text: String {
    switch self {
    case .field(let name): "f:\(name)"
    case .key(let text): "k:\(text)"
    case .value(let text): "v:\(text)"
    case .index(let index): "i:\(index)"
    }
  }

  /// Reads a name of FieldsV1; keys and values are brought into the form in which they compare.
  init?(_ text: String) {
    let rest = String(text.dropFirst(2))
    switch text.prefix(2) {
    case "f:": self = .field(rest)
    case "k:":
      guard case .object(let fields)? = try? JSON.parse(rest) else { return nil }
      self = .key(Array(fields))
    case "v:":
      guard let value = try? JSON.parse(rest) else { return nil }
      self = .value(of: value)
    case "i:":
      guard let index = Int(rest) else { return nil }
      self = .index(index)
    default: return nil
    }
  }
}

extension FieldSet {
  /// FieldsV1: `{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}`.
  package var fieldsV1: JSON {
    var result = JSONObject()
    for element in children.keys.sorted() { result.append(element.text, children[element]!.encoded) }
    return .object(result)
  }

  private var encoded: JSON {
    guard isMember, !children.isEmpty else { return fieldsV1 }
    var result = JSONObject()
    result.append(".", .object(JSONObject()))
    for (key, value) in fieldsV1.object ?? JSONObject() { result.append(key, value) }
    return .object(result)
  }

  /// Reads FieldsV1; nil where it is malformed.
  package init?(fieldsV1: JSON) {
    guard case .object(let object) = fieldsV1 else { return nil }
    for (name, child) in object {
      if name == "." {
        isMember = true
        continue
      }
      guard let element = PathElement(name), var below = FieldSet(fieldsV1: child) else { return nil }
      if below.isEmpty { below.isMember = true }
      children[element] = below
    }
  }
}
