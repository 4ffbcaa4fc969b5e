import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Keeps a directory equal to a set of files so that a reader sees all of the old ones or all of the new ones.
///
///     <volume>/..2026_11_23_10_00_00.123456789/   the files
///     <volume>/..data -> ..2026_...               replaced by one rename
///     <volume>/key -> ..data/key                  what containers read
///
/// Source: the layout that Kubernetes documents for ConfigMap volumes. Containers see the volume read-only, so nobody
/// else changes it.
struct AtomicWriter {
  let directory: String
  /// Group to own the files, and nil where there is none.
  let group: UInt32?

  /// True if anything changed.
  @discardableResult
  func write(_ files: [VolumeFile], stamp: String) throws(VolumeIOError) -> Bool {
    if let current = link("..data"), isCurrent(files, current) { return false }
    let new = "..\(stamp)"
    try makeDirectory(path(new), 0o755)
    do throws(VolumeIOError) {
      for file in files { try write(file, below: path(new)) }
      if let group { try VolumeOwnership.give(path(new), to: group, readOnly: true) }
      let old = link("..data")
      unlink(path("..data_tmp"))
      guard symlink(new, path("..data_tmp")) == 0 else { throw VolumeIOError("symlink", path("..data_tmp"), errno) }
      guard rename(path("..data_tmp"), path("..data")) == 0 else { throw VolumeIOError("rename", path("..data"), errno) }
      try linkNames(Set(files.map { String($0.path.prefix { $0 != "/" }) }))
      if let old, old != new { removeTree(FilePath(path(old))) }
    } catch {
      if link("..data") != new { removeTree(FilePath(path(new))) }
      throw error
    }
    removeLeftovers(except: new)
    return true
  }

  private func path(_ name: String) -> String { "\(directory)/\(name)" }

  private func link(_ name: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let count = buffer.withUnsafeMutableBytes { readlink(path(name), $0.baseAddress!, $0.count) }
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }

  private func makeDirectory(_ path: String, _ mode: mode_t) throws(VolumeIOError) {
    if mkdir(path, mode) != 0, errno != EEXIST { throw VolumeIOError("mkdir", path, errno) }
    // The process's umask must not decide what containers may read.
    guard chmod(path, mode) == 0 else { throw VolumeIOError("chmod", path, errno) }
  }

  private func write(_ file: VolumeFile, below root: String) throws(VolumeIOError) {
    var parent = root
    for part in file.path.split(separator: "/").dropLast() {
      parent += "/\(part)"
      try makeDirectory(parent, 0o755)
    }
    let target = "\(root)/\(file.path)"
    let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_t(file.mode))
    guard descriptor >= 0 else { throw VolumeIOError("open", target, errno) }
    defer { close(descriptor) }
    var rest = file.bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw VolumeIOError("write", target, errno) }
      rest = rest.dropFirst(count)
    }
    if let uid = file.uid, fchown(descriptor, uid, gid_t.max) != 0 { throw VolumeIOError("chown", target, errno) }
    guard fchmod(descriptor, mode_t(file.mode)) == 0 else { throw VolumeIOError("chmod", target, errno) }
  }

  /// Same paths, same bytes, no others. Modes are the volume's and do not change while a pod lives.
  private func isCurrent(_ files: [VolumeFile], _ current: String) -> Bool {
    var found = 0
    for file in files {
      guard contents("\(path(current))/\(file.path)", max: file.bytes.count) == file.bytes else { return false }
      found += 1
    }
    return countFiles(path(current), depth: 0) == found
  }

  private func contents(_ path: String, max: Int) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: max + 1)
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + count, $0.count - count) }
      if got <= 0 { break }
      count += got
    }
    return Array(bytes[..<count])
  }

  private func countFiles(_ directory: String, depth: Int) -> Int {
    var count = 0
    for name in Self.names(directory) {
      var status = stat()
      guard lstat("\(directory)/\(name)", &status) == 0 else { continue }
      count += status.st_mode & S_IFMT == S_IFDIR && depth < 64 ? countFiles("\(directory)/\(name)", depth: depth + 1) : 1
    }
    return count
  }

  private func linkNames(_ names: Set<String>) throws(VolumeIOError) {
    for name in names where link(name) != "..data/\(name)" {
      unlink(path(name))
      guard symlink("..data/\(name)", path(name)) == 0 else { throw VolumeIOError("symlink", path(name), errno) }
    }
    for name in Self.names(directory) where !name.hasPrefix("..") && !names.contains(name) { unlink(path(name)) }
  }

  /// What a process killed in the middle of a write left behind.
  private func removeLeftovers(except current: String) {
    for name in Self.names(directory) where name.hasPrefix("..") && name != "..data" && name != current {
      removeTree(FilePath(path(name)))
    }
  }

  static func names(_ directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }
}
