import Foundation
import HTTPServing
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Runs a program to its end; its output, or its error text where it failed.
@discardableResult
func run(_ program: String, _ arguments: [String], input: String? = nil) async throws -> (status: Int32, output: String) {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread {
      do {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        let stdin = Pipe()
        process.standardInput = stdin
        try process.run()
        if let input { stdin.fileHandleForWriting.write(Data(input.utf8)) }
        try stdin.fileHandleForWriting.close()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        continuation.resume(returning: (process.terminationStatus, String(decoding: data, as: UTF8.self)))
      } catch { continuation.resume(throwing: error) }
    }
  }
}

/// Certificates made once by openssl(1): an authority, a server for 127.0.0.1 and localhost, a client "alice", and a stranger's client.
struct Certificates: Sendable {
  let directory: String
  private static var path: String { NSTemporaryDirectory() + "swiftlet-http-\(getpid())" }
  static let shared = Task { try await Certificates() }

  init() async throws {
    directory = Self.path
    atexit { try? FileManager.default.removeItem(atPath: Certificates.path) }
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let script = """
      set -e; cd \(directory)
      key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
      for ca in ca other; do key $ca; openssl req -x509 -new -key $ca.key -days 2 -subj /CN=$ca -out $ca.crt; done
      leaf() { key $1; openssl req -new -key $1.key -subj "$3" -out $1.csr
        openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -days 2 -extfile $1.ext -out $1.crt; }
      echo 'subjectAltName=DNS:localhost,IP:127.0.0.1
      extendedKeyUsage=serverAuth' > server.ext
      echo 'extendedKeyUsage=clientAuth' > alice.ext; cp alice.ext stranger.ext
      leaf server ca /CN=server; leaf alice ca /O=system:masters/CN=alice; leaf stranger other /CN=stranger
      """
    let result = try await run("/bin/bash", ["-c", script])
    guard result.status == 0 else { throw ScriptError(output: result.output) }
  }

  func bytes(_ name: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))) }

  func server() throws -> ServerTLS {
    try ServerTLS(certificateChainPEM: bytes("server.crt"), privateKeyPEM: bytes("server.key"), clientAuthoritiesPEM: bytes("ca.crt"))
  }

  func client() throws -> ClientTLS {
    try ClientTLS(certificateChainPEM: bytes("alice.crt"), privateKeyPEM: bytes("alice.key"), trustRootsPEM: bytes("ca.crt"))
  }
}

struct ScriptError: Error { let output: String }

/// A server on a loopback port for the time of `body`.
func withServer(
  tls: ServerTLS? = nil, configure: (inout HTTPServerConfiguration) -> Void = { _ in },
  handler: @escaping @Sendable (ServedRequest) async -> ServedResponse, _ body: (HTTPServer, Int) async throws -> Void
) async throws {
  var configuration = HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0), tls: tls)
  configuration.limits.stopGrace = .milliseconds(500)
  configure(&configuration)
  let server = HTTPServer(configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, handler: handler)
  let port = try await server.start()
  do { try await body(server, port) } catch {
    await server.stop()
    throw error
  }
  await server.stop()
}

/// A client connection of raw bytes.
final class RawClient: Sendable {
  let channel: any Channel
  private let reader: NIOLoopBound<Reader>

  private final class Reader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var received = ""
    var isClosed = false
    var waiting: [(String?, CheckedContinuation<String, Never>)] = []
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      received += String(buffer: Self.unwrapInboundIn(data))
      check()
    }
    func channelInactive(context: ChannelHandlerContext) {
      isClosed = true
      check()
    }
    func check() {
      waiting.removeAll { text, continuation in
        guard isClosed || text.map({ received.contains($0) }) == true else { return false }
        continuation.resume(returning: received)
        return true
      }
    }
  }

  init(port: Int) async throws {
    let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: NIOLoopBound<Reader>.self)
    channel = try await ClientBootstrap(group: promise.futureResult.eventLoop).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        let reader = Reader()
        try channel.pipeline.syncOperations.addHandler(reader)
        promise.succeed(NIOLoopBound(reader, eventLoop: channel.eventLoop))
      }
    }.connect(host: "127.0.0.1", port: port).get()
    reader = try await promise.futureResult.get()
  }

  func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

  /// All that was received, as soon as it contains `text` or the server closed.
  func received(until text: String?) async -> String {
    await withCheckedContinuation { continuation in
      channel.eventLoop.execute {
        self.reader.value.waiting.append((text, continuation))
        self.reader.value.check()
      }
    }
  }
}
