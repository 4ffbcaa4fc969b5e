import HTTPServing
import NIOCore
import NIOHTTP1
import Synchronization

/// The older port-forward over WebSocket, for clients that are no kubectl: each port has two channels, data (2n) and error (2n+1),
/// and each channel's first message is the port in two bytes, little endian. One connection per port, for the WebSocket's life.
func upgradeChannelPortForward(
  _ request: ServedRequest, accept: String, offered: [String], also tunnel: String, _ connect: @escaping PortForwardConnect
) -> ServedResponse {
  let names: [WebSocketCommandProtocol.Name] = [.v4, .v4Base64]
  guard
    let name = offered.isEmpty
      ? .v4 : offered.lazy.compactMap({ WebSocketCommandProtocol.Name(rawValue: $0) }).first(where: { names.contains($0) })
  else { return cannotNegotiate(offered: offered, accepted: [tunnel] + names.map(\.rawValue)) }
  let texts = (request.queryValues("port") + request.queryValues("ports")).flatMap { $0.split(separator: ",") }
  let ports = texts.compactMap { UInt16($0) }
  guard !ports.isEmpty, ports.count == texts.count, ports.count <= portsMax, !ports.contains(0) else {
    return .text(.badRequest, "query parameter \"port\" is required: 1 to \(portsMax) port numbers")
  }
  return .upgrade(headers: webSocketUpgradeHeaders(accept: accept, chosen: offered.isEmpty ? "" : name.rawValue)) { channel in
    await runChannelPortForward(channel, isBase64: name == .v4Base64, ports, connect)
  }
}

/// Channel numbers are one byte.
private let portsMax = 100

private func runChannelPortForward(
  _ channel: any Channel, isBase64: Bool, _ ports: [UInt16], _ connect: @escaping PortForwardConnect
) async {
  let eventLoop = channel.eventLoop
  let ready = eventLoop.makePromise(of: NIOLoopBound<ChannelPortForwardHandler>.self)
  do {
    try await channel.takeUp {
      let handler = ChannelPortForwardHandler(ports: ports.count, isBase64: isBase64, eventLoop)
      ready.succeed(NIOLoopBound(handler, eventLoop: eventLoop))
      return WebSocketHandler.pipeline() + [handler]
    }
  } catch { return ready.fail(error) }
  guard let handler = try? await ready.futureResult.get(), let inboxes = try? await eventLoop.submit({ handler.value.inboxes }).get() else {
    return
  }
  @Sendable func write(_ bytes: ByteBuffer, on number: Int) async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      eventLoop.execute { handler.value.write(bytes, on: number, continuation) }
    }
  }
  await withDiscardingTaskGroup { group in
    for (i, port) in ports.enumerated() {
      group.addTask {
        let portBytes = ByteBuffer(bytes: [UInt8(truncatingIfNeeded: port), UInt8(port >> 8)])
        try? await write(portBytes, on: 2 * i)
        try? await write(portBytes, on: 2 * i + 1)
        do {
          try await connect(Int(port), eventLoop).executeThenClose { inbound, outbound in
            try await withThrowingTaskGroup(of: Void.self) { group in
              group.addTask {
                while let bytes = await inboxes[i].next() { try await outbound.write(bytes) }
                outbound.finish()
              }
              group.addTask { for try await bytes in inbound { try await write(bytes, on: 2 * i) } }
              // The pod's end is the end: this protocol cannot close one channel.
              _ = try await group.next()
              group.cancelAll()
            }
          }
        } catch is ConnectionClosedError {
        } catch is CancellationError {
        } catch { try? await write(ByteBuffer(string: "\(error)"), on: 2 * i + 1) }
      }
    }
  }
  eventLoop.execute { handler.value.close() }
  try? await channel.closeFuture.get()
}

private final class ChannelPortForwardHandler: ChannelInboundHandler {
  typealias InboundIn = WebSocketMessage
  typealias OutboundOut = WebSocketMessage

  private(set) var inboxes: [ByteInbox] = []
  private let isBase64: Bool
  private var lagging: Set<Int> = []
  private var gate = WriteGate()
  private var context: ChannelHandlerContext?
  private let box: NIOLoopBoundBox<ChannelPortForwardHandler?>

  init(ports: Int, isBase64: Bool, _ eventLoop: any EventLoop) {
    self.isBase64 = isBase64
    let box = NIOLoopBoundBox<ChannelPortForwardHandler?>(nil, eventLoop: eventLoop)
    self.box = box
    inboxes = (0..<ports).map { i in ByteInbox { _ in eventLoop.execute { box.value?.taken(i) } } }
    box.value = self
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = Self.unwrapInboundIn(data).bytes
    guard var number = bytes.readInteger(as: UInt8.self) else { return }
    if isBase64 {
      guard number >= UInt8(ascii: "0"), let decoded = Base64.decode(bytes.readableBytesView) else {
        return context.triggerUserOutboundEvent(WebSocketClose(code: 1002), promise: nil)
      }
      number -= UInt8(ascii: "0")
      bytes = ByteBuffer(bytes: decoded)
    }
    let port = Int(number) / 2
    guard number % 2 == 0, inboxes.indices.contains(port) else { return }
    if inboxes[port].push(bytes) > ByteInbox.bytesMax { setLagging(port, true) }
  }

  private func taken(_ port: Int) {
    if lagging.contains(port), inboxes[port].count < ByteInbox.bytesMax / 2 { setLagging(port, false) }
  }

  private func setLagging(_ port: Int, _ isLagging: Bool) {
    if isLagging { lagging.insert(port) } else { lagging.remove(port) }
    context?.channel.setOption(ChannelOptions.autoRead, value: lagging.isEmpty).whenFailure { _ in }
  }

  func write(_ bytes: ByteBuffer, on number: Int, _ continuation: CheckedContinuation<Void, any Error>) {
    guard let context, context.channel.isActive else { return continuation.resume(throwing: ConnectionClosedError()) }
    var message = ByteBuffer()
    if isBase64 {
      message.writeInteger(UInt8(ascii: "0") + UInt8(number))
      message.writeBytes(Base64.encode(bytes.readableBytesView))
    } else {
      message.writeInteger(UInt8(number))
      message.writeImmutableBuffer(bytes)
    }
    context.writeAndFlush(Self.wrapOutboundOut(WebSocketMessage(isText: isBase64, bytes: message)), promise: nil)
    gate.wait(continuation, for: context.channel)
  }

  func close() { context?.triggerUserOutboundEvent(WebSocketClose(), promise: nil) }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { gate.open() }
    context.fireChannelWritabilityChanged()
  }

  func channelInactive(context: ChannelHandlerContext) {
    for inbox in inboxes { inbox.discard() }
    gate.fail(ConnectionClosedError())
    box.value = nil
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
}
