import HTTPServing
import NIOCore
import NIOWebSocket

/// The WebSocket layer of a channel: whole messages up (as `WebSocketMessage`), messages down, pings and the closing handshake
/// in between.
final class WebSocketHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = WebSocketMessage
  typealias OutboundIn = WebSocketMessage
  typealias OutboundOut = WebSocketFrame

  /// After our close frame the peer has this long to answer with its own.
  static let closeTimeout = TimeAmount.seconds(2)

  private var messages = WebSocketMessages()
  private var hasSentClose = false

  /// The handlers of a WebSocket server, to be followed by one that speaks `WebSocketMessage`.
  static func pipeline() -> [any ChannelHandler] {
    [
      WebSocketFrameEncoder(), ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: WebSocketMessages.messageBytesMax)),
      WebSocketHandler(),
    ]
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch messages.receive(Self.unwrapInboundIn(data)) {
    case .message(let isText, let bytes): context.fireChannelRead(Self.wrapInboundOut(WebSocketMessage(isText: isText, bytes: bytes)))
    case .send(let opcode, let bytes):
      context.writeAndFlush(Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: bytes)), promise: nil)
    case .close(let code):
      sendClose(code, context)
      context.close(promise: nil)
    case nil: break
    }
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let message = Self.unwrapOutboundIn(data)
    guard !hasSentClose else {
      promise?.fail(ConnectionClosedError())
      return
    }
    let frame = WebSocketFrame(fin: true, opcode: message.isText ? .text : .binary, data: message.bytes)
    context.write(Self.wrapOutboundOut(frame), promise: promise)
  }

  /// Begins the closing handshake instead of cutting the connection.
  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
    guard let close = event as? WebSocketClose else { return context.triggerUserOutboundEvent(event, promise: promise) }
    sendClose(close.code, context)
    let channel = context.channel
    context.eventLoop.scheduleTask(in: Self.closeTimeout) { channel.close(promise: nil) }
    promise?.succeed()
  }

  private func sendClose(_ code: UInt16, _ context: ChannelHandlerContext) {
    guard !hasSentClose else { return }
    hasSentClose = true
    var data = ByteBuffer()
    data.writeInteger(code)
    context.writeAndFlush(Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: data)), promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let error = error as? NIOWebSocketError {
      switch error {
      case .invalidFrameLength: sendClose(1009, context)
      default: sendClose(1002, context)
      }
    }
    context.close(promise: nil)
  }
}

struct WebSocketMessage: Sendable, Equatable {
  var isText = false
  var bytes: ByteBuffer
}

/// An outbound event: close politely with this code.
struct WebSocketClose: Sendable { var code: UInt16 = 1000 }

/// Turns binary messages into a plain stream of bytes and back: what lies under SPDY in kubectl's port-forward tunnel.
final class WebSocketTunnelHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketMessage
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = WebSocketMessage

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let message = Self.unwrapInboundIn(data)
    guard !message.isText else { return context.triggerUserOutboundEvent(WebSocketClose(code: 1003), promise: nil) }
    context.fireChannelRead(Self.wrapInboundOut(message.bytes))
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    context.write(Self.wrapOutboundOut(WebSocketMessage(bytes: Self.unwrapOutboundIn(data))), promise: promise)
  }

  /// Closing the SPDY connection closes the WebSocket properly.
  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    guard mode == .output else { return context.close(mode: mode, promise: promise) }
    context.triggerUserOutboundEvent(WebSocketClose(), promise: promise)
  }
}
