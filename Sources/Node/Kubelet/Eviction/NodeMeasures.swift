import CLinux
import Dispatch
import PodLifecycle
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// How the node's resources are measured, and how often. Tests have their own.
package struct NodeMeasures: Sendable {
  package var levels: @Sendable () -> [EvictionSignal: ResourceLevel]
  /// Seconds between looks at the resources.
  package var seconds: Double = 10
  /// Seconds between looks at the images.
  package var imageSeconds: Double = 300

  package init(levels: @escaping @Sendable () -> [EvictionSignal: ResourceLevel]) { self.levels = levels }

  /// Of this machine: images lie on the file system of the data directory, so there is no imagefs of its own.
  package static func system(dataDirectory: FilePath) -> NodeMeasures {
    NodeMeasures {
      var levels: [EvictionSignal: ResourceLevel] = [:]
      let memory = ProcFile.kilobytes("/proc/meminfo")
      if let available = memory["MemAvailable"], let total = memory["MemTotal"] {
        levels[.memory] = ResourceLevel(available: available * 1024, capacity: total * 1024)
      }
      var disk = statvfs()
      if statvfs(dataDirectory.string, &disk) == 0 {
        let unit = Int64(disk.f_frsize)
        levels[.nodefs] = ResourceLevel(available: Int64(disk.f_bavail) * unit, capacity: Int64(disk.f_blocks) * unit)
        // Some file systems make inodes as they are needed, and say 0.
        if disk.f_files > 0 { levels[.nodefsInodes] = ResourceLevel(available: Int64(disk.f_favail), capacity: Int64(disk.f_files)) }
      }
      // "0.10 0.20 0.30 2/345 6789": runnable and all threads.
      let threads = ProcFile.line("/proc/loadavg").split(separator: " ").dropFirst(3).first?.split(separator: "/").last
      if let threads = threads.flatMap({ Int64($0) }), let most = Int64(ProcFile.line("/proc/sys/kernel/pid_max")) {
        levels[.pids] = ResourceLevel(available: most - threads, capacity: most)
      }
      return levels
    }
  }
}

/// What a directory takes on its file system.
package enum DiskUsage {
  /// Bytes of its blocks and number of its files; other file systems mounted below are left out. 0 where there is none.
  package static func measure(_ path: String) -> (bytes: Int64, inodes: Int64) {
    var bytes: Int64 = 0
    var inodes: Int64 = 0
    cl_disk_usage(path, &bytes, &inodes)
    return (bytes, inodes)
  }

  private static let queue = DispatchQueue(label: "disk-usage", qos: .utility)

  /// Off the shared pool: a large directory takes its time.
  static func measure(all paths: [String]) async -> [(bytes: Int64, inodes: Int64)] {
    await withCheckedContinuation { done in
      queue.async { done.resume(returning: paths.map(measure)) }
    }
  }
}
