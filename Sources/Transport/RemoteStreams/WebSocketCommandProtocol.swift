import JSONCodec
import NIOCore

/// The subprotocols of exec and attach over WebSocket: each message's first byte names its channel. No I/O.
struct WebSocketCommandProtocol: Equatable, Sendable {
  /// "" is for clients that name no subprotocol: raw bytes, the oldest version.
  enum Name: String, CaseIterable, Sendable {
    case v5 = "v5.channel.k8s.io"
    case v4 = "v4.channel.k8s.io"
    case v4Base64 = "base64.v4.channel.k8s.io"
    case v1 = "channel.k8s.io"
    case v1Base64 = "base64.channel.k8s.io"
    case unnamed = ""
  }

  enum Channel: UInt8 { case stdin = 0, stdout, stderr, error, resize, close = 255 }

  enum Input: Equatable {
    case stdin(ByteBuffer)
    case stdinClosed
    case resize(TerminalSize)
    case ignored
    /// The client broke the protocol.
    case violation
  }

  let name: Name

  /// base64 variants are text: the channel as a digit, then the bytes in base64.
  var isBase64: Bool { name == .v4Base64 || name == .v1Base64 }

  /// From v4 on the error channel carries a metav1.Status; before, its message alone and only on failure.
  var hasStatus: Bool {
    switch name {
    case .v5, .v4, .v4Base64: true
    case .v1, .v1Base64, .unnamed: false
    }
  }

  func read(_ message: WebSocketMessage) -> Input {
    var bytes = message.bytes
    guard let first = bytes.readInteger(as: UInt8.self) else { return .ignored }
    guard !isBase64 else {
      guard let decoded = Base64.decode(bytes.readableBytesView), first >= UInt8(ascii: "0") else { return .violation }
      return read(channel: first - UInt8(ascii: "0"), ByteBuffer(bytes: decoded))
    }
    return read(channel: first, bytes)
  }

  private func read(channel: UInt8, _ bytes: ByteBuffer) -> Input {
    switch Channel(rawValue: channel) {
    case .stdin: return bytes.readableBytes > 0 ? .stdin(bytes) : .ignored
    case .resize: return TerminalSize(json: bytes).map { .resize($0) } ?? .ignored
    case .close where name == .v5:
      return bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == Channel.stdin.rawValue ? .stdinClosed : .ignored
    case .stdout, .stderr, .error, .close, nil: return .ignored
    }
  }

  func write(_ bytes: ByteBuffer, on channel: Channel) -> WebSocketMessage {
    var out = ByteBuffer()
    if isBase64 {
      out.writeInteger(UInt8(ascii: "0") + channel.rawValue)
      out.writeBytes(Base64.encode(bytes.readableBytesView))
    } else {
      out.reserveCapacity(bytes.readableBytes + 1)
      out.writeInteger(channel.rawValue)
      out.writeImmutableBuffer(bytes)
    }
    return WebSocketMessage(isText: isBase64, bytes: out)
  }
}

/// A terminal's size in characters.
package struct TerminalSize: Sendable, Equatable {
  package var width: UInt16
  package var height: UInt16

  package init(width: UInt16, height: UInt16) {
    self.width = width
    self.height = height
  }

  /// From {"Width":80,"Height":24}, as clients send it; nil where it is something else.
  init?(json bytes: ByteBuffer) {
    guard let json = try? JSON.parse(bytes.readableBytesView), let width = json["Width"].int.flatMap({ UInt16(exactly: $0) }),
      let height = json["Height"].int.flatMap({ UInt16(exactly: $0) })
    else { return nil }
    self.init(width: width, height: height)
  }
}
