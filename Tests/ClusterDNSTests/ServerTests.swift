import JSONCodec
import KubernetesClient
import Logging
import NFTables
import NIOPosix
import Synchronization
import Testing

@testable import ClusterDNS

#if canImport(Glibc)
  import Glibc
#endif

private struct FixedAPI: APITransport {
  let objects: [String: [JSON]]
  func send(_ request: APIRequest) async throws -> APIResponse {
    let plural = String(request.path.split(separator: "/").last ?? "")
    return APIResponse(status: 200, body: ["metadata": ["resourceVersion": "1"], "items": .array(objects[plural] ?? [])])
  }
  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> { AsyncThrowingStream { _ in } }
}

/// The whole server on the machine's loopback, asked by clients that are not ours (Python's sockets and glibc's resolver) and ourselves.
@Suite(.serialized) struct ServerTests {
  private static func running(
    upstream: [(host: String, port: Int)] = [], _ body: @escaping @Sendable (ClusterDNS, Int) async throws -> Void
  ) async throws {
    var configuration = ClusterDNSConfiguration(
      address: "127.0.0.1", domain: "cluster.local", podCIDRs: ["10.244.0.0/16"], serviceCIDRs: ["10.96.0.0/16"], nodeAddresses: [])
    configuration.port = 0
    configuration.addsAddress = false
    configuration.upstream = upstream
    let server = try ClusterDNS(configuration, group: MultiThreadedEventLoopGroup.singleton, log: Logger(label: "test"))
    let many = (1...120).map { JSON.object(JSONObject([("addresses", JSON(["10.244.3.\($0)"]))])) }
    let api = FixedAPI(objects: [
      "services": [
        [
          "metadata": ["namespace": "shop", "name": "web"], "spec": ["clusterIP": "10.96.0.20", "ports": [["name": "http", "port": 80]]],
        ],
        ["metadata": ["namespace": "shop", "name": "many"], "spec": ["clusterIP": "None"]],
        ["metadata": ["namespace": "shop", "name": "out"], "spec": ["type": "ExternalName", "externalName": "www.example.com"]],
      ],
      "endpointslices": [
        ["metadata": ["namespace": "shop", "name": "many-1", "labels": ["kubernetes.io/service-name": "many"]], "endpoints": .array(many)]
      ],
    ])
    let (ready, continuation) = AsyncStream.makeStream(of: Int.self)
    let running = Task { try await server.run(client: KubernetesClient(transport: api)) { continuation.yield($0) } }
    defer { running.cancel() }
    for await port in ready {
      try await body(server, port)
      break
    }
  }

  private static func ask(_ port: Int, _ name: String, tcp: Bool = false) async throws -> [UInt8] {
    // On a thread of its own: a blocked thread of the pool would keep the server from answering.
    try await NamespaceThreads.run(nil) { try askBlocking(port, name, RecordType.a, tcp) }
  }

