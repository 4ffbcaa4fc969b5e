import Foundation
import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1
import NIOPosix
import RemoteStreams
import Synchronization
import Testing

/// A server that knows one pod, "p", and serves its exec, attach and port-forward from memory: real kubectls talk to it.
private final class PodServer: Sendable {
  let server: HTTPServer
  let kubeconfig: String
  let upgrades: Protocols

  /// The protocols that clients asked for.
  final class Protocols: Sendable {
    private let seen = Mutex<[String]>([])
    func add(_ name: String) { seen.withLock { $0.append(name) } }
    var all: [String] { seen.withLock { $0 } }
  }

  /// `forwardPort`: where every forwarded connection goes.
  init(forwardPort: Int = 0) async throws {
    let upgrades = Protocols()
    self.upgrades = upgrades
    server = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
    ) { request in
      if let upgrade = request.headers.first(name: "upgrade") { upgrades.add(upgrade) }
      return Self.answer(request, forwardPort)
    }
    let port = try await server.start()
    kubeconfig = NSTemporaryDirectory() + "swiftlet-kubectl-\(getpid())-\(port)"
    try """
    {"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
     "clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:\(port)"}}],"users":[{"name":"u","user":{}}]}
    """.write(toFile: kubeconfig, atomically: true, encoding: .utf8)
  }

  func stop() async {
    await server.stop()
    try? FileManager.default.removeItem(atPath: kubeconfig)
    try? FileManager.default.removeItem(atPath: kubeconfig + ".cache")
  }

  private static func answer(_ request: ServedRequest, _ forwardPort: Int) -> ServedResponse {
    func json(_ document: String) -> ServedResponse {
      ServedResponse(headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(string: document)))
    }
    let pod = """
      {"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"default","uid":"1"},
       "spec":{"containers":[{"name":"c","image":"i","stdin":true,"tty":false,"ports":[{"containerPort":80}]}]},
       "status":{"phase":"Running","containerStatuses":[{"name":"c","ready":true,"restartCount":0,"image":"i","imageID":"i","state":{"running":{}}}]}}
      """
    switch request.path {
    case "/api": return json(#"{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]}"#)
    case "/apis": return json(#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#)
    case "/api/v1":
      return json(
        #"{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"],"shortNames":["po"]}]}"#
      )
    case "/version": return json(#"{"major":"1","minor":"33","gitVersion":"v1.33.0"}"#)
    case "/api/v1/namespaces/default/pods/p": return json(pod)
    case "/api/v1/namespaces/default/pods/p/exec", "/api/v1/namespaces/default/pods/p/attach":
      guard let options = RemoteCommandOptions(query: request) else { return .text(.badRequest, "no streams") }
      let command = request.queryValues("command")
      return upgradeRemoteCommand(request: request, options: options) { await perform(command, $0) }
    case "/api/v1/namespaces/default/pods/p/portforward":
      return upgradePortForward(request: request) { port, eventLoop in
        guard port == 80 else { throw ForwardError(description: "nothing listens on \(port)") }
        return try await connectLoopback(forwardPort, eventLoop)
      }
    default: return .text(.notFound, request.path)
    }
  }

  /// The "programs" of the pod.
  private static func perform(_ command: [String], _ streams: RemoteCommandStreams) async -> JSON {
    do {
      switch command.first {
      case "cat", nil:
        guard let stdin = streams.stdin else { break }
        for await bytes in stdin { try await streams.writeOut(bytes) }
      case "count":
        var count = 0
        if let stdin = streams.stdin { for await bytes in stdin { count += bytes.readableBytes } }
        try await streams.writeOut(ByteBuffer(string: "\(count)\n"))
      case "both":
        try await streams.writeOut(ByteBuffer(string: "to out\n"))
        try await streams.writeError(ByteBuffer(string: "to err\n"))
      case "exit": return remoteCommandStatus(exitCode: Int32(command[1])!)
      case "zeros":
        var rest = Int(command[1])!
        while rest > 0 {
          try await streams.writeOut(ByteBuffer(repeating: 48, count: min(rest, 100_000)))
          rest -= 100_000
        }
      default: return remoteCommandStatus(failure: "no such program")
      }
    } catch { return remoteCommandStatus(failure: "\(error)") }
    return remoteCommandStatus(exitCode: 0)
  }

  func kubectl(_ binary: String, _ arguments: [String], environment: [String: String], input: String? = nil) async throws -> (
    status: Int32, out: String, err: String
  ) {
    try await execute(
      binary, ["--kubeconfig", kubeconfig, "--cache-dir", kubeconfig + ".cache"] + arguments, environment: environment, input: input)
  }
}

private struct ForwardError: Error, CustomStringConvertible { let description: String }

func connectLoopback(_ port: Int, _ eventLoop: any EventLoop) async throws -> PortForwardConnection {
  try await ClientBootstrap(group: eventLoop).channelOption(.allowRemoteHalfClosure, value: true).connect(host: "127.0.0.1", port: port) {
    channel in
    channel.eventLoop.makeCompletedFuture {
      try PortForwardConnection(wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
    }
  }
}

func execute(_ program: String, _ arguments: [String], environment: [String: String] = [:], input: String? = nil) async throws -> (
  status: Int32, out: String, err: String
) {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread {
      do {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let (out, err, stdin) = (Pipe(), Pipe(), Pipe())
        (process.standardOutput, process.standardError, process.standardInput) = (out, err, stdin)
        try process.run()
        let errors = Mutex(Data())
        let errorsRead = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
          let data = err.fileHandleForReading.readDataToEndOfFile()
          errors.withLock { $0 = data }
          errorsRead.signal()
        }
        Thread.detachNewThread {
          if let input { try? stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
          try? stdin.fileHandleForWriting.close()
        }
        let output = out.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        errorsRead.wait()
        continuation.resume(
          returning: (
            process.terminationStatus, String(decoding: output, as: UTF8.self), String(decoding: errors.withLock { $0 }, as: UTF8.self)
          ))
      } catch { continuation.resume(throwing: error) }
    }
  }
}

/// Every kubectl of this machine, with each protocol that it can be told to use.
struct Kubectl: CustomTestStringConvertible, Sendable {
  let path: String
  let webSocket: Bool
  var testDescription: String { "\(path.split(separator: "/").last!) \(webSocket ? "WebSocket" : "SPDY")" }
  var environment: [String: String] {
    ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS": String(webSocket), "KUBECTL_PORT_FORWARD_WEBSOCKETS": String(webSocket)]
  }

  private static let binaries: [String] = {
    let versions = (27...36).map { "/usr/lib/google-cloud-sdk/bin/kubectl.1.\($0)" } + ["/usr/local/bin/kubectl", "/usr/bin/kubectl"]
    let present = versions.filter { FileManager.default.isExecutableFile(atPath: $0) }
    return present.count > 1 ? present.filter { $0 != "/usr/bin/kubectl" } : present
  }()
  /// The minor version in a name such as "kubectl.1.29"; a bare "kubectl" is taken for a new one.
  private static func minor(_ path: String) -> Int { Int(path.split(separator: ".").last!) ?? 99 }
  static let forExec =
    binaries.map { Kubectl(path: $0, webSocket: false) } + binaries.filter { minor($0) >= 29 }.map { Kubectl(path: $0, webSocket: true) }
  static let forPortForward =
    binaries.map { Kubectl(path: $0, webSocket: false) } + binaries.filter { minor($0) >= 30 }.map { Kubectl(path: $0, webSocket: true) }
}

@Suite(.serialized) struct KubectlTests {
  @Test(arguments: Kubectl.forExec) func execs(kubectl: Kubectl) async throws {
    let server = try await PodServer()
    func exec(_ arguments: [String], input: String? = nil) async throws -> (status: Int32, out: String, err: String) {
      try await server.kubectl(kubectl.path, ["exec"] + arguments, environment: kubectl.environment, input: input)
    }
    #expect(try await exec(["p", "--", "both"]) == (0, "to out\n", "to err\n"))
    let failed = try await exec(["p", "--", "exit", "3"])
    #expect(failed.status == 3 && failed.err.contains("command terminated with exit code 3"))
    #expect(try await exec(["p", "--", "nonsense"]).status == 1)
    #expect(try await exec(["-i", "p", "--", "cat"], input: "typed") == (0, "typed", ""))
    let large = String(repeating: "0123456789abcdef", count: 200_000)
    #expect(try await exec(["-i", "p", "--", "count"], input: large).out == "3200000\n")
    let zeros = try await exec(["p", "--", "zeros", "5000000"])
    #expect(zeros.status == 0 && zeros.out.utf8.count == 5_000_000)
    #expect(Set(server.upgrades.all.map { $0.lowercased() }) == [kubectl.webSocket ? "websocket" : "spdy/3.1"])
    await server.stop()
  }

  @Test(arguments: Kubectl.forExec.suffix(1)) func attaches(kubectl: Kubectl) async throws {
    let server = try await PodServer()
    let answer = try await server.kubectl(kubectl.path, ["attach", "-i", "p"], environment: kubectl.environment, input: "hello")
    #expect(answer.out.contains("hello"))
    await server.stop()
  }

  @Test(arguments: Kubectl.forPortForward) func forwardsPorts(kubectl: Kubectl) async throws {
    // What listens "in the pod": any request gets its body's size and 1 MB of zeros.
    let inner = HTTPServer(
      configuration: HTTPServerConfiguration(address: .tcp(host: "127.0.0.1", port: 0)), group: MultiThreadedEventLoopGroup.singleton
    ) { request in .text(.ok, "\(request.body.readableBytes)\n" + String(repeating: "0", count: 1_000_000)) }
    let server = try await PodServer(forwardPort: try await inner.start())
    let process = Process()
    process.executableURL = URL(fileURLWithPath: kubectl.path)
    process.arguments = [
      "--kubeconfig", server.kubeconfig, "--cache-dir", server.kubeconfig + ".cache", "port-forward", "--address", "127.0.0.1", "pod/p",
      ":80", ":81",
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(kubectl.environment) { $1 }
    let output = Pipe()
    process.standardOutput = output
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    var text = ""
    while !text.contains("-> 81\n") {
      let data = output.fileHandleForReading.availableData
      guard !data.isEmpty else { break }
      text += String(decoding: data, as: UTF8.self)
    }
    let ports = text.split(separator: "\n").compactMap {
      $0.split(separator: " ").first { $0.hasPrefix("127.0.0.1:") }?.split(separator: ":").last
    }
    try #require(ports.count == 2, "\(text)")
    let body = String(repeating: "x", count: 2_000_000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<5 {
        group.addTask {
          let answer = try await execute("/usr/bin/curl", ["-sS", "--data-binary", "@-", "http://127.0.0.1:\(ports[0])/"], input: body)
          #expect(answer.out.hasPrefix("2000000\n000") && answer.out.utf8.count == 1_000_008, "\(answer.err)")
        }
      }
      try await group.waitForAll()
    }
    let refused = try await execute("/usr/bin/curl", ["-sS", "-m", "10", "http://127.0.0.1:\(ports[1])/"])
    #expect(refused.status != 0)
    process.terminate()
    let errorText = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(errorText.contains("nothing listens on 81"), "\(errorText)")
    #expect(Set(server.upgrades.all.map { $0.lowercased() }) == [kubectl.webSocket ? "websocket" : "spdy/3.1"])
    await server.stop()
    await inner.stop()
  }
}
