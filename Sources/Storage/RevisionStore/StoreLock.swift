import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Says that this process has a store open: an flock on a file beside the database, which the kernel releases with the
/// process however it ends. The file holds the process's number, for the message of whoever comes second.
final class StoreLock: Sendable {
  private let descriptor: Mutex<Int32?>

  /// - Throws: `locked`, `notPermitted`, `diskFull`, `io`.
  init(database path: String) throws(RevisionStoreError) {
    let lockPath = path + ".lock"
    let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw StoreFailure.system("open", lockPath, errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      let holder = Self.holder(descriptor)
      _ = close(descriptor)
      guard code == EWOULDBLOCK else { throw StoreFailure.system("flock", lockPath, code) }
      throw RevisionStoreError(
        .locked,
        "\(path) is in use by \(holder.map { "process \($0)" } ?? "another process"); "
          + "stop it, or use another data directory")
    }
    let text = "\(getpid())\n"
    // The number is a courtesy: without space for it the lock holds all the same.
    if ftruncate(descriptor, 0) == 0 { _ = text.withCString { pwrite(descriptor, $0, strlen($0), 0) } }
    self.descriptor = Mutex(descriptor)
  }

  deinit { release() }

  func release() {
    let taken = descriptor.withLock { descriptor in
      defer { descriptor = nil }
      return descriptor
    }
    if let taken { _ = close(taken) }
  }

  private static func holder(_ descriptor: Int32) -> Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    guard count > 0 else { return nil }
    return Int32(String(decoding: bytes[..<count].prefix { $0 != 10 }, as: UTF8.self))
  }
}
