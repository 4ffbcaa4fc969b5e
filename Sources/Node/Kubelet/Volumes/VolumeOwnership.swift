import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Gives a volume to the pod's fsGroup: the group of every file, group permissions, and the set-group-ID bit of directories.
/// Links are changed themselves, never followed.
enum VolumeOwnership {
  private static let depthMax = 64

  static func give(_ path: String, to group: UInt32, readOnly: Bool) throws(VolumeIOError) {
    try give(at: AT_FDCWD, path, group, readOnly: readOnly, depth: 0)
  }

  /// True where the root is already the group's with the right bits: all that `OnRootMismatch` looks at.
  static func rootMatches(_ path: String, _ group: UInt32, readOnly: Bool) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else { return false }
    let wanted = bits(readOnly: readOnly, isDirectory: true)
    return status.st_gid == group && status.st_mode & wanted == wanted
  }

  private static func bits(readOnly: Bool, isDirectory: Bool) -> mode_t {
    (readOnly ? 0o440 : 0o660) | (isDirectory ? 0o2110 : 0)
  }

  private static func give(
    at directory: Int32, _ name: String, _ group: UInt32, readOnly: Bool, depth: Int
  ) throws(VolumeIOError) {
    guard depth < depthMax else { return }
    let file = openat(directory, name, PathFlags.path | O_NOFOLLOW | O_CLOEXEC)
    guard file >= 0 else {
      if errno == ENOENT { return }
      throw VolumeIOError("open", name, errno)
    }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw VolumeIOError("stat", name, errno) }
    guard fchownat(file, "", uid_t.max, group, PathFlags.emptyPath) == 0 else { throw VolumeIOError("chown", name, errno) }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFLNK { return }
    let mode = (status.st_mode & 0o7777) | bits(readOnly: readOnly, isDirectory: kind == S_IFDIR)
    // A path descriptor cannot be chmodded; its own link in /proc can.
    guard chmod("/proc/self/fd/\(file)", mode) == 0 else { throw VolumeIOError("chmod", name, errno) }
    guard kind == S_IFDIR else { return }
    let readable = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard readable >= 0, let stream = fdopendir(readable) else { throw VolumeIOError("open", name, errno) }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
      let child = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if child == "." || child == ".." { continue }
      try give(at: readable, child, group, readOnly: readOnly, depth: depth + 1)
    }
  }
}

/// A file operation below a volume that failed.
struct VolumeIOError: Error, CustomStringConvertible {
  let operation: String
  let path: String
  let code: Int32

  init(_ operation: String, _ path: String, _ code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  var description: String { "\(operation) \(path): \(String(cString: strerror(code)))" }
}
