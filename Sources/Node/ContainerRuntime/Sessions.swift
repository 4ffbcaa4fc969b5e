import CLinux
import Dispatch
import LinuxKernel
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Our ends of a process's streams. Each can be taken once; what nobody took closes with the session.
package final class StreamEnds: Sendable {
  private let ends: Mutex<[Int32]>
  init(_ ends: [Int32]) { self.ends = Mutex(ends) }
  deinit { for fd in ends.withLock({ $0 }) where fd >= 0 { close(fd) } }

  func take(_ index: Int) -> OwnedDescriptor? {
    guard let fd = takeNumber(index) else { return nil }
    return OwnedDescriptor(owning: fd)
  }

  /// The caller closes it.
  func takeNumber(_ index: Int) -> Int32? {
    ends.withLock { ends in
      let fd = ends[index]
      ends[index] = -1
      return fd < 0 ? nil : fd
    }
  }
}

/// A process that joined a container.
package final class ExecSession: Sendable {
  package let pid: Int32
  private let ends: StreamEnds
  private let exit: ExecExit
  private let terminal: SharedDescriptor?
  private let sendSignal: @Sendable (Int32) async throws -> Void

  init(
    pid: Int32, ends: StreamEnds, exit: ExecExit, terminal: SharedDescriptor?, sendSignal: @escaping @Sendable (Int32) async throws -> Void
  ) {
    self.pid = pid
    self.ends = ends
    self.exit = exit
    self.terminal = terminal
    self.sendSignal = sendSignal
  }

  /// Write end of its standard input; closing it is the end of input. nil with a terminal.
  package func takeInput() -> OwnedDescriptor? { ends.take(0) }
  package func takeOutput() -> OwnedDescriptor? { ends.take(1) }
  package func takeError() -> OwnedDescriptor? { ends.take(2) }
  fileprivate func outputReader(limit: Int) -> OutputReader? { ends.takeNumber(1).map { OutputReader($0, limit: limit) } }

  /// A pty's master: input and output. Any number of times; the session keeps one for `resize`.
  package func terminalDescriptor() throws -> OwnedDescriptor? {
    guard let terminal else { return nil }
    let copy = fcntl(terminal.rawValue, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw KernelError("fcntl", errno: Errno(rawValue: errno)) }
    return OwnedDescriptor(owning: copy)
  }

  /// 0...255; 128 + signal for a killed one. Throws when the pod's supervisor ends first.
  package func wait() async throws -> Int32 { try await exit.wait().exitCode }

  package func resize(rows: UInt16, columns: UInt16) throws {
    guard let terminal else { return }
    try KernelError.check("TIOCSWINSZ", "", cl_set_window_size(terminal.rawValue, rows, columns))
  }

  package func signal(_ signal: Int32) async throws { try await sendSignal(signal) }
}

/// Streams of a running container. Its output arrives here besides its log; output ends when the container does.
package final class AttachSession: Sendable {
  private let ends: StreamEnds
  private let resizeTerminal: @Sendable (UInt16, UInt16) async throws -> Void

  init(ends: StreamEnds, resize: @escaping @Sendable (UInt16, UInt16) async throws -> Void) {
    self.ends = ends
    resizeTerminal = resize
  }

  /// nil where the container was started without stdin.
  package func takeInput() -> OwnedDescriptor? { ends.take(0) }
  package func takeOutput() -> OwnedDescriptor? { ends.take(1) }
  /// nil with a terminal, where everything is output.
  package func takeError() -> OwnedDescriptor? { ends.take(2) }
  package func resize(rows: UInt16, columns: UInt16) async throws { try await resizeTerminal(rows, columns) }
}

/// How a command that was run to its end ended.
package struct ExecResult: Sendable {
  package var exitCode: Int32
  /// Standard output and standard error as they came, cut at the limit.
  package var output: [UInt8]
}

extension ContainerRuntime {
  /// Starts a process in a running container: same namespaces, cgroup, user, capabilities and filter as its first one.
  package func exec(_ spec: ExecSpec, container id: String, in sandboxID: String) async throws -> ExecSession {
    let sandbox = try sandbox(sandboxID)
    let connection = try sandbox.living()
    let container = try sandbox.container(id).spec
    var ours: [Int32] = [-1, -1, -1]
    var theirs: [SharedDescriptor?] = [nil, nil, nil]
    if !spec.tty {
      do {
        for index in 0..<3 where index > 0 || spec.stdin {
          if index == 2, !spec.separateError {
            theirs[2] = theirs[1]
            continue
          }
          let (read, write) = try Files.pipe()
          ours[index] = index == 0 ? write : read
          theirs[index] = SharedDescriptor(OwnedDescriptor(owning: index == 0 ? read : write))
        }
      } catch {
        for fd in ours where fd >= 0 { close(fd) }
        throw error
      }
    }
    let ends = StreamEnds(ours)
    let execID = sandbox.newExecID()
    let exit = ExecExit()
    sandbox.execs.withLock { $0[execID] = exit }
    do {
      let descriptors = try ContainerPlan.exec(spec, in: container, ownCgroup: cgroups != nil, stdio: theirs)
      let reply = try await connection.request(POD_EXEC, descriptors: descriptors) {
        $0.setContainer(id)
        $0.exec = execID
      }
      guard reply.event.result >= 0 else {
        if reply.event.stage <= POD_STAGE_PLAN.rawValue, reply.event.result == -ESRCH {
          throw ContainerRuntimeError(.notFound, "container \(id) is not running")
        }
        throw ContainerStartError(reply.event)
      }
      return ExecSession(pid: reply.event.pid, ends: ends, exit: exit, terminal: reply.descriptor) { signal in
        let reply = try await connection.request(POD_SIGNAL) {
          $0.setContainer(id)
          $0.exec = execID
          $0.signal = signal
        }
        if reply.event.result < 0, reply.event.result != -ESRCH {
          throw KernelError("pidfd_send_signal", id, errno: Errno(rawValue: -reply.event.result))
        }
      }
    } catch {
      sandbox.execs.withLock { _ = $0.removeValue(forKey: execID) }
      throw error
    }
  }

