import JSONCodec
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// What a Node object says about the machine. Read once; what changes is read by `NodeMeasures`.
package struct MachineFacts: Sendable, Equatable {
  package var cpus = 1
  package var memoryBytes: Int64 = 0
  package var swapBytes: Int64 = 0
  /// Of the file system that holds the data directory.
  package var diskBytes: Int64 = 0
  /// Bytes set aside for huge pages, by page size in kB.
  package var hugePages: [Int: Int64] = [:]
  package var machineID = ""
  package var systemUUID = ""
  package var bootID = ""
  package var kernelVersion = ""
  package var osImage = ""
  /// Go's name: amd64, arm64.
  package var architecture = ""
  package var hostname = ""

  package init() {}

  package static func read(dataDirectory: FilePath) -> MachineFacts {
    var facts = MachineFacts()
    facts.cpus = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let memory = ProcFile.kilobytes("/proc/meminfo")
    facts.memoryBytes = (memory["MemTotal"] ?? 0) * 1024
    facts.swapBytes = (memory["SwapTotal"] ?? 0) * 1024
    facts.diskBytes = MachinePressure.disk(dataDirectory).total
    facts.hugePages = hugePages()
    facts.machineID = ProcFile.line("/etc/machine-id")
    facts.systemUUID = ProcFile.line("/sys/class/dmi/id/product_uuid")
    if facts.systemUUID.isEmpty { facts.systemUUID = facts.machineID }
    facts.bootID = ProcFile.line("/proc/sys/kernel/random/boot_id")
    facts.osImage = osImage()
    var name = utsname()
    uname(&name)
    func text<Field>(_ field: Field) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    facts.kernelVersion = text(name.release)
    facts.hostname = text(name.nodename)
    facts.architecture = goArchitecture(text(name.machine))
    return facts
  }

  static func goArchitecture(_ machine: String) -> String {
    switch machine {
    case "x86_64": "amd64"
    case "aarch64": "arm64"
    case "i386", "i686": "386"
    case "armv7l": "arm"
    case "ppc64le", "s390x", "riscv64": machine
    default: machine
    }
  }

  private static func osImage() -> String {
    for line in ProcFile.text("/etc/os-release").split(separator: "\n") where line.hasPrefix("PRETTY_NAME=") {
      return line.dropFirst("PRETTY_NAME=".count).filter { $0 != "\"" }
    }
    return "Linux"
  }

  /// From `/sys/kernel/mm/hugepages/hugepages-<n>kB/nr_hugepages`.
  private static func hugePages() -> [Int: Int64] {
    var result: [Int: Int64] = [:]
    for size in [64, 2048, 32_768, 1_048_576] {
      let path = "/sys/kernel/mm/hugepages/hugepages-\(size)kB/nr_hugepages"
      guard let count = Int64(ProcFile.line(path)) else { continue }
      result[size] = count * Int64(size) * 1024
    }
    return result
  }
}

/// What the node runs short of.
package struct MachinePressure: Sendable, Equatable {
  package var memory = false
  package var disk = false
  package var processes = false

  package init(memory: Bool = false, disk: Bool = false, processes: Bool = false) {
    self.memory = memory
    self.disk = disk
    self.processes = processes
  }

  /// Bytes in all, and which parts of the bytes and the inodes are free.
  package static func disk(_ path: FilePath) -> (total: Int64, free: Double, inodesFree: Double) {
    var stats = statvfs()
    guard statvfs(path.string, &stats) == 0, stats.f_blocks > 0 else { return (0, 1, 1) }
    let inodes = stats.f_files > 0 ? Double(stats.f_favail) / Double(stats.f_files) : 1
    return (Int64(stats.f_blocks) * Int64(stats.f_frsize), Double(stats.f_bavail) / Double(stats.f_blocks), inodes)
  }
}

/// Small files of /proc and /sys.
enum ProcFile {
  static func text(_ path: String, bytesMax: Int = 64 << 10) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: bytesMax)
    var count = 0
    while count < bytesMax {
      let got = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress! + count, bytesMax - count) }
      if got <= 0 { break }
      count += got
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  static func line(_ path: String) -> String {
    let text = text(path)
    return String(text[..<(text.firstIndex(of: "\n") ?? text.endIndex)])
  }

  /// `Name:   123 kB` lines.
  static func kilobytes(_ path: String) -> [String: Int64] {
    var result: [String: Int64] = [:]
    for line in text(path).split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].split(separator: " ").first.flatMap { Int64($0) }
      result[String(line[..<colon])] = value
    }
    return result
  }
}
