import JSONCodec

/// A list: values, items of a JSON document that are converted when they are asked for, or two lists one after the other.
package struct CELList: Sendable {
  enum Storage: Sendable {
    case values([CELValue])
    case json([JSON], CELSchema)
    /// Nothing is copied: an expression can double a list many times for next to no cost.
    case joined(Pair)
  }
  final class Pair: Sendable {
    let left: CELList
    let right: CELList
    let count: Int
    init(_ left: CELList, _ right: CELList, count: Int) {
      self.left = left
      self.right = right
      self.count = count
    }
  }
  var storage: Storage
  let kind: CELListKind

  package init(_ values: [CELValue]) {
    storage = .values(values)
    kind = .atomic
  }

  private init(_ storage: Storage, kind: CELListKind) {
    self.storage = storage
    self.kind = kind
  }

  init(json: [JSON], schema: CELSchema, kind: CELListKind) {
    storage = .json(json, schema)
    self.kind = kind
  }

  package var count: Int {
    switch storage {
    case .values(let values): values.count
    case .json(let items, _): items.count
    case .joined(let pair): pair.count
    }
  }

  /// The item; the index must be in range.
  package subscript(_ index: Int) -> CELValue {
    switch storage {
    case .values(let values): values[index]
    case .json(let items, let schema): schema.value(items[index])
    case .joined(let pair): index < pair.left.count ? pair.left[index] : pair.right[index - pair.left.count]
    }
  }

  /// All items; only where the cost of as many has been charged.
  package var values: [CELValue] {
    switch storage {
    case .values(let values): values
    case .json(let items, let schema): items.map(schema.value)
    case .joined(let pair): pair.left.values + pair.right.values
    }
  }

  /// What tells an item apart where the list has a kind; nil where the item has no simple key.
  private func key(_ item: CELValue) -> [CELMapKey]? {
    guard case .map(let names) = kind else { return CELMapKey(item).map { [$0] } }
    var result: [CELMapKey] = []
    for name in names {
      let field: CELValue? =
        switch item {
        case .object(let object): object.value(name)
        case .map(let map): map[.string(name)]
        default: nil
        }
      guard let key = field.flatMap(CELMapKey.init) else { return nil }
      result.append(key)
    }
    return result
  }

  /// `+`: sets add what is missing, list-maps replace the item of the same key. Nil past `Int.max` items.
  func joined(with other: CELList) -> CELList? {
    guard kind != .atomic else {
      if other.count == 0 { return self }
      if count == 0 { return CELList(other.storage, kind: .atomic) }
      let (sum, overflow) = count.addingReportingOverflow(other.count)
      return overflow ? nil : CELList(.joined(Pair(self, other, count: sum)), kind: .atomic)
    }
    var result = values
    var places: [[CELMapKey]: Int] = [:]
    for (i, item) in result.enumerated() { if let key = key(item) { places[key] = i } }
    for i in 0..<other.count {
      let item = other[i]
      guard let key = key(item) else {
        if kind != .set || !result.contains(item) { result.append(item) }
        continue
      }
      if let place = places[key] {
        if kind != .set { result[place] = item }
      } else {
        places[key] = result.count
        result.append(item)
      }
    }
    return CELList(.values(result), kind: kind)
  }
}

/// A key that hashes by CEL's equality: the numbers 1, 1u and 1.0 are one key.
enum CELMapKey: Hashable {
  case bool(Bool)
  case int(Int64)
  case uint(UInt64)  // only above Int64.max
  case string(TextKey)

  /// A string that hashes and compares by its bytes.
  struct TextKey: Hashable {
    let text: String
    static func == (a: Self, b: Self) -> Bool { a.text.isSameText(as: b.text) }
    func hash(into hasher: inout Hasher) { for byte in text.utf8 { hasher.combine(byte) } }
  }

  /// Nil where no key of a map can equal the value.
  init?(_ value: CELValue) {
    switch value {
    case .bool(let value): self = .bool(value)
    case .string(let value): self = .string(TextKey(text: value))
    case .int(let value): self = .int(value)
    case .uint(let value): self = Int64(exactly: value).map(CELMapKey.int) ?? .uint(value)
    case .double(let value):
      if let whole = Int64(exactly: value) {
        self = .int(whole)
      } else if let whole = UInt64(exactly: value) {
        self = .uint(whole)
      } else {
        return nil
      }
    default: return nil
    }
  }
}

