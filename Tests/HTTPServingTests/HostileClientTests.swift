import HTTPServing
import NIOCore
import NIOPosix
import NIOSSL
import Testing

/// A client that sends HTTP/2 frames of its own making and counts what comes back.
private final class FrameClient: Sendable {
  let channel: any Channel
  private let reader: NIOLoopBound<Reader>

  private final class Reader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var bytes = 0
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { bytes += Self.unwrapInboundIn(data).readableBytes }
    // The server ends the connection as it likes.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  init(port: Int, authority: [UInt8]) async throws {
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(authority))
    tls.applicationProtocols = ["h2"]
    let context = try NIOSSLContext(configuration: tls)
    let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: NIOLoopBound<Reader>.self)
    channel = try await ClientBootstrap(group: promise.futureResult.eventLoop).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        let reader = Reader()
        let handlers: [any ChannelHandler] = [try NIOSSLClientHandler(context: context, serverHostname: "localhost"), reader]
        try channel.pipeline.syncOperations.addHandlers(handlers)
        promise.succeed(NIOLoopBound(reader, eventLoop: channel.eventLoop))
      }
    }.connect(host: "127.0.0.1", port: port).get()
    reader = try await promise.futureResult.get()
    try await send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.frame(0x4, 0, 0, []))
  }

  /// RFC 9113, 4.1.
  static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff), type, flags]
      + [UInt8(stream >> 24 & 0x7f), UInt8(stream >> 16 & 0xff), UInt8(stream >> 8 & 0xff), UInt8(stream & 0xff)] + payload
  }

  /// `GET / HTTP/2` of https://x in HPACK (RFC 7541): three indexed fields and a literal one.
  static let request: [UInt8] = [0x82, 0x87, 0x84, 0x41, 0x01, UInt8(ascii: "x")]

  func send(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }

  /// Sends until the server has had enough; false where it takes all of it.
  func flood(_ count: Int, _ piece: (Int) -> [UInt8]) async -> Bool {
    for index in 0..<count {
      guard channel.isActive else { return true }
      do { try await send(piece(index)) } catch { return true }
    }
    for _ in 0..<200 where channel.isActive { try? await Task.sleep(for: .milliseconds(10)) }
    return !channel.isActive
  }

  var receivedBytes: Int { get async { (try? await channel.eventLoop.submit { self.reader.value.bytes }.get()) ?? 0 } }
}