  /// Joins the streams of a running container.
  package func attach(container id: String, in sandboxID: String, stdin: Bool = true, stdout: Bool = true, stderr: Bool = true) async throws
    -> AttachSession
  {
    let sandbox = try sandbox(sandboxID)
    let connection = try sandbox.living()
    let spec = try sandbox.container(id).spec
    var ours: [Int32] = [-1, -1, -1]
    var theirs: [SharedDescriptor] = []
    var flags = 0
    let wanted = [stdin && spec.stdin, stdout, stderr && !spec.tty]
    let bits = [POD_ATTACH_STDIN, POD_ATTACH_STDOUT, POD_ATTACH_STDERR]
    do {
      for index in 0..<3 where wanted[index] {
        let (read, write) = try Files.pipe()
        ours[index] = index == 0 ? write : read
        theirs.append(SharedDescriptor(OwnedDescriptor(owning: index == 0 ? read : write)))
        flags |= bits[index]
      }
    } catch {
      for fd in ours where fd >= 0 { close(fd) }
      throw error
    }
    let ends = StreamEnds(ours)
    let chosen = flags
    let reply = try await connection.request(POD_ATTACH, descriptors: theirs) {
      $0.setContainer(id)
      $0.flags = UInt32(chosen)
    }
    if reply.event.result == -ESRCH { throw ContainerRuntimeError(.notFound, "container \(id) is not running") }
    if reply.event.result < 0 { throw KernelError("attach", id, errno: Errno(rawValue: -reply.event.result)) }
    return AttachSession(ends: ends) { [weak self] rows, columns in
      try await self?.resizeContainer(id, in: sandboxID, rows: rows, columns: columns)
    }
  }

  /// Runs a command to its end. Output beyond `outputMax` bytes is read and dropped; cancelling the task kills the process.
  package func run(_ argv: [String], container: String, in sandbox: String, outputMax: Int) async throws -> ExecResult {
    var spec = ExecSpec(argv: argv)
    spec.separateError = false
    let session = try await exec(spec, container: container, in: sandbox)
    guard let reader = session.outputReader(limit: outputMax) else { return ExecResult(exitCode: try await session.wait(), output: []) }
    return try await withTaskCancellationHandler {
      let code = try await session.wait()
      // A background child may hold the pipe for ever: what is there when the command ends is its output.
      let output = reader.takeRest()
      try Task.checkCancellation()
      return ExecResult(exitCode: code, output: output)
    } onCancel: {
      Task { try? await session.signal(SIGKILL) }
    }
  }
}

/// Reads a pipe as it fills, keeping so much of it.
private final class OutputReader: Sendable {
  private let descriptor: SharedDescriptor
  private let limit: Int
  private let kept = Mutex<[UInt8]>([])
  private nonisolated(unsafe) let source: any DispatchSourceRead

  /// Takes the descriptor over.
  init(_ number: Int32, limit: Int) {
    let descriptor = SharedDescriptor(OwnedDescriptor(owning: number))
    self.descriptor = descriptor
    self.limit = limit
    _ = fcntl(descriptor.rawValue, F_SETFL, O_RDONLY | O_NONBLOCK)
    source = DispatchSource.makeReadSource(fileDescriptor: descriptor.rawValue, queue: SupervisorConnection.queue)
    source.setEventHandler { [weak self] in self?.read() }
    source.setCancelHandler { withExtendedLifetime(descriptor) {} }
    source.activate()
  }

  deinit { source.cancel() }

  func takeRest() -> [UInt8] {
    read()
    source.cancel()
    return kept.withLock { $0 }
  }

  private func read() {
    kept.withLock { kept in
      var chunk = [UInt8](repeating: 0, count: 64 << 10)
      while true {
        let got = Glibc.read(descriptor.rawValue, &chunk, chunk.count)
        if got < 0, errno == EINTR { continue }
        if got == 0 { source.cancel() }
        guard got > 0 else { return }
        kept += chunk[..<min(got, max(0, limit - kept.count))]
        if got < chunk.count { return }
      }
    }
  }
}