  private static func askBlocking(_ port: Int, _ name: String, _ type: UInt16, _ tcp: Bool) throws -> [UInt8] {
    let message = DNSWire.writeQuery(DNSQuery(0, DNSQuestion(DNSName(name)!, type)), identifier: 77)
    let raw = socket(AF_INET, Int32(tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue), 0)
    defer { close(raw) }
    var patience = timeval(tv_sec: 4, tv_usec: 0)
    setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    let sent = tcp ? [UInt8(message.count >> 8), UInt8(message.count & 0xff)] + message : message
    send(raw, sent, sent.count, 0)
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_535)
    repeat {
      let count = recv(raw, &buffer, buffer.count, 0)
      if count <= 0 { break }
      answer += buffer[..<count]
    } while tcp && (answer.count < 2 || answer.count < 2 + Int(answer[0]) << 8 + Int(answer[1]))
    return tcp ? Array(answer.dropFirst(2)) : answer
  }

  @Test func answersByBothTransports() async throws {
    try await Self.running { _, port in
      #expect(DNSWire.answers(try await Self.ask(port, "web.shop.svc.cluster.local"))?.records.first?.data == .address([10, 96, 0, 20]))
      #expect(DNSWire.summary(try await Self.ask(port, "nothing.shop.svc.cluster.local"))?.code == 3)
      #expect(DNSWire.summary(try await Self.ask(port, "many.shop.svc.cluster.local"))?.isTruncated == true)
      let whole = try await Self.ask(port, "many.shop.svc.cluster.local", tcp: true)
      #expect(DNSWire.answers(whole)?.records.count == 120)
    }
  }

  /// An upstream server of two lines of Python: by UDP it says "truncated" to names with "big", by TCP it answers.
  private static let upstreamScript = """
    import socket, struct, threading, sys
    def answer(q, tcp):
        name = q[12:q.index(0, 12) + 1]
        end = 12 + len(name) + 4
        if b'big' in name and not tcp:
            return q[:2] + b'\\x83\\x80\\x00\\x01' + b'\\0' * 6 + q[12:end]
        if b'missing' in name:
            return q[:2] + b'\\x81\\x83\\x00\\x01' + b'\\0' * 6 + q[12:end]
        return q[:2] + b'\\x81\\x80\\x00\\x01\\x00\\x01' + b'\\0' * 4 + q[12:end] + b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\1\\2\\3\\4'
    t = socket.socket(); t.bind(('127.0.0.1', 0)); t.listen(8)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', t.getsockname()[1]))
    print(t.getsockname()[1], flush=True)
    def tcp():
        while True:
            c, _ = t.accept(); q = c.recv(4096)[2:]; a = answer(q, True); c.sendall(struct.pack('>H', len(a)) + a); c.close()
    threading.Thread(target=tcp, daemon=True).start()
    while True:
        q, who = u.recvfrom(4096)
        u.sendto(answer(q, False), who)
    """

  @Test func forwardsCachesAndRetriesByTCP() async throws {
    let upstream = try PythonServer(Self.upstreamScript)
    defer { upstream.stop() }
    try await Self.running(upstream: [("127.0.0.1", upstream.port)]) { server, port in
      for _ in 0..<3 {
        let answer = try await Self.ask(port, "www.example.com")
        #expect(DNSWire.answers(answer)?.records.first?.data == .address([1, 2, 3, 4]))
      }
      #expect(server.resolver.statistics.forwarded == 1 && server.resolver.statistics.cacheHits == 2)
      let big = try await Self.ask(port, "big.example.com")
      #expect(DNSWire.answers(big)?.records.count == 1 && DNSWire.summary(big)?.isTruncated == false)
      #expect(DNSWire.summary(try await Self.ask(port, "missing.example.com"))?.code == 3)
      let alias = DNSWire.answers(try await Self.ask(port, "out.shop.svc.cluster.local"))?.records.map(\.type)
      #expect(alias == [RecordType.cname, RecordType.a], "an alias comes with what it leads to")
    }
  }

  @Test func aDeadUpstreamIsAnsweredInTime() async throws {
    try await Self.running(upstream: [("127.0.0.1", 1)]) { _, port in
      let answer = try await Self.ask(port, "www.example.com")
      #expect(DNSWire.summary(answer)?.code == 2)
    }
  }
}

/// A Python program that prints its port and serves until it is stopped.
private final class PythonServer: Sendable {
  let port: Int
  private let process: Int32

  init(_ script: String) throws {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw Failure("pipe") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_addclose(&actions, ends[0])
    defer { posix_spawn_file_actions_destroy(&actions) }
    var arguments: [UnsafeMutablePointer<CChar>?] = ["python3", "-c", script].map { (text: String) in strdup(text) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    guard posix_spawnp(&pid, "python3", &actions, nil, &arguments, environ) == 0 else { throw Failure("python3 does not start") }
    close(ends[1])
    // The whole first line: an unbuffered Python writes the number and the line's end one after the other.
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while read(ends[0], &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
    close(ends[0])
    process = pid
    guard let port = Int(String(decoding: line, as: UTF8.self)) else { throw Failure("no port") }
    self.port = port
  }

  func stop() {
    kill(process, SIGKILL)
    var status: Int32 = 0
    waitpid(process, &status, 0)
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }
}
