import GRDB

#if canImport(Glibc)
  import Glibc
#endif

/// Translates what SQLite and the system report into the store's errors.
enum StoreFailure {
  static func system(_ operation: String, _ path: String, _ code: Int32) -> RevisionStoreError {
    let reason = String(cString: strerror(code))
    return switch code {
    case ENOSPC, EDQUOT: RevisionStoreError(.diskFull, "\(operation) \(path): \(reason); free space on its file system")
    case EACCES, EPERM, EROFS: RevisionStoreError(.notPermitted, "\(operation) \(path): \(reason)")
    default: RevisionStoreError(.io, "\(operation) \(path): \(reason)")
    }
  }

  static func translate(_ error: any Error, path: String) -> any Error {
    if error is RevisionStoreError || error is CancellationError { return error }
    guard let error = error as? DatabaseError else { return RevisionStoreError(.io, "\(path): \(error)") }
    let detail = error.message ?? error.resultCode.description
    switch error.resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_FORMAT: return corrupt(path, detail)
    case .SQLITE_FULL:
      return RevisionStoreError(
        .diskFull, "\(path): \(detail); nothing was written. Free space on its file system, or delete objects")
    case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
      return RevisionStoreError(.notPermitted, "\(path): \(detail)")
    case .SQLITE_CANTOPEN:
      return RevisionStoreError(.notPermitted, "\(path): \(detail): is it a file this process may read and write?")
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      return RevisionStoreError(.locked, "\(path): \(detail): another program has the database open")
    case .SQLITE_MISUSE:
      return RevisionStoreError.closed
    default:
      return RevisionStoreError(.io, "\(path): \(detail) (SQLite \(error.extendedResultCode.rawValue))")
    }
  }

  static func corrupt(_ path: String, _ detail: String) -> RevisionStoreError {
    RevisionStoreError(
      .corrupt,
      "\(path) is damaged (\(detail.split(separator: "\n").joined(separator: " "))). Stop all that uses it, keep a copy of it and of \(path)-wal, and restore a backup; "
        + "or move them away to begin with an empty cluster")
  }
}
