import CArchive
import CLinux
import Glibc
import LinuxKernel
import OCISpec
import SystemPackage

/// What is known about a layer once it lies unpacked on the disk.
struct LayerFacts: Sendable, Equatable {
  /// Bytes of file content (holes not counted).
  var bytes: Int64 = 0
  var entries = 0
  /// Directories the layer has no entry for; their mode and owner come from the layers below, if these have them.
  var impliedDirectories: [String] = []
  /// The layer hides everything below it.
  var isOpaque = false
}

/// Writes the entries of one layer below a root.
final class LayerUnpacker {
  private let root: LayerRoot
  private let limits: UnpackLimits
  private(set) var facts = LayerFacts()
  /// Directory times are set last, because every entry made in a directory changes them.
  private var directoryTimes: [(components: [EntryName], time: [timespec])] = []

  init(root: LayerRoot, limits: UnpackLimits) {
    self.root = root
    self.limits = limits
  }

  /// Unpacks everything `tar` holds.
  func unpack(_ tar: TarReader) throws -> LayerFacts {
    while let entry = try tar.next() {
      facts.entries += 1
      guard facts.entries <= limits.entriesMax else {
        throw ImageError(.limitExceeded, "the layer has more than \(limits.entriesMax) entries (limit entriesMax)")
      }
      do {
        try place(entry, tar)
      } catch let error as KernelError {
        throw ImageError.wrap(error).about("unpacking \(entry.path)")
      }
    }
    for (components, time) in directoryTimes.reversed() {
      root.forgetCache()
      guard let directory = try? root.directory(components, create: false) else { continue }
      withExtendedLifetime(directory) { _ = futimens(directory.rawValue, time) }
    }
    facts.impliedDirectories = root.implied.compactMap(\.text).sorted()
    return facts
  }

  private func place(_ entry: TarEntry, _ tar: TarReader) throws {
    let place: LayerPlace
    do throws(LayerPathError) {
      place = try layerPlace(entry.path, limits: limits)
    } catch {
      throw ImageError(error.isLimit ? .limitExceeded : .unsafeEntry, "\(entry.path): \(error.reason)")
    }
    switch place {
    case .ignored: return
    case .root:
      guard entry.kind == .directory else {
        throw ImageError(.unsafeEntry, "\(entry.path): the layer's root can only be a directory")
      }
      let directory = try root.directory([], create: false)
      try withExtendedLifetime(directory) { try finishDirectory(directory.rawValue, [], entry) }
    case .opaque(let components):
      guard entry.kind == .file || entry.kind == .hardLink else {
        throw ImageError(.unsafeEntry, "\(entry.path): an opaque marker must be a plain file")
      }
      if components.isEmpty { facts.isOpaque = true }
      let directory = try root.directory(components, create: true)
      try withExtendedLifetime(directory) { try makeOpaque(directory.rawValue, entry.path) }
    case .whiteout(let parent, let name):
      let directory = try root.directory(parent, create: true)
      try withExtendedLifetime(directory) { try whiteout(name, in: directory.rawValue, path: entry.path) }
    case .entry(let parent, let name):
      let directory = try root.directory(parent, create: true)
      if entry.kind == .characterDevice, entry.deviceMajor == 0, entry.deviceMinor == 0 {
        // The kernel takes such a node for a whiteout whoever made it.
        return try withExtendedLifetime(directory) { try whiteout(name, in: directory.rawValue, path: entry.path) }
      }
      try withExtendedLifetime(directory) { try create(entry, parent + [name], name, in: directory.rawValue, tar) }
    }
  }

  // MARK: Whiteouts

  private func makeOpaque(_ fd: Int32, _ path: EntryName) throws {
    try KernelError.check("fsetxattr(trusted.overlay.opaque)", path.description, ca_fsetxattr(fd, "trusted.overlay.opaque", "y", 1))
  }

