import NIOCore

/// A name (lower case on the wire) and one value.
package struct SPDYHeader: Sendable, Equatable {
  package let name: String
  package let value: String
  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// The peer broke the protocol: the connection cannot go on.
package struct SPDYError: Error, CustomStringConvertible, Sendable {
  package let description: String
  init(_ description: String) { self.description = description }
}

/// Why a stream was reset (SPDY/3.1, 2.6.3).
package enum SPDYResetStatus: UInt32, Sendable {
  case protocolError = 1
  case invalidStream = 2
  case refusedStream = 3
  case cancel = 5
  case internalError = 6
}

/// The frames of SPDY/3.1, header blocks still compressed.
enum SPDYFrame: Equatable {
  case data(stream: UInt32, isFinal: Bool, ByteBuffer)
  case synStream(stream: UInt32, isFinal: Bool, isUnidirectional: Bool, block: [UInt8])
  case synReply(stream: UInt32, isFinal: Bool, block: [UInt8])
  case resetStream(stream: UInt32, status: UInt32)
  case settings
  case ping(id: UInt32)
  case goAway(lastGoodStream: UInt32, status: UInt32)
  case headers(stream: UInt32, isFinal: Bool, block: [UInt8])
  case windowUpdate(stream: UInt32, delta: UInt32)
  /// A control frame that this protocol version does not define: skipped.
  case unknown(type: UInt16)

  static let version: UInt16 = 3
  static let headerBytes = 8
  /// Go's clients send up to 32 KiB in a frame; a longer frame is refused before it is gathered.
  static let payloadBytesMax = 1 << 20

  /// Takes the next whole frame out of `buffer`; nil where more bytes are needed.
  static func read(from buffer: inout ByteBuffer) throws(SPDYError) -> SPDYFrame? {
    let start = buffer.readerIndex
    guard let first = buffer.getInteger(at: start, as: UInt32.self), let second = buffer.getInteger(at: start + 4, as: UInt32.self)
    else { return nil }
    let length = Int(second & 0x00ff_ffff)
    guard length <= payloadBytesMax else { throw SPDYError("a frame of \(length) bytes is longer than \(payloadBytesMax)") }
    guard buffer.readableBytes >= headerBytes + length else { return nil }
    buffer.moveReaderIndex(forwardBy: headerBytes)
    var payload = buffer.readSlice(length: length)!
    let isFinal = second >> 24 & 0x01 != 0
    guard first & 0x8000_0000 != 0 else { return .data(stream: first, isFinal: isFinal, payload) }
    guard first >> 16 & 0x7fff == UInt32(version) else { throw SPDYError("frame of SPDY version \(first >> 16 & 0x7fff), not 3") }
    let type = UInt16(first & 0xffff)
    guard let frame = control(type, flags: UInt8(second >> 24), &payload) else {
      throw SPDYError("a control frame of type \(type) is cut short")
    }
    return frame
  }

  private static func control(_ type: UInt16, flags: UInt8, _ payload: inout ByteBuffer) -> SPDYFrame? {
    func id() -> UInt32? { payload.readInteger(as: UInt32.self).map { $0 & 0x7fff_ffff } }
    func rest() -> [UInt8] { payload.readBytes(length: payload.readableBytes) ?? [] }
    let isFinal = flags & 0x01 != 0
    switch type {
    case 1:
      guard let stream = id(), id() != nil, payload.readInteger(as: UInt16.self) != nil else { return nil }
      return .synStream(stream: stream, isFinal: isFinal, isUnidirectional: flags & 0x02 != 0, block: rest())
    case 2:
      guard let stream = id() else { return nil }
      return .synReply(stream: stream, isFinal: isFinal, block: rest())
    case 3:
      guard let stream = id(), let status = payload.readInteger(as: UInt32.self) else { return nil }
      return .resetStream(stream: stream, status: status)
    case 4: return .settings
    case 6: return payload.readInteger(as: UInt32.self).map { .ping(id: $0) }
    case 7:
      guard let last = id() else { return nil }
      return .goAway(lastGoodStream: last, status: payload.readInteger(as: UInt32.self) ?? 0)
    case 8:
      guard let stream = id() else { return nil }
      return .headers(stream: stream, isFinal: isFinal, block: rest())
    case 9:
      guard let stream = id(), let delta = id() else { return nil }
      return .windowUpdate(stream: stream, delta: delta)
    default: return .unknown(type: type)
    }
  }

  func write(to out: inout ByteBuffer) {
    switch self {
    case .data(let stream, let isFinal, var bytes):
      out.writeMultipleIntegers(stream & 0x7fff_ffff, UInt32(isFinal ? 0x0100_0000 : 0) | UInt32(bytes.readableBytes))
      out.writeBuffer(&bytes)
    case .synStream(let stream, let isFinal, let isUnidirectional, let block):
      Self.writeControl(1, flags: (isFinal ? 1 : 0) | (isUnidirectional ? 2 : 0), length: 10 + block.count, to: &out)
      out.writeMultipleIntegers(stream, UInt32(0), UInt16(0))
      out.writeBytes(block)
    case .synReply(let stream, let isFinal, let block):
      Self.writeControl(2, flags: isFinal ? 1 : 0, length: 4 + block.count, to: &out)
      out.writeInteger(stream)
      out.writeBytes(block)
    case .resetStream(let stream, let status):
      Self.writeControl(3, flags: 0, length: 8, to: &out)
      out.writeMultipleIntegers(stream, status)
    case .settings:
      Self.writeControl(4, flags: 0, length: 4, to: &out)
      out.writeInteger(UInt32(0))
    case .ping(let id):
      Self.writeControl(6, flags: 0, length: 4, to: &out)
      out.writeInteger(id)
    case .goAway(let lastGoodStream, let status):
      Self.writeControl(7, flags: 0, length: 8, to: &out)
      out.writeMultipleIntegers(lastGoodStream, status)
    case .headers(let stream, let isFinal, let block):
      Self.writeControl(8, flags: isFinal ? 1 : 0, length: 4 + block.count, to: &out)
      out.writeInteger(stream)
      out.writeBytes(block)
    case .windowUpdate(let stream, let delta):
      Self.writeControl(9, flags: 0, length: 8, to: &out)
      out.writeMultipleIntegers(stream, delta)
    case .unknown: break
    }
  }

  private static func writeControl(_ type: UInt16, flags: UInt8, length: Int, to out: inout ByteBuffer) {
    out.writeMultipleIntegers(0x8000 | version, type, UInt32(flags) << 24 | UInt32(length))
  }
}
