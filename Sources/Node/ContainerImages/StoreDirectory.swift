import CArchive
import Glibc
import JSONCodec
import LinuxKernel
import OCISpec
import SystemPackage

/// The store's files. Everything becomes visible by one rename, after it has reached the disk:
///
///     lock                       held by the process that has the store open
///     images.json                the images: ids, names, layers
///     configs/<hex>              an image's config, byte for byte
///     layers/<hex>/fs            a layer, unpacked; <hex> is its diff id
///     layers/<hex>/layer.json    its LayerFacts
///     repairs/<hex>/fs           a directory-repairing layer of image <hex>
///     leases/<container>         the id of the image a container was made from
///     tmp/                       everything unfinished; emptied at start
///
/// All directories are root's alone (0700). Methods block; they are called from plain threads.
final class StoreDirectory: Sendable {
  let path: FilePath
  private let lock: SharedDescriptor
  private let root: SharedDescriptor
  /// Whether to wait for the disk before a rename. Off only in tests that make many stores.
  private let syncs: Bool

  static let folders = ["configs", "layers", "repairs", "leases", "tmp"]

  init(path: FilePath, syncs: Bool) throws {
    self.path = path
    self.syncs = syncs
    try Self.makeDirectories(path)
    root = SharedDescriptor(OwnedDescriptor(owning: try Self.open(path, O_RDONLY | O_DIRECTORY)))
    let lockFD = try Self.open(path.appending("lock"), O_RDWR | O_CREAT, 0o600)
    lock = SharedDescriptor(OwnedDescriptor(owning: lockFD))
    guard flock(lockFD, LOCK_EX | LOCK_NB) == 0 else {
      throw ImageError(.locked, "the image store \(path) is in use by another process; stop it, or give this one another --data-dir")
    }
    for folder in Self.folders { try Self.makeDirectories(path.appending(folder)) }
    for name in try list("tmp") { try removeTree("tmp/\(name)") }
  }

  // MARK: Files

