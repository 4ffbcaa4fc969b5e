import GRDB
import GRDBSQLite

#if canImport(Glibc)
  import Glibc
#endif

/// Opens the connections of one store, and makes or checks its database.
enum Connections {
  struct Opened {
    let writer: DatabaseQueue
    let readers: ReaderPool
    let newest: Revision
    let compacted: Revision
    let swept: Revision
  }

  /// - Throws: GRDB's errors, and `RevisionStoreError` where it knows more.
  static func open(path: String, limits: StoreLimits) throws -> Opened {
    try makeFile(path)
    let writer = try DatabaseQueue(path: path, configuration: writerConfiguration(limits, path))
    let marks = try writer.inDatabase { database in
      try prepare(database, path: path, limits: limits)
      return (
        newest: try Query.integer(database, Schema.newest) ?? 0,
        compacted: try Query.integer(database, Schema.compacted) ?? 0,
        swept: try Query.integer(database, Schema.swept) ?? 0
      )
    }
    let readers = try ReaderPool(path: path, limits: limits)
    // The newest rows may be deletes that compaction has removed.
    return Opened(
      writer: writer, readers: readers, newest: max(marks.newest, marks.compacted), compacted: marks.compacted,
      swept: marks.swept)
  }

  /// Objects hold secrets: the file is its owner's alone. SQLite gives its log the same mode.
  private static func makeFile(_ path: String) throws(RevisionStoreError) {
    let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw StoreFailure.system("open", path, errno) }
    _ = Glibc.close(descriptor)
  }

  private static func writerConfiguration(_ limits: StoreLimits, _ path: String) -> Configuration {
    var configuration = Configuration()
    configuration.label = "revision-store.writer"
    configuration.foreignKeysEnabled = false
    // Only a reader that stands in the way of a log restart is ever waited for.
    configuration.busyMode = .timeout(2)
    configuration.prepareDatabase { database in
      // Before anything that writes: a file that is not ours to open stays as it is.
      try identify(database, path)
      // The order matters: auto_vacuum is decided before anything is in the file.
      try database.execute(
        sql: """
          \(try Query.integer(database, "PRAGMA auto_vacuum") == 2 ? "" : "PRAGMA auto_vacuum = INCREMENTAL;")
          PRAGMA journal_mode = WAL;
          PRAGMA synchronous = FULL;
          PRAGMA wal_autocheckpoint = 0;
          PRAGMA journal_size_limit = \(limits.logFileBytes);
          PRAGMA cache_size = -\(limits.writerCacheKiB);
          """)
    }
    return configuration
  }

  private static func prepare(_ database: Database, path: String, limits: StoreLimits) throws {
    let pageSize = try Query.integer(database, "PRAGMA page_size") ?? 4_096
    let pages = try Query.integer(database, "PRAGMA page_count") ?? 0
    if try isEmpty(database) {
      try database.inTransaction(.immediate) {
        try Schema.create(database)
        return .commit
      }
    } else if pages * pageSize <= limits.openCheckBytesMax {
      try check(database, path)
    }
    try database.execute(sql: "PRAGMA max_page_count = \(max(1, limits.fileBytesMax / pageSize))")
  }

  /// Throws `incompatible` where the file is another program's, or a newer one's.
  private static func identify(_ database: Database, _ path: String) throws {
    if try isEmpty(database) { return }
    guard try Query.integer(database, "PRAGMA application_id") == Schema.applicationID else {
      throw RevisionStoreError(.incompatible, "\(path) is a database of another program; choose another data directory")
    }
    let version = try Query.integer(database, "PRAGMA user_version") ?? 0
    guard version == Schema.version else {
      throw RevisionStoreError(
        .incompatible,
        "\(path) has format \(version), and this program knows \(Schema.version); start the newer swiftlet that made it, or choose another data directory"
      )
    }
  }

  private static func isEmpty(_ database: Database) throws -> Bool {
    let marks = try Query.integer(database, "PRAGMA user_version") == 0 && Query.integer(database, "PRAGMA application_id") == 0
    return try marks && tableCount(database) == 0
  }

  private static func tableCount(_ database: Database) throws -> Int64 {
    try Query.integer(database, "SELECT count(*) FROM sqlite_master") ?? 0
  }

  private static func check(_ database: Database, _ path: String) throws {
    let answer = try Query.run(database, "PRAGMA quick_check(1)") { try $0.step() ? $0.text(0) : "no answer" }
    guard answer == "ok" else { throw StoreFailure.corrupt(path, answer) }
  }
}
