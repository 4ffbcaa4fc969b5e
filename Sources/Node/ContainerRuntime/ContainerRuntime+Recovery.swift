import CLinux
import LinuxKernel
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

extension ContainerRuntime {
  /// Containers that ran when their supervisor died: nobody saw how they ended.
  static let unknownExitCode: Int32 = 137

  /// Finds every sandbox of the state directory again: reattaches to living supervisors, and reports what ended meanwhile,
  /// also of those that died. Call once, before anything else.
  package func recover() async throws -> [SandboxState] {
    let directory = configuration.stateDirectory.appending("sandboxes")
    let ids = try await offPool { try Files.names(in: directory) }
    var states: [SandboxState] = []
    for id in ids {
      let files = SandboxFiles(id: id, configuration: configuration)
      guard (try? Self.checkID(id)) != nil, let spec = try await offPool({ files.readSpec() }), spec.id == id else {
        // A create that never finished writing: there is nothing to find.
        try? await offPool { try files.removeAll() }
        continue
      }
      let living = try await reattach(spec, files)
      let sandbox = if let living { living } else { try await dead(spec, files) }
      sandboxes.withLock { $0[id] = sandbox }
      states.append(sandbox.state)
    }
    return states
  }

  func reattach(_ spec: SandboxSpec, _ files: SandboxFiles) async throws -> Sandbox? {
    let socket: SharedDescriptor? = try await offPool {
      guard let run = try? Files.openDirectory(files.run) else { return nil }
      let fd = cl_connect_seqpacket(run.rawValue, "supervisor.sock")
      return fd < 0 ? nil : SharedDescriptor(OwnedDescriptor(owning: fd))
    }
    guard let socket else { return nil }
    let heard = HeardContainers()
    let connection = SupervisorConnection(
      socket: socket,
      onEvent: { [weak self] event in self?.heardWhileRecovering(event, sandbox: spec.id, heard) },
      onEnd: { [weak self] in self?.supervisorEnded(spec.id) })
    connection.activate()
    guard let hello = try? await connection.request(POD_HELLO), hello.event.result > 0 else { return nil }
    guard hello.event.result == Int32(POD_PROTOCOL_VERSION) else {
      throw ContainerRuntimeError(
        .unsupported, "sandbox \(spec.id): its supervisor speaks version \(hello.event.result), this agent \(POD_PROTOCOL_VERSION)")
    }
    let pidfd = cl_pidfd_open(hello.event.pid, 0)
    guard pidfd >= 0 else { return nil }

    let onDisk = try await offPool { files.readContainers() }
    var containers: [String: Sandbox.Known] = [:]
    for (spec, state) in onDisk { containers[spec.id] = Sandbox.Known(spec: spec, state: state, isStarting: false) }
    let firstExec = UInt64.random(in: 1...(UInt64.max >> 1))  // execs of the agent before us may still run
    let sandbox = Sandbox(
      spec: spec, files: files, connection: connection, pid: hello.event.pid, pidfd: SharedDescriptor(OwnedDescriptor(owning: pidfd)),
      containers: containers, firstExec: firstExec)
    // From here on events find the sandbox; those that came before are taken in now.
    sandboxes.withLock { $0[spec.id] = sandbox }
    let events = heard.take()
    try await offPool { self.adopt(events, in: sandbox) }
    return sandbox
  }

  private func adopt(_ events: [pod_event], in sandbox: Sandbox) {
    for event in events {
      if event.state == POD_EXITED.rawValue {
        if let state = sandbox.recordExit(event) { try? sandbox.files.writeExit(state) }
        sandbox.connection?.post(POD_ACKNOWLEDGE) { $0.container = event.container }
        continue
      }
      sandbox.containers.withLock { containers in
        guard var known = containers[event.containerID], known.state.phase == .created else { return }
        known.state = ContainerState(event, spec: known.spec)
        containers[event.containerID] = known
      }
    }
    // A start that the former agent began and the supervisor never saw, or that failed.
    let never = sandbox.containers.withLock { containers in
      let ids = containers.values.filter { $0.state.phase == .created }.map(\.spec.id)
      for id in ids { containers.removeValue(forKey: id) }
      return ids
    }
    for id in never {
      try? sandbox.files.removeContainer(id)
      removeCgroup(id, of: sandbox)
    }
  }

  private func dead(_ spec: SandboxSpec, _ files: SandboxFiles) async throws -> Sandbox {
    try await offPool {
      var containers: [String: Sandbox.Known] = [:]
      for (spec, state) in files.readContainers() { containers[spec.id] = Sandbox.Known(spec: spec, state: state, isStarting: false) }
      return Sandbox(spec: spec, files: files, connection: nil, pid: 0, pidfd: nil, containers: Self.lastWords(files, containers))
    }
  }