  /// A whiteout hides what lower layers have, never what this layer has: beside a directory of the same layer it means that the
  /// directory shows nothing from below.
  private func whiteout(_ name: EntryName, in parent: Int32, path: EntryName) throws {
    switch try kindOfExisting(name, in: parent) {
    case .none:
      let result = name.withCString { mknodat(parent, $0, FileType.characterDevice.rawValue, 0) }
      guard result == 0 else { throw KernelError("mknodat", path.description, errno: Errno(rawValue: errno)) }
    case .directory?:
      let fd = name.withCString { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
      guard fd >= 0 else { throw KernelError("openat", path.description, errno: Errno(rawValue: errno)) }
      defer { close(fd) }
      try makeOpaque(fd, path)
    case .whiteout?, .other?: break
    }
  }

  private enum Existing { case directory, whiteout, other }

  private func kindOfExisting(_ name: EntryName, in parent: Int32) throws -> Existing? {
    var info = stat()
    let result = name.withCString { fstatat(parent, $0, &info, AT_SYMLINK_NOFOLLOW) }
    if result != 0 {
      let reason = Errno(rawValue: errno)
      if reason == .noSuchFileOrDirectory { return nil }
      throw KernelError("fstatat", name.description, errno: reason)
    }
    switch FileType(info) {
    case .directory: return .directory
    case .characterDevice where info.st_rdev == 0: return .whiteout
    default: return .other
    }
  }

  // MARK: Entries

  private func create(_ entry: TarEntry, _ components: [EntryName], _ name: EntryName, in parent: Int32, _ tar: TarReader) throws {
    let existing = try kindOfExisting(name, in: parent)
    if entry.kind == .directory {
      if let existing, existing != .directory {
        try remove(name, in: parent)
        root.forgetCache()
      }
      if existing != .directory {
        guard name.withCString({ mkdirat(parent, $0, 0o700) }) == 0 else { throw failure("mkdirat", entry) }
      }
      let fd = name.withCString { openat(parent, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
      guard fd >= 0 else { throw failure("openat", entry) }
      defer { close(fd) }
      if existing == .whiteout { try makeOpaque(fd, entry.path) }
      root.noteExplicit(components)
      return try finishDirectory(fd, components, entry)
    }
    if entry.kind == .hardLink { return try hardLink(entry, components, name, in: parent, replacing: existing != nil) }
    if existing != nil {
      try remove(name, in: parent)
      root.forgetCache()
    }
    switch entry.kind {
    case .file: try file(entry, name, in: parent, tar)
    case .symbolicLink:
      guard entry.target.bytes.count <= limits.pathBytesMax, !entry.target.bytes.isEmpty else {
        throw ImageError(.unsafeEntry, "\(entry.path): a symbolic link must have a target of at most \(limits.pathBytesMax) bytes")
      }
      let result = entry.target.withCString { target in name.withCString { symlinkat(target, parent, $0) } }
      guard result == 0 else { throw failure("symlinkat", entry) }
      try finishNode(name, in: parent, entry, mode: nil)
    case .fifo, .characterDevice, .blockDevice:
      let type: FileType = entry.kind == .fifo ? .fifo : entry.kind == .characterDevice ? .characterDevice : .blockDevice
      let device = entry.kind == .fifo ? 0 : makeDevice(entry.deviceMajor, entry.deviceMinor)
      guard name.withCString({ mknodat(parent, $0, type.rawValue | 0o600, device) }) == 0 else { throw failure("mknodat", entry) }
      try finishNode(name, in: parent, entry, mode: mode_t(entry.mode & 0o7777))
    case .directory, .hardLink, .other:
      throw ImageError(.unsupported, "\(entry.path): an entry of a kind that no image may have")
    }
  }

  private func file(_ entry: TarEntry, _ name: EntryName, in parent: Int32, _ tar: TarReader) throws {
    guard entry.size <= limits.fileBytesMax else {
      throw ImageError(.limitExceeded, "\(entry.path): the file is longer than \(limits.fileBytesMax) bytes (limit fileBytesMax)")
    }
    let fd = name.withCString { openat(parent, $0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) }
    guard fd >= 0 else { throw failure("openat", entry) }
    defer { close(fd) }
    var end: Int64 = 0
    try tar.readData { offset, bytes in
      facts.bytes += Int64(bytes.count)
      guard facts.bytes <= limits.dataBytesMax else {
        throw ImageError(.limitExceeded, "the layer's files hold more than \(limits.dataBytesMax) bytes (limit dataBytesMax)")
      }
      guard offset >= end, offset <= limits.fileBytesMax else {
        throw ImageError(.malformed, "\(entry.path): the file's parts are out of order")
      }
      try write(bytes, to: fd, at: offset, entry)
      end = offset + Int64(bytes.count)
    }
    if end < entry.size {
      guard ftruncate(fd, off_t(entry.size)) == 0 else { throw failure("ftruncate", entry) }
    }
    let (uid, gid) = try owner(entry)
    // This order: chown takes setuid bits and capabilities away.
    guard fchown(fd, uid, gid) == 0 else { throw failure("fchown", entry) }
    guard fchmod(fd, mode_t(entry.mode & 0o7777)) == 0 else { throw failure("fchmod", entry) }
    try setExtendedAttributes(fd, entry)
    guard futimens(fd, times(entry)) == 0 else { throw failure("futimens", entry) }
  }

  private func write(_ bytes: UnsafeRawBufferPointer, to fd: Int32, at offset: Int64, _ entry: TarEntry) throws {
    var done = 0
    while done < bytes.count {
      let count = pwrite(fd, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + done)
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("pwrite", entry)
      }
      done += count
    }
  }

  /// A second name for what this layer already has. The target is a name, not what a symbolic link of that name leads to.
  private func hardLink(
    _ entry: TarEntry, _ components: [EntryName], _ name: EntryName, in parent: Int32, replacing: Bool
  ) throws {
    func refuse(_ reason: String) -> ImageError {
      ImageError(.unsafeEntry, "\(entry.path): hard link to \(entry.target): \(reason)")
    }
    var target: [EntryName]
    do throws(LayerPathError) {
      target = try layerComponents(entry.target, limits: limits)
    } catch { throw refuse(error.reason) }
    if target == components { return }
    guard let targetName = target.popLast() else { throw refuse("the layer's root cannot be linked to") }
    guard !targetName.hasPrefix(".wh.") else { throw refuse("a whiteout cannot be linked to") }
    // The parent's descriptor stays valid while the target's directory is looked up: `place` holds it.
    let directory: SharedDescriptor
    do {
      directory = try root.directory(target, create: false)
    } catch let error as KernelError where error.errno == .noSuchFileOrDirectory { throw refuse("no such file in this layer") }
    defer { withExtendedLifetime(directory) {} }
    switch try kindOfExisting(targetName, in: directory.rawValue) {
    case .other?: break
    case .none, .whiteout?: throw refuse("no such file in this layer")
    case .directory?: throw refuse("a directory cannot be linked to")
    }
    if replacing {
      var before = stat()
      var after = stat()
      let same =
        name.withCString { fstatat(parent, $0, &before, AT_SYMLINK_NOFOLLOW) } == 0
        && targetName.withCString { fstatat(directory.rawValue, $0, &after, AT_SYMLINK_NOFOLLOW) } == 0
        && before.st_ino == after.st_ino && before.st_dev == after.st_dev
      if same { return }
      // A directory that is replaced may hold the target, hence the link first under another name.
      let spare: EntryName = ".wh..wh.link"
      try link(targetName, directory.rawValue, spare, parent, entry)
      try remove(name, in: parent)
      root.forgetCache()
      let renamed = spare.withCString { from in name.withCString { renameat(parent, from, parent, $0) } }
      guard renamed == 0 else { throw failure("renameat", entry) }
      return
    }
    try link(targetName, directory.rawValue, name, parent, entry)
  }

  private func link(_ from: EntryName, _ fromParent: Int32, _ to: EntryName, _ toParent: Int32, _ entry: TarEntry) throws {
    let result = from.withCString { a in to.withCString { b in linkat(fromParent, a, toParent, b, 0) } }
    guard result == 0 else { throw failure("linkat", entry) }
  }

  // MARK: Owners, modes, times

  private func finishDirectory(_ fd: Int32, _ components: [EntryName], _ entry: TarEntry) throws {
    let (uid, gid) = try owner(entry)
    guard fchown(fd, uid, gid) == 0 else { throw failure("fchown", entry) }
    guard fchmod(fd, mode_t(entry.mode & 0o7777)) == 0 else { throw failure("fchmod", entry) }
    try setExtendedAttributes(fd, entry)
    directoryTimes.append((components, times(entry)))
  }

  private func finishNode(_ name: EntryName, in parent: Int32, _ entry: TarEntry, mode: mode_t?) throws {
    let (uid, gid) = try owner(entry)
    try name.withCString { name in
      guard fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("fchownat", entry) }
      if let mode { try KernelError.check("chmod", entry.path.description, ca_chmod_nofollow(parent, name, mode)) }
      guard utimensat(parent, name, times(entry), AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("utimensat", entry) }
    }
  }

  private func owner(_ entry: TarEntry) throws -> (uid_t, gid_t) {
    guard let uid = uid_t(exactly: entry.uid), let gid = gid_t(exactly: entry.gid), uid != .max, gid != .max else {
      throw ImageError(.unsafeEntry, "\(entry.path): owner \(entry.uid):\(entry.gid) is out of range")
    }
    return (uid, gid)
  }

  private func setExtendedAttributes(_ fd: Int32, _ entry: TarEntry) throws {
    for (name, value) in entry.extendedAttributes where keepsExtendedAttribute(name) {
      let result = ca_fsetxattr(fd, name, value, value.count)
      // A file system without user attributes still holds the image; a capability that is lost would be a broken image.
      if name != "security.capability", result == -ENOTSUP || result == -ERANGE { continue }
      try KernelError.check("fsetxattr(\(name))", entry.path.description, result)
    }
  }

  private func times(_ entry: TarEntry) -> [timespec] {
    let time = timespec(tv_sec: entry.modifiedSeconds, tv_nsec: min(max(entry.modifiedNanoseconds, 0), 999_999_999))
    return [time, time]
  }

  private func makeDevice(_ major: UInt32, _ minor: UInt32) -> dev_t {
    let major = UInt64(major), minor = UInt64(minor)
    return dev_t((major & 0xFFFF_F000) << 32 | (major & 0xFFF) << 8 | (minor & 0xFFFF_FF00) << 12 | (minor & 0xFF))
  }

  private func remove(_ name: EntryName, in parent: Int32) throws {
    try KernelError.check("unlinkat", name.description, name.withCString { ca_remove_tree(parent, $0) })
  }

  private func failure(_ operation: String, _ entry: TarEntry) -> KernelError {
    KernelError(operation, entry.path.description, errno: Errno(rawValue: errno))
  }
}