/// A map in the order in which its entries came: values, or a JSON object whose fields are converted when asked for.
package struct CELMap: Sendable {
  struct Entries: Sendable {
    var keys: [CELValue] = []
    var values: [CELValue] = []
    var index: [CELMapKey: Int] = [:]
  }
  enum Storage: Sendable {
    case entries(Entries)
    case json(JSONObject, CELSchema)
  }
  private var storage: Storage

  package init() { storage = .entries(Entries()) }
  init(json: JSONObject, schema: CELSchema) { storage = .json(json, schema) }

  package var count: Int {
    switch storage {
    case .entries(let entries): entries.keys.count
    case .json(let object, _): object.count
    }
  }

  package var keys: [CELValue] {
    switch storage {
    case .entries(let entries): entries.keys
    case .json(let object, _): object.keys.map(CELValue.string)
    }
  }

  package subscript(_ key: CELValue) -> CELValue? {
    switch storage {
    case .entries(let entries): CELMapKey(key).flatMap { entries.index[$0] }.map { entries.values[$0] }
    case .json(let object, let schema):
      if case .string(let name) = key { object[name].map(schema.value) } else { nil }
    }
  }

  package func contains(_ key: CELValue) -> Bool {
    switch storage {
    case .entries(let entries): CELMapKey(key).map { entries.index[$0] != nil } ?? false
    case .json(let object, _):
      if case .string(let name) = key { object.contains(name) } else { false }
    }
  }

  /// Adds an entry; false where the key is there already or its type cannot be a key.
  package mutating func insert(_ key: CELValue, _ value: CELValue) -> Bool {
    guard let hashed = CELMapKey(key) else { return false }
    if case .json(let object, let schema) = storage {
      var entries = Entries()
      for (name, item) in object {
        entries.index[.string(.init(text: name))] = entries.keys.count
        entries.keys.append(.string(name))
        entries.values.append(schema.value(item))
      }
      storage = .entries(entries)
    }
    guard case .entries(var entries) = storage, entries.index[hashed] == nil else { return false }
    storage = .entries(Entries())  // gives up the other reference, so that the change happens in place
    entries.index[hashed] = entries.keys.count
    entries.keys.append(key)
    entries.values.append(value)
    storage = .entries(entries)
    return true
  }
}

/// A value of an object type: a JSON object seen through its schema, or what `Type{field: value}` made.
package struct CELObject: Sendable {
  enum Storage: Sendable {
    case json(JSONObject, any CELTypeProvider)
    case fields([(name: String, value: CELValue)], any CELTypeProvider)
  }
  package let typeName: String
  let storage: Storage

  package init(typeName: String, json: JSONObject, types: any CELTypeProvider) {
    self.typeName = typeName
    storage = .json(json, types)
  }

  init(typeName: String, fields: [(name: String, value: CELValue)], types: any CELTypeProvider) {
    self.typeName = typeName
    storage = .fields(fields, types)
  }

  package var count: Int {
    switch storage {
    case .json(let object, _): object.count
    case .fields(let fields, _): fields.count
    }
  }

  func has(_ name: String) -> Bool {
    switch storage {
    case .json(let object, let types): object.contains(types.field(name, of: typeName)?.key ?? CELFieldName.unescape(name))
    case .fields(let fields, _): fields.contains { $0.name == name }
    }
  }

  /// The field by its name in expressions; nil where it is absent.
  package func value(_ name: String) -> CELValue? {
    switch storage {
    case .json(let object, let types):
      let field = types.field(name, of: typeName)
      return object[field?.key ?? CELFieldName.unescape(name)].map {
        CELSchema(type: field?.type ?? .dyn, types: types).value($0, kind: field?.listKind ?? .atomic)
      }
    case .fields(let fields, _):
      return fields.first { $0.name == name }?.value
    }
  }

  /// Fields by their names in expressions, as far as the schema has such names.
  package var names: [String] {
    switch storage {
    case .json(let object, _): object.keys.map { CELFieldName.escape($0) ?? $0 }
    case .fields(let fields, _): fields.map(\.name)
    }
  }
}
