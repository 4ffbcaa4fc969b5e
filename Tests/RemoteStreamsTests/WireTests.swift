import Foundation
import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing

@testable import RemoteStreams

/// A WebSocket client of a few lines: the handshake's answer, then frames.
private final class WebSocketClient: Sendable {
  let head: String
  private let channel: any Channel
  private let frames: Mutex<AsyncStream<WebSocketFrame>.Iterator>

  private final class HeadReader: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    private var bytes = ByteBuffer()
    private let done: EventLoopPromise<String>
    init(_ done: EventLoopPromise<String>) { self.done = done }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      bytes.writeImmutableBuffer(Self.unwrapInboundIn(data))
      guard let end = String(buffer: bytes).range(of: "\r\n\r\n") else { return }
      let text = String(buffer: bytes)[..<end.upperBound]
      done.succeed(String(text))
      bytes.moveReaderIndex(forwardBy: text.utf8.count)
      _ = context.pipeline.syncOperations.removeHandler(context: context)
    }
    func handlerRemoved(context: ChannelHandlerContext) {
      if bytes.readableBytes > 0 { context.fireChannelRead(Self.wrapInboundOut(bytes)) }
    }
    func channelInactive(context: ChannelHandlerContext) { done.fail(ConnectionClosedError()) }
  }

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    private let frames: AsyncStream<WebSocketFrame>.Continuation
    init(_ frames: AsyncStream<WebSocketFrame>.Continuation) { self.frames = frames }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { frames.yield(Self.unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { frames.finish() }
  }

  init(port: Int, path: String, subprotocol: String?) async throws {
    let (stream, continuation) = AsyncStream<WebSocketFrame>.makeStream()
    frames = Mutex(stream.makeAsyncIterator())
    let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
    let done = eventLoop.makePromise(of: String.self)
    channel = try await ClientBootstrap(group: eventLoop).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.addHandlers(
          [
            HeadReader(done), WebSocketFrameEncoder(), ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1 << 20)),
            Collector(continuation),
          ] as [any ChannelHandler])
      }
    }.connect(host: "127.0.0.1", port: port).get()
    let offer = subprotocol.map { "Sec-WebSocket-Protocol: \($0)\r\n" } ?? ""
    // Past the frame encoder, which would take these bytes for a frame.
    let request = ByteBuffer(
      string:
        "GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\(offer)\r\n"
    )
    let channel = channel
    try await eventLoop.flatSubmit {
      channel.pipeline.context(handlerType: HeadReader.self).assumeIsolated().map { $0.writeAndFlush(NIOAny(request), promise: nil) }
        .nonisolated()
    }.get()
    head = try await done.futureResult.get()
  }

  func send(_ opcode: WebSocketOpcode, _ bytes: [UInt8], fin: Bool = true) async throws {
    // The encoder masks with the key.
    try await channel.writeAndFlush(WebSocketFrame(fin: fin, opcode: opcode, maskKey: [9, 8, 7, 6], data: ByteBuffer(bytes: bytes)))
  }

  /// The next frame's kind and bytes; nil when the server has closed.
  func next() async -> (WebSocketOpcode, [UInt8])? {
    var iterator = frames.withLock { $0 }
    guard let frame = await iterator.next() else { return nil }
    return (frame.opcode, Array(frame.data.readableBytesView))
  }

  func close() async { try? await channel.close() }
}

private func withUpgradeServer(_ handler: @escaping @Sendable (ServedRequest) async -> ServedResponse, _ body: (Int) async throws -> Void)
  async throws
{
  var configuration = HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0))
  configuration.limits.stopGrace = .milliseconds(300)
  let server = HTTPServer(configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, handler: handler)
  let port = try await server.start()
  do { try await body(port) } catch {
    await server.stop()
    throw error
  }
  await server.stop()
}

/// Echoes stdin in capitals until its end or "quit", then fails with 3.
@Sendable private func capitals(_ request: ServedRequest) async -> ServedResponse {
  guard let options = RemoteCommandOptions(query: request) else { return .text(.badRequest, "") }
  return upgradeRemoteCommand(request: request, options: options) { streams in
    for await bytes in streams.stdin! {
      if String(buffer: bytes) == "quit" { break }
      try? await streams.writeOut(ByteBuffer(string: String(buffer: bytes).uppercased()))
    }
    return remoteCommandStatus(exitCode: 3)
  }
}

