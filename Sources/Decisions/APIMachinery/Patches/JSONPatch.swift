import JSONCodec

/// More operations in one JSON patch are refused, as upstream does.
package let jsonPatchOperationsMax = 10_000

/// What `copy` may add to a document in one patch, in bytes; without a limit, copies of copies grow without bounds.
package let jsonPatchCopiedBytesMax = 3 * 1024 * 1024

/// Applies the operations of a JSON patch one after the other; the first that fails ends it.
///
/// Source: RFC 6902. The messages are those of the library that upstream uses.
package func jsonPatch(original: JSON, patch: JSON) throws(PatchError) -> JSON {
  guard case .array(let items) = patch else { throw .malformed("json patch must be a list of operations") }
  guard items.count <= jsonPatchOperationsMax else {
    throw PatchError(
      kind: .tooLarge,
      message: "The allowed maximum operations in a JSON patch is \(jsonPatchOperationsMax), got \(items.count)")
  }
  var document = original
  var copiedBytes = 0
  for item in items { try JSONPatchOperation(item).apply(to: &document, &copiedBytes) }
  return document
}

private struct JSONPatchOperation {
  enum Action {
    case add(JSON), replace(JSON), test(JSON), remove
    case move(from: JSONPointer), copy(from: JSONPointer)
  }

  let action: Action
  let path: JSONPointer

  init(_ item: JSON) throws(PatchError) {
    guard case .object(let fields) = item else { throw .malformed("operation of a json patch must be an object") }
    let name = fields["op"]?.string ?? "unknown"
    path = try Self.pointer(fields, "path", of: name)
    switch name {
    case "add": action = .add(try Self.value(fields, of: name))
    case "replace": action = .replace(try Self.value(fields, of: name))
    case "test": action = .test(try Self.value(fields, of: name))
    case "remove": action = .remove
    case "move": action = .move(from: try Self.pointer(fields, "from", of: name))
    case "copy": action = .copy(from: try Self.pointer(fields, "from", of: name))
    default: throw .notApplicable("Unexpected kind: \(name)")
    }
  }

  private static func value(_ fields: JSONObject, of operation: String) throws(PatchError) -> JSON {
    guard let value = fields["value"] else { throw .notApplicable("\(operation) operation has no value: missing value") }
    return value
  }

  private static func pointer(_ fields: JSONObject, _ key: String, of operation: String) throws(PatchError) -> JSONPointer {
    guard let text = fields[key]?.string else {
      throw .notApplicable("\(operation) operation failed to decode \(key): missing value")
    }
    guard let pointer = JSONPointer(text) else {
      throw .notApplicable("\(operation) operation does not apply: doc is missing path: \"\(text)\": missing value")
    }
    return pointer
  }

  func apply(to document: inout JSON, _ copiedBytes: inout Int) throws(PatchError) {
    switch action {
    case .add(let value): try document.add(value, at: path, operation: "add")
    case .remove: _ = try document.remove(at: path, operation: "remove")
    case .replace(let value): try document.replace(with: value, at: path)
    case .test(let value): try document.test(value, at: path)
    case .move(let from):
      guard !(path.tokens.count > from.tokens.count && path.tokens.starts(with: from.tokens)) else {
        throw .notApplicable("move operation does not apply: \(path.text) lies within \(from.text)")
      }
      let value = try document.remove(at: from, operation: "move")
      try document.add(value, at: path, operation: "move")
    case .copy(let from):
      let value = try document.value(at: from, operation: "copy")
      copiedBytes += value.serialized().count
      guard copiedBytes <= jsonPatchCopiedBytesMax else {
        throw PatchError(
          kind: .tooLarge,
          message: "Unable to copy, the accumulated size increase of copy is \(copiedBytes), exceeding the limit \(jsonPatchCopiedBytesMax)"
        )
      }
      try document.add(value, at: path, operation: "copy")
    }
  }
}

/// A path into a document. Source: RFC 6901.
struct JSONPointer {
  let text: String
  let tokens: [String]

  init?(_ text: String) {
    self.text = text
    guard !text.isEmpty else {
      tokens = []
      return
    }
    guard text.utf8.first == UInt8(ascii: "/") else { return nil }
    tokens = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(Self.unescaped)
  }

  private static func unescaped(_ token: Substring) -> String {
    var result = ""
    var isEscape = false
    for character in token {
      switch (isEscape, character) {
      case (true, "0"): result.append("~")
      case (true, "1"): result.append("/")
      case (true, _): result += "~\(character)"
      case (false, "~"): break
      case (false, _): result.append(character)
      }
      isEscape = !isEscape && character == "~"
    }
    return isEscape ? result + "~" : result
  }

  /// An index as RFC 6901 writes it: digits without leading zeros.
  static func index(_ token: String) -> Int? {
    guard !token.isEmpty, token.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), token == "0" || !token.hasPrefix("0") else { return nil }
    return Int(token)
  }
}

extension JSON {
  /// What stands at a path; nil where there is nothing, while null is a value.
  fileprivate func lookUp(_ tokens: some Collection<String>) -> JSON? {
    var node = self
    for token in tokens {
      switch node {
      case .object(let object):
        guard let child = object[token] else { return nil }
        node = child
      case .array(let items):
        guard let index = JSONPointer.index(token), index < items.count else { return nil }
        node = items[index]
      default: return nil
      }
    }
    return node
  }

