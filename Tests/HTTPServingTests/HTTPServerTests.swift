import Foundation
import HTTPServing
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// Says back what it was asked.
@Sendable private func echo(_ request: ServedRequest) async -> ServedResponse {
  let query = request.query.map { "\($0.0)=\($0.1)" }.joined(separator: ";")
  let lines = [
    "\(request.method.rawValue) \(request.path) \(query)", "http \(request.httpMajorVersion)", "body \(request.body.readableBytes)",
    "certificate \(request.peerCertificateDER?.count ?? 0 > 100)",
  ]
  return .text(.ok, lines.joined(separator: "\n") + "\n")
}

@Suite struct HTTPServerTests {
  @Test func curlSpeaksBothProtocolsOnOneTLSListener() async throws {
    let certificates = try await Certificates.shared.value
    try await withServer(tls: try certificates.server(), handler: echo) { _, port in
      for (option, version) in [("--http1.1", "1"), ("--http2", "2")] {
        let answer = try await run(
          "/usr/bin/curl",
          [
            "-sS", option, "--cacert", "\(certificates.directory)/ca.crt", "https://localhost:\(port)/a%20b/c?x=1+2&y=%26&z",
            "https://127.0.0.1:\(port)/2",
            "-w", "%{http_code} %{http_version}\n",
          ])
        #expect(answer.output.hasPrefix("GET /a b/c x=1 2;y=&;z=\nhttp \(version)\nbody 0\ncertificate false\n200 \(version)"))
        #expect(answer.output.contains("GET /2 \n"))
      }
    }
  }

  @Test func clientCertificatesAreOptionalAndVerified() async throws {
    let certificates = try await Certificates.shared.value
    let dir = certificates.directory
    try await withServer(tls: try certificates.server(), handler: echo) { _, port in
      func curl(_ name: String, _ version: String) async throws -> String {
        try await run(
          "/usr/bin/curl",
          [
            "-sS", version, "--cacert", "\(dir)/ca.crt", "--cert", "\(dir)/\(name).crt", "--key", "\(dir)/\(name).key",
            "https://localhost:\(port)/",
          ]
        ).output
      }
      #expect(try await curl("alice", "--http1.1").contains("certificate true"))
      #expect(try await curl("alice", "--http2").contains("certificate true"))
      #expect(try await !curl("stranger", "--http2").contains("GET /"))
      let old = try await run("/usr/bin/openssl", ["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_1"])
      #expect(old.status != 0)
    }
  }

  @Test(arguments: ["--http1.1", "--http2"]) func bodiesAreLimitedPerRequest(version: String) async throws {
    let certificates = try await Certificates.shared.value
    let file = "\(certificates.directory)/big\(version)"
    try Data(repeating: 65, count: 2_000_000).write(to: URL(fileURLWithPath: file))
    try await withServer(
      tls: try certificates.server(), configure: { $0.bodyBytesMax = { $0.uri == "/small" ? 1000 : 3_000_000 } }, handler: echo
    ) {
      _, port in
      func post(_ path: String, _ extra: [String] = []) async throws -> String {
        try await run(
          "/usr/bin/curl",
          [
            "-sS", version, "--cacert", "\(certificates.directory)/ca.crt", "--data-binary", "@\(file)", "-w", "%{http_code}",
            "https://localhost:\(port)\(path)",
          ] + extra
        ).output
      }
      let big = try await post("/big")
      #expect(big.contains("body 2000000\n"))
      #expect(try await post("/small").hasSuffix("Request entity too large: limit is 1000\n413"))
      #expect(try await post("/small", ["-H", "Transfer-Encoding: chunked"]).contains("413"))
    }
  }

