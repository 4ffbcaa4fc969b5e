import JSONCodec

/// How JSON values of one type are read; the bridge converts one level at a time, so that a rule that looks at one field of
/// a large object pays for that field only.
struct CELSchema: Sendable {
  let type: CELType
  let types: any CELTypeProvider

  func value(_ json: JSON) -> CELValue { value(json, kind: .atomic) }

  func value(_ json: JSON, kind: CELListKind) -> CELValue {
    switch json {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .int(let value):
      switch scalar {
      case .double: return .double(Double(value))
      case .uint: return UInt64(exactly: value).map(CELValue.uint) ?? .int(value)
      default: return .int(value)
      }
    case .double(let value):
      if scalar == .int, let whole = Int64(exactly: value) { return .int(whole) }
      return .double(value)
    case .string(let text): return string(text)
    case .array(let items):
      let element: CELType = if case .list(let element) = type { element } else { .dyn }
      return .list(CELList(json: items, schema: CELSchema(type: element, types: types), kind: kind))
    case .object(let object):
      switch type {
      case .object(let name): return .object(CELObject(typeName: name, json: object, types: types))
      case .map(_, let value): return .map(CELMap(json: object, schema: CELSchema(type: value, types: types)))
      default: return .map(CELMap(json: object, schema: CELSchema(type: .dyn, types: types)))
      }
    }
  }

  private var scalar: CELType { if case .wrapper(let type) = type { type } else { type } }

  /// Strings of the formats date-time, duration and byte are values of their own; text that does not parse stays text.
  private func string(_ text: String) -> CELValue {
    switch scalar {
    case .timestamp: CELTimestamp(rfc3339: text).map(CELValue.timestamp) ?? .string(text)
    case .duration: CELDuration(text).map(CELValue.duration) ?? .string(text)
    case .bytes: Base64.decode(text).map(CELValue.bytes) ?? .string(text)
    default: .string(text)
    }
  }
}

extension CELValue {
  /// A JSON value as a value of the given type; nothing below the first level is converted yet.
  package init(_ json: JSON, type: CELType = .dyn, types: any CELTypeProvider = CELNoTypes(), listKind: CELListKind = .atomic) {
    self = CELSchema(type: type, types: types).value(json, kind: listKind)
  }

  /// Values in a JSON document made from one value, at most: lists can share parts, and a document cannot.
  package static let jsonValuesMax = 1_000_000

  /// The value as JSON; throws for values that have no such form (types, opaque values, NaN).
  package func json() throws(CELError) -> JSON {
    var left = Self.jsonValuesMax
    return try json(&left)
  }

  fileprivate func json(_ left: inout Int) throws(CELError) -> JSON {
    left -= 1
    guard left >= 0 else { throw CELError("value has more than \(Self.jsonValuesMax) parts") }
    switch self {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .uint(let value): return Int64(exactly: value).map(JSON.int) ?? .double(Double(value))
    case .double(let value):
      guard value.isFinite else { throw CELError("unsupported JSON value: \(value)") }
      return .double(value)
    case .string(let value): return .string(value)
    case .bytes(let value): return .string(Base64.encode(value))
    case .timestamp(let value): return .string(value.rfc3339)
    case .duration(let value): return .string(value.text)
    case .list(let list):
      if case .json(let items, _) = list.storage { return .array(items) }
      guard list.count <= left else { throw CELError("value has more than \(Self.jsonValuesMax) parts") }
      var items: [JSON] = []
      for item in list.values { items.append(try item.json(&left)) }
      return .array(items)
    case .map(let map):
      var object = JSONObject()
      for key in map.keys {
        guard case .string(let name) = key, let value = map[key] else {
          throw CELError("unsupported JSON key type: \(key.runtimeType.runtimeName)")
        }
        object[name] = try value.json(&left)
      }
      return .object(object)
    case .object(let value): return try value.json(&left)
    case .optional(let value?): return try value.json(&left)
    case .optional(nil): return .null
    case .type, .opaque: throw CELError("unsupported JSON type: \(runtimeType.runtimeName)")
    }
  }
}

extension CELObject {
  package func json() throws(CELError) -> JSON { try CELValue.object(self).json() }

  fileprivate func json(_ left: inout Int) throws(CELError) -> JSON {
    switch storage {
    case .json(let object, _): return .object(object)
    case .fields(let fields, let types):
      var object = JSONObject()
      for (name, value) in fields { object[types.field(name, of: typeName)?.key ?? name] = try value.json(&left) }
      return .object(object)
    }
  }
}

/// RFC 4648, with and without padding.
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func encode(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count + 2) / 3 * 4)
    var i = 0
    while i < bytes.count {
      let rest = bytes.count - i
      let group = Int(bytes[i]) << 16 | (rest > 1 ? Int(bytes[i + 1]) << 8 : 0) | (rest > 2 ? Int(bytes[i + 2]) : 0)
      result.append(alphabet[group >> 18])
      result.append(alphabet[group >> 12 & 63])
      result.append(rest > 1 ? alphabet[group >> 6 & 63] : UInt8(ascii: "="))
      result.append(rest > 2 ? alphabet[group & 63] : UInt8(ascii: "="))
      i += 3
    }
    return String(decoding: result, as: UTF8.self)
  }

  static func decode(_ text: String) -> [UInt8]? {
    var digits = Array(text.utf8).filter { $0 != 0x0A && $0 != 0x0D }
    if digits.count % 4 == 0 {
      var padding = 0
      while padding < 2, digits.last == UInt8(ascii: "=") {
        digits.removeLast()
        padding += 1
      }
    }
    guard digits.count % 4 != 1 else { return nil }
    var result: [UInt8] = []
    var group = 0
    var bits = 0
    for digit in digits {
      guard let value = alphabet.firstIndex(of: digit) else { return nil }
      group = group << 6 | value
      bits += 6
      if bits >= 8 {
        bits -= 8
        result.append(UInt8(group >> bits & 255))
        group &= (1 << bits) - 1
      }
    }
    return result
  }
}
