import LinuxKernel
import SystemPackage

/// What this machine offers of cgroup v2.
package struct CgroupHierarchy: Sendable, Equatable {
  /// Where cgroup2 is mounted; nil where it is not.
  package let mountPoint: FilePath?
  /// Controllers that the v2 tree has.
  package let controllers: Set<String>
  /// v1 hierarchies are mounted too.
  package let isHybrid: Bool

  /// What pods' limits need.
  package static let needed = ["cpu", "memory", "pids"]
  package var missing: [String] { Self.needed.filter { !controllers.contains($0) } }

  package init(mountPoint: FilePath?, controllers: Set<String>, isHybrid: Bool) {
    self.mountPoint = mountPoint
    self.controllers = controllers
    self.isHybrid = isHybrid
  }

  package static func detect() -> CgroupHierarchy {
    let mounts = (try? Files.text("/proc/self/mounts")) ?? ""
    let mountPoint = parse(mounts: mounts).mountPoint
    let controllers = mountPoint.flatMap { try? Files.text($0.appending("cgroup.controllers").string) } ?? ""
    return CgroupHierarchy(
      mountPoint: mountPoint, controllers: Set(controllers.split(whereSeparator: \.isWhitespace).map(String.init)),
      isHybrid: parse(mounts: mounts).hasV1)
  }

  /// The controllers that a tree at `root`, made yet or not, can be given: those of the hierarchy's top as far as it is seen
  /// here. nil: `root` lies in no v2 hierarchy. `read` gives a file's text, nil where there is none.
  package static func controllers(
    reaching root: FilePath, read: (FilePath) -> String? = { try? Files.text($0.string) }
  ) -> Set<String>? {
    var path = root
    var found: String?
    while true {
      let text = read(path.appending("cgroup.controllers"))
      if text == nil, found != nil { break }
      found = text ?? found
      let parent = path.removingLastComponent()
      if parent == path { break }
      path = parent
    }
    return found.map { Set($0.split(whereSeparator: \.isWhitespace).map(String.init)) }
  }

  /// From the lines of /proc/self/mounts.
  static func parse(mounts: String) -> (mountPoint: FilePath?, hasV1: Bool) {
    var mountPoint: FilePath?
    var hasV1 = false
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 3 else { continue }
      if fields[2] == "cgroup2", mountPoint == nil { mountPoint = FilePath(String(fields[1])) }
      if fields[2] == "cgroup" { hasV1 = true }
    }
    return (mountPoint, hasV1)
  }
}
