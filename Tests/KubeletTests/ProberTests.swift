import Foundation
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import PodLifecycle
import Testing

@testable import Kubelet

/// Probes and hooks against real servers on loopback.
@Suite struct ProberTests {
  let prober = Prober(
    runtime: FakeRuntime(), http: ProbeClient(group: .singletonMultiThreadedEventLoopGroup), group: .singletonMultiThreadedEventLoopGroup,
    clock: .system, version: "1.33")
  let pod = Pod(["metadata": ["name": "web", "namespace": "default", "uid": "u"]])

  /// A busy machine may take its time, except where the deadline is what is tested.
  func probe(_ handler: JSON, ports: JSON = .null, timeoutSeconds: Int = 30) async -> ProbeOutcome {
    var container: JSON = ["name": "app"]
    container["ports"] = ports
    var spec = handler
    if spec["timeoutSeconds"].isNull { spec["timeoutSeconds"] = JSON(timeoutSeconds) }
    return await prober.probe(ProbeSpec(spec), container: Container(container), id: "c", pod: pod, podIP: "127.0.0.1")
  }

  /// An HTTP server that answers with the status its path names, and with what it was asked in a header.
  func withHTTP(_ body: (Int) async throws -> Void) async throws {
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup).childChannelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
        try channel.pipeline.syncOperations.addHandler(StatusFromPath())
      }
    }.bind(host: "127.0.0.1", port: 0).get()
    try await body(server.localAddress!.port!)
    try await server.close()
  }

  @Test func http() async throws {
    try await withHTTP { port in
      let number = JSON(port)
      #expect(await probe(["httpGet": ["path": "/200", "port": number]]).result == .success)
      #expect(await probe(["httpGet": ["path": "/302", "port": number]]).message.hasSuffix("statuscode: 500"), "followed on its host")
      #expect(
        await probe(["httpGet": ["path": "/307", "port": number]])
          == ProbeOutcome(.success, "Probe terminated redirects, Response body: ", isWarning: true), "not followed to another host")
      #expect(await probe(["httpGet": ["path": "/308", "port": number]]).message.hasSuffix("stopped after 10 redirects"))
      #expect(
        await probe(["httpGet": ["path": "/500", "port": number]]) == ProbeOutcome(.failure, "HTTP probe failed with statuscode: 500"))
      #expect(
        await probe(["httpGet": ["path": "200", "port": "web"]], ports: [["name": "web", "containerPort": number]]).result == .success)
      let header: JSON = ["path": "/agent", "port": number, "httpHeaders": [["name": "X-Want", "value": "200"]]]
      #expect(await probe(["httpGet": header]).result == .success)
      #expect(await probe(["httpGet": ["path": "/never", "port": number]], timeoutSeconds: 1).message.contains("deadline exceeded"))
    }
    #expect(await probe(["httpGet": ["path": "/", "port": "nosuch"]]).result == .unknown)
  }

  @Test func tcp() async throws {
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup).bind(host: "127.0.0.1", port: 0).get()
    let port = server.localAddress!.port!
    #expect(await probe(["tcpSocket": ["port": JSON(port)]]).result == .success)
    try await server.close()
    #expect(
      await probe(["tcpSocket": ["port": JSON(port)]]) == ProbeOutcome(.failure, "dial tcp 127.0.0.1:\(port): connect: connection refused"))
  }

  @Test func grpc() async throws {
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup).childChannelInitializer { channel in
      channel.configureHTTP2Pipeline(mode: .server) { stream in
        stream.eventLoop.makeCompletedFuture { try stream.pipeline.syncOperations.addHandler(HealthAnswer()) }
      }.map { _ in }
    }.bind(host: "127.0.0.1", port: 0).get()
    let port = JSON(server.localAddress!.port!)
    #expect(await probe(["grpc": ["port": port]]).result == .success)
    #expect(
      await probe(["grpc": ["port": port, "service": "sick"]])
        == ProbeOutcome(.failure, "service unhealthy (responded with \"NOT_SERVING\")"))
    let unimplemented = await probe(["grpc": ["port": port, "service": "unimplemented"]])
    #expect(unimplemented.result == .failure && unimplemented.message.contains("does not implement"))
    try await server.close()
    #expect(await probe(["grpc": ["port": port]]).result == .failure)
  }

  /// A server that takes the connection and never says a word costs the probe its timeout, no more.
  @Test func silence() async throws {
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup).bind(host: "127.0.0.1", port: 0).get()
    let port = JSON(server.localAddress!.port!)
    #expect(await probe(["grpc": ["port": port]], timeoutSeconds: 1).result == .failure)
    #expect(await probe(["httpGet": ["port": port, "path": "/"]], timeoutSeconds: 1).result == .failure)
    try await server.close()
  }

  @Test func execAndItsTimeout() async throws {
    let runtime = FakeRuntime()
    let prober = Prober(runtime: runtime, http: prober.http, group: .singletonMultiThreadedEventLoopGroup, clock: .system, version: "1")
    try await runtime.createSandbox(
      .init(id: "u", podName: "web", namespace: "default", hostname: "web", qos: .bestEffort, logDirectory: "/tmp"))
    _ = try await runtime.startContainer(.init(name: "app", attempt: 0, id: "c", logPath: "/tmp/x"), in: "u")
    let spec = ProbeSpec(["exec": ["command": ["/bin/check", "-v"]]])
    func run() async -> ProbeOutcome { await prober.probe(spec, container: Container(["name": "app"]), id: "c", pod: pod, podIP: "") }
    #expect(await run() == ProbeOutcome(.success, "said 0"))
    runtime.behave("app", .init(commandExit: 2))
    #expect(await run() == ProbeOutcome(.failure, "said 2"))
    runtime.behave("app", .init(commandSeconds: 20))
    #expect(await run() == ProbeOutcome(.failure, "command timed out: \"/bin/check -v\" timed out after 1s"))
  }

  @Test func hooks() async throws {
    try await withHTTP { port in
      let container = Container(["name": "app"])
      #expect(
        await prober.runHook(
          ["httpGet": ["path": "/200", "port": JSON(port)]], container: container, id: "c", pod: pod, podIP: "127.0.0.1") == nil)
      #expect(
        await prober.runHook(
          ["httpGet": ["path": "/404", "port": JSON(port)]], container: container, id: "c", pod: pod, podIP: "127.0.0.1") == nil,
        "it has been told")
      #expect(
        await prober.runHook(["httpGet": ["path": "/", "port": 1]], container: container, id: "c", pod: pod, podIP: "127.0.0.1")?
          .contains("connection refused") == true)
      #expect(await prober.runHook(["sleep": ["seconds": 0]], container: container, id: "c", pod: pod, podIP: "") == nil)
      #expect(await prober.runHook(.object(JSONObject()), container: container, id: "c", pod: pod, podIP: "") != nil)
    }
  }

  /// A request of 0 or 130 bytes of service name, byte for byte (protobuf field 1, gRPC's five bytes before it).
  @Test func grpcRequests() {
    #expect(Array(HealthCheck.request(service: "").readableBytesView) == [0, 0, 0, 0, 0])
    #expect(Array(HealthCheck.request(service: "ab").readableBytesView) == [0, 0, 0, 0, 4, 0x0A, 2, 0x61, 0x62])
    #expect(
      Array(HealthCheck.request(service: String(repeating: "a", count: 130)).readableBytesView.prefix(8)) == [
        0, 0, 0, 0, 133, 0x0A, 0x82, 0x01,
      ])
    #expect(HealthCheck.status(ByteBuffer(bytes: [0, 0, 0, 0, 2, 8, 1])) == .serving)
    #expect(HealthCheck.status(ByteBuffer(bytes: [0, 0, 0, 0, 2, 8])) == nil)
    #expect(HealthCheck.status(ByteBuffer(bytes: [0, 0, 0, 0, 0])) == .unknown)
  }
}

