import NIOCore
import NIOHTTP1

/// The last handler of an HTTP/1.1 connection, or of one HTTP/2 stream: gathers a request, runs its task, sends the answer.
///
/// Lives on its channel's event loop; only `ResponseWriter` and the request's task reach it from elsewhere, through
/// `NIOLoopBound` after a hop.
final class HTTPRequestHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  enum State {
    case idle
    case receiving(HTTPRequestHead, ByteBuffer, bodyBytesMax: Int)
    /// The handler's task runs, or its answer is being sent.
    case answering(HTTPRequestHead, streaming: Bool)
    /// The last answer was sent; what still arrives is thrown away until the connection closes.
    case draining
    case handedOver
    case closed
  }

  /// After a refusal the client gets this long to read it before the connection closes under its upload.
  static let drainTime = TimeAmount.seconds(1)

  let service: HTTPService
  let isHTTP2: Bool
  let peerCertificateDER: [UInt8]?
  let remoteAddress: String

  var state = State.idle
  var context: ChannelHandlerContext?
  /// Parts of further requests that came while one is being answered; not empty: reading is held back.
  private var pipelined = CircularBuffer<HTTPServerRequestPart>()
  private var isReadHeldBack = false
  /// Bytes arrived that have not become a whole head yet (set by `FirstByteHandler`).
  var sawBytes = false
  private var timer: Scheduled<Void>?
  private var isRequestTimer = false
  private var task: Task<Void, Never>?
  private var closesAfterAnswer = false
  private var waitingWriters: [CheckedContinuation<Void, any Error>] = []
  /// HTTP/1.1: takes the HTTP handlers out of the pipeline (see `handOver`).
  var removeHTTPHandlers: (() -> EventLoopFuture<Void>)?

  init(service: HTTPService, isHTTP2: Bool, peerCertificateDER: [UInt8]?, remoteAddress: String) {
    self.service = service
    self.isHTTP2 = isHTTP2
    self.peerCertificateDER = peerCertificateDER
    self.remoteAddress = remoteAddress
  }

  // MARK: channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    if !isHTTP2 { armIdleTimer() }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    timer?.cancel()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let part = Self.unwrapInboundIn(data)
    if case .answering = state {
      pipelined.append(part)
    } else {
      receive(part, context)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    switch state {
    case .receiving: armRequestTimer()
    case .idle: if sawBytes { armRequestTimer() }
    default: break
    }
    context.fireChannelReadComplete()
  }

  func read(context: ChannelHandlerContext) {
    if pipelined.count >= service.limits.pipelinedPartsMax { isReadHeldBack = true } else { context.read() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { resumeWriters(.success(())) }
    context.fireChannelWritabilityChanged()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ChannelShouldQuiesceEvent {
      closesAfterAnswer = true
      if case .idle = state { context.close(promise: nil) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    if case .handedOver = state {} else { finish() }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if case .handedOver = state { return context.fireErrorCaught(error) }
    if let parserError = error as? HTTPParserError {
      switch state {
      case .idle, .receiving:
        let overflow = parserError == .headerOverflow
        return refuse(
          overflow ? .requestHeaderFieldsTooLarge : .badRequest,
          overflow ? "the request's header fields are larger than \(service.limits.headerBytesMax) bytes" : "this is no HTTP request")
      default: break
      }
    }
    context.close(promise: nil)
  }

  // MARK: receiving

  private func receive(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
    switch (state, part) {
    case (.idle, .head(let head)):
      sawBytes = false
      begin(head, context)
    case (.receiving(let head, var body, let bodyBytesMax), .body(var bytes)):
      guard body.readableBytes + bytes.readableBytes <= bodyBytesMax else { return refuseLargeBody(bodyBytesMax) }
      state = .idle  // gives up the other reference to the body, so that it grows in place
      if body.readableBytes == 0 { body = bytes } else { body.writeBuffer(&bytes) }
      state = .receiving(head, body, bodyBytesMax: bodyBytesMax)
    case (.receiving(let head, let body, _), .end):
      dispatch(head, body, context)
    default:
      break  // draining, handed over, closed: nobody wants it
    }
  }

  private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let bodyBytesMax = service.configuration.bodyBytesMax(head)
    state = .receiving(head, ByteBuffer(), bodyBytesMax: bodyBytesMax)
    if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > bodyBytesMax {
      return refuseLargeBody(bodyBytesMax)
    }
    if !isHTTP2, head.version == .http1_1, head.headers[canonicalForm: "expect"].contains(where: { $0.lowercased() == "100-continue" }) {
      context.writeAndFlush(Self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }
  }

  private func dispatch(_ head: HTTPRequestHead, _ body: ByteBuffer, _ context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
    // After an upgrade request the parser reads no further, whatever the answer.
    let isUpgrade = !isHTTP2 && head.headers.contains(name: "upgrade")
    if !isHTTP2, !head.isKeepAlive || isUpgrade { closesAfterAnswer = true }
    guard
      let request = ServedRequest(
        method: head.method, uri: head.uri, headers: head.headers, body: body, peerCertificateDER: peerCertificateDER,
        remoteAddress: remoteAddress, httpMajorVersion: isHTTP2 ? 2 : 1, eventLoop: context.eventLoop)
    else { return refuse(.badRequest, "the request target is no valid path") }
    state = .answering(head, streaming: false)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    let eventLoop = context.eventLoop
    let service = service
    task = Task { await service.run(request, on: bound, eventLoop) }
  }

  private func refuseLargeBody(_ bytesMax: Int) {
    refuse(.payloadTooLarge, "Request entity too large: limit is \(bytesMax)")
  }

  /// Answers without the handler, and closes.
  private func refuse(_ status: HTTPResponseStatus, _ message: String) {
    let head: HTTPRequestHead
    switch state {
    case .receiving(let received, _, _): head = received
    default: head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
    }
    closesAfterAnswer = true
    state = .answering(head, streaming: false)
    respond(service.configuration.refusal(status, message))
  }

  // MARK: answering

  /// Sends a whole answer in one flush.
  func respond(_ response: ServedResponse) {
    guard let context, case .answering(let request, streaming: false) = state else { return }
    guard case .bytes(let body) = response.body else { preconditionFailure("a stream is not sent at once") }
    var headers = response.headers
    if response.status.mayHaveResponseBody { headers.replaceOrAdd(name: "Content-Length", value: String(body.readableBytes)) }
    writeHead(response.status, headers, request, context)
    if body.readableBytes > 0, request.method != .HEAD { context.write(Self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
    endAnswer(context)
  }

  /// Sends the head of an answer whose body follows piece by piece. False: the client is gone.
  func startStream(_ response: ServedResponse) -> Bool {
    guard let context, case .answering(let request, streaming: false) = state else { return false }
    if request.version == .http1_0 { closesAfterAnswer = true }  // no chunks: the body ends with the connection
    state = .answering(request, streaming: true)
    writeHead(response.status, response.headers, request, context)
    context.flush()
    return true
  }

  func streamWrite(_ bytes: ByteBuffer, _ continuation: CheckedContinuation<Void, any Error>) {
    guard let context, case .answering(_, streaming: true) = state, context.channel.isActive else {
      return continuation.resume(throwing: ConnectionClosedError())
    }
    if bytes.readableBytes > 0 { context.writeAndFlush(Self.wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil) }
    if context.channel.isWritable { continuation.resume() } else { waitingWriters.append(continuation) }
  }

  /// `completely` false: the body lacks something, and the client must notice.
  func endStream(completely: Bool) {
    guard let context, case .answering(_, streaming: true) = state else { return }
    if completely {
      endAnswer(context)
    } else {
      state = .draining
      context.close(promise: nil)
    }
  }

  private func writeHead(_ status: HTTPResponseStatus, _ headers: HTTPHeaders, _ request: HTTPRequestHead, _ context: ChannelHandlerContext)
  {
    var headers = headers.withoutBreaks
    if !isHTTP2 {
      if closesAfterAnswer {
        headers.replaceOrAdd(name: "Connection", value: "close")
      } else if request.version == .http1_0 {
        headers.replaceOrAdd(name: "Connection", value: "keep-alive")
      }
    }
    let version: HTTPVersion = request.version == .http1_0 ? .http1_0 : .http1_1
    context.write(Self.wrapOutboundOut(.head(HTTPResponseHead(version: version, status: status, headers: headers))), promise: nil)
  }

  private func endAnswer(_ context: ChannelHandlerContext) {
    task = nil
    context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
    if isHTTP2 {
      state = .draining
      // The stream closes by itself where the request was read to its end; an upload that was refused is reset a little later.
      if closesAfterAnswer { closeAfterDraining(context) }
      return
    }
    guard !closesAfterAnswer else { return closeGently(context) }
    state = .idle
    sawBytes = false
    armIdleTimer()
    continueWithPipelined(context)
  }

  private func continueWithPipelined(_ context: ChannelHandlerContext) {
    while let part = pipelined.first {
      if case .answering = state { return }
      pipelined.removeFirst()
      receive(part, context)
    }
    if isReadHeldBack {
      isReadHeldBack = false
      context.read()
    }
  }

  /// Says that nothing more will come and lets the client read the answer: closing at once under an upload would reset the
  /// connection, and the answer would be lost with it.
  private func closeGently(_ context: ChannelHandlerContext) {
    state = .draining
    pipelined.removeAll()
    let channel = context.channel
    context.close(mode: .output).whenFailure { _ in channel.close(promise: nil) }
    closeAfterDraining(context)
  }

  private func closeAfterDraining(_ context: ChannelHandlerContext) {
    let channel = context.channel
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.drainTime) { channel.close(promise: nil) }
  }

  // MARK: leaving

  private func finish() {
    state = .closed
    timer?.cancel()
    timer = nil
    task?.cancel()
    task = nil
    pipelined.removeAll()
    resumeWriters(.failure(ConnectionClosedError()))
  }

  private func resumeWriters(_ result: Result<Void, any Error>) {
    let writers = waitingWriters
    waitingWriters.removeAll()
    for writer in writers { writer.resume(with: result) }
  }

  /// Sends the head of an upgrade and takes HTTP off the channel.
  func handOver(_ response: ServedResponse) -> EventLoopFuture<any Channel>? {
    guard let context, case .answering(let request, streaming: false) = state, let removeHTTPHandlers,
      request.headers.contains(name: "upgrade"), pipelined.isEmpty, context.channel.isActive
    else { return nil }
    let channel = context.channel
    state = .handedOver
    timer?.cancel()
    task = nil
    do {
      try channel.syncOptions?.setOption(ChannelOptions.autoRead, value: false)
      try channel.pipeline.syncOperations.addHandler(HeldBytesHandler())
    } catch { return channel.eventLoop.makeFailedFuture(error) }
    let head = HTTPResponseHead(version: .http1_1, status: response.status, headers: response.headers.withoutBreaks)
    context.write(Self.wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
    return removeHTTPHandlers().map { channel }
  }

  // MARK: time

  private func armIdleTimer() {
    isRequestTimer = false
    arm(service.limits.idleTimeout)
  }

  /// Counts from the first byte: what arrives later does not put it off.
  private func armRequestTimer() {
    guard timer == nil || !isRequestTimer else { return }
    isRequestTimer = true
    arm(service.limits.requestReadTimeout)
  }

  /// Closes the connection after `time` unless a request is being answered then. One timer at most is pending.
  private func arm(_ time: TimeAmount) {
    guard let context else { return }
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in
      guard let self else { return }
      self.timer = nil
      switch self.state {
      case .idle, .receiving: self.context?.close(promise: nil)
      default: break
      }
    }
  }
}

/// Sits before the HTTP/1.1 decoder and notes that bytes came, so that a head that never gets complete has a deadline.
final class FirstByteHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  private let requests: HTTPRequestHandler
  init(_ requests: HTTPRequestHandler) { self.requests = requests }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    requests.sawBytes = true
    context.fireChannelRead(data)
  }
}
