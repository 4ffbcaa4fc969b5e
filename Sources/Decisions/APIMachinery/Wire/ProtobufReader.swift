/// Why bytes are no Kubernetes protobuf document.
package struct ProtobufError: Error, CustomStringConvertible, Equatable {
  package enum Code: Sendable, Equatable { case notAnEnvelope, unknownKind, truncated, malformed, tooDeep, tooManyMessages, badContent }
  package let code: Code
  /// The type that was being read, and why it cannot be.
  package let message: String
  package var description: String { message }

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
}

/// Reads the wire format of protobuf (protobuf.dev, Encoding) from a piece of a buffer.
struct ProtobufReader {
  enum Wire: UInt8 {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
  }

  let bytes: UnsafeRawBufferPointer
  private var at: Int
  private let end: Int

  init(_ bytes: UnsafeRawBufferPointer) { self.init(bytes, 0..<bytes.count) }

  private init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
    self.bytes = bytes
    at = range.lowerBound
    end = range.upperBound
  }

  var isAtEnd: Bool { at == end }
  var content: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[at..<end]) }

  /// The next field's number and wire type; groups are refused, as nothing in Kubernetes uses them.
  mutating func tag() throws(ProtobufError) -> (number: Int, wire: Wire) {
    let key = try varint()
    guard let wire = Wire(rawValue: UInt8(key & 7)), key >> 3 > 0, key >> 3 < 1 << 29 else {
      throw ProtobufError(.malformed, "protobuf: a field has the wrong number or wire type")
    }
    return (Int(key >> 3), wire)
  }

  mutating func varint() throws(ProtobufError) -> UInt64 {
    var result: UInt64 = 0
    var shift: UInt64 = 0
    while at < end {
      let byte = bytes[at]
      at += 1
      guard shift < 63 || byte <= 1 else { break }
      result |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return result }
      shift += 7
      guard shift < 70 else { break }
    }
    throw ProtobufError(at == end ? .truncated : .malformed, "protobuf: a number does not end")
  }

  /// The content of a field with a length.
  mutating func message() throws(ProtobufError) -> ProtobufReader {
    let count = try varint()
    guard count <= UInt64(end - at) else { throw ProtobufError(.truncated, "protobuf: a field is longer than its message") }
    defer { at += Int(count) }
    return ProtobufReader(bytes, at..<at + Int(count))
  }

  mutating func string() throws(ProtobufError) -> String { String(decoding: try message().content, as: UTF8.self) }

  mutating func fixed64() throws(ProtobufError) -> UInt64 {
    guard end - at >= 8 else { throw ProtobufError(.truncated, "protobuf: a field is longer than its message") }
    defer { at += 8 }
    return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
  }

  mutating func skip(_ wire: Wire) throws(ProtobufError) {
    switch wire {
    case .varint: _ = try varint()
    case .fixed64: _ = try fixed64()
    case .bytes: _ = try message()
    case .fixed32:
      guard end - at >= 4 else { throw ProtobufError(.truncated, "protobuf: a field is longer than its message") }
      at += 4
    }
  }
}
