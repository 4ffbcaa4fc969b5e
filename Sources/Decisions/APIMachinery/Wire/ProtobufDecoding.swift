import JSONCodec
import KubernetesAPI

/// Reads a document of `application/vnd.kubernetes.protobuf`: `k8s\0` and a runtime.Unknown around the message of a registered
/// kind. `apiVersion` and `kind` come from the envelope, the fields stand in the order of upstream's JSON.
package func decodeProtobuf(_ envelope: [UInt8], registry: SchemaRegistry = .shared) throws(ProtobufError) -> JSON {
  var failure: ProtobufError?
  let result = envelope.withUnsafeBytes { bytes in
    do throws(ProtobufError) {
      var decoder = ProtobufDecoder(registry: registry)
      return try decoder.envelope(bytes, depth: 0)
    } catch {
      failure = error
      return .null
    }
  }
  if let failure { throw failure }
  return result
}

struct ProtobufDecoder {
  /// Messages in messages beyond this are refused.
  static let depthMax = 100
  /// An empty message costs two bytes on the wire and much more as an object; more of them than this are refused.
  static let messagesMax = 250_000
  static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]

  let registry: SchemaRegistry
  private var messages = 0

  init(registry: SchemaRegistry) { self.registry = registry }

  mutating func envelope(_ bytes: UnsafeRawBufferPointer, depth: Int) throws(ProtobufError) -> JSON {
    guard bytes.count >= 4, bytes.prefix(4).elementsEqual(Self.magic) else {
      throw ProtobufError(.notAnEnvelope, "provided data does not appear to be a protobuf message, expected prefix \"k8s\\x00\"")
    }
    var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[4...]))
    var apiVersion = ""
    var kind = ""
    var contentType = ""
    var raw = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[..<0]))
    while !reader.isAtEnd {
      let (number, wire) = try reader.tag()
      switch (number, wire) {
      case (1, .bytes):
        var meta = try reader.message()
        while !meta.isAtEnd {
          switch try meta.tag() {
          case (1, .bytes): apiVersion = try meta.string()
          case (2, .bytes): kind = try meta.string()
          case (_, let wire): try meta.skip(wire)
          }
        }
      case (2, .bytes): raw = try reader.message()
      case (4, .bytes): contentType = try reader.string()
      default: try reader.skip(wire)
      }
    }
    if contentType == "application/json" { return try json(raw) }
    guard let type = registry.kind(apiVersion: apiVersion, kind: kind) else {
      throw ProtobufError(.unknownKind, "no kind \"\(kind)\" is registered for version \"\(apiVersion)\"")
    }
    guard case .object(let fields) = try message(raw, type, depth: depth + 1) else { return .null }
    var object = JSONObject()
    object.reserveCapacity(fields.count + 2)
    object["kind"] = .string(kind)
    object["apiVersion"] = .string(apiVersion)
    for (key, value) in fields where key != "kind" && key != "apiVersion" { object.append(key, value) }
    return .object(object)
  }

  private mutating func message(_ reader: ProtobufReader, _ type: SchemaType, depth: Int) throws(ProtobufError) -> JSON {
    guard depth <= Self.depthMax else { throw ProtobufError(.tooDeep, "\(type): messages are nested more than \(Self.depthMax) deep") }
    let fields = type.fields
    var slots = [JSON](repeating: .null, count: fields.count)
    try read(reader, type, at: 0, into: &slots, depth: depth)
    var object = JSONObject()
    object.reserveCapacity(fields.count)
    for (field, value) in zip(fields, slots) {
      if value.isNull {
        if !field.omitsEmpty, let zero = field.zeroScalar { object.append(field.name, zero) }
      } else if !(field.isZero(value) && field.omitsEmpty) {
        object.append(field.name, value)
      }
    }
    return .object(object)
  }

  /// Reads the members of a message; those of an embedded struct go into their parent's slots.
  private mutating func read(
    _ message: ProtobufReader, _ type: SchemaType, at base: Int, into slots: inout [JSON], depth: Int
  ) throws(ProtobufError) {
    messages += 1
    guard messages <= Self.messagesMax else {
      throw ProtobufError(.tooManyMessages, "\(type): the document has more than \(Self.messagesMax) messages")
    }
    guard depth <= Self.depthMax else { throw ProtobufError(.tooDeep, "\(type): messages are nested more than \(Self.depthMax) deep") }
    let shape = type.shape
    var reader = message
    while !reader.isAtEnd {
      let (number, wire) = try reader.tag()
      switch shape.member(number) {
      case nil: try reader.skip(wire)
      case .embedded(let embedded, let at):
        guard wire == .bytes else { throw Self.wrongWire(type, number) }
        try read(try reader.message(), embedded, at: base + at, into: &slots, depth: depth + 1)
      case .field(let position):
        let field = shape.fields[position]
        do throws(ProtobufError) {
          try self.field(field, wire, &reader, into: &slots[base + position], depth: depth)
        } catch {
          guard error.code == .malformed else { throw error }
          throw ProtobufError(.malformed, "\(type.name).\(field.name): \(error.message)")
        }
      }
    }
  }

  private static func wrongWire(_ type: SchemaType, _ number: Int) -> ProtobufError {
    ProtobufError(.malformed, "protobuf: field \(number) of \(type) has the wrong wire type")
  }

  private mutating func field(
    _ field: SchemaField, _ wire: ProtobufReader.Wire, _ reader: inout ProtobufReader, into slot: inout JSON, depth: Int
  ) throws(ProtobufError) {
    switch field.value {
    case .list(let item):
      var items = slot.array ?? []
      slot = .null
      if field.isWrapped {
        slot = try wrapped(item, try Self.content(&reader, wire), depth: depth)
        return
      }
      if wire == .bytes, item.isVarint {
        var packed = try reader.message()
        while !packed.isAtEnd { items.append(try value(item, .varint, &packed, depth: depth)) }
      } else {
        items.append(try value(item, wire, &reader, depth: depth))
      }
      slot = .array(items)
    case .map(let item):
      var entry = try Self.content(&reader, wire)
      var key = ""
      var content: JSON = item.zero
      while !entry.isAtEnd {
        switch try entry.tag() {
        case (1, .bytes): key = try entry.string()
        case (2, let wire): content = try value(item, wire, &entry, depth: depth)
        case (_, let wire): try entry.skip(wire)
        }
      }
      var object = slot.object ?? JSONObject()
      slot = .null
      object[key] = content
      slot = .object(object)
    default:
      slot = try value(field.value, wire, &reader, depth: depth)
    }
  }

  private static func content(_ reader: inout ProtobufReader, _ wire: ProtobufReader.Wire) throws(ProtobufError) -> ProtobufReader {
    guard wire == .bytes else { throw ProtobufError(.malformed, "protobuf: wrong wire type") }
    return try reader.message()
  }

  private static func integer(_ reader: inout ProtobufReader, _ wire: ProtobufReader.Wire) throws(ProtobufError) -> Int64 {
    guard wire == .varint else { throw ProtobufError(.malformed, "protobuf: wrong wire type") }
    return Int64(bitPattern: try reader.varint())
  }

  private mutating func value(
    _ value: FieldValue, _ wire: ProtobufReader.Wire, _ reader: inout ProtobufReader, depth: Int
  ) throws(ProtobufError) -> JSON {
    switch value {
    case .string: return .string(String(decoding: try Self.content(&reader, wire).content, as: UTF8.self))
    case .int32: return .int(Int64(Int32(truncatingIfNeeded: try Self.integer(&reader, wire))))
    case .int64: return .int(try Self.integer(&reader, wire))
    case .bool: return .bool(try Self.integer(&reader, wire) != 0)
    case .double:
      guard wire == .fixed64 else { throw ProtobufError(.malformed, "protobuf: wrong wire type") }
      return .double(Double(bitPattern: try reader.fixed64()))
    case .bytes: return .string(Base64.encode(try Self.content(&reader, wire).content))
    case .object(let type): return try message(try Self.content(&reader, wire), type, depth: depth + 1)
    case .alternatives(let type):
      let object = try message(try Self.content(&reader, wire), type, depth: depth + 1)
      let fields = type.fields.filter { !object[$0.name].isNull }
      // The flag is always written, so that it counts only where nothing else stands.
      let chosen = fields.first { if case .bool = $0.value { false } else { true } } ?? fields.first
      return chosen.map { object[$0.name] } ?? .null
    case .list(let item): return try wrapped(item, try Self.content(&reader, wire), depth: depth)
    case .map: throw ProtobufError(.malformed, "protobuf: a map stands where none can be")
    case .quantity: return .string(try quantity(try Self.content(&reader, wire)))
    case .intOrString: return try intOrString(try Self.content(&reader, wire))
    case .time: return try time(try Self.content(&reader, wire)).map { .string($0.rfc3339) } ?? .null
    case .microTime: return try time(try Self.content(&reader, wire)).map { .string($0.rfc3339Micro) } ?? .null
    case .any, .rawExtension, .fieldsV1: return try raw(try Self.content(&reader, wire), depth: depth)
    }
  }

  /// A list that is a message of its own.
  private mutating func wrapped(_ item: FieldValue, _ content: ProtobufReader, depth: Int) throws(ProtobufError) -> JSON {
    var reader = content
    var items: [JSON] = []
    while !reader.isAtEnd {
      let (number, wire) = try reader.tag()
      if number == 1 { items.append(try value(item, wire, &reader, depth: depth + 1)) } else { try reader.skip(wire) }
    }
    return .array(items)
  }

  private func quantity(_ content: ProtobufReader) throws(ProtobufError) -> String {
    var reader = content
    var text = "0"
    while !reader.isAtEnd {
      let (number, wire) = try reader.tag()
      if number == 1, wire == .bytes { text = try reader.string() } else { try reader.skip(wire) }
    }
    guard let quantity = Quantity(text) else { throw ProtobufError(.badContent, SchemaError.badQuantity) }
    return quantity.text
  }

  private func intOrString(_ content: ProtobufReader) throws(ProtobufError) -> JSON {
    var reader = content
    var isText = false
    var number: Int64 = 0
    var text = ""
    while !reader.isAtEnd {
      switch try reader.tag() {
      case (1, .varint): isText = try reader.varint() == 1
      case (2, .varint): number = Int64(Int32(truncatingIfNeeded: try reader.varint()))
      case (3, .bytes): text = try reader.string()
      case (_, let wire): try reader.skip(wire)
      }
    }
    return isText ? .string(text) : .int(number)
  }

  /// Fields 1 and 2, both numbers.
  private static func numbers(_ content: ProtobufReader) throws(ProtobufError) -> (Int64, Int64) {
    var reader = content
    var result: (Int64, Int64) = (0, 0)
    while !reader.isAtEnd {
      switch try reader.tag() {
      case (1, .varint): result.0 = Int64(bitPattern: try reader.varint())
      case (2, .varint): result.1 = Int64(bitPattern: try reader.varint())
      case (_, let wire): try reader.skip(wire)
      }
    }
    return result
  }

  /// Nil for the zero time, which is an empty message.
  private func time(_ content: ProtobufReader) throws(ProtobufError) -> Timestamp? {
    if content.isAtEnd { return nil }
    let (seconds, nanoseconds) = try Self.numbers(content)
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow, (0..<1_000_000_000).contains(nanoseconds), scaled < Int64.max - 1_000_000_000 else {
      throw ProtobufError(.badContent, "a time of \(seconds) seconds is out of range")
    }
    return Timestamp(nanosecondsSinceEpoch: scaled + nanoseconds)
  }

  /// JSON, or another document of protobuf, as bytes.
  private mutating func raw(_ content: ProtobufReader, depth: Int) throws(ProtobufError) -> JSON {
    var reader = content
    var result = JSON.null
    while !reader.isAtEnd {
      let (number, wire) = try reader.tag()
      guard number == 1, wire == .bytes else {
        try reader.skip(wire)
        continue
      }
      let bytes = try reader.message()
      if bytes.content.prefix(4).elementsEqual(Self.magic) {
        guard depth < Self.depthMax else { throw ProtobufError(.tooDeep, "documents are nested more than \(Self.depthMax) deep") }
        result = try envelope(bytes.content, depth: depth + 1)
      } else {
        result = try json(bytes)
      }
    }
    return result
  }

  private func json(_ bytes: ProtobufReader) throws(ProtobufError) -> JSON {
    if bytes.isAtEnd { return .null }
    do throws(JSONError) {
      return try JSON.parse(bytes.content)
    } catch {
      throw ProtobufError(.badContent, "embedded JSON: \(error)")
    }
  }
}

