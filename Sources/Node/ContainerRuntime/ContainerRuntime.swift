import CLinux
import JSONCodec
import LinuxKernel
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Sandboxes and containers through `swiftlet-pod`. The runtime prepares (cgroups, mounts, filters, plans) and remembers;
/// each pod's supervisor holds and watches the processes, and outlives this object.
package final class ContainerRuntime: Sendable {
  package let configuration: RuntimeConfiguration
  /// What happens by itself. One consumer.
  package let events: AsyncStream<RuntimeEvent>
  /// Controllers whose limits nothing enforces.
  package let missingControllers: [String]

  let eventSink: AsyncStream<RuntimeEvent>.Continuation
  let sandboxes = Mutex<[String: Sandbox]>([:])
  /// nil: no v2 tree to write in.
  let cgroups: CgroupTree?
  let burstable: BurstableWeight?
  private let deviceFilter: SharedDescriptor?
  private let program: SharedDescriptor

  package init(configuration: RuntimeConfiguration) async throws {
    let parts = try await offPool { try Self.prepare(configuration) }
    self.configuration = configuration
    cgroups = parts.cgroups
    burstable = try parts.cgroups.map { try BurstableWeight($0) }
    missingControllers = parts.missing
    deviceFilter = parts.filter
    program = parts.program
    (events, eventSink) = AsyncStream.makeStream(of: RuntimeEvent.self, bufferingPolicy: .unbounded)
  }

  deinit { eventSink.finish() }

  private struct Parts: Sendable {
    var cgroups: CgroupTree?
    var missing: [String]
    var filter: SharedDescriptor?
    var program: SharedDescriptor
  }

  private static func prepare(_ configuration: RuntimeConfiguration) throws -> Parts {
    for directory in [configuration.runDirectory.appending("pods"), configuration.stateDirectory.appending("sandboxes")] {
      try Files.makeDirectories(directory)
    }
    let hierarchy = CgroupHierarchy.detect()
    let root = configuration.cgroupRoot ?? hierarchy.mountPoint?.appending("swiftlet")
    var tree: CgroupTree?
    var failure: KernelError?
    if let root {
      do throws(KernelError) { tree = try CgroupTree(root: root) } catch { failure = error }
    }
    let present = tree?.controllers() ?? []
    let missing = CgroupHierarchy.needed.filter { !present.contains($0) }
    if !missing.isEmpty, !configuration.allowMissingControllers {
      let why = failure.map { ": \($0)" } ?? ""
      throw ContainerRuntimeError(
        .missingControllers,
        "cgroup v2 at \(root?.string ?? "(not mounted)") lacks \(missing.joined(separator: ", "))\(why); boot with systemd.unified_cgroup_hierarchy=1, or allow it with --allow-missing-controllers"
      )
    }
    // The supervisors run from a read-only mount of their program: no container can reach it for writing through /proc/<pid>/exe.
    let file = try Files.open(configuration.supervisorPath.string, flags: Int32(CL_O_PATH))
    let program = try DetachedMount.bind(file, readOnly: true, recursive: false)
    let filter = tree == nil ? nil : try makeFilter()
    return Parts(cgroups: tree, missing: missing, filter: filter, program: SharedDescriptor(program))
  }

  private static func makeFilter() throws -> SharedDescriptor {
    let filter = try DeviceFilter()
    return SharedDescriptor(try filter.program.duplicate())
  }

  // MARK: Sandboxes

  package func createSandbox(_ spec: SandboxSpec) async throws -> SandboxState {
    try Self.checkID(spec.id)
    if let existing = sandboxes.withLock({ $0[spec.id] }) {
      if existing.connection != nil { throw ContainerRuntimeError(.exists, "sandbox \(spec.id) exists") }
      try await removeSandbox(spec.id)
    }
    let files = SandboxFiles(id: spec.id, configuration: configuration)
    do {
      let spawned = try await offPool { try self.spawn(spec, files) }
      let connection = connect(spawned.socket, sandbox: spec.id)
      let ready = try await connection.ready { connection.activate() }
      guard ready.event.result >= 0 else { throw ContainerStartError(ready.event) }
      let sandbox = Sandbox(
        spec: spec, files: files, connection: connection, pid: spawned.pid, pidfd: spawned.pidfd, containers: [:])
      sandboxes.withLock { $0[spec.id] = sandbox }
      return sandbox.state
    } catch {
      try? await offPool {
        _ = try? self.cgroups?.removePod(spec.id, qos: spec.qos)
        try? self.burstable?.set(nil, ofPod: spec.id)
        try files.removeAll()
      }
      throw error
    }
  }

  private struct Spawned: Sendable {
    let socket: SharedDescriptor
    let pid: Int32
    let pidfd: SharedDescriptor
  }

  private func spawn(_ spec: SandboxSpec, _ files: SandboxFiles) throws -> Spawned {
    try files.create(spec)
    let plan = try ContainerPlan.sandbox(spec)
    let run = try Files.openDirectory(files.run)
    let listener = OwnedDescriptor(
      owning: try KernelError.check("listen", files.run.string, cl_listen_seqpacket(run.rawValue, "supervisor.sock", 8)))
    var pair: [Int32] = [-1, -1]
    try KernelError.check("socketpair", "", cl_socketpair_seqpacket(&pair))
    let ours = SharedDescriptor(OwnedDescriptor(owning: pair[0]))
    let theirs = OwnedDescriptor(owning: pair[1])

    var cgroup: SharedDescriptor?
    if let cgroups {
      let pod = try cgroups.makePod(spec.id, qos: spec.qos, limits: spec.podResources)
      if spec.qos == .burstable { try burstable?.set(spec.podResources?.cpuWeight ?? BurstableWeight.kernelDefault, ofPod: spec.id) }
      let own = try pod.child(CgroupTree.supervisorName)
      cgroup = SharedDescriptor(try own.descriptor.duplicate())
    }
    let passed = [theirs.rawValue, listener.rawValue, run.rawValue, plan.rawValue]
    var pidfd: Int32 = -1
    let name = strdup("swiftlet-pod")
    let id = strdup(spec.id)
    defer {
      free(name)
      free(id)
    }
    let argv: [UnsafePointer<CChar>?] = [UnsafePointer(name), UnsafePointer(id), nil]
    let pid = cl_spawn(program.rawValue, argv, passed, passed.count, cgroup?.rawValue ?? -1, &pidfd)
    withExtendedLifetime((cgroup, plan)) {}
    try KernelError.check("clone3", configuration.supervisorPath.string, pid)
    return Spawned(socket: ours, pid: pid, pidfd: SharedDescriptor(OwnedDescriptor(owning: pidfd)))
  }

  func connect(_ socket: SharedDescriptor, sandbox id: String) -> SupervisorConnection {
    SupervisorConnection(
      socket: socket,
      onEvent: { [weak self] event in self?.handleEvent(event, sandbox: id) },
      onEnd: { [weak self] in self?.supervisorEnded(id) })
  }

  /// On the queue of all connections: short work only.
  func handleEvent(_ event: pod_event, sandbox id: String) {
    guard let sandbox = sandboxes.withLock({ $0[id] }) else { return }
    switch event.kind {
    case POD_CONTAINER.rawValue where event.state == POD_EXITED.rawValue:
      if let state = sandbox.recordExit(event) {
        // The news first: writing takes longer than telling. Until it is acknowledged, the supervisor remembers too.
        eventSink.yield(.containerExited(sandbox: id, state))
        try? sandbox.files.writeExit(state)
      }
      sandbox.connection?.post(POD_ACKNOWLEDGE) { $0.container = event.container }
    case POD_EXEC_EXITED.rawValue:
      let exit = sandbox.execs.withLock { $0.removeValue(forKey: event.exec) }
      exit?.finish(.success(ExecExit.End(exitCode: event.exit_code, signal: event.signal)))
    case POD_WARNING.rawValue:
      let problem = ContainerStartError(event)
      eventSink.yield(.containerWarning(sandbox: id, container: event.containerID, message: problem.description))
    default: break
    }
  }

  /// How long a supervisor whose connection ended may take to be dead; one that lives then has cut us off.
  static let deathWaitMS: Int32 = 1000

  func supervisorEnded(_ id: String) {
    guard let sandbox = sandboxes.withLock({ $0[id] }), sandbox.connection != nil else { return }
    let waiting = sandbox.execs.withLock { execs in
      let all = Array(execs.values)
      execs = [:]
      return all
    }
    for exit in waiting {
      exit.finish(.failure(ContainerRuntimeError(.supervisorGone, "the connection to the pod's supervisor has ended")))
    }
    if sandbox.isBeingRemoved.load(ordering: .relaxed) { return }
    Task {
      let isDead = try? await offPool {
        sandbox.pidfd.map { cl_wait_pidfd($0.rawValue, Self.deathWaitMS) == 0 } ?? true
      }
      if isDead == false, let again = try? await self.reattach(sandbox.spec, sandbox.files) {
        // What ended meanwhile is news to whoever listens.
        let known = sandbox.containers.withLock { $0 }
        for state in again.state.containers where state.phase == .exited && known[state.id]?.state.phase == .running {
          self.eventSink.yield(.containerExited(sandbox: id, state))
        }
        return
      }
      let record = try? await offPool { Self.lastWords(sandbox.files, sandbox.containers.withLock { $0 }) }
      self.sandboxes.withLock { sandboxes in
        guard sandboxes[id] === sandbox else { return }
        sandboxes[id] = Sandbox(
          spec: sandbox.spec, files: sandbox.files, connection: nil, pid: sandbox.pid, pidfd: sandbox.pidfd, containers: record ?? [:])
      }
      self.eventSink.yield(.supervisorDied(sandbox: id))
    }
  }

  /// /proc/<supervisor>/ns/net
  package func networkNamespace(of sandbox: String) throws -> OwnedDescriptor {
    let found = try self.sandbox(sandbox)
    _ = try found.living()
    return try Files.open("/proc/\(found.pid)/ns/net", flags: O_RDONLY)
  }

  package func state(of sandbox: String) throws -> SandboxState { try self.sandbox(sandbox).state }
  package func states() -> [SandboxState] { sandboxes.withLock { $0.values.map(\.state) }.sorted { $0.id < $1.id } }

  func sandbox(_ id: String) throws -> Sandbox {
    guard let sandbox = sandboxes.withLock({ $0[id] }) else { throw ContainerRuntimeError(.notFound, "no sandbox \(id)") }
    return sandbox
  }

  /// Ids become names of files and cgroups.
  static func checkID(_ id: String) throws {
    let plain = id.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "._-".utf8.contains(byte)
    }
    guard plain, !id.isEmpty, id.utf8.count < Int(POD_ID_SIZE), !id.hasPrefix(".") else {
      throw ContainerRuntimeError(
        .invalid, "\(id.debugDescription) is not an id: letters, digits, '-', '_', '.', at most \(POD_ID_SIZE - 1)")
    }
  }

  // MARK: Containers

  /// Returns when execve has succeeded.
  package func startContainer(_ spec: ContainerSpec, in id: String) async throws -> ContainerState {
    try Self.checkID(spec.id)
    let sandbox = try sandbox(id)
    let connection = try sandbox.living()
    let created = ContainerState(id: spec.id, name: spec.name, attempt: spec.attempt, phase: .created)
    let isNew = sandbox.containers.withLock { containers in
      guard containers[spec.id] == nil else { return false }
      containers[spec.id] = Sandbox.Known(spec: spec, state: created, isStarting: true)
      return true
    }
    guard isNew else { throw ContainerRuntimeError(.exists, "container \(spec.id) exists") }
    do {
      let descriptors = try await offPool { try self.prepare(spec, in: sandbox) }
      let reply = try await connection.request(POD_START, descriptors: descriptors)
      guard reply.event.result >= 0 else { throw ContainerStartError(reply.event) }
      // It may have ended before we got here: then the end is what counts.
      return sandbox.containers.withLock { containers in
        guard var known = containers[spec.id] else { return created }
        known.isStarting = false
        if known.state.phase == .created {
          known.state.phase = .running
          known.state.pid = reply.event.pid
          known.state.startedAt = reply.event.started_ns
        }
        containers[spec.id] = known
        return known.state
      }
    } catch {
      try? await offPool { self.discard(spec.id, of: sandbox) }
      sandbox.containers.withLock { _ = $0.removeValue(forKey: spec.id) }
      throw error
    }
  }

  private func prepare(_ spec: ContainerSpec, in sandbox: Sandbox) throws -> [SharedDescriptor] {
    let directory = sandbox.files.container(spec.id)
    try sandbox.files.createContainer(spec)
    let rootfs = try Self.rootfs(spec, directory)
    let logParent = spec.logPath.removingLastComponent()
    try Files.makeDirectories(logParent, mode: 0o755)
    let log = SharedDescriptor(try Files.openDirectory(logParent))
    let cgroup = try makeCgroup(spec, in: sandbox)
    return try ContainerPlan.container(
      spec, in: sandbox.spec, rootfs: rootfs, cgroup: cgroup, logDirectory: log,
      terminationLog: spec.terminationMessagePath.isEmpty ? nil : directory.appending("termination-log"))
  }

  private static func rootfs(_ spec: ContainerSpec, _ directory: FilePath) throws(ContainerStartError) -> SharedDescriptor {
    do throws(KernelError) {
      return SharedDescriptor(
        try Overlay.mount(layers: spec.rootfsLayers, upper: directory.appending("upper"), work: directory.appending("work")))
    } catch {
      throw ContainerStartError(stage: "rootfs", errno: error.errno, detail: "\(error.operation) \(error.target)")
    }
  }

  private func makeCgroup(_ spec: ContainerSpec, in sandbox: Sandbox) throws -> SharedDescriptor? {
    guard let cgroups else { return nil }
    let pod = try CgroupDirectory(opening: cgroups.path(ofPod: sandbox.spec.id, qos: sandbox.spec.qos))
    let own = try pod.child(spec.id)
    try own.apply(spec.limits, groupOOM: !configuration.singleProcessOOMKill)
    if !spec.privileged, let deviceFilter {
      try KernelError.check("bpf(PROG_ATTACH)", "devices", cl_device_attach(own.descriptor.rawValue, deviceFilter.rawValue))
    }
    return SharedDescriptor(try own.descriptor.duplicate())
  }

  /// What a start that failed left behind.
  private func discard(_ id: String, of sandbox: Sandbox) {
    try? sandbox.files.removeContainer(id)
    removeCgroup(id, of: sandbox)
  }

  func removeCgroup(_ id: String, of sandbox: Sandbox) {
    guard let cgroups, let pod = try? CgroupDirectory(opening: cgroups.path(ofPod: sandbox.spec.id, qos: sandbox.spec.qos)) else { return }
    if (try? pod.removeChild(id)) != nil { return }
    guard let child = try? pod.existingChild(id) else { return }
    try? child.kill()
    child.waitUntilEmpty(milliseconds: Self.emptyWaitMS)
    try? pod.removeChild(id)
  }

  /// How long processes may take to go after SIGKILL.
  static let emptyWaitMS: Int32 = 5000

  package func signalContainer(_ id: String, in sandbox: String, signal: Int32) async throws {
    try await signal_(id, in: sandbox) { $0.signal = signal }
  }

  /// SIGKILL to every process of the container, its first one and all others.
  package func killContainer(_ id: String, in sandbox: String) async throws {
    try await signal_(id, in: sandbox) {
      $0.signal = SIGKILL
      $0.flags = UInt32(POD_SIGNAL_ALL)
    }
  }

  private func signal_(_ id: String, in sandbox: String, _ fill: (inout pod_request) -> Void) async throws {
    let found = try self.sandbox(sandbox)
    let known = try found.container(id)
    if known.state.phase == .exited { return }
    let reply = try await found.living().request(POD_SIGNAL) {
      $0.setContainer(id)
      fill(&$0)
    }
    // It ended in between: what the signal was for has happened.
    if reply.event.result < 0, reply.event.result != -ESRCH {
      throw KernelError("pidfd_send_signal", id, errno: Errno(rawValue: -reply.event.result))
    }
  }

  /// The terminal of a container that was started with one.
  package func resizeContainer(_ id: String, in sandbox: String, rows: UInt16, columns: UInt16) async throws {
    let reply = try await self.sandbox(sandbox).living().request(POD_RESIZE) {
      $0.setContainer(id)
      $0.rows = rows
      $0.columns = columns
    }
    if reply.event.result < 0 { throw KernelError("TIOCSWINSZ", id, errno: Errno(rawValue: -reply.event.result)) }
  }

  /// Opens the log anew, after somebody else renamed it.
  package func reopenLog(_ id: String, in sandbox: String) async throws {
    let reply = try await self.sandbox(sandbox).living().request(POD_REOPEN_LOG) { $0.setContainer(id) }
    if reply.event.result < 0 { throw KernelError("reopen log", id, errno: Errno(rawValue: -reply.event.result)) }
  }

  /// Takes away what an ended container left: its writable layer, its record, its cgroup. The log stays.
  package func removeContainer(_ id: String, in sandbox: String) async throws {
    let found = try self.sandbox(sandbox)
    guard let known = found.containers.withLock({ $0[id] }) else { return }
    guard known.state.phase == .exited, !known.isStarting else {
      throw ContainerRuntimeError(.busy, "container \(id) (\(known.state.name)) is running")
    }
    try await offPool {
      self.removeCgroup(id, of: found)
      try found.files.removeContainer(id)
    }
    found.containers.withLock { _ = $0.removeValue(forKey: id) }
  }
}

extension pod_request {
  mutating func setContainer(_ id: String) {
    withUnsafeMutableBytes(of: &container) { $0.copyBytes(from: id.utf8.prefix(Int(POD_ID_SIZE) - 1)) }
  }
}
