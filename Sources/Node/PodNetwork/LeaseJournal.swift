import LinuxKernel
import NFTables
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The leases on disk: a file to which every change appends one line with one `write`.
///
/// What has been written survives `kill -9`: it is in the kernel. It is not forced to the disk, because a machine that lost power
/// has no pods left; the checksums then tell torn lines, and `PodNetwork.start` looks at the interfaces themselves.
struct LeaseJournal: Sendable {
  /// When the file is rewritten with the present leases only.
  static let linesMax = 8_192

  private let path: FilePath
  /// Held by flock(2) as long as the journal is open.
  private let lock: SharedDescriptor
  private var file: SharedDescriptor
  private var length: Int
  private var lines: Int

  /// Opens or makes the journal in `directory` and replays it.
  /// - Throws: `.inUse` when another process has it open.
  static func open(in directory: FilePath, range: IPv4Prefix) throws -> (LeaseJournal, LeaseTable) {
    try makeDirectories(directory)
    let lockPath = directory.appending("lock")
    let lock = SharedDescriptor(try openFile(lockPath, O_RDWR | O_CREAT))
    guard flock(lock.rawValue, LOCK_EX | LOCK_NB) == 0 else {
      throw PodNetworkError(.inUse, "\(directory) is in use by another process; stop it, or give another data directory")
    }
    let path = directory.appending("leases")
    var table = LeaseTable(range: range)
    for line in try contents(of: path).split(separator: "\n") {
      guard let change = LeaseLine.decode(line) else { continue }
      if case .put(let lease) = change, !range.contains(lease.address) { continue }  // the node's range has changed
      table.apply(change)
    }
    let (file, length) = try rewrite(path, table)
    return (LeaseJournal(path: path, lock: lock, file: file, length: length, lines: table.leases.count + 1), table)
  }

  private init(path: FilePath, lock: SharedDescriptor, file: SharedDescriptor, length: Int, lines: Int) {
    self.path = path
    self.lock = lock
    self.file = file
    self.length = length
    self.lines = lines
  }

  /// Writes the changes, which `table` already shows.
  mutating func append(_ changes: [LeaseChange], table: LeaseTable) throws(KernelError) {
    lines += changes.count
    if lines > Self.linesMax + 2 * table.leases.count {
      let (file, length) = try Self.rewrite(path, table)
      self.file = file
      self.length = length
      lines = table.leases.count + 1
      return
    }
    let text = changes.map(LeaseLine.encode).joined()
    let written = Glibc.write(file.rawValue, text, text.utf8.count)
    guard written == text.utf8.count else {
      let error = KernelError("write", path.string, errno: written < 0 ? Errno(rawValue: errno) : .noSpace)
      _ = ftruncate(file.rawValue, off_t(length))  // half a line would spoil the next one
      throw error
    }
    length += written
  }

  private static func rewrite(_ path: FilePath, _ table: LeaseTable) throws(KernelError) -> (SharedDescriptor, Int) {
    let leases = table.leases.values.filter { $0.phase != .stray }.sorted { $0.address < $1.address }
    // The cursor comes last: replayed leases move it.
    let text = (leases.map { LeaseChange.put($0) } + [.cursor(table.cursor)]).map(LeaseLine.encode).joined()
    try replaceFile(path, with: text)
    return (SharedDescriptor(try openFile(path, O_WRONLY | O_APPEND)), text.utf8.count)
  }
}

/// Makes the file hold exactly `text`, or leaves it as it was.
func replaceFile(_ path: FilePath, with text: String) throws(KernelError) {
  let temporary = FilePath(path.string + ".new")
  do {
    let file = try openFile(temporary, O_WRONLY | O_CREAT | O_TRUNC)
    let written = Glibc.write(file.rawValue, text, text.utf8.count)
    guard written == text.utf8.count else {
      throw KernelError("write", temporary.string, errno: written < 0 ? Errno(rawValue: errno) : .noSpace)
    }
    guard fdatasync(file.rawValue) == 0 else { throw KernelError("fdatasync", temporary.string, errno: Errno(rawValue: errno)) }
  }
  guard rename(temporary.string, path.string) == 0 else {
    throw KernelError("rename", path.string, errno: Errno(rawValue: errno))
  }
}

func openFile(_ path: FilePath, _ flags: Int32) throws(KernelError) -> OwnedDescriptor {
  let raw = Glibc.open(path.string, flags | O_CLOEXEC, 0o600)
  guard raw >= 0 else { throw KernelError("open", path.string, errno: Errno(rawValue: errno)) }
  return OwnedDescriptor(owning: raw)
}

/// Empty where there is no such file.
func contents(of path: FilePath) throws(KernelError) -> String {
  let raw = Glibc.open(path.string, O_RDONLY | O_CLOEXEC)
  if raw < 0, errno == ENOENT { return "" }
  guard raw >= 0 else { throw KernelError("open", path.string, errno: Errno(rawValue: errno)) }
  let file = OwnedDescriptor(owning: raw)
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = Glibc.read(file.rawValue, &buffer, buffer.count)
    guard count >= 0 else { throw KernelError("read", path.string, errno: Errno(rawValue: errno)) }
    if count == 0 { return String(decoding: bytes, as: UTF8.self) }
    bytes += buffer[..<count]
  }
}

func makeDirectories(_ path: FilePath) throws(KernelError) {
  var made = FilePath(root: path.root)
  for component in path.components {
    made.append(component)
    guard mkdir(made.string, 0o700) == 0 || errno == EEXIST else {
      throw KernelError("mkdir", made.string, errno: Errno(rawValue: errno))
    }
  }
}

func removeFile(_ path: FilePath) { _ = unlink(path.string) }
