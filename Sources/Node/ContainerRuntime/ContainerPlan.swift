import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Translates specs to flat plans with their descriptors.
enum ContainerPlan {
  static let privilegedEverything = CapabilitySet.all

  static func sandbox(_ spec: SandboxSpec) throws -> SharedDescriptor {
    var plan = PlanBuilder(kind: POD_PLAN_SANDBOX, id: String(spec.id.utf8.prefix(Int(POD_ID_SIZE) - 1)) ?? "")
    plan.flag(POD_OWN_NETWORK, !spec.hostNetwork)
    plan.flag(POD_OWN_IPC, !spec.hostIPC)
    plan.flag(POD_OWN_UTS, !spec.hostNetwork)
    plan.flag(POD_SHARED_PID_NAMESPACE, spec.shareProcessNamespace && !spec.hostPID)
    let hostname = plan.string(spec.hostname)
    var pairs: [String] = []
    for (name, value) in spec.sysctls.sorted(by: { $0.key < $1.key }) {
      try checkSysctl(name, value, spec)
      pairs += [name, value]
    }
    let sysctls = plan.strings(pairs)
    plan.edit {
      $0.hostname = hostname
      $0.sysctls = sysctls
    }
    return try plan.finish()[0]
  }

  /// Only what belongs to a namespace that the pod has for itself may be changed, and a value is one line.
  static func checkSysctl(_ name: String, _ value: String, _ spec: SandboxSpec) throws {
    func refuse(_ why: String) -> ContainerRuntimeError { ContainerRuntimeError(.invalid, "sysctl \(name): \(why)") }
    let plain = name.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "._-/".utf8.contains(byte)
    }
    guard plain, !name.isEmpty, name.utf8.count <= 253, !name.contains("..") else { throw refuse("not a name") }
    guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f || $0 == 9 }) else { throw refuse("not a value") }
    let dotted =
      name.contains(".") && !(name.firstIndex(of: "/").map { $0 < name.firstIndex(of: ".")! } ?? false)
      ? name : String(name.map { $0 == "/" ? "." : $0 })
    if dotted.hasPrefix("net.") {
      if spec.hostNetwork { throw refuse("not with hostNetwork") }
      return
    }
    let ipc = [
      "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
      "kernel.shm_rmid_forced",
    ]
    guard ipc.contains(dotted) || dotted.hasPrefix("fs.mqueue.") else { throw refuse("not of a pod's own namespaces") }
    if spec.hostIPC { throw refuse("not with hostIPC") }
  }

  static func container(
    _ spec: ContainerSpec, in sandbox: SandboxSpec, rootfs: SharedDescriptor, cgroup: SharedDescriptor?, logDirectory: SharedDescriptor,
    terminationLog: FilePath?
  ) throws -> [SharedDescriptor] {
    var plan = PlanBuilder(kind: POD_PLAN_CONTAINER, id: spec.id)
    try process(&plan, spec, argv: spec.argv, tty: spec.tty)
    plan.flag(POD_STDIN, spec.stdin)
    plan.flag(POD_STDIN_ONCE, spec.stdin && spec.stdinOnce)
    plan.flag(POD_READONLY_ROOTFS, spec.readOnlyRootfs)
    plan.flag(POD_SYS_WRITABLE, spec.privileged)
    plan.flag(POD_MOUNT_CGROUP, cgroup != nil)
    plan.flag(POD_OWN_CGROUP_NAMESPACE, cgroup != nil)
    plan.flag(POD_OWN_PID_NAMESPACE, !sandbox.hostPID && !sandbox.shareProcessNamespace)
    let mounts = try mounts(&plan, spec, sandbox, terminationLog)
    let masked = plan.strings(spec.maskPaths && !spec.privileged ? HostPaths.masked : [])
    let readOnly = plan.strings(spec.maskPaths && !spec.privileged ? HostPaths.readOnly : [])
    let devices = devices(&plan, spec)
    let logName = plan.string(spec.logPath.lastComponent?.string ?? "0.log")
    let rootfsIndex = plan.descriptor(rootfs)
    let logIndex = plan.descriptor(logDirectory)
    let cgroupIndex = cgroup.map { plan.descriptor($0) } ?? -1
    plan.edit {
      $0.mounts = mounts
      $0.masked = masked
      $0.readonly = readOnly
      $0.devices = devices
      $0.log_name = logName
      $0.log_size_max = spec.logSizeMax
      $0.log_files_max = spec.logFilesMax
      $0.fd_rootfs = rootfsIndex
      $0.fd_log = logIndex
      $0.fd_cgroup = cgroupIndex
    }
    return try plan.finish()
  }

  static func exec(_ spec: ExecSpec, in container: ContainerSpec, ownCgroup: Bool, stdio: [SharedDescriptor?]) throws -> [SharedDescriptor]
  {
    var plan = PlanBuilder(kind: POD_PLAN_EXEC, id: container.id)
    try process(&plan, container, argv: spec.argv, tty: spec.tty)
    plan.flag(POD_OWN_CGROUP_NAMESPACE, ownCgroup)
    let indexes = stdio.map { stream in stream.map { plan.descriptor($0) } ?? -1 }
    plan.edit {
      $0.rows = spec.rows
      $0.columns = spec.columns
      $0.fd_stdin = indexes[0]
      $0.fd_stdout = indexes[1]
      $0.fd_stderr = indexes[2]
    }
    return try plan.finish()
  }

  /// Who the process is and what it may do: the same for a container's first process and for those that join it.
  private static func process(_ plan: inout PlanBuilder, _ spec: ContainerSpec, argv: [String], tty: Bool) throws {
    guard let program = argv.first, !program.isEmpty else { throw ContainerRuntimeError(.invalid, "container \(spec.name): no command") }
    guard argv.allSatisfy({ !$0.utf8.contains(0) }), spec.environment.allSatisfy({ !$0.utf8.contains(0) }) else {
      throw ContainerRuntimeError(.invalid, "container \(spec.name): NUL in an argument or in the environment")
    }
    let capabilities = spec.privileged ? privilegedEverything : CapabilitySet(names: spec.capabilities)
    let filter: SharedDescriptor? =
      switch spec.seccomp {
      case _ where spec.privileged: nil
      case .unconfined: nil
      case .runtimeDefault: try SeccompProfile.runtimeDefault(capabilities: capabilities)
      case .file(let path): SharedDescriptor(try SeccompProfile.file(path))
      }
    if let filter {
      let index = plan.descriptor(filter)
      plan.edit { $0.fd_seccomp = index }
    }
    plan.flag(POD_TTY, tty)
    plan.flag(POD_NO_NEW_PRIVILEGES, spec.noNewPrivileges)
    plan.flag(POD_SET_OOM_SCORE)
    let arguments = plan.strings(argv)
    let environment = plan.strings(spec.environment)
    let groups = plan.array(spec.supplementalGroups)
    let rlimits = plan.array(spec.rlimits.map { pod_rlimit(resource: $0.resource, reserved: 0, soft: $0.soft, hard: $0.hard) })
    let cwd = plan.string(spec.workingDirectory)
    plan.edit {
      $0.argv = arguments
      $0.environment = environment
      $0.groups = groups
      $0.rlimits = rlimits
      $0.cwd = cwd
      $0.uid = spec.uid
      $0.gid = spec.gid
      $0.umask = spec.umask
      $0.oom_score_adj = Int32(min(max(spec.oomScoreAdj, -1000), 1000))
      // Inheritable and ambient stay empty: what a program gains, its file or its user says.
      $0.cap_bounding = capabilities.bits
      $0.cap_permitted = capabilities.bits
      $0.cap_effective = capabilities.bits
    }
  }

  private static func mounts(
    _ plan: inout PlanBuilder, _ spec: ContainerSpec, _ sandbox: SandboxSpec, _ terminationLog: FilePath?
  ) throws -> pod_slice {
    var all = spec.mounts
    if sandbox.hostIPC, !all.contains(where: { $0.target == "/dev/shm" }) {
      all.insert(
        ContainerMount(source: .bind("/dev/shm", readOnly: false, propagation: .private), target: "/dev/shm", isDirectory: true), at: 0)
    }
    // A mount below another one comes after it.
    all = all.enumerated().sorted { (depth($0.element.target), $0.offset) < (depth($1.element.target), $1.offset) }.map(\.element)
    if let terminationLog, !spec.terminationMessagePath.isEmpty {
      let source = ContainerMount.Source.bind(terminationLog, readOnly: false, propagation: .private)
      all.append(ContainerMount(source: source, target: spec.terminationMessagePath, isDirectory: false))
    }
    var list: [pod_mount] = []
    for mount in all {
      guard mount.target.hasPrefix("/"), !mount.target.utf8.contains(0) else {
        throw ContainerRuntimeError(.invalid, "mount target \(mount.target): not an absolute path")
      }
      let detached = try detached(mount)
      let index = plan.descriptor(detached)
      let target = plan.string(mount.target)
      list.append(pod_mount(fd: UInt32(index), target: target, directory: mount.isDirectory ? 1 : 0))
    }
    return plan.array(list)
  }

  private static func detached(_ mount: ContainerMount) throws(ContainerStartError) -> SharedDescriptor {
    do throws(KernelError) {
      return switch mount.source {
      case .bind(let path, let readOnly, let propagation):
        SharedDescriptor(
          try DetachedMount.bind(
            path: path, readOnly: readOnly, propagation: propagation, readOnlyBelow: mount.isRecursivelyReadOnly))
      case .tmpfs(let size):
        SharedDescriptor(try DetachedMount.tmpfs(size: size))
      }
    } catch {
      throw ContainerStartError(stage: "mount", errno: error.errno, detail: "\(mount.target): \(error.operation) \(error.target)")
    }
  }

  private static func depth(_ path: String) -> Int { path.split(separator: "/").count }

  private static func devices(_ plan: inout PlanBuilder, _ spec: ContainerSpec) -> pod_slice {
    var list: [pod_device] = []
    for device in spec.privileged ? HostPaths.devices() : [] {
      let path = plan.string(device.path)
      let status = device.status
      list.append(
        pod_device(
          path: path, mode: status.st_mode, major: HostPaths.major(status.st_rdev), minor: HostPaths.minor(status.st_rdev),
          uid: status.st_uid, gid: status.st_gid))
    }
    return plan.array(list)
  }
}
