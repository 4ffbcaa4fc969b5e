import JSONCodec
import KubernetesAPI
import LinuxKernel
import NIOCore

/// What the kubelet's HTTPS server (and the machine's own `swiftlet ps`, `logs`, `exec`, `inspect`) asks of the kubelet.
/// The server knows protocols; everything about pods and processes is behind this seam.
package protocol KubeletBackend: Sendable {
  /// Every pod this node runs, with the status the kubelet last computed (`GET /pods`).
  func pods() async -> [JSON]
  /// What the runtime holds, for people: sandboxes, containers, pids, exit codes (`GET /runtime`, `swiftlet inspect`).
  func inspectRuntime() async -> JSON
  /// The document of `GET /stats/summary`.
  func statsSummary() async -> JSON
  /// What it was started with, as a KubeletConfiguration of kubelet.config.k8s.io/v1beta1 (`GET /configz`).
  func configuration() async -> JSON
  /// The node object as the kubelet last wrote it; nil before the registration.
  func node() async -> JSON?

  /// Finds the container's log. Throws before anything is sent: 404 where the pod or the container is unknown, 400
  /// where it has not started (or, with `previous`, has no earlier run).
  func containerLogs(_ target: ContainerTarget, options: LogOptions) async throws(BackendError) -> ContainerLogStream

  /// Throws unless the container runs now, so that the server can refuse before it upgrades the connection.
  func checkRunning(_ target: ContainerTarget) async throws(BackendError)
  /// Runs a command in a container and copies its streams; returns its exit code (128 + n after signal n). Cancelling
  /// the task ends the copying and kills the process.
  func exec(
    _ target: ContainerTarget, command: [String], options: StreamOptions, streams: ContainerStreams
  ) async throws(BackendError) -> Int32
  /// Copies the streams of a container's main process until it ends or the reader leaves.
  func attach(_ target: ContainerTarget, options: StreamOptions, streams: ContainerStreams) async throws(BackendError)
  /// A TCP socket connected to 127.0.0.1 (or ::1) `port` inside the pod's network namespace: non-blocking, close-on-exec.
  func connect(namespace: String, pod: String, uid: String?, port: Int) async throws(BackendError) -> OwnedDescriptor
}

/// A container of a pod; `uid` where the path names it, and then it must match.
package struct ContainerTarget: Sendable, Hashable {
  package var namespace: String
  package var pod: String
  package var uid: String?
  /// Empty: the pod's only container, or the one that annotation kubectl.kubernetes.io/default-container names.
  package var container: String

  package init(namespace: String, pod: String, uid: String? = nil, container: String = "") {
    self.namespace = namespace
    self.pod = pod
    self.uid = uid
    self.container = container
  }
}

package struct StreamOptions: Sendable {
  package var stdin: Bool
  package var stdout: Bool
  package var stderr: Bool
  /// A terminal: there is no separate stderr.
  package var tty: Bool
  /// The terminal's size when the program starts; nil where the client has not told it.
  package var size: WindowSize?
  package init(stdin: Bool = false, stdout: Bool = true, stderr: Bool = true, tty: Bool = false) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.tty = tty
  }
}

/// A terminal's size in characters.
package struct WindowSize: Sendable, Equatable {
  package var columns: UInt16
  package var rows: UInt16
  package init(columns: UInt16, rows: UInt16) {
    self.columns = columns
    self.rows = rows
  }
}

/// The far side of an exec or attach. Writes return when the bytes are flushed, which slows the process down where the
/// reader is slow; they throw once the reader has left.
package struct ContainerStreams: Sendable {
  /// Ends when the person closes standard input; nil where there is none.
  package var stdin: AsyncStream<ByteBuffer>?
  package var writeOut: @Sendable (ByteBuffer) async throws -> Void
  package var writeError: @Sendable (ByteBuffer) async throws -> Void
  package var resizes: AsyncStream<WindowSize>

  package init(
    stdin: AsyncStream<ByteBuffer>?, writeOut: @escaping @Sendable (ByteBuffer) async throws -> Void,
    writeError: @escaping @Sendable (ByteBuffer) async throws -> Void, resizes: AsyncStream<WindowSize>
  ) {
    self.stdin = stdin
    self.writeOut = writeOut
    self.writeError = writeError
    self.resizes = resizes
  }
}

/// PodLogOptions.
package struct LogOptions: Sendable {
  package var follow = false
  package var previous = false
  package var timestamps = false
  /// Only lines younger than this many seconds.
  package var sinceSeconds: Int?
  package var sinceTime: Timestamp?
  /// The last so many lines; 0 with `follow` means only new ones.
  package var tailLines: Int?
  package var limitBytes: Int?
  /// "All", "Stdout" or "Stderr".
  package var stream = "All"
  package init() {}
}

/// A log that was found: `copy` writes its lines, and with `follow` goes on until the container has ended or the writer throws.
package struct ContainerLogStream: Sendable {
  package let copy: @Sendable (_ write: @escaping @Sendable (ByteBuffer) async throws -> Void) async throws -> Void
  package init(copy: @escaping @Sendable (_ write: @escaping @Sendable (ByteBuffer) async throws -> Void) async throws -> Void) {
    self.copy = copy
  }
}

/// A request that the kubelet refuses, as the HTTP answer to give.
package struct BackendError: Error, CustomStringConvertible, Sendable {
  /// The HTTP status: 400, 404, 500.
  package let status: Int
  package let message: String
  package init(_ status: Int, _ message: String) {
    self.status = status
    self.message = message
  }
  package static func notFound(_ message: String) -> BackendError { BackendError(404, message) }
  package static func badRequest(_ message: String) -> BackendError { BackendError(400, message) }
  package static func `internal`(_ message: String) -> BackendError { BackendError(500, message) }
  package var description: String { message }
}
