import NIOCore
import NIOWebSocket

/// Puts a client's frames together to messages and answers what RFC 6455 wants answered. No I/O.
struct WebSocketMessages {
  enum Event: Equatable {
    case message(isText: Bool, ByteBuffer)
    /// Send this frame back at once.
    case send(opcode: WebSocketOpcode, ByteBuffer)
    /// The peer closes, or broke the protocol: send a close frame with this code unless one was sent, then close.
    case close(code: UInt16)
  }

  /// A message in pieces is gathered up to this size; wsstream and kubectl send 32 KiB at most.
  static let messageBytesMax = 4 * 1024 * 1024

  private var gathering: (isText: Bool, ByteBuffer)?
  private var isClosed = false

  mutating func receive(_ frame: WebSocketFrame) -> Event? {
    guard !isClosed else { return nil }
    // A client that does not mask is to be turned away (RFC 6455, 5.1); no extension was agreed on, so no reserved bit is set.
    guard frame.maskKey != nil, frame.reservedBits.isEmpty else { return fail(1002) }
    let data = frame.unmaskedData
    switch frame.opcode {
    case .binary, .text:
      guard gathering == nil else { return fail(1002) }
      if frame.fin { return .message(isText: frame.opcode == .text, data) }
      gathering = (frame.opcode == .text, data)
      return nil
    case .continuation:
      guard let (isText, gathered) = gathering else { return fail(1002) }
      var bytes = gathered
      guard bytes.readableBytes + data.readableBytes <= Self.messageBytesMax else { return fail(1009) }
      gathering = nil
      bytes.writeImmutableBuffer(data)
      if frame.fin { return .message(isText: isText, bytes) }
      gathering = (isText, bytes)
      return nil
    case .ping: return .send(opcode: .pong, data)
    case .pong: return nil
    case .connectionClose:
      isClosed = true
      let code = data.getInteger(at: data.readerIndex, as: UInt16.self) ?? 1000
      return .close(code: Self.isSendable(code) ? code : 1002)
    default: return fail(1002)
    }
  }

  private mutating func fail(_ code: UInt16) -> Event {
    isClosed = true
    return .close(code: code)
  }

  /// Codes that may stand in a frame (RFC 6455, 7.4).
  private static func isSendable(_ code: UInt16) -> Bool {
    switch code {
    case 1000...1003, 1007...1011, 3000...4999: true
    default: false
    }
  }
}
