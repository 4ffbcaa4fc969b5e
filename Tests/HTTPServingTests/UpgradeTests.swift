import HTTPServing
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

/// Sends back what comes, in upper case.
private final class Shouter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let text = String(buffer: Self.unwrapInboundIn(data)).uppercased()
    context.channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
  }
}

@Sendable private func shout(_ request: ServedRequest) async -> ServedResponse {
  guard request.headers["upgrade"] == ["shout"] else { return .text(.badRequest, "no such upgrade") }
  return .upgrade(headers: ["Connection": "Upgrade", "Upgrade": "shout", "X-Chosen": "loud"]) { channel in
    try? await Task.sleep(for: .milliseconds(50))  // bytes come while nobody is there
    try? await channel.takeUp { [Shouter()] }
    try? await channel.closeFuture.get()
  }
}

private let upgradeRequest = "POST /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"

@Suite struct UpgradeTests {
  @Test func bytesAfterTheHeadReachTheNewHandlers() async throws {
    try await withServer(handler: shout) { _, port in
      let client = try await RawClient(port: port)
      try await client.send(upgradeRequest + "early ")
      try await client.send("late")
      let text = await client.received(until: "EARLY LATE")
      #expect(text.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
      #expect(text.contains("X-Chosen: loud\r\n") && text.hasSuffix("\r\n\r\nEARLY LATE"))
      #expect(!text.lowercased().contains("transfer-encoding") && !text.lowercased().contains("content-length"))
      try await client.channel.close()
    }
  }

  @Test func withoutAnUpgradeHeaderNothingIsTakenOver() async throws {
    try await withServer(handler: { _ in .upgrade(headers: [:]) { _ in Issue.record("taken over") } }) { _, port in
      let client = try await RawClient(port: port)
      try await client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      #expect(await client.received(until: nil).hasPrefix("HTTP/1.1 400 "))
    }
  }

  /// client -> front (plain) -> back (TLS with the front's certificate), as kubectl -> API server -> kubelet.
  @Test func forwardedUpgradesJoinBothConnections() async throws {
    let certificates = try await Certificates.shared.value
    let tls = try certificates.client()
    try await withServer(
      tls: try certificates.server(),
      handler: { request in
        request.peerCertificateDER == nil ? .text(.unauthorized, "who?") : await shout(request)
      }
    ) { _, backPort in
      let target = UpgradeTarget(host: "127.0.0.1", port: backPort, tls: tls)
      try await withServer(handler: { request in
        do {
          var headers: HTTPHeaders = ["Connection": "Upgrade"]
          for value in request.headers["upgrade"] { headers.add(name: "Upgrade", value: value) }
          return try await forwardUpgrade(
            method: request.method, uri: "/x" + request.uri, headers: headers, to: target, eventLoop: request.eventLoop!)
        } catch { return .text(.badGateway, "\(error)") }
      }) { _, port in
        let client = try await RawClient(port: port)
        try await client.send(upgradeRequest + "abc")
        #expect(await client.received(until: "ABC").contains("X-Chosen: loud\r\n"))
        let large = String(repeating: "x", count: 3_000_000) + "end."
        try await client.send(large)
        let text = await client.received(until: "END.")
        #expect(text.utf8.count > 3_000_000)
        try await client.channel.close()

        let refused = try await RawClient(port: port)
        try await refused.send(upgradeRequest.replacing("shout", with: "whisper") + "GET /smuggled HTTP/1.1\r\n\r\n")
        let answer = await refused.received(until: nil)
        #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.hasSuffix("no such upgrade"))
      }
    }
  }

  @Test func anUnreachableTargetIsAnError() async throws {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    await #expect(throws: UpgradeForwardingError.self) {
      _ = try await forwardUpgrade(
        method: .POST, uri: "/", headers: ["Connection": "Upgrade", "Upgrade": "x"],
        to: UpgradeTarget(host: "127.0.0.1", port: 1, tls: nil), eventLoop: loop)
    }
  }

  @Test func aServersCertificateIsVerified() async throws {
    let certificates = try await Certificates.shared.value
    let tls = try ClientTLS(certificateChainPEM: [], privateKeyPEM: [], trustRootsPEM: certificates.bytes("other.crt"))
    try await withServer(tls: try certificates.server(), handler: shout) { _, port in
      await #expect(throws: UpgradeForwardingError.self) {
        _ = try await forwardUpgrade(
          method: .POST, uri: "/", headers: ["Connection": "Upgrade", "Upgrade": "shout"],
          to: UpgradeTarget(host: "127.0.0.1", port: port, tls: tls),
          eventLoop: MultiThreadedEventLoopGroup.singleton.next())
      }
    }
  }

  @Test func halfClosePassesThroughAJoin() async throws {
    // back answers after its client's end of file only
    final class AtEnd: ChannelInboundHandler {
      typealias InboundIn = ByteBuffer
      var count = 0
      func channelRead(context: ChannelHandlerContext, data: NIOAny) { count += Self.unwrapInboundIn(data).readableBytes }
      func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(ChannelEvent.inputClosed) = event as? ChannelEvent else { return }
        let channel = context.channel
        channel.writeAndFlush(ByteBuffer(string: "counted \(count)")).whenComplete { _ in channel.close(promise: nil) }
      }
    }
    try await withServer(handler: { _ in
      .upgrade(headers: ["Connection": "Upgrade", "Upgrade": "shout"]) { channel in
        try? await channel.takeUp(allowsHalfClosure: true) { [AtEnd()] }
        try? await channel.closeFuture.get()
      }
    }) { _, backPort in
      try await withServer(handler: { request in
        (try? await forwardUpgrade(
          method: .POST, uri: "/", headers: ["Connection": "Upgrade", "Upgrade": "shout"],
          to: UpgradeTarget(host: "127.0.0.1", port: backPort, tls: nil),
          eventLoop: request.eventLoop!)) ?? .text(.badGateway, "no")
      }) { _, port in
        let client = try await RawClient(port: port)
        try await client.send(upgradeRequest)
        _ = await client.received(until: "\r\n\r\n")
        try await client.send("12345")
        try await client.channel.close(mode: .output)
        let text = await client.received(until: nil)
        #expect(text.hasSuffix("counted 5"))
      }
    }
  }
}
