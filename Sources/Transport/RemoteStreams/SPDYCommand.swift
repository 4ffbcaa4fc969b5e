import HTTPServing
import JSONCodec
import NIOCore

/// The versions of remote command over SPDY. All open one stream per direction, named by its header `streamType`.
enum SPDYCommandVersion: String, CaseIterable, Sendable {
  case v4 = "v4.channel.k8s.io"
  case v3 = "v3.channel.k8s.io"
  case v2 = "v2.channel.k8s.io"
  case v1 = "channel.k8s.io"
  /// Meant for WebSocket; over SPDY it is v4.
  case v5 = "v5.channel.k8s.io"

  /// The first of the client's that is not v5; a client that names none speaks the first version.
  static func choose(_ offered: [String]) -> SPDYCommandVersion? {
    if offered.isEmpty { return .v1 }
    let known = offered.compactMap { SPDYCommandVersion(rawValue: $0) }
    return known.first { $0 != .v5 } ?? known.first
  }

  var hasStatus: Bool { self == .v4 || self == .v5 }
  var hasResize: Bool { hasStatus || self == .v3 }
}

private enum CommandStreamKind: String, CaseIterable { case error, stdin, stdout, stderr, resize }

/// The streams that a client has to open before the command starts.
private func expectedStreams(_ options: RemoteCommandOptions, _ version: SPDYCommandVersion) -> Set<CommandStreamKind> {
  var kinds: Set<CommandStreamKind> = [.error]
  if options.stdin { kinds.insert(.stdin) }
  if options.stdout { kinds.insert(.stdout) }
  if options.stderr { kinds.insert(.stderr) }
  if options.tty, version.hasResize { kinds.insert(.resize) }
  return kinds
}

/// How long a client may take to open its streams (upstream's DefaultStreamCreationTimeout).
private let streamCreationTimeout = TimeAmount.seconds(30)
/// After the end of a command the client has this long to take the last bytes and close.
private let lingerTime = TimeAmount.seconds(5)

/// Serves one exec or attach on an upgraded SPDY channel.
func runSPDYCommand(
  _ channel: any Channel, _ version: SPDYCommandVersion, _ options: RemoteCommandOptions, _ session: @escaping RemoteCommandSession
) async {
  let (opened, continuation) = AsyncStream<SPDYStream>.makeStream()
  do {
    try await channel.takeUp {
      [
        SPDYHandler(
          role: .server, admit: { $0.first { $0.name == "streamtype" }.flatMap { CommandStreamKind(rawValue: $0.value) } != nil },
          streams: continuation)
      ]
    }
  } catch { return }
  let tooLate = channel.eventLoop.scheduleTask(in: streamCreationTimeout) { channel.close(promise: nil) }
  var streams: [CommandStreamKind: SPDYStream] = [:]
  var missing = expectedStreams(options, version)
  for await stream in opened {
    guard let kind = CommandStreamKind(rawValue: stream.header("streamtype") ?? "") else { continue }
    streams[kind] = stream
    missing.remove(kind)
    if missing.isEmpty { break }
  }
  tooLate.cancel()
  guard missing.isEmpty, let errors = streams[.error] else { return }
  let stdin = options.stdin ? streams[.stdin] : nil
  let stdout = options.stdout ? streams[.stdout] : nil
  let stderr = options.stderr ? streams[.stderr] : nil

  let (resizes, resizeContinuation) = AsyncStream<TerminalSize>.makeStream(bufferingPolicy: .bufferingNewest(1))
  let resizing = Task {
    defer { resizeContinuation.finish() }
    guard let stream = streams[.resize] else { return }
    while let bytes = await stream.read() {
      for size in terminalSizes(in: bytes) { resizeContinuation.yield(size) }
    }
  }
  let status = await runSession(
    channel,
    RemoteCommandStreams(
      stdin: stdin?.inbox.stream, writeOut: { try await stdout?.write($0) }, writeError: { try await stderr?.write($0) }, resizes: resizes),
    session)
  resizing.cancel()
  stdout?.finish()
  stderr?.finish()
  if let bytes = errorStreamBytes(status, hasStatus: version.hasStatus) { try? await errors.write(bytes) }
  errors.finish()
  await endSPDYConnection(channel, through: errors)
}

/// Says good-bye and waits until the client has closed: closing under its last bytes would reset the connection, and what it has
/// not read yet would be lost.
func endSPDYConnection(_ channel: any Channel, through stream: SPDYStream) async {
  stream.endConnection()
  try? await channel.close(mode: .output)
  let deadline = channel.eventLoop.scheduleTask(in: lingerTime) { channel.close(promise: nil) }
  try? await channel.closeFuture.get()
  deadline.cancel()
}

/// JSON documents one after the other, as Go's encoder writes them, a line each.
private func terminalSizes(in bytes: ByteBuffer) -> [TerminalSize] {
  bytes.readableBytesView.split(separator: UInt8(ascii: "}")).compactMap { piece in
    TerminalSize(json: ByteBuffer(bytes: Array(piece) + [UInt8(ascii: "}")]))
  }
}
