import NIOCore

/// Many streams of an HTTP/2 connection answer within one turn of the event loop, an event to a hundred watches above all:
/// what they write leaves together, not each with a system call of its own.
final class FlushGatherer: ChannelOutboundHandler, RemovableChannelHandler {
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var isPending = false

  func flush(context: ChannelHandlerContext) {
    guard !isPending else { return }
    isPending = true
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    context.eventLoop.execute { bound.value.handler.flushPending(bound.value.context) }
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    flushPending(context)
    context.close(mode: mode, promise: promise)
  }

  func handlerRemoved(context: ChannelHandlerContext) { isPending = false }

  private func flushPending(_ context: ChannelHandlerContext) {
    guard isPending else { return }
    isPending = false
    context.flush()
  }
}