  /// What a dead supervisor wrote down of containers whose end we have not heard of.
  static func lastWords(_ files: SandboxFiles, _ known: [String: Sandbox.Known]) -> [String: Sandbox.Known] {
    let record = files.supervisorRecord()
    var result = known
    for (id, var container) in known where container.state.phase != .exited {
      var state = container.state
      state.phase = .exited
      if let exit = record.exits[id] {
        (state.exitCode, state.signal, state.oomKilled) = (exit.exitCode, exit.signal, exit.oomKilled)
        (state.startedAt, state.finishedAt) = (exit.startedAt, exit.finishedAt)
      } else {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        (state.exitCode, state.signal) = (unknownExitCode, SIGKILL)
        state.finishedAt = Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
        if let started = record.started[id] { (state.pid, state.startedAt) = (started.pid, started.at) }
      }
      state.message = files.terminationMessage(of: id)
      try? files.writeExit(state)
      container.state = state
      container.isStarting = false
      result[id] = container
    }
    return result
  }

  private func heardWhileRecovering(_ event: pod_event, sandbox id: String, _ heard: HeardContainers) {
    if heard.put(event) { return }
    handleEvent(event, sandbox: id)
  }

  // MARK: The end

  /// How long a supervisor may take to kill and reap everything.
  static let shutdownWaitMS: Int32 = 10_000

  /// Kills what is left and takes everything of the sandbox away: processes, cgroups, files, writable layers. The logs stay.
  /// Succeeds where there is none.
  package func removeSandbox(_ id: String) async throws {
    guard let sandbox = sandboxes.withLock({ $0[id] }) else { return }
    if let connection = sandbox.connection {
      sandbox.isBeingRemoved.store(true, ordering: .relaxed)
      // The answer, or the end of the connection: both mean that nothing lives any more.
      _ = try? await connection.request(POD_SHUTDOWN)
    }
    try await offPool {
      if let pidfd = sandbox.pidfd {
        if cl_wait_pidfd(pidfd.rawValue, Self.shutdownWaitMS) == -ETIMEDOUT {
          _ = cl_pidfd_send_signal(pidfd.rawValue, SIGKILL)
          _ = cl_wait_pidfd(pidfd.rawValue, Self.shutdownWaitMS)
        }
      }
      try self.removePodCgroup(sandbox)
      try sandbox.files.removeAll()
    }
    sandboxes.withLock { _ = $0.removeValue(forKey: id) }
  }

  private func removePodCgroup(_ sandbox: Sandbox) throws {
    guard let cgroups else { return }
    let path = cgroups.path(ofPod: sandbox.spec.id, qos: sandbox.spec.qos)
    guard access(path.string, F_OK) == 0 else { return }
    let pod = try CgroupDirectory(opening: path)
    if pod.isPopulated() {
      try? pod.kill()
      pod.waitUntilEmpty(milliseconds: Self.emptyWaitMS)
    }
    try cgroups.removePod(sandbox.spec.id, qos: sandbox.spec.qos)
    try? burstable?.set(nil, ofPod: sandbox.spec.id)
  }

  /// The writable layers of a sandbox's containers, by id.
  package func writableDirectories(of id: String) -> [String: FilePath] {
    guard let sandbox = try? sandbox(id) else { return [:] }
    let ids = sandbox.containers.withLock { Array($0.keys) }
    return Dictionary(uniqueKeysWithValues: ids.map { ($0, sandbox.files.container($0).appending("upper")) })
  }

  // MARK: Figures

  package struct ContainerStatistics: Sendable {
    /// Microseconds of CPU time; always there.
    package var cpuMicros: Int64
    /// Bytes. Without a memory controller: the processes' proportional share of what they have mapped.
    package var memoryBytes: Int64?
    /// memoryBytes without the page cache that can go first.
    package var workingSetBytes: Int64?
    /// Bytes of memory that no file stands behind.
    package var anonymousBytes: Int64?
    package var processes: Int64?
  }

  /// By container id, and the pod as a whole under "".
  package func statistics(of id: String) async throws -> [String: ContainerStatistics] {
    let sandbox = try sandbox(id)
    guard let cgroups else { return [:] }
    let ids = sandbox.containers.withLock { $0.values.filter { $0.state.phase == .running }.map(\.spec.id) }
    return try await offPool {
      let pod = try CgroupDirectory(opening: cgroups.path(ofPod: id, qos: sandbox.spec.qos))
      var result = ["": Self.statistics(pod)]
      for container in ids {
        if let child = try? pod.existingChild(container) { result[container] = Self.statistics(child) }
      }
      return result
    }
  }

  private static func statistics(_ cgroup: borrowing CgroupDirectory) -> ContainerStatistics {
    func number(_ file: String) -> Int64? {
      (try? cgroup.value(file)).flatMap { Int64($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }
    let cpu = ((try? cgroup.counters("cpu.stat")) ?? [:])["usage_usec"] ?? 0
    guard let memory = number("memory.current") else {
      let used = ProcessMemory.of(cgroup)
      return ContainerStatistics(
        cpuMicros: cpu, memoryBytes: used.total, workingSetBytes: used.total, anonymousBytes: used.anonymous, processes: used.processes)
    }
    let parts = (try? cgroup.counters("memory.stat")) ?? [:]
    return ContainerStatistics(
      cpuMicros: cpu, memoryBytes: memory, workingSetBytes: max(0, memory - (parts["inactive_file"] ?? 0)), anonymousBytes: parts["anon"],
      processes: number("pids.current"))
  }
}
