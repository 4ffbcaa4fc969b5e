import HTTPServing
import JSONCodec
import NIOCore
import NIOWebSocket

/// How long the first message waits. kubectl up to 1.32 reads before it has made its streams and throws away what comes meanwhile
/// ("Unknown stream id 1, discarding message"), which another server's slower start hides. The command itself starts at once.
private let clientReadyPause: Duration = .milliseconds(20)

/// Serves one exec or attach on an upgraded WebSocket channel.
func runWebSocketCommand(
  _ channel: any Channel, _ proto: WebSocketCommandProtocol, _ options: RemoteCommandOptions, _ session: @escaping RemoteCommandSession
) async {
  let (resizes, resizeContinuation) = AsyncStream<TerminalSize>.makeStream(bufferingPolicy: .bufferingNewest(1))
  let ready = channel.eventLoop.makePromise(of: NIOLoopBound<WebSocketCommandHandler>.self)
  do {
    try await channel.takeUp {
      let handler = WebSocketCommandHandler(proto, channel, resizes: resizeContinuation)
      ready.succeed(NIOLoopBound(handler, eventLoop: channel.eventLoop))
      return WebSocketHandler.pipeline() + [handler]
    }
  } catch { return ready.fail(error) }
  guard let handler = try? await ready.futureResult.get() else { return }

  let eventLoop = channel.eventLoop
  let clientIsReady = Task { try? await Task.sleep(for: clientReadyPause) }
  @Sendable func write(_ bytes: ByteBuffer, _ output: WebSocketCommandProtocol.Channel) async throws {
    await clientIsReady.value
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      eventLoop.execute { handler.value.write(bytes, on: output, continuation) }
    }
  }
  // Tells clients that wait for a first message that the streams are there, as upstream does.
  async let isTold: Void? = try? write(ByteBuffer(), options.stdout ? .stdout : options.stderr ? .stderr : .error)
  guard let inbox = try? await eventLoop.submit({ handler.value.inbox }).get() else { return }
  if !options.stdin { inbox.discard() }
  let streams = RemoteCommandStreams(
    stdin: options.stdin ? inbox.stream : nil,
    writeOut: { if options.stdout { try await write($0, .stdout) } }, writeError: { if options.stderr { try await write($0, .stderr) } },
    resizes: resizes)
  let status = await runSession(channel, streams, session)
  _ = await isTold
  if let bytes = errorStreamBytes(status, hasStatus: proto.hasStatus) { try? await write(bytes, .error) }
  eventLoop.execute { handler.value.close() }
  try? await channel.closeFuture.get()
}

/// The top of a WebSocket's pipeline: messages to stdin and resizes, output to messages.
final class WebSocketCommandHandler: ChannelInboundHandler {
  typealias InboundIn = WebSocketMessage
  typealias OutboundOut = WebSocketMessage

  private let proto: WebSocketCommandProtocol
  private let resizes: AsyncStream<TerminalSize>.Continuation
  private(set) var inbox: ByteInbox!
  private var isLagging = false
  private var gate = WriteGate()
  private var context: ChannelHandlerContext?
  /// How the inbox, which outlives the connection, finds this handler on its loop.
  private let loopBox: NIOLoopBoundBox<WebSocketCommandHandler?>

  init(_ proto: WebSocketCommandProtocol, _ channel: any Channel, resizes: AsyncStream<TerminalSize>.Continuation) {
    self.proto = proto
    self.resizes = resizes
    let bound = NIOLoopBoundBox<WebSocketCommandHandler?>(nil, eventLoop: channel.eventLoop)
    loopBox = bound
    inbox = ByteInbox { _ in channel.eventLoop.execute { bound.value?.taken() } }
    bound.value = self
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    end()
    self.context = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch proto.read(Self.unwrapInboundIn(data)) {
    case .stdin(let bytes):
      if inbox.push(bytes) > ByteInbox.bytesMax { setLagging(true) }
    case .stdinClosed: inbox.finish()
    case .resize(let size): resizes.yield(size)
    case .ignored: break
    case .violation: context.triggerUserOutboundEvent(WebSocketClose(code: 1002), promise: nil)
    }
  }

  private func taken() {
    if isLagging, inbox.count < ByteInbox.bytesMax / 2 { setLagging(false) }
  }

  private func setLagging(_ isLagging: Bool) {
    guard self.isLagging != isLagging, let context else { return }
    self.isLagging = isLagging
    context.channel.setOption(ChannelOptions.autoRead, value: !isLagging).whenFailure { _ in }
  }

  /// Messages are no larger than what kubectl reads at once.
  func write(_ bytes: ByteBuffer, on channel: WebSocketCommandProtocol.Channel, _ continuation: CheckedContinuation<Void, any Error>) {
    guard let context, context.channel.isActive else { return continuation.resume(throwing: ConnectionClosedError()) }
    var rest = bytes
    repeat {
      let chunk = rest.readSlice(length: min(rest.readableBytes, SPDYConnection.dataBytesMax)) ?? ByteBuffer()
      context.write(Self.wrapOutboundOut(proto.write(chunk, on: channel)), promise: nil)
    } while rest.readableBytes > 0
    context.flush()
    gate.wait(continuation, for: context.channel)
  }

  func close() {
    inbox.discard()
    setLagging(false)  // to see the peer's close frame
    context?.triggerUserOutboundEvent(WebSocketClose(), promise: nil)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { gate.open() }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  private func end() {
    inbox.finish()
    resizes.finish()
    gate.fail(ConnectionClosedError())
    loopBox.value = nil
  }
}
