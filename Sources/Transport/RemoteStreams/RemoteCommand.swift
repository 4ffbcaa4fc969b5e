import HTTPServing
import JSONCodec
import NIOCore
import NIOHTTP1

/// Which streams of a command a client wants. With `tty` there is no separate stderr.
package struct RemoteCommandOptions: Sendable, Equatable {
  package var stdin: Bool
  package var stdout: Bool
  package var stderr: Bool
  package var tty: Bool

  package init(stdin: Bool, stdout: Bool, stderr: Bool, tty: Bool) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr && !tty
    self.tty = tty
  }

  /// From the query: `input`, `output`, `error`, `tty` as kubelets read it, or `stdin`, `stdout`, `stderr`, `tty` as API servers
  /// do; true is "1" or "true". nil where no stream is asked for.
  package init?(query request: ServedRequest) {
    func flag(_ names: String...) -> Bool { names.contains { ["1", "true"].contains(request.queryValue($0)) } }
    self.init(
      stdin: flag("input", "stdin"), stdout: flag("output", "stdout"), stderr: flag("error", "stderr"), tty: flag("tty"))
    guard stdin || stdout || stderr else { return nil }
  }
}

/// A client's end of a running command.
package struct RemoteCommandStreams: Sendable {
  /// What the client types; ends when it closes standard input. Reading slowly slows the client down. nil: it sends none.
  package let stdin: AsyncStream<ByteBuffer>?
  /// Returns when the connection takes more; throws `ConnectionClosedError` when the client has left. Where the client did not
  /// ask for the stream the bytes are dropped.
  package let writeOut: @Sendable (ByteBuffer) async throws -> Void
  package let writeError: @Sendable (ByteBuffer) async throws -> Void
  /// The terminal's sizes, the newest only. Ends with the connection; without a terminal nothing comes.
  package let resizes: AsyncStream<TerminalSize>
}

/// Runs while the client is there (its task is cancelled when it leaves) and returns the metav1.Status to end with.
package typealias RemoteCommandSession = @Sendable (RemoteCommandStreams) async -> JSON

/// Upgrades an exec or attach request to whichever protocol it asks for, or refuses it with 400 or 403.
package func upgradeRemoteCommand(
  request: ServedRequest, options: RemoteCommandOptions, session: @escaping RemoteCommandSession
) -> ServedResponse {
  switch UpgradeKind(request.headers) {
  case .webSocket(let accept, let offered):
    let names = WebSocketCommandProtocol.Name.allCases
    guard let name = offered.isEmpty ? .unnamed : offered.lazy.compactMap({ WebSocketCommandProtocol.Name(rawValue: $0) }).first else {
      return cannotNegotiate(offered: offered, accepted: names.map(\.rawValue).filter { !$0.isEmpty })
    }
    return .upgrade(headers: webSocketUpgradeHeaders(accept: accept, chosen: name.rawValue)) { channel in
      await runWebSocketCommand(channel, WebSocketCommandProtocol(name: name), options, session)
    }
  case .spdy(let offered):
    guard let version = SPDYCommandVersion.choose(offered) else {
      return cannotNegotiate(offered: offered, accepted: SPDYCommandVersion.allCases.map(\.rawValue))
    }
    return .upgrade(headers: spdyUpgradeHeaders(chosen: offered.isEmpty ? nil : version.rawValue)) { channel in
      await runSPDYCommand(channel, version, options, session)
    }
  case .none: return upgradeRequired()
  }
}

/// Runs the session until it ends; where the client leaves first, cancels it and waits for it to come home.
func runSession(_ channel: any Channel, _ streams: RemoteCommandStreams, _ session: @escaping RemoteCommandSession) async -> JSON {
  let work = Task { await session(streams) }
  channel.closeFuture.whenComplete { _ in work.cancel() }
  return await withTaskCancellationHandler {
    await work.value
  } onCancel: {
    work.cancel()
  }
}

// MARK: statuses

/// The metav1.Status of a command that ended with this exit code.
package func remoteCommandStatus(exitCode: Int32) -> JSON {
  guard exitCode != 0 else { return ["metadata": .object(JSONObject()), "status": "Success"] }
  return [
    "metadata": .object(JSONObject()), "status": "Failure",
    "message": "command terminated with non-zero exit code: error executing command, exit code \(Int(exitCode))",
    "reason": "NonZeroExitCode",
    "details": ["causes": [["reason": "ExitCode", "message": .string(String(exitCode))]]],
  ]
}

/// The metav1.Status of a command that could not be run.
package func remoteCommandStatus(failure message: String) -> JSON {
  [
    "metadata": .object(JSONObject()), "status": "Failure", "message": .string(message), "reason": "InternalError",
    "details": ["causes": [["message": .string(message)]]], "code": 500,
  ]
}

/// What goes to the error stream: the status itself, or for the oldest versions its message and only on failure.
func errorStreamBytes(_ status: JSON, hasStatus: Bool) -> ByteBuffer? {
  if hasStatus { return ByteBuffer(bytes: status.serialized()) }
  guard status["status"].string != "Success" else { return nil }
  return ByteBuffer(string: status["message"].string ?? "")
}