private final class StatusFromPath: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data) else { return }
    let wanted = head.headers.first(name: "X-Want") ?? String(head.uri.dropFirst())
    guard let code = Int(wanted) else { return }  // never answers
    var headers: HTTPHeaders = ["Content-Length": "0", "Connection": "close"]
    if code == 302 { headers.add(name: "Location", value: "/500") }
    if code == 307 { headers.add(name: "Location", value: "http://localhost/200") }
    if code == 308 { headers.add(name: "Location", value: "/308") }
    context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .init(statusCode: code), headers: headers))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}

/// Health/Check: "" is serving, "sick" is not, and "unimplemented" is answered by trailers alone.
private final class HealthAnswer: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .data(let data) = unwrapInboundIn(data), case .byteBuffer(let body) = data.data else { return }
    let service = String(buffer: body.getSlice(at: body.readerIndex + 5, length: body.readableBytes - 5) ?? ByteBuffer()).dropFirst(2)
    let headers: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]
    if service == "unimplemented" {
      var trailers = headers
      trailers.add(name: "grpc-status", value: "12")
      return context.writeAndFlush(wrapOutboundOut(.headers(.init(headers: trailers, endStream: true))), promise: nil)
    }
    context.write(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
    let answer = ByteBuffer(bytes: [0, 0, 0, 0, 2, 8, service == "sick" ? 2 : 1])
    context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(answer)))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.headers(.init(headers: ["grpc-status": "0"], endStream: true))), promise: nil)
  }
}