/// Floods that HTTP/2 makes cheap for the sender: the connection ends, and other clients notice nothing.
@Suite(.timeLimit(.minutes(1))) struct HostileClientTests {
  private func attacked(_ attack: (FrameClient) async throws -> Void) async throws {
    let certificates = try await Certificates.shared.value
    try await withServer(
      tls: try certificates.server(), configure: { $0.limits.resetsMax = 50 }, handler: { _ in .text(.ok, "well") }
    ) { server, port in
      let attacker = try await FrameClient(port: port, authority: try certificates.bytes("ca.crt"))
      try await attack(attacker)
      let curl = ["-sS", "-m", "10", "--cacert", "\(certificates.directory)/ca.crt", "https://localhost:\(port)/"]
      #expect(try await run("/usr/bin/curl", curl).output == "well")
      try? await attacker.channel.close()
      while server.connectionCount != 0 { try await Task.sleep(for: .milliseconds(5)) }  // hangs where one stays counted
    }
  }

  /// The frames are right: a polite client is answered.
  @Test func aPoliteClientIsAnswered() async throws {
    try await attacked { client in
      let before = await client.receivedBytes
      try await client.send(FrameClient.frame(0x1, 0x5, 1, FrameClient.request))
      for _ in 0..<500 where await client.receivedBytes < before + 20 { try await Task.sleep(for: .milliseconds(10)) }
      #expect(client.channel.isActive)
      #expect(await client.receivedBytes > before)
    }
  }

  /// CVE-2023-44487.
  @Test func rapidReset() async throws {
    try await attacked { client in
      let hadEnough = await client.flood(5_000) { index in
        let stream = UInt32(index) * 2 + 1
        return FrameClient.frame(0x1, 0x5, stream, FrameClient.request) + FrameClient.frame(0x3, 0, stream, [0, 0, 0, 8])
      }
      #expect(hadEnough)
    }
  }

  /// CVE-2025-8671 ("MadeYouReset") and CVE-2019-9514: frames that make the server end the stream, while its answer is still being made.
  @Test(
    arguments: [
      (UInt8(0x8), [0, 0, 0, 0]),  // WINDOW_UPDATE by nothing
      (UInt8(0x8), [0x7f, 0xff, 0xff, 0xff]),  // by more than a window may be
      (UInt8(0x0), [1]),  // DATA after the end
      (UInt8(0x2), [0, 0, 0, 0, 0]),  // PRIORITY upon itself; the stream's number is filled in
    ] as [(UInt8, [UInt8])])
  func streamsThatTheServerHasToReset(_ type: UInt8, _ payload: [UInt8]) async throws {
    try await attacked { client in
      let hadEnough = await client.flood(5_000) { index in
        let stream = UInt32(index) * 2 + 1
        var payload = payload
        if type == 0x2 { payload[2...3] = [UInt8(stream >> 8 & 0xff), UInt8(stream & 0xff)] }
        return FrameClient.frame(0x1, 0x5, stream, FrameClient.request) + FrameClient.frame(type, 0, stream, payload)
      }
      // NIO takes a priority for nothing, so that no stream ends by it.
      if type != 0x2 { #expect(hadEnough) }
    }
  }

  /// CVE-2019-9518: frames without anything in them.
  @Test func emptyFrames() async throws {
    try await attacked { client in
      try await client.send(FrameClient.frame(0x1, 0x4, 1, FrameClient.request))
      let piece = Array((0..<100).map { _ in FrameClient.frame(0x0, 0, 1, []) }.joined())
      #expect(await client.flood(200) { _ in piece })
    }
  }

  /// CVE-2023-45288: headers that never end.
  @Test func endlessContinuations() async throws {
    try await attacked { client in
      // One literal field after the other, never indexed.
      let field: [UInt8] = [0x00, 0x01, UInt8(ascii: "a"), 0x40] + Array(repeating: UInt8(ascii: "b"), count: 0x40)
      try await client.send(FrameClient.frame(0x1, 0x1, 1, FrameClient.request))
      let piece = Array((0..<200).map { _ in field }.joined())
      #expect(await client.flood(5_000) { _ in FrameClient.frame(0x9, 0, 1, piece) })
    }
  }

  /// CVE-2019-9515 and CVE-2019-9512: settings and pings, each of which wants an answer that nobody reads.
  @Test(arguments: [(UInt8(0x4), 0), (UInt8(0x6), 8)]) func settingsAndPings(_ type: UInt8, _ length: Int) async throws {
    try await attacked { client in
      let piece = Array((0..<100).map { _ in FrameClient.frame(type, 0, 0, Array(repeating: 0, count: length)) }.joined())
      _ = await client.flood(200) { _ in piece }
    }
  }

  /// CVE-2016-6581: compressed headers that unfold to far more than they take (a "HPACK bomb").
  @Test func headersThatUnfold() async throws {
    try await attacked { client in
      // One field of 4,000 bytes goes into the table; each further byte stands for all of it.
      let name: [UInt8] = [0x40, 0x01, UInt8(ascii: "a")]
      let length: [UInt8] = [0x7f, 0xa1, 0x1e]  // 127 + 0x21 + (0x1e << 7) = 4,000
      let bomb =
        FrameClient.request + name + length + Array(repeating: UInt8(ascii: "b"), count: 4_000) + Array(repeating: 0xbe, count: 10_000)
      #expect(
        await client.flood(20) { index in
          FrameClient.frame(0x1, 0x5, UInt32(index) * 2 + 1, bomb)
        })
    }
  }
}