  fileprivate func value(at path: JSONPointer, operation: String) throws(PatchError) -> JSON {
    guard let value = lookUp(path.tokens) else {
      throw .notApplicable("\(operation) operation does not apply: doc is missing from path: \(path.text): missing value")
    }
    return value
  }

  fileprivate func test(_ expected: JSON, at path: JSONPointer) throws(PatchError) {
    guard lookUp(path.tokens.dropLast()) != nil else {
      throw .notApplicable("test operation for path does not apply: doc is missing path: \(path.text): missing value")
    }
    guard lookUp(path.tokens) ?? .null == expected else {
      throw .notApplicable("testing value \(path.text) failed: test failed")
    }
  }

  /// Levels of objects and lists, one more than their nesting.
  private var depth: Int {
    switch self {
    case .array(let items): 1 + (items.map(\.depth).max() ?? 0)
    case .object(let object): 1 + (object.values.map(\.depth).max() ?? 0)
    default: 0
    }
  }

  /// Documents that can be parsed are no deeper than `depthMax`; a patch must not build one that is.
  private func checkDepth(at path: JSONPointer) throws(PatchError) {
    guard path.tokens.count + depth <= JSON.depthMax else {
      throw .notApplicable("the document would be nested deeper than \(JSON.depthMax) levels")
    }
  }

  fileprivate mutating func replace(with value: JSON, at path: JSONPointer) throws(PatchError) {
    try value.checkDepth(at: path)
    guard lookUp(path.tokens.dropLast()) != nil else {
      throw .notApplicable("replace operation does not apply: doc is missing path: \(path.text): missing value")
    }
    guard lookUp(path.tokens) != nil else {
      throw .notApplicable("replace operation does not apply: doc is missing key: \(path.text): missing value")
    }
    edit(path.tokens[...]) { $0 = value }
  }

  fileprivate mutating func add(_ value: JSON, at path: JSONPointer, operation: String) throws(PatchError) {
    try value.checkDepth(at: path)
    guard let key = path.tokens.last else {
      self = value
      return
    }
    let parents = path.tokens.dropLast()
    switch lookUp(parents) {
    case .object?: edit(parents) { $0.setMember(key, value) }
    case .array(let items)?:
      let index = key == "-" ? items.count : try Self.insertionIndex(key, operation, path)
      guard index <= items.count else {
        throw .notApplicable(
          "error in \(operation) for path: '\(path.text)': Unable to access invalid index: \(index): invalid index referenced")
      }
      edit(parents) { $0.insertItem(value, at: index) }
    default: throw .notApplicable("\(operation) operation does not apply: doc is missing path: \"\(path.text)\": missing value")
    }
  }

  private static func insertionIndex(_ key: String, _ operation: String, _ path: JSONPointer) throws(PatchError) -> Int {
    guard let index = JSONPointer.index(key) else {
      throw .notApplicable("error in \(operation) for path: '\(path.text)': value was not a proper array index: '\(key)'")
    }
    return index
  }

  fileprivate mutating func remove(at path: JSONPointer, operation: String) throws(PatchError) -> JSON {
    guard let key = path.tokens.last else { throw .notApplicable("\(operation) operation cannot remove the whole document") }
    let parents = path.tokens.dropLast()
    guard let parent = lookUp(parents), parent.object != nil || parent.array != nil else {
      throw .notApplicable("\(operation) operation does not apply: doc is missing path: \"\(path.text)\": missing value")
    }
    guard let old = lookUp(path.tokens) else {
      let what = parent.object != nil ? "Unable to remove nonexistent key: \(key): missing value" : "invalid index referenced"
      throw .notApplicable("error in \(operation) for path: '\(path.text)': \(what)")
    }
    edit(parents) { $0.removeMember(key) }
    return old
  }

  /// Changes what stands at a path that is known to exist.
  private mutating func edit(_ tokens: ArraySlice<String>, _ change: (inout JSON) -> Void) {
    guard let token = tokens.first else { return change(&self) }
    switch self {
    case .object(var object):
      self = .null  // gives up the other reference, so that the change happens in place
      var child = object[token] ?? .null
      child.edit(tokens.dropFirst(), change)
      object[token] = child
      self = .object(object)
    case .array(var items):
      guard let index = JSONPointer.index(token), index < items.count else { return }
      self = .null
      items[index].edit(tokens.dropFirst(), change)
      self = .array(items)
    default: return
    }
  }

  private mutating func setMember(_ key: String, _ value: JSON) {
    guard case .object(var object) = self else { return }
    object[key] = value
    self = .object(object)
  }

  private mutating func insertItem(_ value: JSON, at index: Int) {
    guard case .array(var items) = self else { return }
    items.insert(value, at: index)
    self = .array(items)
  }

  private mutating func removeMember(_ key: String) {
    switch self {
    case .object(var object):
      object[key] = Optional<JSON>.none
      self = .object(object)
    case .array(var items):
      guard let index = JSONPointer.index(key) else { return }
      items.remove(at: index)
      self = .array(items)
    default: return
    }
  }
}
