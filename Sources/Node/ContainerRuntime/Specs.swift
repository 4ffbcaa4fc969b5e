@_exported import CgroupV2
import JSONCodec
import LinuxKernel
@_exported import OverlayMounts
import SystemPackage

package struct RuntimeConfiguration: Sendable {
  /// The program `swiftlet-pod`.
  package var supervisorPath: FilePath
  /// Sockets and what else ends with the machine's uptime.
  package var runDirectory: FilePath
  /// What must survive the agent: `<data-dir>/runtime`.
  package var stateDirectory: FilePath
  /// A directory of the v2 tree; nil: `swiftlet` below its mount point.
  package var cgroupRoot: FilePath?
  package var allowMissingControllers: Bool
  /// Out of memory the kernel kills one process instead of the whole container.
  package var singleProcessOOMKill: Bool

  package init(
    supervisorPath: FilePath, runDirectory: FilePath, stateDirectory: FilePath, cgroupRoot: FilePath? = nil,
    allowMissingControllers: Bool = false, singleProcessOOMKill: Bool = false
  ) {
    self.supervisorPath = supervisorPath
    self.runDirectory = runDirectory
    self.stateDirectory = stateDirectory
    self.cgroupRoot = cgroupRoot
    self.allowMissingControllers = allowMissingControllers
    self.singleProcessOOMKill = singleProcessOOMKill
  }
}

/// A pod as the runtime sees it.
package struct SandboxSpec: Sendable {
  /// The pod's UID.
  package var id: String
  package var podName: String
  package var namespace: String
  package var hostname: String
  package var qos: PodQOS
  package var hostNetwork = false
  package var hostPID = false
  package var hostIPC = false
  package var shareProcessNamespace = false
  /// Only namespaced ones take effect on the pod alone: with hostNetwork `net.*`, with hostIPC the IPC ones are refused.
  package var sysctls: [String: String] = [:]
  package var podResources: ResourceLimits?
  package var logDirectory: FilePath
  /// Whatever the owner wants back after a restart.
  package var labels: JSON = .null

  package init(id: String, podName: String, namespace: String, hostname: String, qos: PodQOS, logDirectory: FilePath) {
    self.id = id
    self.podName = podName
    self.namespace = namespace
    self.hostname = hostname
    self.qos = qos
    self.logDirectory = logDirectory
  }
}

package struct ContainerMount: Sendable {
  package enum Source: Sendable {
    /// A path on the host whose links may be followed: resolve subpaths beneath their volume first.
    case bind(FilePath, readOnly: Bool, propagation: MountPropagation)
    /// Bytes; nil: half of the memory.
    case tmpfs(size: Int64?)
  }
  package var source: Source
  package var target: String
  package var isDirectory: Bool
  /// Where it is read-only: what is mounted below it is too.
  package var isRecursivelyReadOnly = true

  package init(source: Source, target: String, isDirectory: Bool) {
    self.source = source
    self.target = target
    self.isDirectory = isDirectory
  }
}

package enum SeccompChoice: Sendable, Equatable {
  case runtimeDefault, unconfined
  /// A file with a profile as OCI runtimes read it (`linux.seccomp`).
  case file(FilePath)

  var text: String {
    switch self {
    case .runtimeDefault: "runtimeDefault"
    case .unconfined: "unconfined"
    case .file(let path): "file:\(path)"
    }
  }

  init?(text: String) {
    switch text {
    case "runtimeDefault": self = .runtimeDefault
    case "unconfined": self = .unconfined
    default:
      guard text.hasPrefix("file:/") else { return nil }
      self = .file(FilePath(String(text.dropFirst(5))))
    }
  }
}

package struct ResourceLimit: Sendable, Equatable {
  /// RLIMIT_* number.
  package var resource: UInt32
  package var soft: UInt64
  package var hard: UInt64
  package init(resource: UInt32, soft: UInt64, hard: UInt64) {
    self.resource = resource
    self.soft = soft
    self.hard = hard
  }
}

