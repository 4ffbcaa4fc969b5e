#if canImport(Glibc)
  import Glibc
#endif

/// What a node has to itself on its machine.
struct NodeLocks {
  private let held: [AnyObject]

  init(_ paths: PathOptions, _ options: NodeOptions) throws {
    try makeDirectory(paths.dataDirectory, mode: 0o711)
    let data = try InstanceLock(directory: paths.dataDirectory)
    try makeDirectory(paths.runDirectory)
    held = [
      data, try InstanceLock(directory: paths.runDirectory, option: "--run-dir"), try LinkNamesLock(prefix: options.interfacePrefix),
    ]
  }
}

/// A directory that one process has to itself, by a lock that goes with the process.
final class InstanceLock {
  private let descriptor: Int32

  /// - Parameter option: the option that names the directory, such as `--data-dir`.
  init(directory: String, option: String = "--data-dir") throws {
    let path = directory + "/swiftlet.lock"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      let code = errno
      let remedy =
        switch code {
        case ENOSPC, EDQUOT: "Free some space on its file system, or choose another \(option)."
        case EROFS: "Its file system is read-only: mount it for writing, or choose another \(option)."
        default: "Check the permissions of \(option) \(directory)."
        }
      throw StartFailure("\(path) cannot be opened: \(String(cString: strerror(code))). \(remedy)")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      var buffer = [CChar](repeating: 0, count: 32)
      let count = pread(descriptor, &buffer, 31, 0)
      let pid = count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : "unknown"
      close(descriptor)
      throw StartFailure(
        "another swiftlet (process \(pid)) runs on \(directory). Stop it first (sudo kill \(pid), or scripts/down), or give this one its own \(option)."
      )
    }
    // The number is a courtesy: without space for it the lock holds all the same.
    if ftruncate(descriptor, 0) == 0 {
      let text = "\(getpid())"
      _ = text.withCString { pwrite(descriptor, $0, strlen($0), 0) }
    }
  }

  deinit { close(descriptor) }
}

/// The first letters of the links' names, which one instance has to itself: a second one would take the first one's links and
/// rules for leftovers of its own. Held as a name in the abstract namespace of sockets, which is one network namespace's, as links
/// are, and goes with the process.
final class LinkNamesLock {
  private let descriptor: Int32

  init(prefix: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let name = Array("\0swiftlet/links/\(prefix)".utf8.prefix(107))
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let socket = descriptor
    let bound = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) } }
    guard bound == 0 else {
      let code = errno
      close(descriptor)
      throw StartFailure(
        code == EADDRINUSE
          ? "another swiftlet on this machine names its pods' links \"\(prefix)...\". Stop it first, "
            + "or give this one an --interface-prefix of its own (and --data-dir, --run-dir, --cgroup-root, --pod-cidr)."
          : "the name \"\(prefix)\" of pods' links cannot be taken: \(String(cString: strerror(code)))")
    }
  }

  deinit { close(descriptor) }
}
