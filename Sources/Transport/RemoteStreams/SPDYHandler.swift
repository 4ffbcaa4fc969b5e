import HTTPServing
import NIOCore

/// Runs a `SPDYConnection` on a channel of bytes and gives each stream that the peer opens to `streams`.
final class SPDYHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var connection: SPDYConnection
  private var inboxes: [UInt32: ByteInbox] = [:]
  /// Streams whose reader lags behind: while there is one, nothing is read. A client that heeds no windows leaves no other way.
  private var lagging: Set<UInt32> = []
  private var gate = WriteGate()
  private var context: ChannelHandlerContext?
  private let admit: @Sendable ([SPDYHeader]) -> Bool
  private let streams: AsyncStream<SPDYStream>.Continuation

  /// `admit` decides by its headers whether a stream is wanted; others are reset.
  init(
    role: SPDYConnection.Role, admit: @escaping @Sendable ([SPDYHeader]) -> Bool = { _ in true },
    streams: AsyncStream<SPDYStream>.Continuation
  ) {
    connection = SPDYConnection(role: role)
    self.admit = admit
    self.streams = streams
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    end()
    self.context = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    do {
      for event in try connection.receive(Self.unwrapInboundIn(data)) { handle(event, context) }
      writeOutput(context)
    } catch {
      connection.goAway()
      writeOutput(context)
      context.close(promise: nil)
    }
  }

  private func handle(_ event: SPDYConnection.Event, _ context: ChannelHandlerContext) {
    switch event {
    case .opened(let id, let headers, _):
      guard admit(headers) else { return connection.reset(id, .protocolError) }
      connection.reply(id)
      streams.yield(makeStream(id, headers, context))
    case .data(let id, let bytes):
      guard let inbox = inboxes[id] else { return connection.consumed(bytes.readableBytes, on: id) }
      if inbox.push(bytes) > ByteInbox.bytesMax { setLagging(id, true) }
    case .finished(let id): inboxes.removeValue(forKey: id)?.finish()
    case .reset(let id):
      inboxes.removeValue(forKey: id)?.discard()
      setLagging(id, false)
    case .replied, .goAway: break
    }
  }

  private func makeStream(_ id: UInt32, _ headers: [SPDYHeader], _ context: ChannelHandlerContext) -> SPDYStream {
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    let inbox = ByteInbox { count in eventLoop.execute { bound.value.taken(count, from: id) } }
    inboxes[id] = inbox
    return SPDYStream(id: id, headers: headers, inbox: inbox, handler: bound, eventLoop: eventLoop)
  }

  private func taken(_ count: Int, from id: UInt32) {
    guard let context else { return }
    connection.consumed(count, on: id)
    writeOutput(context)
    if lagging.contains(id), (inboxes[id]?.count ?? 0) < ByteInbox.bytesMax / 2 { setLagging(id, false) }
  }

  private func setLagging(_ id: UInt32, _ isLagging: Bool) {
    let wasReading = lagging.isEmpty
    if isLagging { lagging.insert(id) } else { lagging.remove(id) }
    guard let context, wasReading != lagging.isEmpty else { return }
    context.channel.setOption(ChannelOptions.autoRead, value: lagging.isEmpty).whenFailure { _ in }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { gate.open() }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  /// A peer that half-closes its connection has left: SPDY ends streams one by one.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func end() {
    for inbox in inboxes.values { inbox.finish() }
    inboxes.removeAll()
    gate.fail(ConnectionClosedError())
    streams.finish()
  }

  private func writeOutput(_ context: ChannelHandlerContext) {
    if let bytes = connection.takeOutput() { context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil) }
  }

  // MARK: for SPDYStream, on the loop

  func write(_ bytes: ByteBuffer, on id: UInt32, _ continuation: CheckedContinuation<Void, any Error>) {
    guard let context, context.channel.isActive, connection.send(bytes, on: id) else {
      return continuation.resume(throwing: ConnectionClosedError())
    }
    writeOutput(context)
    gate.wait(continuation, for: context.channel)
  }

  func change(_ body: (inout SPDYConnection) -> Void) {
    guard let context else { return }
    body(&connection)
    writeOutput(context)
  }

  func reset(_ id: UInt32, _ status: SPDYResetStatus) {
    inboxes.removeValue(forKey: id)?.discard()
    setLagging(id, false)
    change { $0.reset(id, status) }
  }

  /// Reads on, for pings and the end of the connection, but keeps nothing.
  func discardInput() {
    for inbox in inboxes.values { inbox.discard() }
    inboxes.removeAll()
    for id in lagging { setLagging(id, false) }
  }
}

/// A stream that the peer opened. Reads and writes wait for the other side; one task reads.
package struct SPDYStream: Sendable {
  let id: UInt32
  package let headers: [SPDYHeader]
  let inbox: ByteInbox
  let handler: NIOLoopBound<SPDYHandler>
  let eventLoop: any EventLoop

  package func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

  /// nil: the peer writes no more, or has left.
  package func read() async -> ByteBuffer? { await inbox.next() }

  /// Throws `ConnectionClosedError` where the peer takes no more.
  package func write(_ bytes: ByteBuffer) async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      eventLoop.execute { handler.value.write(bytes, on: id, continuation) }
    }
  }

  /// Writes no more; reading goes on.
  package func finish() { eventLoop.execute { handler.value.change { $0.finish(id) } } }

  package func reset(_ status: SPDYResetStatus) { eventLoop.execute { handler.value.reset(id, status) } }

  /// Ends the whole connection politely: the peer gets everything written before, and closes.
  func endConnection() {
    eventLoop.execute {
      handler.value.change { $0.goAway() }; handler.value.discardInput()
    }
  }
}
