import CLinux
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Files and directories by descriptor.
package enum Files {
  package static func openDirectory(_ path: FilePath) throws(KernelError) -> OwnedDescriptor {
    try open(path.string, flags: O_RDONLY | O_DIRECTORY)
  }

  /// A directory below another one, without links on the way.
  package static func openDirectory(_ name: String, in directory: borrowing OwnedDescriptor) throws(KernelError) -> OwnedDescriptor {
    let resolve = UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS)
    let fd = cl_openat2(directory.rawValue, name, UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, resolve)
    return OwnedDescriptor(owning: try KernelError.check("openat2", name, fd))
  }

  package static func open(_ path: String, flags: Int32, mode: mode_t = 0o600) throws(KernelError) -> OwnedDescriptor {
    let fd = Glibc.open(path, flags | O_CLOEXEC, mode)
    guard fd >= 0 else { throw KernelError("open", path, errno: Errno(rawValue: errno)) }
    return OwnedDescriptor(owning: fd)
  }

  /// Creates the directory and those above it that are missing.
  package static func makeDirectories(_ path: FilePath, mode: mode_t = 0o700) throws(KernelError) {
    try KernelError.check("mkdir", path.string, cl_make_directories(path.string, mode))
  }

  /// The bytes of a small file: at most `limit` of them.
  package static func read(_ name: String, in directory: Int32 = AT_FDCWD, limit: Int = 1 << 20) throws(KernelError) -> [UInt8] {
    let fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard fd >= 0 else { throw KernelError("open", name, errno: Errno(rawValue: errno)) }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: min(limit, 16 << 10))
    while bytes.count < limit {
      let got = Glibc.read(fd, &chunk, min(chunk.count, limit - bytes.count))
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw KernelError("read", name, errno: Errno(rawValue: errno)) }
      if got == 0 { break }
      bytes += chunk[..<got]
    }
    return bytes
  }

  package static func text(_ name: String, in directory: Int32 = AT_FDCWD) throws(KernelError) -> String {
    String(decoding: try read(name, in: directory), as: UTF8.self)
  }

  /// Replaces a file in one step: readers see the old bytes or the new ones.
  package static func replace(_ name: String, in directory: Int32, with bytes: [UInt8], mode: mode_t = 0o600) throws(KernelError) {
    let temporary = name + ".new"
    let fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
    guard fd >= 0 else { throw KernelError("open", temporary, errno: Errno(rawValue: errno)) }
    var done = 0
    while done < bytes.count {
      let put = bytes[done...].withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
      if put < 0, errno == EINTR { continue }
      guard put > 0 else {
        let cause = Errno(rawValue: errno)
        close(fd)
        unlinkat(directory, temporary, 0)
        throw KernelError("write", temporary, errno: cause)
      }
      done += put
    }
    close(fd)
    guard renameat(directory, temporary, directory, name) == 0 else {
      throw KernelError("rename", name, errno: Errno(rawValue: errno))
    }
  }

  /// Removes a file or a tree by its name in a directory; nothing where there is none. Links are removed, not followed.
  package static func removeTree(_ name: String, in directory: Int32) throws(KernelError) {
    try KernelError.check("remove", name, cl_remove_tree(directory, name))
  }

  /// The names in a directory, sorted, without "." and "..".
  package static func names(in path: FilePath) throws(KernelError) -> [String] {
    guard let list = opendir(path.string) else { throw KernelError("opendir", path.string, errno: Errno(rawValue: errno)) }
    defer { closedir(list) }
    var names: [String] = []
    while let entry = readdir(list) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// A sealed file in memory.
  package static func memory(_ name: String, _ bytes: [UInt8]) throws(KernelError) -> OwnedDescriptor {
    let fd = bytes.withUnsafeBytes { cl_memfd(name, $0.baseAddress, $0.count) }
    return OwnedDescriptor(owning: try KernelError.check("memfd_create", name, fd))
  }

  /// Both ends of a pipe; the caller owns and closes them.
  package static func pipe() throws(KernelError) -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    try KernelError.check("pipe2", "", cl_pipe(&ends))
    return (ends[0], ends[1])
  }
}
