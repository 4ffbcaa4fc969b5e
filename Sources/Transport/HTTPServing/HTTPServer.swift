import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// An HTTP/1.1 and HTTP/2 server on one listener. Each request runs as one task, cancelled when its client goes away.
package final class HTTPServer: Sendable {
  /// Connections that wait to be accepted.
  private static let backlog: Int32 = 512

  private let group: any EventLoopGroup
  private let service: HTTPService
  private let listener: NIOLockedValue<(any Channel)?>
  private let context = Mutex<NIOSSLContext?>(nil)

  /// `group`: one or two event-loop threads serve thousands of connections; the handler runs on Swift's own pool.
  package init(
    configuration: HTTPServerConfiguration, group: any EventLoopGroup, handler: @escaping @Sendable (ServedRequest) async -> ServedResponse
  ) {
    self.group = group
    service = HTTPService(configuration: configuration, handler: handler)
    listener = NIOLockedValue(nil)
  }

  /// Open connections, for tests and metrics.
  package var connectionCount: Int { service.connectionCount }

  /// Listens, and returns the port (0 on a Unix socket). Throws `IOError` of bind(2), or NIOSSL's error about the certificate.
  @discardableResult
  package func start() async throws -> Int {
    let service = service
    let first = try service.configuration.tls?.makeContext()
    context.withLock { $0 = first }
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: Self.backlog)
      .childChannelInitializer { channel in
        let tls = self.context.withLock { $0 }
        return channel.eventLoop.makeCompletedFuture { try configureConnection(channel, service: service, tls: tls) }
      }
    let channel: any Channel
    switch service.configuration.address {
    case .tcp(let host, let port):
      channel =
        try await bootstrap
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        .bind(host: host, port: port).get()
    case .unix(let path, let mode):
      channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
      guard chmod(path, mode) == 0 else {
        let error = IOError(errnoCode: errno, reason: "chmod \(path)")
        try? await channel.close()
        throw error
      }
    }
    listener.set(channel)
    return channel.localAddress?.port ?? 0
  }

  /// New connections get this certificate; open ones go on with theirs.
  package func replace(tls: ServerTLS) throws {
    let next = try tls.makeContext()
    context.withLock { $0 = next }
  }

  /// Accepts nothing more, lets running requests finish within `stopGrace`, ends streams, and returns when all is closed.
  package func stop() async {
    if let channel = listener.take() { try? await channel.close() }
    await service.stopConnections()
  }
}

/// The pipeline of an accepted connection, before its first byte.
private func configureConnection(_ channel: any Channel, service: HTTPService, tls: NIOSSLContext?) throws {
  guard service.connectionOpened(channel) else { return channel.close(promise: nil) }
  let remoteAddress = describe(channel.remoteAddress)
  guard let tls else {
    return try configureHTTP1(channel, service: service, peerCertificateDER: nil, remoteAddress: remoteAddress)
  }
  try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
  let deadline = channel.eventLoop.scheduleTask(in: service.limits.handshakeTimeout) { channel.close(promise: nil) }
  channel.closeFuture.whenComplete { _ in deadline.cancel() }
  // Both closures run when the handshake is complete.
  _ = channel.configureHTTP2SecureUpgrade(
    h2ChannelConfigurator: { channel in
      deadline.cancel()
      return channel.eventLoop.makeCompletedFuture {
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(FlushGatherer(), position: .after(try pipeline.handler(type: NIOSSLServerHandler.self)))
        try configureHTTP2(channel, service: service, peerCertificateDER: peerCertificate(channel), remoteAddress: remoteAddress)
      }
    },
    http1ChannelConfigurator: { channel in
      deadline.cancel()
      return channel.eventLoop.makeCompletedFuture {
        try configureHTTP1(channel, service: service, peerCertificateDER: peerCertificate(channel), remoteAddress: remoteAddress)
      }
    })
}

/// Only a verified certificate gets through the handshake; see `ServerTLS.clientAuthorities`.
private func peerCertificate(_ channel: any Channel) throws -> [UInt8]? {
  try channel.pipeline.syncOperations.nioSSL_peerCertificate()?.toDERBytes()
}

