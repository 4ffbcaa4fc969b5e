#if canImport(Glibc)
  import Glibc
#endif

/// What a hostPath volume demands of the path, and what is made where it does not exist.
enum HostPathVolume {
  enum Found: Equatable { case nothing, directory, file, socket, characterDevice, blockDevice, other }
  enum Decision: Equatable { case use, makeDirectory, makeFile, refuse(String) }

  /// Pure: what the type means for what is there. An empty type checks nothing; its directory is made where it is missing.
  static func decide(_ type: String, _ path: String, _ found: Found) -> Decision {
    func refuse(_ what: String) -> Decision { .refuse("hostPath type check failed: \(path) is not \(what)") }
    switch type {
    case "": return found == .nothing ? .makeDirectory : .use
    case "DirectoryOrCreate": return found == .nothing ? .makeDirectory : found == .directory ? .use : refuse("a directory")
    case "FileOrCreate": return found == .nothing ? .makeFile : found == .file ? .use : refuse("a file")
    case "Directory": return found == .directory ? .use : refuse("a directory")
    case "File": return found == .file ? .use : refuse("a file")
    case "Socket": return found == .socket ? .use : refuse("a socket file")
    case "CharDevice": return found == .characterDevice ? .use : refuse("a character device")
    case "BlockDevice": return found == .blockDevice ? .use : refuse("a block device")
    default: return .refuse("\(type) is an invalid volume type")
    }
  }

  static func find(_ path: String) -> Found {
    var status = stat()
    guard stat(path, &status) == 0 else { return .nothing }
    return switch status.st_mode & S_IFMT {
    case S_IFDIR: .directory
    case S_IFREG: .file
    case S_IFSOCK: .socket
    case S_IFCHR: .characterDevice
    case S_IFBLK: .blockDevice
    default: .other
    }
  }

  static func prepare(_ type: String, _ path: String, volume: String) throws {
    guard path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
      throw VolumeError(volume: volume, "hostPath \"\(path)\" must be absolute, without '..'")
    }
    switch decide(type, path, find(path)) {
    case .use: return
    case .refuse(let reason): throw VolumeError(volume: volume, reason)
    case .makeDirectory: try HostFiles.makeDirectories(path, 0o755)
    case .makeFile:
      let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
      guard descriptor >= 0 else { throw VolumeIOError("open", path, errno) }
      close(descriptor)
    }
  }
}

/// Paths of the node's own that no container can change.
enum HostFiles {
  static func makeDirectories(_ path: String, _ mode: mode_t) throws(VolumeIOError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/\(part)"
      if mkdir(made, mode) != 0, errno != EEXIST { throw VolumeIOError("mkdir", made, errno) }
    }
  }

  /// Sets a file's text. Nothing is written where it is the same.
  static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws(VolumeIOError) {
    if read(path) == text { return }
    // In place: containers have this very file mounted.
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw VolumeIOError("open", path, errno) }
    defer { close(descriptor) }
    fchmod(descriptor, mode)
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw VolumeIOError("write", path, errno) }
      rest = rest.dropFirst(count)
    }
  }

  static let textBytesMax = 1 << 20

  static func read(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while bytes.count < textBytesMax {
      let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress!, $0.count) }
      if count <= 0 { break }
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