package struct ContainerSpec: Sendable {
  package var name: String
  package var attempt: Int
  /// 64 hexadecimal digits.
  package var id: String
  /// Lowest first.
  package var rootfsLayers: [FilePath] = []
  package var readOnlyRootfs = false
  package var argv: [String] = []
  /// `NAME=value`.
  package var environment: [String] = []
  package var workingDirectory = "/"
  package var uid: UInt32 = 0
  package var gid: UInt32 = 0
  package var supplementalGroups: [UInt32] = []
  package var umask: UInt32 = 0o022
  package var mounts: [ContainerMount] = []
  /// Names with or without CAP_: the whole set, defaults already in it. Privileged containers have all of them.
  package var capabilities: [String] = []
  package var privileged = false
  package var noNewPrivileges = false
  package var seccomp = SeccompChoice.runtimeDefault
  package var rlimits: [ResourceLimit] = []
  package var limits = ResourceLimits()
  package var oomScoreAdj = 0
  package var stdin = false
  package var stdinOnce = false
  package var tty = false
  package var logPath: FilePath
  /// The log is rotated before it would pass this many bytes; 0: never.
  package var logSizeMax: UInt64 = 10 << 20
  /// Files that are kept, the current one included.
  package var logFilesMax: UInt32 = 5
  /// Where the container may leave a word on its end; empty: nowhere.
  package var terminationMessagePath = "/dev/termination-log"
  /// Hide what of /proc and /sys tells about or changes the host.
  package var maskPaths = true
  package var stopSignal: Int32 = 15

  package init(name: String, attempt: Int, id: String, logPath: FilePath) {
    self.name = name
    self.attempt = attempt
    self.id = id
    self.logPath = logPath
  }
}

package struct ExecSpec: Sendable {
  package var argv: [String]
  package var stdin: Bool
  package var tty: Bool
  /// Standard error on its own pipe; without it, both arrive on standard output.
  package var separateError = true
  package var rows: UInt16 = 0
  package var columns: UInt16 = 0
  package init(argv: [String], stdin: Bool = false, tty: Bool = false) {
    self.argv = argv
    self.stdin = stdin
    self.tty = tty
  }
}

package struct ContainerState: Sendable, Equatable {
  package enum Phase: String, Sendable { case created, running, exited }
  package var id: String
  package var name: String
  package var attempt: Int
  package var phase: Phase
  package var pid: Int32
  /// 0...255; 128 + signal for a killed one.
  package var exitCode: Int32
  package var signal: Int32
  package var oomKilled: Bool
  /// Nanoseconds since the epoch.
  package var startedAt: Int64
  package var finishedAt: Int64
  /// What it left at its termination message path, at most 4096 bytes.
  package var message: String?

  package init(
    id: String, name: String, attempt: Int, phase: Phase, pid: Int32 = 0, exitCode: Int32 = 0, signal: Int32 = 0, oomKilled: Bool = false,
    startedAt: Int64 = 0, finishedAt: Int64 = 0, message: String? = nil
  ) {
    self.id = id
    self.name = name
    self.attempt = attempt
    self.phase = phase
    self.pid = pid
    self.exitCode = exitCode
    self.signal = signal
    self.oomKilled = oomKilled
    self.startedAt = startedAt
    self.finishedAt = finishedAt
    self.message = message
  }
}

package struct SandboxState: Sendable {
  package var id: String
  package var supervisorPID: Int32
  /// Its supervisor lives: containers can be started, entered, signalled.
  package var isAlive: Bool
  package var containers: [ContainerState]
  package var labels: JSON
  package init(id: String, supervisorPID: Int32, isAlive: Bool, containers: [ContainerState], labels: JSON) {
    self.id = id
    self.supervisorPID = supervisorPID
    self.isAlive = isAlive
    self.containers = containers
    self.labels = labels
  }
}

package enum RuntimeEvent: Sendable {
  case containerExited(sandbox: String, ContainerState)
  case supervisorDied(sandbox: String)
  /// A container runs without something that this machine does not let us set: a lower oom_score_adj, a higher rlimit.
  case containerWarning(sandbox: String, container: String, message: String)
}
