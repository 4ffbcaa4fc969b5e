import CgroupV2
import LinuxKernel

/// The memory of a cgroup's processes, for machines whose cgroup has no memory controller.
struct ProcessMemory: Equatable {
  /// Bytes: each page shared by n processes counts 1/n for each.
  var total: Int64 = 0
  var anonymous: Int64 = 0
  var processes: Int64 = 0

  /// Cgroups below a container's that are looked at, at most: a container may make its own.
  static let depthMax = 8

  static func of(_ cgroup: borrowing CgroupDirectory) -> ProcessMemory {
    var sum = ProcessMemory()
    sum.add(cgroup, depth: 0)
    return sum
  }

  private mutating func add(_ cgroup: borrowing CgroupDirectory, depth: Int) {
    for pid in ((try? cgroup.value("cgroup.procs")) ?? "").split(separator: "\n") {
      processes += 1
      // It may have ended meanwhile.
      guard let text = try? Files.text("/proc/\(pid)/smaps_rollup") else { continue }
      add(text)
    }
    guard depth < Self.depthMax else { return }
    for name in cgroup.childNames() {
      if let child = try? cgroup.existingChild(name) { add(child, depth: depth + 1) }
    }
  }

  /// Source: the kernel's filesystems/proc.rst, smaps_rollup.
  mutating func add(_ rollup: String) {
    for line in rollup.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 3, let kilobytes = Int64(fields[1]) else { continue }
      switch fields[0] {
      case "Pss:": total += kilobytes * 1024
      case "Pss_Anon:", "Pss_Shmem:": anonymous += kilobytes * 1024
      default: break
      }
    }
  }
}
