import NIOCore
import SystemPackage

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

/// What the system says about a failure, in its own words.
func systemText(_ error: any Error) -> String {
  switch error {
  case let error as IOError: String(cString: strerror(error.errnoCode))
  case let error as Errno: error.description
  default: "\(error)"
  }
}

/// Makes a directory and its parents.
func makeDirectory(_ path: String, mode: mode_t = 0o755) throws {
  var partial = path.hasPrefix("/") ? "" : "."
  for part in path.split(separator: "/") {
    partial += "/" + part
    var found = stat()
    if mkdir(partial, mode) == 0 || (errno == EEXIST && stat(partial, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR) { continue }
    let code = errno
    let remedy =
      switch code {
      case ENOSPC: "Free some disk space, or choose another path with the options."
      case EEXIST: "Something else has this name; move it away, or choose another path with the options."
      default: "Check its parent's permissions, or choose another path with the options."
      }
    throw StartFailure("the directory \(partial) cannot be made: \(String(cString: strerror(code))). \(remedy)")
  }
}