private func configureHTTP1(_ channel: any Channel, service: HTTPService, peerCertificateDER: [UInt8]?, remoteAddress: String) throws {
  let pipeline = channel.pipeline.syncOperations
  var limits = NIOHTTPDecoderLimitConfiguration()
  limits.maxHeaderListSize = service.limits.headerBytesMax
  limits.maxHeaderFieldSize = service.limits.headerBytesMax
  limits.maxHeaderFieldCount = service.limits.headerFieldsMax
  let requests = HTTPRequestHandler(
    service: service, isHTTP2: false, peerCertificateDER: peerCertificateDER, remoteAddress: remoteAddress)
  let firstByte = FirstByteHandler(requests)
  let encoder = HTTPResponseEncoder()
  let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
  try pipeline.addHandlers([firstByte, encoder, decoder, requests] as [any ChannelHandler])
  requests.removeHTTPHandlers = { [weak requests] in
    guard let requests else { return channel.eventLoop.makeSucceededVoidFuture() }
    requests.removeHTTPHandlers = nil
    // The decoder goes last: what it has read beyond the request then meets only the handler that holds bytes.
    return EventLoopFuture.andAllSucceed(
      [pipeline.removeHandler(firstByte), pipeline.removeHandler(requests), pipeline.removeHandler(encoder)], on: channel.eventLoop
    ).assumeIsolated().flatMap { pipeline.removeHandler(decoder) }.nonisolated()
  }
}

private func configureHTTP2(_ channel: any Channel, service: HTTPService, peerCertificateDER: [UInt8]?, remoteAddress: String) throws {
  let limits = service.limits
  var connection = NIOHTTP2Handler.ConnectionConfiguration()
  connection.initialSettings = [
    HTTP2Setting(parameter: .maxConcurrentStreams, value: Int(limits.streamsMax)),
    HTTP2Setting(parameter: .maxHeaderListSize, value: limits.headerBytesMax),
    HTTP2Setting(parameter: .initialWindowSize, value: streamWindowBytes),
  ]
  var stream = NIOHTTP2Handler.StreamConfiguration()
  stream.targetWindowSize = streamWindowBytes
  stream.outboundBufferSizeHighWatermark = 64 * 1024
  stream.outboundBufferSizeLowWatermark = 32 * 1024
  stream.streamResetFrameRateLimit.maximumCount = limits.resetsMax
  stream.streamResetFrameRateLimit.windowLength = limits.resetWindow
  let management = NIOHTTP2ServerConnectionManagementHandler(
    eventLoop: channel.eventLoop,
    configuration: .init(
      maxIdleTime: limits.idleTimeout, maxAge: nil, maxGraceTime: limits.stopGrace,
      keepalive: .init(pingInterval: limits.pingInterval, ackTimeout: limits.pingTimeout)))
  _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
    mode: .server, connectionConfiguration: connection, streamConfiguration: stream, streamDelegate: management.http2StreamDelegate
  ) { stream in
    stream.eventLoop.makeCompletedFuture {
      try stream.pipeline.syncOperations.addHandlers(
        [
          HTTP2FramePayloadToHTTP1ServerCodec(),
          HTTPRequestHandler(service: service, isHTTP2: true, peerCertificateDER: peerCertificateDER, remoteAddress: remoteAddress),
        ] as [any ChannelHandler])
    }
  }
  try channel.pipeline.syncOperations.addHandlers([management, CloseOnErrorHandler()] as [any ChannelHandler])
}

/// What a client may send on one HTTP/2 stream before we have read it.
private let streamWindowBytes = 256 * 1024

/// The last handler of an HTTP/2 connection: an error of the whole connection ends it.
private final class CloseOnErrorHandler: ChannelInboundHandler {
  typealias InboundIn = Never
  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

private func describe(_ address: SocketAddress?) -> String {
  guard let address, let host = address.ipAddress, let port = address.port else { return "" }
  return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
}
