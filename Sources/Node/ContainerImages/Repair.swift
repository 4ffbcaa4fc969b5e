import CArchive
import Glibc
import LinuxKernel
import OCISpec
import SystemPackage

/// Some tools write layers that hold `tmp/x` without saying what `tmp` is. In such a layer `tmp` is made with a guessed mode, which
/// then hides the 1777 of the layer below. Where a guess differs from what lower layers say, the image gets one more small layer
/// above the others with nothing but these directories, as they should be. The layers themselves stay as they are, because other
/// images share them.
///
/// Returns the name of a temporary tree to be published with the image; nil where nothing is to be repaired.
func makeRepair(for image: StoredImage, _ catalog: Catalog) throws -> String? {
  let state = catalog.state
  let stack = try LayerStack(image.layers, state, catalog.directory)
  var repairs: Set<String> = []
  for id in image.layers {
    for path in state.layers[id]?.impliedDirectories ?? [] where stack.needsRepair(path) { repairs.insert(path) }
  }
  guard !repairs.isEmpty else { return nil }
  // What is above a repaired directory is in the repairing layer too, so it needs its true mode as well.
  var all = repairs
  for path in repairs {
    var parts = path.split(separator: "/")
    while parts.popLast() != nil, !parts.isEmpty { all.insert(parts.joined(separator: "/")) }
  }
  let (name, fs) = try catalog.directory.makeTemporaryTree()
  do {
    let sorted = all.sorted()
    for path in sorted {
      guard mkdirat(fs.rawValue, path, 0o700) == 0 else { throw KernelError("mkdirat", path, errno: Errno(rawValue: errno)) }
    }
    for path in sorted.reversed() { try apply(stack.effective(path) ?? .guess, to: path, below: fs.rawValue) }
    try apply(stack.top, to: ".", below: fs.rawValue)
    return name
  } catch {
    try? catalog.directory.removeTree(name)
    throw error
  }
}

private func apply(_ looks: DirectoryLooks, to path: String, below root: Int32) throws {
  guard fchownat(root, path, looks.uid, looks.gid, AT_SYMLINK_NOFOLLOW) == 0 else {
    throw KernelError("fchownat", path, errno: Errno(rawValue: errno))
  }
  try KernelError.check("chmod", path, ca_chmod_nofollow(root, path, looks.mode))
  if let time = looks.time { utimensat(root, path, [time, time], AT_SYMLINK_NOFOLLOW) }
}

/// Mode, owner and time of a directory.
private struct DirectoryLooks {
  var mode: mode_t
  var uid: uid_t
  var gid: gid_t
  var time: timespec?
  static var guess: DirectoryLooks { DirectoryLooks(mode: 0o755, uid: 0, gid: 0, time: nil) }
  var isGuess: Bool { mode == 0o755 && uid == 0 && gid == 0 }

  init(mode: mode_t, uid: uid_t, gid: gid_t, time: timespec?) {
    (self.mode, self.uid, self.gid, self.time) = (mode, uid, gid, time)
  }

  init(_ info: stat) {
    self.init(mode: info.st_mode & 0o7777, uid: info.st_uid, gid: info.st_gid, time: info.st_mtim)
  }
}

/// An image's layers, to be looked through from the top as overlayfs does.
private struct LayerStack {
  /// Highest first.
  private var layers: [(root: SharedDescriptor, implied: Set<String>)] = []
  let top: DirectoryLooks

  init(_ ids: [Digest], _ state: CatalogState, _ directory: StoreDirectory) throws {
    var looks = DirectoryLooks.guess
    for id in ids.reversed() {
      let path = directory.path.appending("layers/\(id.hex)/fs").string
      let fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard fd >= 0 else { throw KernelError("open", path, errno: Errno(rawValue: errno)) }
      let shared = SharedDescriptor(OwnedDescriptor(owning: fd))
      if layers.isEmpty {
        var info = stat()
        if fstat(fd, &info) == 0 { looks = DirectoryLooks(info) }
      }
      layers.append((shared, Set(state.layers[id]?.impliedDirectories ?? [])))
      if state.layers[id]?.isOpaque == true { break }
    }
    top = looks
  }

  private enum Found { case nothing, end, directory(DirectoryLooks, goesDeeper: Bool) }

  /// What one layer has under a path. `end`: whatever lower layers have there is hidden.
  private func look(_ path: String, in root: Int32) -> Found {
    var prefix = ""
    var isOpaque = false
    var info = stat()
    for part in path.split(separator: "/") {
      prefix += prefix.isEmpty ? "\(part)" : "/\(part)"
      guard fstatat(root, prefix, &info, AT_SYMLINK_NOFOLLOW) == 0 else { return isOpaque ? .end : .nothing }
      guard FileType(info) == .directory else { return .end }
      let fd = openat(root, prefix, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      if fd >= 0 {
        var value: UInt8 = 0
        if ca_fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1, value == UInt8(ascii: "y") { isOpaque = true }
        close(fd)
      }
    }
    return .directory(DirectoryLooks(info), goesDeeper: !isOpaque)
  }

  /// As it should be: what the highest layer with an entry for it says. Nil where no layer shows an entry.
  func effective(_ path: String) -> DirectoryLooks? {
    for layer in layers {
      switch look(path, in: layer.root.rawValue) {
      case .nothing: continue
      case .end: return nil
      case .directory(let looks, let goesDeeper):
        if !layer.implied.contains(path) { return looks }
        if !goesDeeper { return nil }
      }
    }
    return nil
  }

  /// Whether the highest layer that has the directory only guesses, and wrongly.
  func needsRepair(_ path: String) -> Bool {
    for layer in layers {
      switch look(path, in: layer.root.rawValue) {
      case .nothing: continue
      case .end: return false
      case .directory: return layer.implied.contains(path) && !(effective(path)?.isGuess ?? true)
      }
    }
    return false
  }
}
