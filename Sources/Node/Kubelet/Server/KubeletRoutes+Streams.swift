import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1
import NIOPosix
import RemoteStreams
import Synchronization

/// Commands, terminals and connections into pods.
extension KubeletRoutes {
  func exec(_ request: ServedRequest, _ target: ContainerTarget) async throws(BackendError) -> ServedResponse {
    let command = request.queryValues("command")
    guard !command.isEmpty else { throw .badRequest("you must specify at least 1 command") }
    let options = try remoteOptions(request)
    try await backend.checkRunning(target)
    let backend = backend
    return upgradeRemoteCommand(request: request, options: options) { client in
      await withContainerStreams(client) { streams, firstSize in
        do {
          var options = StreamOptions(options)
          // A program that asks at once finds the terminal as large as it is.
          if options.tty { options.size = await firstSize() }
          return remoteCommandStatus(exitCode: try await backend.exec(target, command: command, options: options, streams: streams))
        } catch { return remoteCommandStatus(failure: "\(error)") }
      }
    }
  }

  func attach(_ request: ServedRequest, _ target: ContainerTarget) async throws(BackendError) -> ServedResponse {
    let options = try remoteOptions(request)
    try await backend.checkRunning(target)
    let backend = backend
    return upgradeRemoteCommand(request: request, options: options) { client in
      await withContainerStreams(client) { streams, _ in
        do {
          try await backend.attach(target, options: StreamOptions(options), streams: streams)
          return remoteCommandStatus(exitCode: 0)
        } catch { return remoteCommandStatus(failure: "\(error)") }
      }
    }
  }

  private func remoteOptions(_ request: ServedRequest) throws(BackendError) -> RemoteCommandOptions {
    guard let options = RemoteCommandOptions(query: request) else {
      throw .badRequest("you must specify at least 1 of stdin, stdout, stderr")
    }
    return options
  }

  func portForward(_ request: ServedRequest, _ target: ContainerTarget) async throws(BackendError) -> ServedResponse {
    let isHere = await backend.pods().contains { pod in
      let metadata = pod["metadata"]
      return metadata["namespace"].string == target.namespace && metadata["name"].string == target.pod
        && (target.uid == nil || metadata["uid"].string == target.uid)
    }
    guard isHere else { throw .notFound("pod \"\(target.pod)\" not found in namespace \"\(target.namespace)\"") }
    let backend = backend
    return upgradePortForward(request: request) { port, eventLoop in
      do {
        let socket = try await backend.connect(namespace: target.namespace, pod: target.pod, uid: target.uid, port: port)
        return try await adopt(socket.release(), eventLoop)
      } catch {
        throw PortForwardFailure(
          description: "error forwarding port \(port) to pod \(target.namespace)/\(target.pod), uid \(target.uid ?? ""): \(error)")
      }
    }
  }

  /// What /run may return; more output ends the command with an error.
  private static let runOutputBytesMax = 16 * 1024 * 1024

  /// Runs a command without a terminal and returns all of its output.
  func run(_ request: ServedRequest, _ target: ContainerTarget) async throws(BackendError) -> ServedResponse {
    guard request.method == .POST else { return .text(.methodNotAllowed, "405: Method Not Allowed") }
    let command = (request.queryValue("cmd") ?? "").split(separator: " ").map(String.init)
    guard !command.isEmpty else { throw .badRequest("query parameter \"cmd\" is required") }
    try await backend.checkRunning(target)
    let output = Mutex(ByteBuffer())
    let collect: @Sendable (ByteBuffer) async throws -> Void = { bytes in
      try output.withLock { output in
        guard output.readableBytes + bytes.readableBytes <= Self.runOutputBytesMax else { throw ConnectionClosedError() }
        output.writeImmutableBuffer(bytes)
      }
    }
    let streams = ContainerStreams(stdin: nil, writeOut: collect, writeError: collect, resizes: AsyncStream { $0.finish() })
    let exitCode = try await backend.exec(target, command: command, options: StreamOptions(), streams: streams)
    let bytes = output.withLock { $0 }
    guard exitCode == 0 else {
      throw .internal("command '\(command.joined(separator: " "))' exited with \(exitCode): \(String(buffer: bytes))")
    }
    return ServedResponse(headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(bytes))
  }
}

private struct PortForwardFailure: Error, CustomStringConvertible { let description: String }

extension StreamOptions {
  init(_ options: RemoteCommandOptions) {
    self.init(stdin: options.stdin, stdout: options.stdout, stderr: options.stderr, tty: options.tty)
  }
}

/// Milliseconds that a client has to tell its terminal's size before the program starts without.
private let firstSizePatience = 200

/// The client's streams in the backend's terms, for the time of `body`, and the terminal's first size.
private func withContainerStreams(
  _ client: RemoteCommandStreams, _ body: (ContainerStreams, _ firstSize: () async -> WindowSize?) async -> JSON
) async -> JSON {
  let (resizes, continuation) = AsyncStream<WindowSize>.makeStream(bufferingPolicy: .bufferingNewest(1))
  let (first, firstContinuation) = AsyncStream<WindowSize>.makeStream(bufferingPolicy: .bufferingOldest(1))
  let resizing = Task {
    for await size in client.resizes {
      let size = WindowSize(columns: size.width, rows: size.height)
      firstContinuation.yield(size)
      continuation.yield(size)
    }
    firstContinuation.finish()
    continuation.finish()
  }
  defer { resizing.cancel() }
  return await body(
    ContainerStreams(stdin: client.stdin, writeOut: client.writeOut, writeError: client.writeError, resizes: resizes)
  ) {
    let patience = Task {
      try await Task.sleep(for: .milliseconds(firstSizePatience))
      firstContinuation.finish()
    }
    defer { patience.cancel() }
    for await size in first { return size }
    return nil
  }
}

/// A connected socket as a channel that can be half-closed. NIO closes the descriptor, also where this throws.
private func adopt(_ socket: Int32, _ eventLoop: any EventLoop) async throws -> PortForwardConnection {
  try await ClientBootstrap(group: eventLoop)
    .channelOption(.allowRemoteHalfClosure, value: true)
    .withConnectedSocket(socket) { channel in
      channel.eventLoop.makeCompletedFuture {
        try PortForwardConnection(wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
      }
    }
}
