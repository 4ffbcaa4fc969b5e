import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Removes a directory with everything below it. Links are removed, never followed, and no other file system is entered:
/// every step is relative to the descriptor of the directory above.
func removeTree(_ path: FilePath) {
  let directory = open(path.string, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
  guard directory >= 0 else { return }
  var status = stat()
  fstat(directory, &status)
  emptyDirectory(directory, device: status.st_dev, depth: 0)
  rmdir(path.string)
}

private let treeDepthMax = 64

/// Consumes `directory`.
private func emptyDirectory(_ directory: Int32, device: dev_t, depth: Int) {
  guard depth < treeDepthMax, let stream = fdopendir(directory) else {
    close(directory)
    return
  }
  defer { closedir(stream) }
  while let entry = readdir(stream) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    if name == "." || name == ".." { continue }
    if unlinkat(directory, name, 0) == 0 { continue }
    let child = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard child >= 0 else { continue }
    var status = stat()
    guard fstat(child, &status) == 0, status.st_dev == device else {
      close(child)
      continue
    }
    emptyDirectory(child, device: device, depth: depth + 1)
    unlinkat(directory, name, AT_REMOVEDIR)
  }
}
