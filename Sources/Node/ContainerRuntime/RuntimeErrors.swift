import CLinux
import SystemPackage

/// Why a container or an exec did not start: at which step, and what the kernel said.
package struct ContainerStartError: Error, CustomStringConvertible, Sendable {
  /// The step, such as "exec", "mount", "rootfs".
  package var stage: String
  package var errno: Errno
  /// The path, program or value it was about.
  package var detail: String

  package init(stage: String, errno: Errno, detail: String) {
    self.stage = stage
    self.errno = errno
    self.detail = detail
  }

  init(_ event: pod_event) {
    self.init(stage: stageName(event.stage), errno: Errno(rawValue: -event.result), detail: event.detailText)
  }

  package var message: String {
    switch (stage, errno) {
    case ("exec", .noSuchFileOrDirectory): "exec: \"\(detail)\": no such file or directory in the container (also in its $PATH)"
    case ("exec", .permissionDenied): "exec: \"\(detail)\": permission denied"
    case ("exec", _): "exec: \"\(detail)\": \(errno.description)"
    case ("died", _): "the container's process ended before it could run its program"
    default: "\(stage)\(detail.isEmpty ? "" : " \(detail)"): \(errno.description)"
    }
  }
  package var description: String { message }
}

/// What the runtime cannot do, and why.
package struct ContainerRuntimeError: Error, CustomStringConvertible, Sendable {
  package enum Code: Sendable { case notFound, exists, busy, invalid, missingControllers, supervisorGone, unsupported }
  package var code: Code
  package var message: String
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}

func stageName(_ stage: UInt32) -> String {
  let names: [UInt32: String] = [
    POD_STAGE_PLAN.rawValue: "plan", POD_STAGE_CLONE.rawValue: "clone", POD_STAGE_NAMESPACE.rawValue: "namespace",
    POD_STAGE_ROOTFS.rawValue: "rootfs", POD_STAGE_PROC.rawValue: "proc", POD_STAGE_SYS.rawValue: "sys",
    POD_STAGE_CGROUP.rawValue: "cgroup", POD_STAGE_DEV.rawValue: "dev", POD_STAGE_MASK.rawValue: "mask",
    POD_STAGE_MOUNT.rawValue: "mount", POD_STAGE_TERMINAL.rawValue: "terminal", POD_STAGE_STDIO.rawValue: "stdio",
    POD_STAGE_SYSCTL.rawValue: "sysctl", POD_STAGE_HOSTNAME.rawValue: "hostname", POD_STAGE_OOM_SCORE.rawValue: "oom_score_adj",
    POD_STAGE_RLIMIT.rawValue: "rlimit", POD_STAGE_CWD.rawValue: "working directory", POD_STAGE_USER.rawValue: "user",
    POD_STAGE_CAPABILITIES.rawValue: "capabilities", POD_STAGE_SECCOMP.rawValue: "seccomp", POD_STAGE_EXEC.rawValue: "exec",
    POD_STAGE_LOG.rawValue: "log", POD_STAGE_DIED.rawValue: "died",
  ]
  return names[stage] ?? "stage \(stage)"
}

extension pod_event {
  var detailText: String { withUnsafeBytes(of: detail) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } }
  var containerID: String { withUnsafeBytes(of: container) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } }
}
