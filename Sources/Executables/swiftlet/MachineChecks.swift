import CLinux
import CgroupV2
import FoundationEssentials
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Looks at the machine without changing it.
enum MachineChecks {
  private static func file(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self).trimmed }
  }

  /// True unless the kernel has no such call: any other error shows that it is there.
  private static func hasCall(_ result: Int32) -> Bool {
    if result >= 0 { close(result) }
    return result != -ENOSYS
  }

  private static func finding(_ name: String, _ isPresent: Bool, _ detail: String, _ purpose: String, _ remedy: String) -> Finding {
    Finding(name: name, state: isPresent ? .present : .missing, detail: detail, purpose: purpose, remedy: remedy)
  }

  static func kernel() -> [Finding] {
    let release = file("/proc/sys/kernel/osrelease") ?? "unknown"
    let filesystems = file("/proc/filesystems") ?? ""
    var result = [
      finding("root", geteuid() == 0, "effective user \(geteuid())", "namespaces, mounts and links need it", "run with sudo"),
      finding(
        "kernel", version(release) >= (5, 14), release, "the mount API by descriptor, pidfds, cgroup.kill",
        "Linux 5.14 or newer; 6.5 for best speed"),
      finding(
        "overlayfs", filesystems.contains("\toverlay") || moduleExists("overlay"), "listed in /proc/filesystems",
        "root file systems of containers", "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS"),
      finding(
        "openat2", hasCall(cl_openat2(AT_FDCWD, "/", UInt64(O_CLOEXEC), 0, 0)), "system call",
        "paths inside images are resolved beneath their root", "Linux 5.6"),
      finding(
        "mount API", hasCall(cl_fsopen("tmpfs", 1)), "fsopen, fsmount, move_mount",
        "mounts are built detached; the host's table stays as it was", "Linux 5.2"),
      finding("pidfd", hasCall(cl_pidfd_open(getpid(), 0)), "system call", "exits are told by the kernel, never polled", "Linux 5.3"),
    ]
    for (name, purpose) in [
      ("pid", "processes of a container see only each other"), ("mnt", "own root file system"), ("uts", "own host name"),
      ("ipc", "own shared memory and queues"), ("net", "own links and addresses"), ("cgroup", "own view of cgroups"),
    ] {
      result.append(
        finding(
          "\(name) namespace", access("/proc/self/ns/\(name)", F_OK) == 0, "/proc/self/ns/\(name)", purpose,
          "a kernel with CONFIG_NAMESPACES"))
    }
    let user = access("/proc/self/ns/user", F_OK) == 0
    result.append(
      Finding(
        name: "user namespace", state: user ? .present : .degraded, detail: user ? "/proc/self/ns/user" : "not there",
        purpose: "pods with hostUsers: false", remedy: "a kernel with CONFIG_USER_NS"))
    let actions = file("/proc/sys/kernel/seccomp/actions_avail") ?? ""
    result.append(
      finding(
        "seccomp", actions.contains("errno"), actions, "the default profile refuses dangerous system calls",
        "a kernel with CONFIG_SECCOMP_FILTER"))
    result.append(
      finding(
        "nf_tables", netlinkWorks(family: 12) || moduleExists("nf_tables"), "netlink family 12", "masquerade, services, network policy",
        "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES"))
    result.append(
      finding(
        "veth", directoryExists("/sys/module/veth") || moduleExists("veth"), "module", "a pod's link to the host",
        "modprobe veth, or a kernel with CONFIG_VETH"))
    let bounding = capabilities()
    result.append(
      finding("CAP_SYS_ADMIN", bounding & (1 << 21) != 0, "effective set", "mounts and namespaces", "run outside an unprivileged container")
    )
    result.append(
      Finding(
        name: "CAP_SYS_RESOURCE", state: bounding & (1 << 24) != 0 ? .present : .degraded, detail: "effective set",
        purpose: "lower oom_score_adj for critical pods, raise resource limits",
        remedy: "grant it; without it pods run, and the kernel's defaults stay"))
    return result
  }

  /// The cgroup v2 hierarchy and its controllers.
  static func controllers(root: String?) -> [Finding] {
    let remedy = "boot with systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all); --allow-missing-controllers runs without limits"
    guard let tree = root ?? cgroup2Mount(), let available = CgroupHierarchy.controllers(reaching: FilePath(tree)) else {
      return [finding("cgroup v2", false, "no cgroup2 mount", "limits and accounting of pods", remedy)]
    }
    let purposes = [
      ("memory", "memory limits, OOM kills"), ("cpu", "cpu limits and shares"), ("pids", "limits on the number of processes"),
    ]
    return [finding("cgroup v2", true, tree, "limits and accounting of pods", "")]
      + purposes.map { name, purpose in
        let isThere = available.contains(name)
        return finding("cgroup \(name)", isThere, isThere ? tree : "not in cgroup.controllers of \(tree)", purpose, remedy)
      }
  }

  static func ports(_ ports: [Int]) -> [Finding] {
    ports.map { port in
      Finding(
        name: "port \(port)", state: Machine.isPortFree("0.0.0.0", port) ? .present : .degraded,
        detail: Machine.isPortFree("0.0.0.0", port) ? "free" : "in use",
        purpose: port == 10250 ? "the node's HTTPS endpoint" : "the API server",
        remedy: "stop what listens there (ss -ltnp 'sport = :\(port)'), or choose another with --listen or --kubelet-port")
    }
  }

  /// Mount points of this process's namespace, in the order in which they were mounted.
  static func mounts() -> [String] {
    (file("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap { line in
      let parts = line.split(separator: " ")
      return parts.count > 4 ? unescaped(parts[4]) : nil
    }
  }

  /// The kernel writes spaces and the like as `\040`.
  private static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\\"), rest.count >= 3, let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
        bytes.append(value)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func cgroup2Mount() -> String? {
    for line in (file("/proc/self/mounts") ?? "").split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count > 2, parts[2] == "cgroup2" { return String(parts[1]) }
    }
    return nil
  }

  private static func version(_ release: String) -> (Int, Int) {
    let numbers = release.split { !$0.isNumber }.compactMap { Int($0) }
    return numbers.count >= 2 ? (numbers[0], numbers[1]) : (0, 0)
  }

  private static func directoryExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// True where the module is built in, loaded, or can be loaded.
  private static func moduleExists(_ name: String) -> Bool {
    guard let release = file("/proc/sys/kernel/osrelease") else { return false }
    if directoryExists("/sys/module/\(name)") { return true }
    let base = "/lib/modules/\(release)"
    if (file(base + "/modules.builtin") ?? "").contains("/\(name).ko") || (file(base + "/modules.dep") ?? "").contains("/\(name).ko") {
      return true
    }
    // A kernel without modules tells its configuration at most.
    return !directoryExists(base) && !directoryExists("/proc/modules")
  }

  private static func netlinkWorks(family: Int32) -> Bool {
    let descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), family)
    guard descriptor >= 0 else { return false }
    close(descriptor)
    return true
  }

  private static func capabilities() -> UInt64 {
    for line in (file("/proc/self/status") ?? "").split(separator: "\n") where line.hasPrefix("CapEff:") {
      return UInt64(line.dropFirst(7).trimmingPrefix { $0 == "\t" || $0 == " " }, radix: 16) ?? 0
    }
    return 0
  }
}

extension String {
  var trimmed: String {
    var text = self[...]
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }
}
