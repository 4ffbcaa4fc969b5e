#if canImport(Glibc)
  import Glibc
#endif

/// A start that cannot go on: one clear message for a person (what, where, how to mend it), and a non-zero exit.
struct StartFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func requireRoot(_ what: String) throws {
  guard geteuid() == 0 else {
    throw StartFailure(
      "swiftlet \(what) makes namespaces, mounts and network links, which only root may. Run it with sudo: sudo swiftlet \(what)")
  }
}

/// A lock that one process holds for its data directory; it goes with the process.
final class InstanceLock {
  private let descriptor: Int32

  init(directory: String) throws {
    let path = directory + "/swiftlet.lock"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw StartFailure("\(path) cannot be opened: \(String(cString: strerror(errno))). Check the permissions of --data-dir \(directory).")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      var buffer = [CChar](repeating: 0, count: 32)
      let count = read(descriptor, &buffer, 31)
      let pid = count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : "unknown"
      close(descriptor)
      throw StartFailure("another swiftlet (process \(pid)) runs on \(directory). Stop it first, or give this one a --data-dir of its own.")
    }
    ftruncate(descriptor, 0)
    let text = "\(getpid())"
    _ = text.withCString { write(descriptor, $0, strlen($0)) }
  }

  deinit { close(descriptor) }
}

/// Makes a directory and its parents.
func makeDirectory(_ path: String, mode: mode_t = 0o755) throws {
  var partial = ""
  for part in path.split(separator: "/") {
    partial += "/" + part
    guard mkdir(partial, mode) == 0 || errno == EEXIST else {
      let problem = String(cString: strerror(errno))
      throw StartFailure(
        "the directory \(partial) cannot be made: \(problem). \(errno == ENOSPC ? "Free some disk space." : "Check its parent's permissions, or choose another path with the options.")"
      )
    }
  }
}