extension FieldValue {
  var isVarint: Bool {
    switch self {
    case .int32, .int64, .bool: true
    default: false
    }
  }

  /// What an entry of a map or list is where it is null or left out.
  var zero: JSON {
    switch self {
    case .string, .bytes: ""
    case .int32, .int64, .double, .intOrString: 0
    case .bool: false
    case .quantity: "0"
    case .list: []
    case .object, .map: .object(JSONObject())
    case .any, .time, .microTime, .rawExtension, .fieldsV1, .alternatives: .null
    }
  }
}

extension SchemaField {
  /// What upstream writes for a scalar that was not set.
  var zeroScalar: JSON? {
    guard !isOptional else { return nil }
    switch value {
    case .string, .int32, .int64, .bool, .double: return value.zero
    default: return nil
    }
  }

  /// What upstream writes for a field that was not set; nil where it leaves the field out. Without it the same object would differ
  /// by the client that wrote it: a document of protobuf always has these fields, one of JSON has them where its author put them.
  /// Times, which upstream writes as null, stay out; its null of a list or map is an empty one here, which every client takes.
  var unset: JSON? {
    guard !isOptional, number > 0 else { return nil }
    switch value {
    case .object, .quantity, .intOrString: return value.zero
    case .list, .map: return omitsEmpty ? nil : value.zero
    default: return omitsEmpty ? nil : zeroScalar
    }
  }

  /// Whether upstream's `omitempty` leaves a value out: zero scalars and empty lists and maps, never structs or pointers.
  func isZero(_ json: JSON) -> Bool {
    switch value {
    case .list, .map: return json.isEmpty
    case .bytes: return json == ""
    case .string, .int32, .int64, .bool, .double: return !isOptional && json == value.zero
    default: return false
    }
  }
}
