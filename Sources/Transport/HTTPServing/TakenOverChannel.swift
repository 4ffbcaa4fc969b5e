import NIOCore
import Synchronization

/// Holds what was read from a taken-over channel until its new handlers are there. Meanwhile the peer's end of sending is an event like
/// others: the kernel tells of it even where nothing is read, and NIO would close the channel, bytes and all.
final class HeldBytesHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  private var held: [NIOAny] = []
  private(set) var hasInputClosed = false

  func handlerAdded(context: ChannelHandlerContext) {
    try? context.channel.syncOptions?.setOption(ChannelOptions.allowRemoteHalfClosure, value: true)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { held.append(data) }
  func channelReadComplete(context: ChannelHandlerContext) {}

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
      hasInputClosed = true
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    for data in held { context.fireChannelRead(data) }
    if !held.isEmpty { context.fireChannelReadComplete() }
    held.removeAll()
    if hasInputClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
  }
}

extension Channel {
  /// Gives a taken-over channel its new handlers: they first see the bytes already read, in order, then what comes. Reading by
  /// itself is switched on with `autoRead`; without it the handlers call `read` when they want more. With `allowsHalfClosure` a peer that
  /// has sent all may still receive; without, the channel is closed then.
  ///
  /// Throws `ConnectionClosedError` where the peer has left meanwhile.
  package func takeUp(
    autoRead: Bool = true, allowsHalfClosure: Bool = false, _ makeHandlers: @escaping @Sendable () throws -> [any ChannelHandler]
  ) async throws {
    try await eventLoop.flatSubmit { () -> EventLoopFuture<Void> in
      do {
        guard self.isActive else { throw ConnectionClosedError() }
        let pipeline = self.pipeline.syncOperations
        try pipeline.addHandlers(makeHandlers())
        let hasInputClosed = try pipeline.handler(type: HeldBytesHandler.self).hasInputClosed
        if !allowsHalfClosure { try self.syncOptions?.setOption(ChannelOptions.allowRemoteHalfClosure, value: false) }
        return try pipeline.removeHandler(context: pipeline.context(handlerType: HeldBytesHandler.self))
          .flatMap { self.setOption(ChannelOptions.autoRead, value: autoRead) }
          .map { if hasInputClosed, !allowsHalfClosure { self.close(promise: nil) } }
          .map { if !autoRead { self.read() } }
      } catch { return self.eventLoop.makeFailedFuture(error) }
    }.get()
  }
}

/// A value behind a lock.
final class NIOLockedValue<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  func set(_ new: Value) { value.withLock { $0 = new } }
}

extension NIOLockedValue where Value == (any Channel)? {
  func take() -> (any Channel)? {
    value.withLock { current in
      defer { current = nil }
      return current
    }
  }
}
