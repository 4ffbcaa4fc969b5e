import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// How to reach another server over TLS: what identifies us there and which authorities vouch for it.
package struct ClientTLS: Sendable {
  let context: NIOSSLContext

  /// `trustRoots` empty: the peer's certificate is not verified (a kubelet with a self-signed serving certificate, which
  /// kube-apiserver by default does not verify either).
  package init(certificateChain: [NIOSSLCertificate], privateKey: NIOSSLPrivateKey?, trustRoots: [NIOSSLCertificate]) throws {
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv12
    tls.certificateChain = certificateChain.map { .certificate($0) }
    tls.privateKey = privateKey.map { .privateKey($0) }
    tls.applicationProtocols = ["http/1.1"]
    if trustRoots.isEmpty { tls.certificateVerification = .none } else { tls.trustRoots = .certificates(trustRoots) }
    context = try NIOSSLContext(configuration: tls)
  }

  /// The same, from PEM text.
  package init(certificateChainPEM: [UInt8], privateKeyPEM: [UInt8], trustRootsPEM: [UInt8]) throws {
    try self.init(
      certificateChain: certificateChainPEM.isEmpty ? [] : NIOSSLCertificate.fromPEMBytes(certificateChainPEM),
      privateKey: privateKeyPEM.isEmpty ? nil : NIOSSLPrivateKey(bytes: privateKeyPEM, format: .pem),
      trustRoots: trustRootsPEM.isEmpty ? [] : NIOSSLCertificate.fromPEMBytes(trustRootsPEM))
  }
}

/// A connection to another server on which an upgrade request is sent.
package struct UpgradeTarget: Sendable {
  package var host: String
  package var port: Int
  /// nil: plain text.
  package var tls: ClientTLS?
  /// The name that the certificate must show where `host` is an address; nil: the address itself.
  package var serverName: String?
  package var connectTimeout: TimeAmount = .seconds(10)
  /// From sending the request to the end of the answer's head.
  package var answerTimeout: TimeAmount = .seconds(30)

  package init(host: String, port: Int, tls: ClientTLS?, serverName: String? = nil) {
    self.host = host
    self.port = port
    self.tls = tls
    self.serverName = serverName
  }
}

/// Why an upgrade could not be forwarded; `description` is for the client.
package struct UpgradeForwardingError: Error, CustomStringConvertible {
  package enum Code: Sendable { case connect, timeout, closed, badAnswer }
  package let code: Code
  package let description: String
}

/// Sends an upgrade request to another server and returns what to answer to our own client.
///
/// Where the other server switches protocols, so does the returned response, with the same headers; its `takeOver` joins both
/// connections, byte for byte, with back-pressure and half-close. Any other answer is returned whole, and the connection to the
/// other server closes: a client's further bytes never reach it as requests in our name (CVE-2018-1002105).
///
/// `headers`: everything to send, with `Connection: Upgrade`; no credentials of the client's. Throws `UpgradeForwardingError`.
package func forwardUpgrade(
  method: HTTPMethod, uri: String, headers: HTTPHeaders, to target: UpgradeTarget, eventLoop: any EventLoop
) async throws -> ServedResponse {
  let (channel, answer) = try await openUpgrade(method: method, uri: uri, headers: headers, to: target, eventLoop: eventLoop)
  guard answer.status == .switchingProtocols else {
    try? await channel.close()
    var headers = answer.headers
    for name in hopByHopHeaders { headers.remove(name: name) }
    return ServedResponse(status: answer.status, headers: headers, body: .bytes(answer.body))
  }
  return ServedResponse(
    status: .switchingProtocols, headers: answer.headers,
    takeOver: { client in await join(client, channel) })
}

/// What a hop says to the next hop alone (RFC 9110, 7.6.1), and what the server frames anew.
private let hopByHopHeaders = ["Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Content-Length", "Trailer"]

/// An answer to an upgrade request. After 101 the channel is like a taken-over one: bare, autoRead off, see `Channel.takeUp`.
package struct UpgradeAnswer: Sendable {
  package let status: HTTPResponseStatus
  package let headers: HTTPHeaders
  /// Empty after 101.
  package let body: ByteBuffer
}

