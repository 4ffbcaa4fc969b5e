import JSONCodec
import KubernetesAPI

/// Writes an object as `application/vnd.kubernetes.protobuf`, byte for byte as upstream does: members in the order of their
/// numbers, scalars and structs that are no pointers even where they are zero, maps by sorted keys.
/// Throws where a value does not fit its type.
package func encodeProtobuf(_ object: JSON, type: SchemaType) throws(ProtobufError) -> [UInt8] {
  var encoder = ProtobufEncoder()
  encoder.out = ProtobufDecoder.magic
  try encoder.tagged(1) { (encoder) throws(ProtobufError) in
    encoder.string(1, object["apiVersion"].string ?? "")
    encoder.string(2, object["kind"].string ?? "")
  }
  try encoder.tagged(2) { (encoder) throws(ProtobufError) in try encoder.message(object.object ?? JSONObject(), type, depth: 0) }
  encoder.string(3, "")
  encoder.string(4, "")
  return encoder.out
}

/// A meta/v1 WatchEvent as a message without envelope; `object` is an enveloped message.
package func watchEventMessage(kind: String, object: [UInt8]) -> [UInt8] {
  var raw = ProtobufEncoder()
  raw.bytes(1, object)
  var encoder = ProtobufEncoder()
  encoder.string(1, kind)
  encoder.bytes(2, raw.out)
  return encoder.out
}

struct ProtobufEncoder {
  var out: [UInt8] = []

  mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      out.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    out.append(UInt8(value))
  }

  private mutating func key(_ number: Int, _ wire: ProtobufReader.Wire) { varint(UInt64(number) << 3 | UInt64(wire.rawValue)) }

  mutating func integer(_ number: Int, _ value: Int64) {
    key(number, .varint)
    varint(UInt64(bitPattern: value))
  }

  mutating func bytes(_ number: Int, _ value: [UInt8]) {
    key(number, .bytes)
    varint(UInt64(value.count))
    out.append(contentsOf: value)
  }

  mutating func string(_ number: Int, _ value: String) {
    key(number, .bytes)
    varint(UInt64(value.utf8.count))
    out.append(contentsOf: value.utf8)
  }

  /// Writes a field with a length: one byte is kept for it, and more are made room for where the content needs them.
  mutating func tagged(_ number: Int, _ content: (inout ProtobufEncoder) throws(ProtobufError) -> Void) throws(ProtobufError) {
    key(number, .bytes)
    let start = out.count
    out.append(0)
    try content(&self)
    var length = out.count - start - 1
    if length < 0x80 {
      out[start] = UInt8(length)
      return
    }
    var prefix: [UInt8] = []
    while length >= 0x80 {
      prefix.append(UInt8(truncatingIfNeeded: length) | 0x80)
      length >>= 7
    }
    prefix.append(UInt8(length))
    out.replaceSubrange(start...start, with: prefix)
  }

  mutating func message(_ object: JSONObject, _ type: SchemaType, depth: Int) throws(ProtobufError) {
    guard depth <= ProtobufDecoder.depthMax else { throw ProtobufError(.tooDeep, "\(type): nested too deep") }
    let shape = type.shape
    for (number, member) in shape.members {
      switch member {
      case .embedded(let embedded, _):
        try tagged(number) { (encoder) throws(ProtobufError) in try encoder.message(object, embedded, depth: depth + 1) }
      case .field(let position):
        let field = shape.fields[position]
        let value = object[field.name] ?? .null
        try self.field(field, number, value.isNull ? .null : value, type, depth: depth)
      }
    }
  }

  private mutating func field(_ field: SchemaField, _ number: Int, _ json: JSON, _ type: SchemaType, depth: Int) throws(ProtobufError) {
    switch field.value {
    case .list(let item):
      guard let items = json.array else { return try Self.check(json.isNull, field, type) }
      if field.isWrapped {
        return try tagged(number) { (encoder) throws(ProtobufError) in
          for value in items { try encoder.value(item, 1, value, field, type, depth: depth) }
        }
      }
      for value in items { try self.value(item, number, value, field, type, depth: depth) }
    case .map(let item):
      guard let entries = json.object else { return try Self.check(json.isNull, field, type) }
      for key in entries.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
        try tagged(number) { (encoder) throws(ProtobufError) in
          encoder.string(1, key)
          try encoder.value(item, 2, entries[key] ?? .null, field, type, depth: depth)
        }
      }
    case .bytes where json.isNull: return
    default:
      if json.isNull, field.isOptional { return }
      try value(field.value, number, json, field, type, depth: depth)
    }
  }

  private static func check(_ condition: Bool, _ field: SchemaField, _ type: SchemaType) throws(ProtobufError) {
    guard condition else { throw ProtobufError(.badContent, "\(type).\(field.name) has the wrong JSON type") }
  }

  /// Writes one value; null stands for zero.
  private mutating func value(
    _ value: FieldValue, _ number: Int, _ json: JSON, _ field: SchemaField, _ type: SchemaType, depth: Int
  ) throws(ProtobufError) {
    switch value {
    case .string:
      try Self.check(json.isNull || json.string != nil, field, type)
      string(number, json.string ?? "")
    case .int32, .int64:
      try Self.check(json.isNull || json.int != nil, field, type)
      integer(number, Int64(json.int ?? 0))
    case .bool:
      try Self.check(json.isNull || json.bool != nil, field, type)
      integer(number, json.bool == true ? 1 : 0)
    case .double:
      try Self.check(json.isNull || json.double != nil, field, type)
      key(number, .fixed64)
      withUnsafeBytes(of: (json.double ?? 0).bitPattern.littleEndian) { out.append(contentsOf: $0) }
    case .bytes:
      guard let decoded = Base64.decode(json.string ?? "") else { return try Self.check(false, field, type) }
      bytes(number, decoded)
    case .object(let inner):
      try Self.check(json.isNull || json.object != nil, field, type)
      try tagged(number) { (encoder) throws(ProtobufError) in
        try encoder.message(json.object ?? JSONObject(), inner, depth: depth + 1)
      }
    case .alternatives(let inner):
      guard let chosen = inner.alternative(for: json) else { return try Self.check(json.isNull, field, type) }
      var object = JSONObject([(chosen.name, json)])
      // A schema in the place of a flag says yes.
      for flag in inner.fields where flag.name != chosen.name { if case .bool = flag.value { object[flag.name] = true } }
      try tagged(number) { (encoder) throws(ProtobufError) in try encoder.message(object, inner, depth: depth + 1) }
    case .list(let item):
      try tagged(number) { (encoder) throws(ProtobufError) in
        for element in json.array ?? [] { try encoder.value(item, 1, element, field, type, depth: depth) }
      }
    case .map: try Self.check(false, field, type)
    case .quantity:
      guard let quantity = Quantity(json.string ?? "0") else { return try Self.check(false, field, type) }
      try tagged(number) { (encoder) throws(ProtobufError) in encoder.string(1, quantity.text) }
    case .intOrString:
      try tagged(number) { (encoder) throws(ProtobufError) in
        encoder.integer(1, json.string == nil ? 0 : 1)
        encoder.integer(2, Int64(json.int ?? 0))
        encoder.string(3, json.string ?? "")
      }
    case .time, .microTime: try time(number, json, field, type, isMicro: { if case .microTime = value { true } else { false } }())
    case .any, .rawExtension, .fieldsV1:
      try tagged(number) { (encoder) throws(ProtobufError) in
        if !json.isNull { encoder.bytes(1, json.serialized()) }
      }
    }
  }

  private mutating func time(
    _ number: Int, _ json: JSON, _ field: SchemaField, _ type: SchemaType, isMicro: Bool
  ) throws(ProtobufError) {
    var moment: Timestamp?
    if let text = json.string {
      guard let parsed = Timestamp(rfc3339: text) else { return try Self.check(false, field, type) }
      moment = parsed
    } else {
      try Self.check(json.isNull, field, type)
    }
    try tagged(number) { (encoder) throws(ProtobufError) in
      guard let moment else { return }
      let nanoseconds = moment.nanosecondsSinceEpoch - moment.secondsSinceEpoch * 1_000_000_000
      encoder.integer(1, moment.secondsSinceEpoch)
      encoder.integer(2, isMicro ? nanoseconds / 1000 * 1000 : 0)
    }
  }
}