  func read(_ name: String, bytesMax: Int) throws -> [UInt8]? {
    let fd = openat(root.rawValue, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    if fd < 0 {
      if errno == ENOENT { return nil }
      throw KernelError("open", path.appending(name).string, errno: Errno(rawValue: errno))
    }
    defer { Glibc.close(fd) }
    return try readAll(fd, bytesMax: bytesMax, name: name)
  }

  /// Writes a file so that after a crash there is the old content or the new one.
  func write(_ bytes: [UInt8], to name: String) throws {
    let temporary = "tmp/file-\(uniqueName())"
    let fd = openat(root.rawValue, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw KernelError("open", path.appending(temporary).string, errno: Errno(rawValue: errno)) }
    do {
      defer { Glibc.close(fd) }
      var done = 0
      while done < bytes.count {
        let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress! + done, bytes.count - done) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw KernelError("write", path.appending(name).string, errno: Errno(rawValue: errno)) }
        done += count
      }
      if syncs, fsync(fd) != 0 { throw KernelError("fsync", path.appending(name).string, errno: Errno(rawValue: errno)) }
    } catch {
      unlinkat(root.rawValue, temporary, 0)
      throw error
    }
    try rename(temporary, name)
  }

  /// A stream as a file in tmp/: open for reading, and its name.
  func copyToTemporaryFile(_ source: any ByteSource, bytesMax: Int64) throws -> (SharedDescriptor, String) {
    let name = "tmp/file-\(uniqueName())"
    let fd = openat(root.rawValue, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard fd >= 0 else { throw KernelError("open", path.appending(name).string, errno: Errno(rawValue: errno)) }
    let file = SharedDescriptor(OwnedDescriptor(owning: fd))
    do {
      var total: Int64 = 0
      while let piece = try source.next() {
        total += Int64(piece.count)
        guard total <= bytesMax else { throw ImageError(.limitExceeded, "it is longer than \(bytesMax) bytes (limit streamBytesMax)") }
        var rest = piece
        while !rest.isEmpty {
          let count = Glibc.write(file.rawValue, rest.baseAddress, rest.count)
          if count < 0, errno == EINTR { continue }
          guard count > 0 else { throw KernelError("write", path.appending(name).string, errno: Errno(rawValue: errno)) }
          rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
      }
      return (file, name)
    } catch {
      unlinkat(root.rawValue, name, 0)
      throw error
    }
  }

  func removeFile(_ name: String) throws {
    if unlinkat(root.rawValue, name, 0) != 0, errno != ENOENT {
      throw KernelError("unlink", path.appending(name).string, errno: Errno(rawValue: errno))
    }
  }

  func list(_ folder: String) throws -> [String] {
    guard let dir = opendir(path.appending(folder).string) else {
      throw KernelError("opendir", path.appending(folder).string, errno: Errno(rawValue: errno))
    }
    defer { closedir(dir) }
    var names: [String] = []
    while let entry = readdir(dir) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  func exists(_ name: String) -> Bool { faccessat(root.rawValue, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 }

  // MARK: Trees

  /// A new empty directory in tmp/ with an `fs` inside; its name relative to the store.
  func makeTemporaryTree() throws -> (name: String, fs: SharedDescriptor) {
    let name = "tmp/tree-\(uniqueName())"
    try makeDirectory(name, mode: 0o700)
    // The root of an image's file system is 0755 unless a layer says otherwise.
    try makeDirectory("\(name)/fs", mode: 0o755)
    let fd = openat(root.rawValue, "\(name)/fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard fd >= 0 else { throw KernelError("open", path.appending(name).string, errno: Errno(rawValue: errno)) }
    return (name, SharedDescriptor(OwnedDescriptor(owning: fd)))
  }

  /// Puts a finished tree where it belongs, after its content has reached the disk. A crash before leaves nothing of it, a crash
  /// after leaves all of it.
  func publishTree(_ temporary: String, as name: String) throws {
    if syncs { try KernelError.check("syncfs", path.string, ca_syncfs(root.rawValue)) }
    try rename(temporary, name)
  }

  /// Hides a tree by a rename, then empties it; a crash in between leaves something in tmp/ for the next start.
  func removeTree(_ name: String) throws {
    guard let victim = name.hasPrefix("tmp/") ? name : try hideTree(name) else { return }
    try KernelError.check("remove", path.appending(victim).string, ca_remove_tree(root.rawValue, victim))
  }

  /// The first half of `removeTree`: the tree is out of sight, and still to be emptied. Nil where there was none.
  func hideTree(_ name: String) throws -> String? {
    let hidden = "tmp/gone-\(uniqueName())"
    do {
      try rename(name, hidden)
      return hidden
    } catch let error as KernelError where error.errno == .noSuchFileOrDirectory { return nil }
  }

  func makeDirectory(_ name: String, mode: mode_t) throws {
    guard mkdirat(root.rawValue, name, mode) == 0 else {
      throw KernelError("mkdir", path.appending(name).string, errno: Errno(rawValue: errno))
    }
    try KernelError.check("chmod", name, ca_chmod_nofollow(root.rawValue, name, mode))
  }

  private func rename(_ from: String, _ to: String) throws {
    guard renameat(root.rawValue, from, root.rawValue, to) == 0 else {
      throw KernelError("rename", path.appending(to).string, errno: Errno(rawValue: errno))
    }
    guard syncs else { return }
    let folder = to.split(separator: "/").dropLast().joined(separator: "/")
    let fd = openat(root.rawValue, folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard fd >= 0 else { return }
    defer { Glibc.close(fd) }
    if fsync(fd) != 0 { throw KernelError("fsync", path.appending(folder).string, errno: Errno(rawValue: errno)) }
  }

  private func uniqueName() -> String { "\(getpid())-\(UInt64.random(in: .min ... .max))" }

  private static func open(_ path: FilePath, _ flags: Int32, _ mode: mode_t = 0) throws -> Int32 {
    let fd = Glibc.open(path.string, flags | O_CLOEXEC, mode)
    guard fd >= 0 else { throw KernelError("open", path.string, errno: Errno(rawValue: errno)) }
    return fd
  }

  /// Makes a directory and the ones above it. Those it makes, and the last one in any case, are root's alone.
  private static func makeDirectories(_ path: FilePath) throws {
    var current = FilePath(root: path.root)
    for component in path.components {
      current.append(component)
      if mkdir(current.string, 0o700) != 0, errno != EEXIST {
        throw KernelError("mkdir", current.string, errno: Errno(rawValue: errno))
      }
    }
    guard chmod(path.string, 0o700) == 0 else { throw KernelError("chmod", path.string, errno: Errno(rawValue: errno)) }
  }
}

/// Reads a file to its end, or refuses it as soon as it is longer than allowed.
func readAll(_ fd: Int32, bytesMax: Int, name: String) throws -> [UInt8] {
  var result: [UInt8] = []
  let chunk = 64 << 10
  while true {
    let before = result.count
    result.append(contentsOf: repeatElement(0, count: chunk))
    let count = result.withUnsafeMutableBytes { Glibc.read(fd, $0.baseAddress! + before, chunk) }
    let reason = Errno(rawValue: errno)
    result.removeLast(chunk - max(count, 0))
    if count < 0 {
      if reason == .interrupted { continue }
      throw KernelError("read", name, errno: reason)
    }
    if count == 0 { return result }
    guard result.count <= bytesMax else { throw ImageError(.tooLarge, "\(name) is longer than \(bytesMax) bytes") }
  }
}
