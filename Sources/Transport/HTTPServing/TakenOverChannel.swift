import NIOCore
import Synchronization

/// Holds what was read from a taken-over channel until its new handlers are there.
final class HeldBytesHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  private var held: [NIOAny] = []
  private var hasInputClosed = false

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
  /// itself is switched on with `autoRead`; without it the handlers call `read` when they want more.
  ///
  /// Throws `ConnectionClosedError` where the peer has left meanwhile.
  package func takeUp(autoRead: Bool = true, _ makeHandlers: @escaping @Sendable () throws -> [any ChannelHandler]) async throws {
    try await eventLoop.flatSubmit { () -> EventLoopFuture<Void> in
      do {
        guard self.isActive else { throw ConnectionClosedError() }
        let pipeline = self.pipeline.syncOperations
        try pipeline.addHandlers(makeHandlers())
        return try pipeline.removeHandler(context: pipeline.context(handlerType: HeldBytesHandler.self))
          .flatMap { self.setOption(ChannelOptions.autoRead, value: autoRead) }
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
