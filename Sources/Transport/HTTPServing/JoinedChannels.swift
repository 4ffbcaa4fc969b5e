import NIOCore

/// Copies bytes both ways between two taken-over channels until both have ended; then both are closed.
///
/// What one side has read but the other not yet taken is bounded (`JoinHandler.inFlightBytesMax`). The end of one direction is
/// passed on as a half-close; the end of a connection closes the other once everything was written.
package func join(_ a: any Channel, _ b: any Channel) async {
  do {
    try await a.takeUp(autoRead: false, allowsHalfClosure: true) { [JoinHandler(partner: b)] }
    try await b.takeUp(autoRead: false, allowsHalfClosure: true) { [JoinHandler(partner: a)] }
    try? await withTaskCancellationHandler {
      try await a.closeFuture.get()
      try await b.closeFuture.get()
    } onCancel: {
      a.close(promise: nil)
      b.close(promise: nil)
    }
  } catch {
    a.close(promise: nil)
    b.close(promise: nil)
  }
}

/// Reads its own channel and writes to the partner, which may live on another event loop.
final class JoinHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  /// Bytes read here that the partner has not yet handed to the kernel; reading waits above that.
  static let inFlightBytesMax = 256 * 1024

  private let partner: any Channel
  private var inFlightBytes = 0
  private var isWaitingToRead = false

  init(partner: any Channel) { self.partner = partner }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = Self.unwrapInboundIn(data)
    let count = bytes.readableBytes
    inFlightBytes += count
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    partner.writeAndFlush(bytes).hop(to: context.eventLoop).whenComplete { result in
      let (handler, context) = bound.value
      if case .failure = result { return context.close(promise: nil) }
      handler.inFlightBytes -= count
      if handler.isWaitingToRead, handler.inFlightBytes < Self.inFlightBytesMax {
        handler.isWaitingToRead = false
        context.read()
      }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if inFlightBytes < Self.inFlightBytesMax { context.read() } else { isWaitingToRead = true }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
      let partner = partner
      // Behind everything that was written; a side that cannot half-close is closed.
      partner.close(mode: .output).whenFailure { _ in partner.close(promise: nil) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    let partner = partner
    partner.writeAndFlush(ByteBuffer()).whenComplete { _ in partner.close(promise: nil) }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
