import HTTPServing
import NIOCore
import NIOHTTP1

/// Takes the bytes of one message and returns when the connection takes more; throws `ConnectionClosedError` when the client has left.
package typealias WebSocketMessageWriter = @Sendable (ByteBuffer) async throws -> Void

/// Whether a request asks for a WebSocket, in a form that can be answered.
package func asksForWebSocket(_ headers: HTTPHeaders) -> Bool {
  if case .webSocket = UpgradeKind(headers) { true } else { false }
}

/// The subprotocols of what is only read, such as a log (kubernetes: "binary.k8s.io" and its variant in base64).
package enum WebSocketReading: String, CaseIterable, Sendable {
  case binary = "binary.k8s.io"
  /// Each message is text: its bytes in base64.
  case base64 = "base64.binary.k8s.io"
  /// For clients that name no subprotocol.
  case unnamed = ""

  /// A message is no longer than this, as upstream.
  static let messageBytesMax = 2048

  /// Answers with bytes in messages of any length; an empty one goes ahead, so that a client sees that the stream is there. nil: no WebSocket
  /// is asked for. A subprotocol that nobody knows is refused with 403.
  package static func upgrade(
    _ request: ServedRequest, copy: @escaping @Sendable (@escaping WebSocketMessageWriter) async throws -> Void
  ) -> ServedResponse? {
    guard case .webSocket(let accept, let offered) = UpgradeKind(request.headers) else { return nil }
    guard let chosen = offered.isEmpty ? .unnamed : offered.lazy.compactMap(WebSocketReading.init(rawValue:)).first else {
      return cannotNegotiate(offered: offered, accepted: allCases.map(\.rawValue).filter { !$0.isEmpty })
    }
    return .upgrade(headers: webSocketUpgradeHeaders(accept: accept, chosen: chosen.rawValue)) { channel in
      await sendMessages(channel) { send in
        try await send(WebSocketMessage(isText: chosen == .base64, bytes: ByteBuffer()))
        try await copy { bytes in
          var rest = bytes
          while let part = rest.readSlice(length: min(rest.readableBytes, messageBytesMax)), part.readableBytes > 0 {
            try await send(chosen.message(part))
          }
        }
      }
    }
  }

  func message(_ bytes: ByteBuffer) -> WebSocketMessage {
    guard self == .base64 else { return WebSocketMessage(bytes: bytes) }
    return WebSocketMessage(isText: true, bytes: ByteBuffer(bytes: Base64.encode(bytes.readableBytesView)))
  }
}

/// Answers with whole messages, text or not, as a watch's events are. A subprotocol is agreed to where one alone is offered. nil: no
/// WebSocket is asked for.
package func upgradeWebSocketMessages(
  _ request: ServedRequest, isText: Bool, copy: @escaping @Sendable (@escaping WebSocketMessageWriter) async throws -> Void
) -> ServedResponse? {
  guard case .webSocket(let accept, let offered) = UpgradeKind(request.headers) else { return nil }
  guard offered.count <= 1 else { return .text(.badRequest, "at most one subprotocol may be offered here, and these were: \(offered)") }
  return .upgrade(headers: webSocketUpgradeHeaders(accept: accept, chosen: offered.first ?? "")) { channel in
    await sendMessages(channel) { send in try await copy { try await send(WebSocketMessage(isText: isText, bytes: $0)) } }
  }
}

/// Runs `body` until it ends or the client leaves, then closes politely.
private func sendMessages(
  _ channel: any Channel, _ body: @escaping @Sendable (@escaping @Sendable (WebSocketMessage) async throws -> Void) async throws -> Void
) async {
  let ready = channel.eventLoop.makePromise(of: NIOLoopBound<WebSocketSender>.self)
  do {
    try await channel.takeUp {
      let handler = WebSocketSender()
      ready.succeed(NIOLoopBound(handler, eventLoop: channel.eventLoop))
      return WebSocketHandler.pipeline() + [handler]
    }
  } catch { return ready.fail(error) }
  guard let sender = try? await ready.futureResult.get() else { return }
  let eventLoop = channel.eventLoop
  let work = Task {
    try await body { message in
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        eventLoop.execute { sender.value.send(message, continuation) }
      }
    }
  }
  channel.closeFuture.whenComplete { _ in work.cancel() }
  let code: UInt16 = await withTaskCancellationHandler {
    do { try await work.value } catch { return 1011 }
    return 1000
  } onCancel: {
    work.cancel()
  }
  eventLoop.execute { sender.value.close(code) }
  try? await channel.closeFuture.get()
}

/// The top of a WebSocket's pipeline where only the server speaks: what the client sends is dropped.
private final class WebSocketSender: ChannelInboundHandler {
  typealias InboundIn = WebSocketMessage
  typealias OutboundOut = WebSocketMessage

  private var gate = WriteGate()
  private var context: ChannelHandlerContext?

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    gate.fail(ConnectionClosedError())
    self.context = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

  func send(_ message: WebSocketMessage, _ continuation: CheckedContinuation<Void, any Error>) {
    guard let context, context.channel.isActive else { return continuation.resume(throwing: ConnectionClosedError()) }
    context.writeAndFlush(Self.wrapOutboundOut(message), promise: nil)
    gate.wait(continuation, for: context.channel)
  }

  func close(_ code: UInt16) { context?.triggerUserOutboundEvent(WebSocketClose(code: code), promise: nil) }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { gate.open() }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    gate.fail(ConnectionClosedError())
    context.fireChannelInactive()
  }
}
