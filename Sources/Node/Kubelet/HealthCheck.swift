import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix

/// One call of `grpc.health.v1.Health/Check` over HTTP/2 without TLS.
///
/// The two messages are small enough to be written out: a request has the service's name in field 1, an answer has the
/// status in field 1.
enum HealthCheck {
  enum Status: Int, Sendable {
    case unknown, serving, notServing, serviceUnknown

    var title: String {
      switch self {
      case .unknown: "UNKNOWN"
      case .serving: "SERVING"
      case .notServing: "NOT_SERVING"
      case .serviceUnknown: "SERVICE_UNKNOWN"
      }
    }
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Bytes of an answer that are looked at.
  static let answerBytesMax = 4096

  /// Throws when there is no answer within `timeout` seconds or the task is cancelled.
  static func ask(host: String, port: Int, service: String, timeout: Double, group: any EventLoopGroup) async throws -> Status {
    let eventLoop = group.next()
    let answer = eventLoop.makePromise(of: Status.self)
    let limit = TimeAmount.milliseconds(Int64(timeout * 1000))
    let timer = eventLoop.scheduleTask(in: limit) { answer.fail(Failure(description: "context deadline exceeded")) }
    answer.futureResult.whenComplete { _ in timer.cancel() }
    return try await withTaskCancellationHandler {
      do {
        let channel = try await bootstrap(eventLoop, "\(host):\(port)", service, answer).connectTimeout(limit).connect(
          host: host, port: port
        ).get()
        channel.closeFuture.whenComplete { _ in answer.fail(Failure(description: "the connection closed without an answer")) }
        answer.futureResult.whenComplete { _ in channel.close(promise: nil) }
      } catch {
        answer.fail(error)
      }
      return try await answer.futureResult.get()
    } onCancel: {
      answer.fail(CancellationError())
    }
  }

  /// The pipeline is complete before the first byte arrives: a server speaks first, too.
  private static func bootstrap(
    _ eventLoop: any EventLoop, _ authority: String, _ service: String, _ answer: EventLoopPromise<Status>
  ) -> ClientBootstrap {
    ClientBootstrap(group: eventLoop).channelInitializer { channel in
      channel.configureHTTP2Pipeline(mode: .client) { $0.eventLoop.makeSucceededVoidFuture() }.map { multiplexer in
        multiplexer.createStreamChannel(promise: nil) { stream in
          stream.eventLoop.makeCompletedFuture {
            try stream.pipeline.syncOperations.addHandler(CheckHandler(authority: authority, service: service, answer: answer))
          }
        }
      }
    }
  }

  /// The request with gRPC's five bytes before it: not compressed, length.
  static func request(service: String) -> ByteBuffer {
    let name = Array(service.utf8.prefix(answerBytesMax))
    var message = ByteBuffer()
    if !name.isEmpty {
      message.writeInteger(UInt8(0x0A))
      var length = name.count
      while length >= 0x80 {
        message.writeInteger(UInt8(length & 0x7F | 0x80))
        length >>= 7
      }
      message.writeInteger(UInt8(length))
      message.writeBytes(name)
    }
    var framed = ByteBuffer()
    framed.writeInteger(UInt8(0))
    framed.writeInteger(UInt32(message.readableBytes))
    framed.writeBuffer(&message)
    return framed
  }

  /// The status of a complete answer; nil while bytes are missing. An empty message is UNKNOWN.
  static func status(_ answer: ByteBuffer) -> Status? {
    var answer = answer
    guard let compressed = answer.readInteger(as: UInt8.self), let length = answer.readInteger(as: UInt32.self),
      compressed == 0, let message = answer.readBytes(length: Int(length))
    else { return nil }
    guard message.count >= 2, message[0] == 0x08 else { return .unknown }
    return Status(rawValue: Int(message[1])) ?? .unknown
  }
}

/// Sends the request on its stream and reads the answer. Lives on the stream's event loop.
private final class CheckHandler: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  private let authority: String
  private let service: String
  private let answer: EventLoopPromise<HealthCheck.Status>
  private var received = ByteBuffer()

  init(authority: String, service: String, answer: EventLoopPromise<HealthCheck.Status>) {
    self.authority = authority
    self.service = service
    self.answer = answer
  }

  func channelActive(context: ChannelHandlerContext) {
    let headers: HPACKHeaders = [
      ":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Check", ":authority": authority,
      "content-type": "application/grpc", "te": "trailers", "user-agent": "kube-probe",
    ]
    context.write(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
    let body = HealthCheck.request(service: service)
    context.writeAndFlush(wrapOutboundOut(.data(.init(data: .byteBuffer(body), endStream: true))), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .data(let data):
      guard case .byteBuffer(var buffer) = data.data else { return }
      guard received.readableBytes + buffer.readableBytes <= HealthCheck.answerBytesMax else {
        return answer.fail(HealthCheck.Failure(description: "the answer is too long"))
      }
      received.writeBuffer(&buffer)
      if let status = HealthCheck.status(received) { answer.succeed(status) }
    case .headers(let headers):
      // Trailers, or an answer that is only headers: an error says so in grpc-status.
      if let code = headers.headers.first(name: "grpc-status"), code != "0" {
        let message = headers.headers.first(name: "grpc-message") ?? ""
        let text =
          code == "12"
          ? "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
          : "rpc error: code = \(code) desc = \(message)"
        answer.fail(HealthCheck.Failure(description: text))
      } else if let status = headers.headers.first(name: ":status"), status != "200" {
        answer.fail(HealthCheck.Failure(description: "unexpected HTTP status code \(status)"))
      }
    default: break
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    answer.fail(HealthCheck.Failure(description: "the call ended without an answer"))
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    answer.fail(error)
    context.close(promise: nil)
  }
}
