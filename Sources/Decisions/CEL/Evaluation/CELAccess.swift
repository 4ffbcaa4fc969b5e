/// Fields and items of values.
enum CELAccess {
  static func field(_ value: CELValue, _ name: String) throws(CELError) -> CELValue {
    switch value {
    case .map(let map):
      guard let found = map[.string(name)] else { throw .noSuchKey(name) }
      return found
    case .object(let object):
      guard let found = object.value(name) else { throw .noSuchKey(name) }
      return found
    case .optional(let inner): return .optional(try inner.flatMap { value throws(CELError) in try presentField(value, name) })
    default: throw CELError("type '\(value.runtimeType.runtimeName)' does not support field selection")
    }
  }

  /// The field where it is there; nil where it is not; throws where the value has no fields.
  private static func presentField(_ value: CELValue, _ name: String) throws(CELError) -> CELValue? {
    switch value {
    case .map(let map): return map[.string(name)]
    case .object(let object): return object.value(name)
    case .optional(let inner): return try inner.flatMap { value throws(CELError) in try presentField(value, name) }
    default: throw CELError("no such key: \(name)")
    }
  }

  static func optionalField(_ value: CELValue, _ name: String) throws(CELError) -> CELValue? {
    try presentField(value, name)
  }

  static func hasField(_ value: CELValue, _ name: String) throws(CELError) -> Bool {
    switch value {
    case .map(let map): return map.contains(.string(name))
    case .object(let object): return object.has(name)
    case .optional(let inner):
      guard let inner else { return false }
      return try hasField(inner, name)
    default: throw CELError("type '\(value.runtimeType.runtimeName)' does not support field selection")
    }
  }

  static func item(_ value: CELValue, _ key: CELValue) throws(CELError) -> CELValue {
    switch value {
    case .list(let list):
      guard let index = listIndex(key) else {
        throw CELError("unsupported index type '\(key.runtimeType.runtimeName)' in list")
      }
      guard index >= 0, index < list.count else { throw CELError("index out of bounds: \(index)") }
      return list[index]
    case .map(let map):
      guard let found = map[key] else { throw .noSuchKey(CELFormat.plain(key)) }
      return found
    case .object(let object):
      guard case .string(let name) = key, let found = object.value(name) else { throw .noSuchKey(CELFormat.plain(key)) }
      return found
    case .optional(let inner): return .optional(try inner.flatMap { value throws(CELError) in try presentItem(value, key) })
    default: throw .noSuchOverload
    }
  }

  static func optionalItem(_ value: CELValue, _ key: CELValue) throws(CELError) -> CELValue? {
    try presentItem(value, key)
  }

  private static func presentItem(_ value: CELValue, _ key: CELValue) throws(CELError) -> CELValue? {
    switch value {
    case .list(let list):
      guard let index = listIndex(key), index >= 0, index < list.count else { return nil }
      return list[index]
    case .map(let map): return map[key]
    case .object(let object):
      guard case .string(let name) = key else { return nil }
      return object.value(name)
    case .optional(let inner): return try inner.flatMap { value throws(CELError) in try presentItem(value, key) }
    default: throw .noSuchOverload
    }
  }

  /// A number without a fraction as an index; nil for anything else.
  private static func listIndex(_ key: CELValue) -> Int? {
    switch key {
    case .int(let value): Int(value)
    case .uint(let value): Int(exactly: value) ?? .max
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }
}
