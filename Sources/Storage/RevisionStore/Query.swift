import GRDB
import GRDBSQLite

/// A cached statement run without records or rows: bind, step, read columns. The statement goes back to the cache unbound
/// when the closure returns.
///
/// Only for use inside an access to `database`; it must not leave the closure.
struct Query {
  private let statement: OpaquePointer
  private let connection: OpaquePointer?

  private init(_ statement: OpaquePointer, _ connection: OpaquePointer?) {
    self.statement = statement
    self.connection = connection
  }

  static func run<Result>(_ database: Database, _ sql: String, _ body: (Query) throws -> Result) throws -> Result {
    let cached = try database.cachedStatement(sql: sql)
    let query = Query(cached.sqliteStatement, database.sqliteConnection)
    defer {
      sqlite3_reset(query.statement)
      sqlite3_clear_bindings(query.statement)
    }
    return try body(query)
  }

  /// Runs a statement that takes integers and gives no row.
  static func execute(_ database: Database, _ sql: String, _ arguments: Int64...) throws {
    try run(database, sql) { query in
      for (offset, argument) in arguments.enumerated() { query.bind(Int32(offset + 1), argument) }
      while try query.step() {}
    }
  }

  /// The first column of the first row as an integer, or nil where there is no row or it is NULL.
  static func integer(_ database: Database, _ sql: String) throws -> Int64? {
    try run(database, sql) { try $0.step() ? $0.optionalInteger(0) : nil }
  }

  // MARK: Arguments, numbered from 1

  func bind(_ index: Int32, _ value: Int64) { sqlite3_bind_int64(statement, index, value) }

  func bind(_ index: Int32, _ value: String) {
    var value = value
    value.withUTF8 { bindText(index, UnsafeRawBufferPointer($0)) }
  }

  /// Text that need not be UTF-8: the upper bound of a key range.
  func bind(_ index: Int32, text: [UInt8]) { text.withUnsafeBytes { bindText(index, $0) } }

  func bind(_ index: Int32, blob: [UInt8]) {
    blob.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress, !bytes.isEmpty else {
        sqlite3_bind_zeroblob(statement, index, 0)
        return
      }
      sqlite3_bind_blob64(statement, index, base, UInt64(bytes.count), Self.copied)
    }
  }

  private func bindText(_ index: Int32, _ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress, !bytes.isEmpty else {
      sqlite3_bind_text(statement, index, "", 0, nil)
      return
    }
    sqlite3_bind_text(statement, index, base.assumingMemoryBound(to: CChar.self), Int32(bytes.count), Self.copied)
  }

  /// SQLITE_TRANSIENT, which the importer cannot express: SQLite keeps its own copy.
  private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

  // MARK: Rows

  /// True with a row, false at the end.
  func step() throws -> Bool {
    let code = sqlite3_step(statement)
    switch code {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    default:
      throw DatabaseError(
        resultCode: ResultCode(rawValue: sqlite3_extended_errcode(connection)),
        message: String(cString: sqlite3_errmsg(connection)), sql: String(cString: sqlite3_sql(statement)))
    }
  }

  // Columns, numbered from 0

  func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

  func optionalInteger(_ column: Int32) -> Int64? {
    sqlite3_column_type(statement, column) == SQLITE_NULL ? nil : integer(column)
  }

  func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

  func text(_ column: Int32) -> String {
    guard let base = sqlite3_column_text(statement, column) else { return "" }
    let count = Int(sqlite3_column_bytes(statement, column))
    return String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self)
  }

  func blob(_ column: Int32) -> [UInt8] {
    guard let base = sqlite3_column_blob(statement, column) else { return [] }
    return Array(UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(statement, column))))
  }
}