@Suite(.timeLimit(.minutes(1))) struct WireTests {
  @Test func v5PingsFragmentsHalfCloseAndClosing() async throws {
    try await withUpgradeServer(capitals) { port in
      let client = try await WebSocketClient(
        port: port, path: "/?stdin=true&stdout=true", subprotocol: "nonsense, v5.channel.k8s.io, v4.channel.k8s.io")
      #expect(client.head.hasPrefix("HTTP/1.1 101 ") && client.head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
      #expect(client.head.contains("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"))
      #expect(try #require(await client.next()) == (.binary, [1]))
      try await client.send(.ping, Array("beat".utf8))
      #expect(try #require(await client.next()) == (.pong, Array("beat".utf8)))
      try await client.send(.binary, [0] + Array("ab".utf8), fin: false)
      try await client.send(.continuation, Array("c".utf8))
      #expect(try #require(await client.next()) == (.binary, [1] + Array("ABC".utf8)))
      try await client.send(.binary, [255, 0])
      let (_, status) = try #require(await client.next())
      #expect(status.first == 3)
      #expect(try JSON.parse(status.dropFirst())["details"]["causes"][0] == ["reason": "ExitCode", "message": "3"])
      #expect(try #require(await client.next()) == (.connectionClose, [0x03, 0xe8]))
      try await client.send(.connectionClose, [0x03, 0xe8])
      #expect(await client.next() == nil)
    }
  }

  @Test(arguments: [nil, "channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io", "base64.v4.channel.k8s.io"]) func olderVersions(
    name: String?
  ) async throws {
    try await withUpgradeServer(capitals) { port in
      let isBase64 = name?.hasPrefix("base64") ?? false
      func message(_ channel: UInt8, _ text: String) -> [UInt8] {
        isBase64 ? [UInt8(ascii: "0") + channel] + Base64.encode(Array(text.utf8)) : [channel] + Array(text.utf8)
      }
      let opcode: WebSocketOpcode = isBase64 ? .text : .binary
      let client = try await WebSocketClient(port: port, path: "/?input=1&output=1", subprotocol: name)
      #expect(client.head.contains("Sec-WebSocket-Protocol") == (name != nil))
      #expect(try #require(await client.next()) == (opcode, message(1, "")))
      try await client.send(opcode, message(0, "hello"))
      #expect(try #require(await client.next()) == (opcode, message(1, "HELLO")))
      try await client.send(opcode, message(0, "quit"))
      let (_, last) = try #require(await client.next())
      let text = isBase64 ? Base64.decode(last.dropFirst())! : Array(last.dropFirst())
      let isJSON = (try? JSON.parse(text)["reason"]) == "NonZeroExitCode"
      #expect(isJSON == (name?.contains("v4") ?? false), "\(String(decoding: text, as: UTF8.self))")
      #expect(try #require(await client.next()).0 == .connectionClose)
    }
  }

  @Test(arguments: [nil, "binary.k8s.io", "base64.binary.k8s.io"]) func whatIsOnlyReadComesInMessages(name: String?) async throws {
    let text = String(repeating: "0123456789abcde\n", count: 300)
    try await withUpgradeServer({ request in
      WebSocketReading.upgrade(
        request,
        copy: { write in
          try await write(ByteBuffer(string: text))
          try await write(ByteBuffer(string: "end"))
        }) ?? .text(.badRequest, "")
    }) { port in
      let client = try await WebSocketClient(port: port, path: "/", subprotocol: name)
      #expect(client.head.hasPrefix("HTTP/1.1 101 ") && client.head.contains("Sec-WebSocket-Protocol: \(name ?? "")\r\n") == (name != nil))
      let isBase64 = name == "base64.binary.k8s.io"
      #expect(try #require(await client.next()) == (isBase64 ? .text : .binary, []))
      var read: [UInt8] = []
      while let (opcode, bytes) = await client.next(), opcode != .connectionClose {
        #expect(opcode == (isBase64 ? .text : .binary))
        read += isBase64 ? Base64.decode(bytes[...])! : bytes
      }
      #expect(String(decoding: read, as: UTF8.self) == text + "end")
      await client.close()
      let refused = try await WebSocketClient(port: port, path: "/", subprotocol: "channel.k8s.io")
      #expect(refused.head.hasPrefix("HTTP/1.1 403 "))
      await refused.close()
    }
  }

  @Test func unknownSubprotocolIsRefused() async throws {
    try await withUpgradeServer(capitals) { port in
      let client = try await WebSocketClient(port: port, path: "/?stdout=1", subprotocol: "v9.channel.k8s.io")
      #expect(client.head.hasPrefix("HTTP/1.1 403 "))
      await client.close()
    }
  }

  @Test func aClientThatLeavesCancelsItsSession() async throws {
    let events = AsyncStream<String>.makeStream()
    try await withUpgradeServer({ request in
      upgradeRemoteCommand(request: request, options: RemoteCommandOptions(stdin: true, stdout: true, stderr: false, tty: false)) { _ in
        events.continuation.yield("began")
        do { try await Task.sleep(for: .seconds(600)) } catch { events.continuation.yield("cancelled") }
        return remoteCommandStatus(exitCode: 0)
      }
    }) { port in
      var seen = events.stream.makeAsyncIterator()
      let client = try await WebSocketClient(port: port, path: "/", subprotocol: "v5.channel.k8s.io")
      #expect(await seen.next() == "began")
      await client.close()
      #expect(await seen.next() == "cancelled")
    }
  }

  /// A program that reads nothing: the client is held back instead of filling our memory.
  @Test func unreadStandardInputHoldsTheClientBack() async throws {
    let go = AsyncStream<Void>.makeStream()
    try await withUpgradeServer({ request in
      upgradeRemoteCommand(request: request, options: RemoteCommandOptions(stdin: true, stdout: true, stderr: false, tty: false)) {
        streams in
        for await _ in go.stream { break }
        var count = 0
        for await bytes in streams.stdin! { count += bytes.readableBytes }
        try? await streams.writeOut(ByteBuffer(string: "\(count)"))
        return remoteCommandStatus(exitCode: 0)
      }
    }) { port in
      let client = try await WebSocketClient(port: port, path: "/", subprotocol: "v5.channel.k8s.io")
      #expect(try #require(await client.next()).1 == [1])
      let sent = Mutex(0)
      let sending = Task {
        for _ in 0..<1000 {
          try await client.send(.binary, [0] + [UInt8](repeating: 120, count: 32_000))
          sent.withLock { $0 += 32_000 }
        }
        try await client.send(.binary, [255, 0])
      }
      var last = -1
      while last != sent.withLock({ $0 }) {
        last = sent.withLock { $0 }
        try await Task.sleep(for: .milliseconds(500))
      }
      #expect(last < 20_000_000, "sockets and the inbox are full at \(last)")
      go.continuation.finish()
      try await sending.value
      #expect(try #require(await client.next()).1 == [1] + Array("32000000".utf8))
      await client.close()
    }
  }

  @Test func olderPortForwardHasChannelsPerPort() async throws {
    let inner = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
    ) { _ in
      .text(.ok, "from the pod")
    }
    let innerPort = try await inner.start()
    struct Refused: Error, CustomStringConvertible { let description = "refused" }
    try await withUpgradeServer({ request in
      upgradePortForward(request: request) { port, eventLoop in
        guard port == 0x1234 else { throw Refused() }
        return try await connectLoopback(innerPort, eventLoop)
      }
    }) { port in
      let client = try await WebSocketClient(port: port, path: "/?port=4660&port=81", subprotocol: "v4.channel.k8s.io")
      try await client.send(.binary, [0] + Array("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
      var received: [UInt8: [UInt8]] = [:]
      while let (opcode, bytes) = await client.next(), opcode == .binary { received[bytes[0], default: []] += bytes.dropFirst() }
      #expect(received[0]?.prefix(2) == [0x34, 0x12] && String(decoding: received[0] ?? [], as: UTF8.self).hasSuffix("from the pod"))
      #expect(received[1] == [0x34, 0x12])
      #expect(received[2] == [81, 0])
      #expect(received[3] == [81, 0] + Array("refused".utf8))
      let refused = try await WebSocketClient(port: port, path: "/?port=0", subprotocol: "v4.channel.k8s.io")
      #expect(refused.head.hasPrefix("HTTP/1.1 400 "))
      await refused.close()
    }
    await inner.stop()
  }
}
