import LinuxKernel
import Netlink
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Kernel settings that pods need on the host, with the old values on disk until they are restored.
struct HostSettings: Sendable {
  static let forward = "net/ipv4/ip_forward"

  /// Lines of "name=value", in the order in which they are to be written back.
  private let record: FilePath

  init(directory: FilePath) { record = directory.appending("settings") }

  /// Turns forwarding on. Packets come in by any of the machine's interfaces (node ports, other nodes), so one by one will not do.
  func apply() throws(KernelError) {
    if try Sysctl.read(Self.forward) == "1" { return }
    if try contents(of: record).isEmpty {  // else a stop came between recording and writing: the old values are known
      // Writing ip_forward changes every interface's own setting too.
      var lines = ["\(Self.forward)=0"]
      for name in interfaces() {
        let setting = "net/ipv4/conf/\(name)/forwarding"
        if let value = try? Sysctl.read(setting), value != "0" { lines.append("\(setting)=\(value)") }
      }
      try replaceFile(record, with: lines.joined(separator: "\n") + "\n")
    }
    try Sysctl.write(Self.forward, "1")
  }

  /// Writes the old values back, unless `isNeeded` by others; forgets them.
  func restore(isNeeded: Bool) throws(KernelError) {
    let lines = try contents(of: record).split(separator: "\n")
    for line in lines where !isNeeded {
      let parts = line.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { continue }
      do {
        try Sysctl.write(String(parts[0]), String(parts[1]))
      } catch  where error.errno == .noSuchFileOrDirectory {}  // an interface that is gone
    }
    _ = unlink(record.string)
  }

  private func interfaces() -> [String] {
    guard let directory = opendir("/proc/sys/net/ipv4/conf") else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != "..", name != "all" { names.append(name) }
    }
    return names.sorted()
  }
}
