import NIOCore
import NIOPosix
import Synchronization

/// Asks the servers that know what the cluster does not: by UDP, each question from a port of its own and with a random identifier, and
/// by TCP where the answer did not fit.
final class Upstream: Sendable {
  /// A server's address and port.
  struct Server: Hashable, Sendable {
    let host: String
    let port: Int
  }

  /// How long one server has; then the next is asked, each at most `roundsMax` times.
  static let patience = TimeAmount.seconds(2)
  static let roundsMax = 2
  /// Questions that wait for answers; more are refused with SERVFAIL.
  static let waitingMax = 2_000

  private let group: any EventLoopGroup
  private let waiting = Mutex(0)

  init(group: any EventLoopGroup) { self.group = group }

  /// The answer as it came; nil: nobody answered, or too many wait.
  func ask(_ query: DNSQuery, _ servers: [Server]) async -> [UInt8]? {
    let isAllowed = waiting.withLock { count in
      guard count < Self.waitingMax else { return false }
      count += 1
      return true
    }
    guard isAllowed else { return nil }
    defer { waiting.withLock { $0 -= 1 } }
    var failure: [UInt8]?
    for _ in 0..<Self.roundsMax {
      for server in servers {
        guard let answer = try? await exchange(query, server, overTCP: false), let summary = DNSWire.summary(answer) else { continue }
        if summary.isTruncated { return (try? await exchange(query, server, overTCP: true)) ?? answer }
        // SERVFAIL, REFUSED and the like: another server may know more.
        if summary.code == 0 || summary.code == 3 { return answer }
        failure = answer
      }
      if failure != nil { break }
    }
    return failure
  }

  private func exchange(_ query: DNSQuery, _ server: Server, overTCP: Bool) async throws -> [UInt8] {
    let identifier = UInt16.random(in: 0...UInt16.max)
    let loop = group.next()
    let promise = loop.makePromise(of: [UInt8].self)
    let address = try SocketAddress(ipAddress: server.host, port: server.port)
    let handler: @Sendable (any Channel) -> EventLoopFuture<Void> = { channel in
      channel.eventLoop.makeCompletedFuture {
        if overTCP {
          try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(DNSFrameDecoder()))
        } else {
          try channel.pipeline.syncOperations.addHandler(DatagramBodies())
        }
        try channel.pipeline.syncOperations.addHandler(
          UpstreamHandler(identifier: identifier, question: query.question, promise: promise))
      }
    }
    let connection =
      overTCP
      ? ClientBootstrap(group: loop).connectTimeout(Self.patience).channelInitializer(handler).connect(to: address)
      : DatagramBootstrap(group: loop).channelInitializer(handler).connect(to: address)
    let channel: any Channel
    do {
      channel = try await connection.get()
    } catch {
      promise.fail(error)
      throw error
    }
    let timeout = loop.scheduleTask(in: Self.patience) { promise.fail(ChannelError.connectTimeout(Self.patience)) }
    let message = DNSWire.writeQuery(query, identifier: identifier)
    var buffer = channel.allocator.buffer(capacity: message.count + 2)
    if overTCP { buffer.writeInteger(UInt16(message.count)) }
    buffer.writeBytes(message)
    if overTCP {
      channel.writeAndFlush(buffer, promise: nil)
    } else {
      channel.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: buffer), promise: nil)
    }
    defer {
      timeout.cancel()
      channel.close(promise: nil)
    }
    return try await promise.futureResult.get()
  }
}

/// Waits for the one answer that belongs to a question; everything else is not heard.
private final class UpstreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let identifier: UInt16
  private let question: DNSQuestion
  private let promise: EventLoopPromise<[UInt8]>

  init(identifier: UInt16, question: DNSQuestion, promise: EventLoopPromise<[UInt8]>) {
    self.identifier = identifier
    self.question = question
    self.promise = promise
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = Array(unwrapInboundIn(data).readableBytesView)
    guard let summary = DNSWire.summary(bytes), summary.identifier == identifier, summary.question == question else { return }
    promise.succeed(bytes)
  }

  func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    promise.fail(error)
    context.close(promise: nil)
  }
}

/// Datagrams without their sender, which a connected socket has checked.
private final class DatagramBodies: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  typealias InboundOut = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.fireChannelRead(wrapInboundOut(unwrapInboundIn(data).data)) }
}

/// Messages behind their length in two bytes (RFC 1035 4.2.2).
struct DNSFrameDecoder: ByteToMessageDecoder {
  typealias InboundOut = ByteBuffer

  mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
    guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self), buffer.readableBytes >= 2 + Int(length) else {
      return .needMoreData
    }
    buffer.moveReaderIndex(forwardBy: 2)
    guard let message = buffer.readSlice(length: Int(length)) else { return .needMoreData }
    context.fireChannelRead(wrapInboundOut(message))
    return .continue
  }

  mutating func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
    .needMoreData
  }
}
