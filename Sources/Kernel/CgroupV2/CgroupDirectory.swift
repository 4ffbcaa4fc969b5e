import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// One cgroup of the v2 tree, held by its directory: what is done to it cannot be led elsewhere by names.
package struct CgroupDirectory: ~Copyable, Sendable {
  package let descriptor: OwnedDescriptor

  package init(opening path: FilePath) throws(KernelError) { descriptor = try Files.openDirectory(path) }
  private init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The child of that name, made when missing.
  package borrowing func child(_ name: String) throws(KernelError) -> CgroupDirectory {
    if mkdirat(descriptor.rawValue, name, 0o755) != 0, errno != EEXIST {
      throw KernelError("mkdir cgroup", name, errno: Errno(rawValue: errno))
    }
    return CgroupDirectory(try Files.openDirectory(name, in: descriptor))
  }

  package borrowing func existingChild(_ name: String) throws(KernelError) -> CgroupDirectory {
    CgroupDirectory(try Files.openDirectory(name, in: descriptor))
  }

  package borrowing func has(_ file: String) -> Bool { faccessat(descriptor.rawValue, file, F_OK, 0) == 0 }

  package borrowing func set(_ file: String, _ value: String) throws(KernelError) {
    let fd = openat(descriptor.rawValue, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else { throw KernelError("open", file, errno: Errno(rawValue: errno)) }
    defer { close(fd) }
    guard value.utf8CString.withUnsafeBytes({ write(fd, $0.baseAddress, $0.count - 1) }) >= 0 else {
      throw KernelError("write", "\(file) = \(value)", errno: Errno(rawValue: errno))
    }
  }

  package borrowing func value(_ file: String) throws(KernelError) -> String {
    try Files.text(file, in: descriptor.rawValue)
  }

  /// `name number` lines, as memory.events and cpu.stat have them.
  package borrowing func counters(_ file: String) throws(KernelError) -> [String: Int64] {
    var result: [String: Int64] = [:]
    for line in try value(file).split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count == 2, let number = Int64(fields[1]) { result[String(fields[0])] = number }
    }
    return result
  }

  /// Hands controllers on to the children; those that are missing here are left out.
  package borrowing func delegate(_ controllers: [String]) throws(KernelError) {
    let available = Set(((try? value("cgroup.controllers")) ?? "").split(whereSeparator: \.isWhitespace).map(String.init))
    let wanted = controllers.filter(available.contains)
    if !wanted.isEmpty { try set("cgroup.subtree_control", wanted.map { "+" + $0 }.joined(separator: " ")) }
  }

  /// Sets what there is a file for and says which controllers would have been needed for the rest.
  @discardableResult
  package borrowing func apply(_ limits: ResourceLimits, groupOOM: Bool = false) throws(KernelError) -> Set<String> {
    var missing: Set<String> = []
    for (file, text, controller) in limits.settings {
      if has(file) { try set(file, text) } else { missing.insert(controller) }
    }
    if groupOOM, has("memory.oom.group") { try set("memory.oom.group", "1") }
    return missing
  }

  /// SIGKILL to everything in it and below.
  package borrowing func kill() throws(KernelError) { try set("cgroup.kill", "1") }

  package borrowing func isPopulated() -> Bool {
    ((try? counters("cgroup.events")) ?? [:])["populated"] == 1
  }

  /// Waits until nothing lives in it and below: the kernel tells through cgroup.events.
  @discardableResult
  package borrowing func waitUntilEmpty(milliseconds: Int32) -> Bool {
    let fd = openat(descriptor.rawValue, "cgroup.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else { return true }
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 256)
    while true {
      let got = pread(fd, &bytes, bytes.count, 0)
      if got > 0, String(decoding: bytes[..<got], as: UTF8.self).contains("populated 0") { return true }
      var entry = pollfd(fd: fd, events: Int16(POLLPRI), revents: 0)
      if poll(&entry, 1, milliseconds) <= 0 { return false }
    }
  }

  /// Removes a child with everything below it. EBUSY while processes live there; nothing where there is none.
  package borrowing func removeChild(_ name: String) throws(KernelError) {
    if unlinkat(descriptor.rawValue, name, AT_REMOVEDIR) == 0 || errno == ENOENT { return }
    let first = errno
    guard first == EBUSY || first == ENOTEMPTY else { throw KernelError("rmdir cgroup", name, errno: Errno(rawValue: first)) }
    let child: CgroupDirectory
    do throws(KernelError) { child = try existingChild(name) } catch {
      if error.errno == .noSuchFileOrDirectory { return }
      throw error
    }
    for inner in child.childNames() { try child.removeChild(inner) }
    if unlinkat(descriptor.rawValue, name, AT_REMOVEDIR) != 0, errno != ENOENT {
      throw KernelError("rmdir cgroup", name, errno: Errno(rawValue: errno))
    }
  }

  package borrowing func childNames() -> [String] {
    let fd = openat(descriptor.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0, let list = fdopendir(fd) else { return [] }
    defer { closedir(list) }
    var names: [String] = []
    while let entry = readdir(list) {
      guard Int(entry.pointee.d_type) == Int(DT_DIR) else { continue }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }
}
