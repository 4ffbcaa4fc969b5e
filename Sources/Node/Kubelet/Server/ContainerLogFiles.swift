import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// A log file that is open; it stays readable when it is renamed or deleted.
struct ContainerLogFile: Sendable {
  let descriptor: SharedDescriptor
  let inode: UInt64

  /// nil where there is no such file (any more).
  init?(opening path: FilePath) throws(KernelError) {
    let file = open(path.string, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard file >= 0 else {
      if errno == ENOENT { return nil }
      throw KernelError("open", path.string, errno: Errno(rawValue: errno))
    }
    descriptor = SharedDescriptor(OwnedDescriptor(owning: file))
    var status = stat()
    guard fstat(file, &status) == 0 else { throw KernelError("fstat", path.string, errno: Errno(rawValue: errno)) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw KernelError("open (no regular file)", path.string, errno: .invalidArgument) }
    inode = UInt64(status.st_ino)
  }

  func size() throws(KernelError) -> Int {
    var status = stat()
    guard fstat(descriptor.rawValue, &status) == 0 else { throw KernelError("fstat", "log", errno: Errno(rawValue: errno)) }
    return Int(status.st_size)
  }

  /// Up to `count` bytes from `offset`; empty at the end of the file.
  func read(at offset: Int, count: Int) throws(KernelError) -> [UInt8] {
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      while true {
        let n = pread(descriptor.rawValue, buffer.baseAddress, count, off_t(offset))
        if n < 0, errno == EINTR { continue }
        if n < 0 { failure = errno }
        initialized = max(0, n)
        return
      }
    }
    guard failure == 0 else { throw KernelError("pread", "log", errno: Errno(rawValue: failure)) }
    return bytes
  }
}

/// The files of one container run: "0.log", which is written, and "0.log.20261123-101500" and so on, which were rotated. The
/// names of rotated files sort by age, and a rotated file keeps its name until it is deleted.
struct ContainerLogFiles: Sendable {
  let path: FilePath
  var directory: FilePath { path.removingLastComponent() }

  func rotatedNames() throws(KernelError) -> [String] {
    guard let handle = opendir(directory.string) else {
      if errno == ENOENT { return [] }
      throw KernelError("opendir", directory.string, errno: Errno(rawValue: errno))
    }
    defer { closedir(handle) }
    let prefix = (path.lastComponent?.string ?? "") + "."
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.hasPrefix(prefix) { names.append(name) }
    }
    return names.sorted()
  }

  /// Everything there is, oldest first.
  func openAll() throws(KernelError) -> [ContainerLogFile] {
    // The written file first: what is rotated meanwhile is then found twice, and never missed.
    let current = try ContainerLogFile(opening: path)
    var files: [ContainerLogFile] = []
    for name in try rotatedNames() {
      guard let file = try ContainerLogFile(opening: directory.appending(name)) else { continue }
      if file.inode == current?.inode { break }
      files.append(file)
    }
    return files + (current.map { [$0] } ?? [])
  }

  /// How often a file may be deleted between finding and opening it.
  private static let attemptsMax = 8

  /// The file that was begun when `inode` was rotated; nil where that one is still written, or the new one is not there yet.
  func successor(of inode: UInt64) throws(KernelError) -> ContainerLogFile? {
    for _ in 0..<Self.attemptsMax {
      guard let current = try ContainerLogFile(opening: path), current.inode != inode else { return nil }
      // More than one rotation may have happened: the next file is the one right after ours, or where ours was deleted, the oldest.
      var next: ContainerLogFile?
      var hasSeenOurs = false
      var wasDeleted = false
      for name in try rotatedNames() {
        guard let file = try ContainerLogFile(opening: directory.appending(name)) else {
          wasDeleted = true
          break
        }
        if file.inode == inode {
          hasSeenOurs = true
          next = nil
        } else if next == nil {
          next = file
        }
        if hasSeenOurs, next != nil { break }
      }
      if wasDeleted { continue }
      return next ?? current
    }
    return nil
  }
}
