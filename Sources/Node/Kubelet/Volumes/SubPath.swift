import CLinux
import LinuxKernel
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Finds a path below a volume without ever leaving it, whatever links the volume's containers have made.
///
/// The answer is a descriptor: between here and the mount nobody can put a link in its place.
enum SubPath {
  private static let beneath = UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_MAGICLINKS)

  /// Opens `path` below `volume` (O_PATH), making missing directories with the volume's own mode.
  static func open(_ path: String, below volume: String, what: String) throws -> OwnedDescriptor {
    let parts = path.split(separator: "/").map(String.init).filter { $0 != "." }
    guard !path.hasPrefix("/") else { throw ContainerConfigError("error SubPath `\(path)` must not be an absolute path") }
    guard !parts.contains("..") else { throw ContainerConfigError("unable to provision SubPath `\(path)`: must not contain '..'") }
    let root = Glibc.open(volume, PathFlags.path | O_DIRECTORY | O_CLOEXEC)
    guard root >= 0 else { throw ContainerConfigError("failed to prepare subPath for \(what): open \(volume): \(Errno(rawValue: errno))") }
    let rootDescriptor = OwnedDescriptor(owning: root)
    if parts.isEmpty { return rootDescriptor }
    let relative = parts.joined(separator: "/")
    let found = cl_openat2(root, relative, UInt64(PathFlags.path | O_CLOEXEC), 0, beneath)
    if found >= 0 { return OwnedDescriptor(owning: found) }
    guard found == -ENOENT else { throw failure(-found, path, what) }
    var status = stat()
    guard fstat(root, &status) == 0 else { throw failure(errno, path, what) }
    return try make(parts, below: rootDescriptor, mode: status.st_mode & 0o777, path, what)
  }

  private static func make(
    _ parts: [String], below root: borrowing OwnedDescriptor, mode: mode_t, _ path: String, _ what: String
  ) throws -> OwnedDescriptor {
    var current = try root.duplicate()
    var walked = ""
    for part in parts {
      walked += walked.isEmpty ? part : "/\(part)"
      // From the root each time, so that links inside the volume may lead about in it, and never out.
      var next = cl_openat2(root.rawValue, walked, UInt64(PathFlags.path | O_CLOEXEC), 0, beneath)
      if next == -ENOENT {
        if mkdirat(current.rawValue, part, mode) != 0, errno != EEXIST { throw failure(errno, path, what) }
        next = cl_openat2(
          current.rawValue, part, UInt64(PathFlags.path | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0, beneath)
        guard next >= 0 else { throw failure(-next, path, what) }
        // mkdir obeys the umask; the mode is the volume's.
        chmod("/proc/self/fd/\(next)", mode)
      }
      guard next >= 0 else { throw failure(-next, path, what) }
      current = OwnedDescriptor(owning: next)
    }
    return current
  }

  private static func failure(_ code: Int32, _ path: String, _ what: String) -> ContainerConfigError {
    let reason = code == EXDEV || code == ELOOP ? "it leads out of the volume" : "\(Errno(rawValue: code))"
    return ContainerConfigError("failed to create subPath directory for \(what): \(path): \(reason)")
  }
}
