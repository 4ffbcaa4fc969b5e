import ArgumentParser
import JSONCodec

#if canImport(Glibc)
  import Glibc
#endif

/// `swiftlet exec`: runs a command in a container, without an API server.
struct Exec: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Runs a command in a container and ends with its exit code.")
  @OptionGroup var target: PodTarget
  @Flag(name: .shortAndLong, help: "Pass standard input on.") var stdin = false
  @Flag(name: .shortAndLong, help: "Give the command a terminal.") var tty = false
  @Argument(help: "The pod, as name or namespace/name.") var pod: String
  @Argument(parsing: .postTerminator, help: "The command and its arguments, after --.") var command: [String]

  func run() async throws {
    try await Role.exitingCleanly {
      guard !command.isEmpty else { throw StartFailure("no command was given: swiftlet exec POD -- COMMAND") }
      var query = command.map { ("command", $0) }
      query += [("output", "1"), ("input", stdin ? "1" : "0"), ("error", tty ? "0" : "1"), ("tty", tty ? "1" : "0")]
      let path = "/exec" + (try await target.path(pod)) + AgentClient.query(query)
      var session = try ExecStream(socket: target.agent.socket, path: path)
      let code = try session.run(stdin: stdin, tty: tty)
      if code != 0 { throw ExitCode(code) }
    }
  }
}

/// The client's side of an exec over WebSocket (v5.channel.k8s.io) on a Unix socket: standard input and output are copied
/// by one loop that waits for both.
struct ExecStream {
  private let descriptor: Int32
  private var pending: [UInt8] = []

  init(socket path: String, path target: String) throws {
    try AgentClient.checkSocket(path)
    descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    let socket = descriptor
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    guard connected == 0 else {
      throw AgentClient.noAnswer(path)
    }
    let head =
      "GET \(target) HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      + "Sec-WebSocket-Key: c3dpZnRsZXQtZXhlYy1rZXk=\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    try send(Array(head.utf8))
    try readHead()
  }

  private func send(_ bytes: [UInt8]) throws {
    var at = 0
    while at < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + at, bytes.count - at, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { throw StartFailure("the agent closed the connection") }
      at += count
    }
  }

  private mutating func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    let count = read(descriptor, &chunk, chunk.count)
    guard count > 0 else { return false }
    pending += chunk[..<count]
    return true
  }

  private mutating func readHead() throws {
    while true {
      if let end = pending.firstRange(of: Array("\r\n\r\n".utf8)) {
        let head = String(decoding: pending[..<end.lowerBound], as: UTF8.self)
        guard head.hasPrefix("HTTP/1.1 101") else {
          while try fill() {}
          let body = String(decoding: pending[end.upperBound...], as: UTF8.self)
          throw StartFailure(body.isEmpty ? String(head.prefix { $0 != "\r" }) : body)
        }
        pending.removeSubrange(..<end.upperBound)
        return
      }
      guard try fill() else { throw StartFailure("the agent closed the connection") }
    }
  }

  /// One binary message, masked as a client must.
  private func message(_ payload: [UInt8]) throws {
    var frame: [UInt8] = [0x82]
    switch payload.count {
    case ..<126: frame.append(0x80 | UInt8(payload.count))
    case ..<65536: frame += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
    default: frame += [0x80 | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
    }
    let mask: [UInt8] = [0x5A, 0x11, 0xC3, 0x7E]
    frame += mask
    for (i, byte) in payload.enumerated() { frame.append(byte ^ mask[i & 3]) }
    try send(frame)
  }

  /// Takes the next whole frame out of what was read: its opcode and payload.
  private mutating func nextFrame() -> (opcode: UInt8, payload: [UInt8])? {
    guard pending.count >= 2 else { return nil }
    var length = Int(pending[1] & 0x7F)
    var at = 2
    if length == 126 {
      guard pending.count >= 4 else { return nil }
      length = Int(pending[2]) << 8 | Int(pending[3])
      at = 4
    } else if length == 127 {
      guard pending.count >= 10 else { return nil }
      length = pending[2..<10].reduce(0) { $0 << 8 | Int($1) }
      at = 10
    }
    guard pending.count >= at + length else { return nil }
    let frame = (pending[0] & 0x0F, Array(pending[at..<at + length]))
    pending.removeSubrange(..<(at + length))
    return frame
  }

  private func sendSize() throws {
    var size = winsize()
    guard ioctl(0, UInt(TIOCGWINSZ), &size) == 0 else { return }
    try message([4] + Array("{\"Width\":\(size.ws_col),\"Height\":\(size.ws_row)}".utf8))
  }

  /// Copies until the command ends; its exit code.
  mutating func run(stdin: Bool, tty: Bool) throws -> Int32 {
    let terminal = tty && isatty(0) == 1 ? RawTerminal() : nil
    defer { terminal?.restore() }
    if tty { try sendSize() }
    var isInputOpen = stdin
    while true {
      while let (opcode, payload) = nextFrame() {
        if opcode == 8 { return 0 }
        if opcode == 9 { continue }
        guard let channel = payload.first else { continue }
        switch channel {
        case 1, 2: payload.dropFirst().withUnsafeBytes { _ = write(Int32(channel), $0.baseAddress, $0.count) }
        case 3: return try Self.exitCode(Array(payload.dropFirst()))
        default: break
        }
      }
      var polled = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: isInputOpen ? 0 : -1, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&polled, 2, -1) >= 0 || errno == EINTR else { throw StartFailure("poll: \(String(cString: strerror(errno)))") }
      if polled[0].revents != 0, try !fill() { throw StartFailure("the agent closed the connection before the command ended") }
      if polled[1].revents != 0 { isInputOpen = try copyInput() }
    }
  }

  private func copyInput() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 32 << 10)
    let count = read(0, &chunk, chunk.count)
    guard count > 0 else {
      try message([255, 0])
      return false
    }
    try message([0] + chunk[..<count])
    return true
  }

  private static func exitCode(_ bytes: [UInt8]) throws -> Int32 {
    let status = try JSON.parse(bytes)
    if status["status"].string == "Success" { return 0 }
    let causes = status["details"]["causes"].array ?? []
    if let code = causes.first(where: { $0["reason"].string == "ExitCode" })?["message"].string.flatMap({ Int32($0) }) { return code }
    throw StartFailure(status["message"].string ?? "the command failed")
  }
}

/// The person's terminal without line editing, and back.
private final class RawTerminal {
  private var saved = termios()

  init() {
    tcgetattr(0, &saved)
    var raw = saved
    cfmakeraw(&raw)
    tcsetattr(0, TCSANOW, &raw)
  }

  func restore() { tcsetattr(0, TCSANOW, &saved) }
}