/// Connects, sends an upgrade request and reads the answer; the caller closes the channel.
package func openUpgrade(
  method: HTTPMethod, uri: String, headers: HTTPHeaders, to target: UpgradeTarget, eventLoop: any EventLoop
) async throws -> (any Channel, UpgradeAnswer) {
  let answer = eventLoop.makePromise(of: UpgradeAnswer.self)
  let channel: any Channel
  do {
    channel = try await ClientBootstrap(group: eventLoop)
      .connectTimeout(target.connectTimeout)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try configureUpgradeClient(channel, target, answer) }
      }
      .connect(host: target.host, port: target.port).get()
  } catch {
    answer.fail(error)
    throw UpgradeForwardingError(code: .connect, description: "error dialing backend: \(error)")
  }
  let deadline = eventLoop.scheduleTask(in: target.answerTimeout) {
    answer.fail(UpgradeForwardingError(code: .timeout, description: "\(target.host):\(target.port) did not answer in time"))
  }
  do {
    var headers = headers
    if !headers.contains(name: "host") { headers.add(name: "Host", value: "\(target.serverName ?? target.host):\(target.port)") }
    let head = HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers)
    channel.write(HTTPClientRequestPart.head(head), promise: nil)
    channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    let result = try await withTaskCancellationHandler {
      try await answer.futureResult.get()
    } onCancel: {
      channel.close(promise: nil)
    }
    deadline.cancel()
    return (channel, result)
  } catch {
    deadline.cancel()
    channel.close(promise: nil)
    if error is UpgradeForwardingError { throw error }
    throw UpgradeForwardingError(code: .closed, description: "error dialing backend: \(error)")
  }
}

private func configureUpgradeClient(
  _ channel: any Channel, _ target: UpgradeTarget, _ answer: EventLoopPromise<UpgradeAnswer>
) throws {
  let pipeline = channel.pipeline.syncOperations
  if let tls = target.tls {
    // An address is checked against the certificate's IP names by the connection's own address.
    let isAddress = (try? SocketAddress(ipAddress: target.host, port: 0)) != nil
    try pipeline.addHandler(NIOSSLClientHandler(context: tls.context, serverHostname: target.serverName ?? (isAddress ? nil : target.host)))
  }
  let encoder = HTTPRequestEncoder()
  let decoder = ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes))
  let reader = UpgradeAnswerReader(answer)
  try pipeline.addHandlers([encoder, decoder, reader] as [any ChannelHandler])
  reader.removeHTTPHandlers = {
    EventLoopFuture.andAllSucceed([pipeline.removeHandler(reader), pipeline.removeHandler(encoder)], on: channel.eventLoop)
      .assumeIsolated().flatMap { pipeline.removeHandler(decoder) }.nonisolated()
  }
}

/// Reads one answer: a 101 hands the channel over bare, anything else is gathered whole.
private final class UpgradeAnswerReader: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPClientResponsePart
  /// An error's body; more is cut off.
  static let bodyBytesMax = 256 * 1024

  private let answer: EventLoopPromise<UpgradeAnswer>
  private var head: HTTPResponseHead?
  private var body = ByteBuffer()
  var removeHTTPHandlers: (() -> EventLoopFuture<Void>)?

  init(_ answer: EventLoopPromise<UpgradeAnswer>) { self.answer = answer }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch Self.unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      if head.status == .switchingProtocols { becomeBare(context, head) }
    case .body(var bytes):
      if body.readableBytes + bytes.readableBytes <= Self.bodyBytesMax { body.writeBuffer(&bytes) }
    case .end:
      guard let head, head.status != .switchingProtocols else { return }
      answer.succeed(UpgradeAnswer(status: head.status, headers: head.headers, body: body))
    }
  }

  private func becomeBare(_ context: ChannelHandlerContext, _ head: HTTPResponseHead) {
    let answer = answer
    do {
      try context.channel.syncOptions?.setOption(ChannelOptions.autoRead, value: false)
      try context.pipeline.syncOperations.addHandler(HeldBytesHandler())
    } catch { return answer.fail(error) }
    let loop = context.eventLoop.assumeIsolated()
    // After this read event, so that no handler leaves while it decodes.
    loop.execute {
      guard let remove = self.removeHTTPHandlers else { return }
      self.removeHTTPHandlers = nil
      remove().whenComplete { result in
        switch result {
        case .success: answer.succeed(UpgradeAnswer(status: head.status, headers: head.headers, body: ByteBuffer()))
        case .failure(let error): answer.fail(error)
        }
      }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    removeHTTPHandlers = nil
    answer.fail(UpgradeForwardingError(code: .closed, description: "the connection was closed before an answer came"))
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    answer.fail(
      UpgradeForwardingError(code: error is HTTPParserError ? .badAnswer : .closed, description: "error dialing backend: \(error)"))
    context.close(promise: nil)
  }
}
