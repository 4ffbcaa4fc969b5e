import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// What containers must not see or change of the host, and the devices that privileged ones get.
enum HostPaths {
  /// Hidden: the union of what Kubernetes 1.36 and the container engines hide.
  static let masked: [String] =
    [
      "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
      "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
    ] + thermalThrottle()

  static let readOnly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

  private static func thermalThrottle() -> [String] {
    let base: FilePath = "/sys/devices/system/cpu"
    return ((try? Files.names(in: base)) ?? [])
      .filter { $0.hasPrefix("cpu") && $0.dropFirst(3).allSatisfy(\.isNumber) && $0.count > 3 }
      .map { base.appending($0).appending("thermal_throttle").string }
      .filter { access($0, F_OK) == 0 }
  }

  struct Device {
    let path: String
    let status: stat
  }

  /// Device nodes below /dev, without what every container gets of its own.
  static func devices() -> [Device] {
    var found: [Device] = []
    collect("/dev", "", into: &found, depth: 0)
    return found
  }

  private static let own: Set<String> = [
    "pts", "shm", "mqueue", "fd", "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx",
  ]
  private static let depthMax = 4
  private static let devicesMax = 4096

  private static func collect(_ directory: String, _ prefix: String, into found: inout [Device], depth: Int) {
    for name in (try? Files.names(in: FilePath(directory))) ?? [] where depth > 0 || !own.contains(name) {
      var status = stat()
      guard found.count < devicesMax, lstat("\(directory)/\(name)", &status) == 0 else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFDIR where depth < depthMax: collect("\(directory)/\(name)", prefix + name + "/", into: &found, depth: depth + 1)
      case S_IFCHR, S_IFBLK: found.append(Device(path: prefix + name, status: status))
      default: continue
      }
    }
  }

  static func major(_ device: dev_t) -> UInt32 { UInt32((device >> 8) & 0xfff | (device >> 32) & ~0xfff) }
  static func minor(_ device: dev_t) -> UInt32 { UInt32(device & 0xff | (device >> 12) & 0xfff00) }
}
