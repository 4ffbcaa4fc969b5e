import NIOCore
import NIOHTTP1
import NIOPosix
import OCISpec
import Synchronization

@testable import ContainerImages

/// A small HTTP server on loopback that says what a test tells it to, lies included.
final class WebServer: Sendable {
  struct Request: Sendable {
    var method: String
    var path: String
    var headers: [(name: String, value: String)]
    func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
  }

  struct Answer: Sendable {
    var status = 200
    var headers: [(String, String)] = []
    var body: [UInt8] = []
    /// Announced length; the body's own where nil. Where it is more than the body, the connection is cut after the body.
    var length: Int?
    var delayMilliseconds = 0
  }

  let port: Int
  private let channel: any Channel
  private let log: Log

  /// Requests in the order of their arrival.
  final class Log: Sendable {
    let requests = Mutex<[Request]>([])
  }

  var requests: [Request] { log.requests.withLock { $0 } }
  var host: String { "127.0.0.1:\(port)" }

  init(_ answer: @escaping @Sendable (Request) -> Answer) async throws {
    let log = Log()
    self.log = log
    channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.pipeline.configureHTTPServerPipeline().flatMap {
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Handler(answer, log))
          }
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    port = channel.localAddress!.port!
  }

  deinit { channel.close(promise: nil) }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    let answer: @Sendable (Request) -> Answer
    let log: Log
    var request: Request?

    init(_ answer: @escaping @Sendable (Request) -> Answer, _ log: Log) {
      self.answer = answer
      self.log = log
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head):
        request = Request(method: head.method.rawValue, path: head.uri, headers: head.headers.map { ($0.name, $0.value) })
      case .body: break
      case .end:
        let request = request!
        log.requests.withLock { $0.append(request) }
        let answer = answer(request)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .milliseconds(Int64(answer.delayMilliseconds))) {
          let (handler, context) = bound.value
          handler.send(answer, context)
        }
      }
    }

    func send(_ answer: Answer, _ context: ChannelHandlerContext) {
      var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: answer.status))
      for (name, value) in answer.headers { head.headers.add(name: name, value: value) }
      let length = answer.length ?? answer.body.count
      head.headers.replaceOrAdd(name: "Content-Length", value: "\(length)")
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
      if length == answer.body.count {
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      } else {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.flush()
        context.eventLoop.scheduleTask(in: .milliseconds(5)) { bound.value.close(promise: nil) }
      }
    }
  }
}

/// A registry that serves images from memory; `bend` may change or replace any answer.
func fakeRegistry(
  _ images: [String: TestImage], documents: [String: (type: String, bytes: [UInt8])] = [:], ranges: Bool = true,
  bend: @escaping @Sendable (WebServer.Request, WebServer.Answer) -> WebServer.Answer = { $1 }
) async throws -> WebServer {
  try await WebServer { request in
    func missing() -> WebServer.Answer {
      .init(status: 404, body: Array("{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}".utf8))
    }
    func found() -> WebServer.Answer {
      let parts = request.path.split(separator: "?")[0].split(separator: "/").map(String.init)
      guard parts.count >= 4, parts[0] == "v2" else { return missing() }
      let name = parts[1..<parts.count - 2].joined(separator: "/")
      let reference = parts.last!
      if parts[parts.count - 2] == "manifests" {
        if let document = documents[reference] { return .init(headers: [("Content-Type", document.type)], body: document.bytes) }
        guard let image = images["\(name):\(reference)"] ?? images.values.first(where: { $0.manifestDigest.description == reference })
        else {
          return missing()
        }
        return .init(headers: [("Content-Type", MediaType.ociManifest)], body: image.manifest)
      }
      for image in images.values {
        for blob in [image.config] + image.layers.map(\.stream) where sha256(blob).description == reference {
          if ranges, let range = request.header("Range"), let start = Int(range.dropFirst(6).prefix { $0 != "-" }) {
            guard start < blob.count else { return .init(status: 416) }
            return .init(
              status: 206, headers: [("Content-Range", "bytes \(start)-\(blob.count - 1)/\(blob.count)")], body: Array(blob[start...]))
          }
          return .init(body: blob)
        }
      }
      return missing()
    }
    return bend(request, found())
  }
}