  @Test func connectionIsKeptAndPipelinedRequestsAreAnsweredInTurn() async throws {
    try await withServer(handler: echo) { _, port in
      let client = try await RawClient(port: port)
      try await client.send(
        "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
      )
      let text = await client.received(until: nil)
      let paths = text.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("GET /") || $0.hasPrefix("POST /") }
      #expect(paths == ["GET /1 ", "POST /2 ", "GET /3 "])
      #expect(text.contains("body 3\n"))
    }
  }

  @Test func manyPipelinedRequestsAreHeldBackNotLost() async throws {
    try await withServer(handler: echo) { _, port in
      let client = try await RawClient(port: port)
      for i in 0..<300 { try await client.send("GET /\(i) HTTP/1.1\r\nHost: x\r\n\r\n") }
      let text = await client.received(until: "GET /299 ")
      #expect(text.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("GET /") }.count == 300)
    }
  }

  @Test func headersCannotBeWrittenIntoOthers() async throws {
    try await withServer(handler: { _ in
      ServedResponse(headers: ["A": "x\r\n\r\nbody", "B\nC": "d", "E": "f"], body: .bytes(ByteBuffer(string: "true body")))
    }) { _, port in
      let client = try await RawClient(port: port)
      try await client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      let text = await client.received(until: nil)
      #expect(text.hasSuffix("\r\n\r\ntrue body") && text.contains("E: f\r\n"))
      #expect(!text.contains("C: d") && text.components(separatedBy: "\r\n\r\n").count == 2)
    }
  }

  @Test func brokenRequestsAreRefused() async throws {
    try await withServer(handler: echo) { _, port in
      for (request, status) in [
        ("NONSENSE\r\n\r\n", "400"), ("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nA: \(String(repeating: "x", count: 70_000))\r\n\r\n", "431"),
      ] {
        let client = try await RawClient(port: port)
        try await client.send(request)
        #expect(await client.received(until: nil).hasPrefix("HTTP/1.1 \(status) "))
      }
    }
  }

  @Test func slowHeadersAndSilentHandshakesAreCutOff() async throws {
    let certificates = try await Certificates.shared.value
    let shorten: (inout HTTPServerConfiguration) -> Void = {
      $0.limits.requestReadTimeout = .milliseconds(200)
      $0.limits.handshakeTimeout = .milliseconds(200)
    }
    try await withServer(configure: shorten, handler: echo) { _, port in
      let idle = try await RawClient(port: port)
      for request in ["GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"] {
        let client = try await RawClient(port: port)
        try await client.send(request)
        #expect(await client.received(until: nil) == "")
      }
      #expect(idle.channel.isActive, "a connection without a request begun may wait")
    }
    try await withServer(tls: try certificates.server(), configure: shorten, handler: echo) { server, port in
      let client = try await RawClient(port: port)
      #expect(await client.received(until: nil) == "")
      while server.connectionCount != 0 { try await Task.sleep(for: .milliseconds(5)) }  // hangs where the connection stays counted
    }
  }

  @Test(arguments: ["--http1.1", "--http2"]) func streamsArriveWriteByWriteAndEndWithTheirClient(version: String) async throws {
    let certificates = try await Certificates.shared.value
    let cancelled = AsyncStream<Void>.makeStream()
    try await withServer(
      tls: try certificates.server(),
      handler: { request in
        ServedResponse(
          body: .stream { writer in
            for i in 0..<3 { try await writer.write(ByteBuffer(string: "line \(i)\n")) }
            guard request.path == "/watch" else { return }
            do { try await Task.sleep(for: .seconds(60)) } catch { cancelled.continuation.yield() }
          })
      }
    ) { _, port in
      let curl = ["-sS", version, "--cacert", "\(certificates.directory)/ca.crt"]
      #expect(try await run("/usr/bin/curl", curl + ["https://localhost:\(port)/list"]).output == "line 0\nline 1\nline 2\n")
      let watch = try await run("/usr/bin/curl", curl + ["-m", "1", "https://localhost:\(port)/watch"])
      #expect(watch.output.contains("line 0\nline 1\nline 2\n"))
      #expect(watch.status == 28, "curl's own time limit ended it")
      for await _ in cancelled.stream { break }  // hangs where the request's task is not cancelled
    }
  }

  @Test func aStreamWaitsForASlowReader() async throws {
    let written = Mutex(0)
    try await withServer(handler: { _ in
      ServedResponse(
        body: .stream { writer in
          let block = ByteBuffer(repeating: 65, count: 64 * 1024)
          for _ in 0..<1000 {
            try await writer.write(block)
            written.withLock { $0 += block.readableBytes }
          }
        })
    }) { _, port in
      let client = try await RawClient(port: port)
      try await client.channel.setOption(ChannelOptions.autoRead, value: false).get()
      try await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
      var last = -1
      while last != written.withLock({ $0 }) {
        last = written.withLock { $0 }
        try await Task.sleep(for: .milliseconds(200))
      }
      #expect(last < 40_000_000, "what the sockets hold, not all 65 MB")
      try await client.channel.close()
    }
  }

  @Test func aFailedStreamIsSeenAsBroken() async throws {
    try await withServer(handler: { _ in
      ServedResponse(
        body: .stream { writer in
          try await writer.write(ByteBuffer(string: "half"))
          throw ConnectionClosedError()
        })
    }) { _, port in
      let answer = try await run("/usr/bin/curl", ["-sS", "http://127.0.0.1:\(port)/"])
      #expect(answer.status == 18, "curl: transfer closed with outstanding read data remaining; got \(answer)")
    }
  }

  @Test func stopEndsStreamsCleanlyAndFinishesRequests() async throws {
    let started = AsyncStream<Void>.makeStream()
    var configuration = HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0))
    configuration.limits.stopGrace = .seconds(5)
    let server = HTTPServer(configuration: configuration, group: MultiThreadedEventLoopGroup.singleton) { request in
      started.continuation.yield()
      guard request.path == "/watch" else {
        try? await Task.sleep(for: .milliseconds(300))
        return .text(.ok, "done")
      }
      return ServedResponse(body: .stream { _ in try await Task.sleep(for: .seconds(60)) })
    }
    let port = try await server.start()
    async let watch = run("/usr/bin/curl", ["-sS", "http://127.0.0.1:\(port)/watch"])
    async let plain = run("/usr/bin/curl", ["-sS", "http://127.0.0.1:\(port)/plain"])
    var count = 0
    for await _ in started.stream {
      count += 1
      if count == 2 { break }
    }
    await server.stop()
    #expect(try await watch == (0, ""), "ended by the server, a minute before its handler")
    #expect(try await plain == (0, "done"))
  }

  @Test func unixSocketHasItsMode() async throws {
    let path = NSTemporaryDirectory() + "swiftlet-http-\(getpid()).sock"
    let server = HTTPServer(
      configuration: HTTPServerConfiguration(address: .unix(path: path, mode: 0o600)), group: MultiThreadedEventLoopGroup.singleton,
      handler: echo)
    try await server.start()
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(try await run("/usr/bin/curl", ["-sS", "--unix-socket", path, "http://x/ps"]).output.hasPrefix("GET /ps "))
    await server.stop()
    try? FileManager.default.removeItem(atPath: path)
  }

  @Test func headHasNoBody() async throws {
    try await withServer(handler: echo) { _, port in
      let client = try await RawClient(port: port)
      try await client.send("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      let text = await client.received(until: nil)
      #expect(text.hasSuffix("\r\n\r\n"))
      #expect(text.lowercased().contains("content-length: "))
    }
  }
}
