import CLinux
import LinuxKernel
import Synchronization
import SystemPackage

/// A pod's supervisor and what the runtime knows of its containers.
final class Sandbox: Sendable {
  struct Known: Sendable {
    var spec: ContainerSpec
    var state: ContainerState
    /// startContainer is on its way: nothing to remove yet.
    var isStarting: Bool
  }

  let spec: SandboxSpec
  let files: SandboxFiles
  /// nil: the supervisor is gone, only its files are left.
  let connection: SupervisorConnection?
  let pid: Int32
  let pidfd: SharedDescriptor?
  let containers: Mutex<[String: Known]>
  let execs = Mutex<[UInt64: ExecExit]>([:])
  private let nextExec: Atomic<UInt64>
  /// Its end is what was asked for.
  let isBeingRemoved = Atomic(false)

  init(
    spec: SandboxSpec, files: SandboxFiles, connection: SupervisorConnection?, pid: Int32, pidfd: SharedDescriptor?,
    containers: [String: Known], firstExec: UInt64 = 1
  ) {
    self.spec = spec
    self.files = files
    self.connection = connection
    self.pid = pid
    self.pidfd = pidfd
    self.containers = Mutex(containers)
    nextExec = Atomic(firstExec)
  }

  func newExecID() -> UInt64 { nextExec.add(1, ordering: .relaxed).oldValue }

  var state: SandboxState {
    let list = containers.withLock { $0.values.filter { !$0.isStarting }.map(\.state) }
    return SandboxState(
      id: spec.id, supervisorPID: pid, isAlive: connection != nil,
      containers: list.sorted { ($0.name, $0.attempt, $0.id) < ($1.name, $1.attempt, $1.id) }, labels: spec.labels)
  }

  func living() throws -> SupervisorConnection {
    guard let connection else { throw ContainerRuntimeError(.supervisorGone, "sandbox \(spec.id): its supervisor has ended") }
    return connection
  }

  func container(_ id: String) throws -> Known {
    guard let known = containers.withLock({ $0[id] }) else {
      throw ContainerRuntimeError(.notFound, "no container \(id) in sandbox \(spec.id)")
    }
    return known
  }

  /// An exit that the supervisor told: remembered in memory; the caller writes it down before it acknowledges. Returns the state to pass on, nil for a repetition.
  func recordExit(_ event: pod_event) -> ContainerState? {
    let id = event.containerID
    guard let spec = containers.withLock({ $0[id]?.spec }) else { return nil }
    let message = files.terminationMessage(of: id)
    return containers.withLock { containers in
      guard var known = containers[id], known.state.phase != .exited else { return nil }
      known.isStarting = false
      known.state = ContainerState(event, spec: spec)
      known.state.message = message
      containers[id] = known
      return known.state
    }
  }
}

extension ContainerState {
  init(_ event: pod_event, spec: ContainerSpec) {
    self.init(
      id: spec.id, name: spec.name, attempt: spec.attempt, phase: event.state == POD_EXITED.rawValue ? .exited : .running,
      pid: event.pid, exitCode: event.exit_code, signal: event.signal, oomKilled: event.oom_killed != 0, startedAt: event.started_ns,
      finishedAt: event.finished_ns)
  }
}

/// The end of an exec, for whoever waits.
final class ExecExit: Sendable {
  struct End: Sendable {
    var exitCode: Int32
    var signal: Int32
  }
  private struct State {
    var end: Result<End, any Error>?
    var waiting: [CheckedContinuation<End, any Error>] = []
  }
  private let state = Mutex(State())

  func finish(_ end: Result<End, any Error>) {
    let waiting = state.withLock { state -> [CheckedContinuation<End, any Error>] in
      guard state.end == nil else { return [] }
      state.end = end
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume(with: end) }
  }

  func wait() async throws -> End {
    try await withCheckedThrowingContinuation { continuation in
      let known = state.withLock { state -> Result<End, any Error>? in
        if state.end == nil { state.waiting.append(continuation) }
        return state.end
      }
      if let known { continuation.resume(with: known) }
    }
  }
}
