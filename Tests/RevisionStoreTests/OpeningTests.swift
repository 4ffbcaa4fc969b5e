import Testing

@testable import RevisionStore

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct OpeningTests {
  private func failure(_ path: String) -> RevisionStoreError? {
    do {
      _ = try SQLiteRevisionStore(path: path)
      return nil
    } catch { return error as? RevisionStoreError }
  }

  @Test func aSecondOpenIsRefusedAndNamesTheHolder() async throws {
    let directory = TemporaryDirectory()
    let store = try SQLiteRevisionStore(path: directory.database)
    let error = try #require(failure(directory.database))
    #expect(error.code == .locked)
    #expect(error.message.contains("process \(getpid())") && error.message.contains(directory.database))
    try await store.close()
  }

  @Test func aFileThatIsNoDatabaseIsCorrupt() throws {
    let directory = TemporaryDirectory()
    try write(Array(repeating: 0x41, count: 10_000), directory.database, at: 0)
    let error = try #require(failure(directory.database))
    #expect(error.code == .corrupt)
    #expect(error.message.contains(directory.database) && error.message.contains("backup"))
  }

  @Test func aDamagedPageIsCorrupt() async throws {
    let directory = TemporaryDirectory()
    let store = try SQLiteRevisionStore(path: directory.database)
    for index in 0..<300 { try await store.put("/d/\(index)", String(repeating: "v", count: 500)) }
    try await store.close()
    let size = fileSize(directory.database)
    #expect(size > 100_000)
    try write(Array(repeating: 0xA5, count: 4_096 * 5), directory.database, at: 4_096 * 6)
    #expect(failure(directory.database)?.code == .corrupt)
  }

  @Test func aCutFileIsCorrupt() async throws {
    let directory = TemporaryDirectory()
    let store = try SQLiteRevisionStore(path: directory.database)
    for index in 0..<300 { try await store.put("/d/\(index)", String(repeating: "v", count: 500)) }
    try await store.close()
    #expect(truncate(directory.database, off_t(fileSize(directory.database) / 2)) == 0)
    #expect(failure(directory.database)?.code == .corrupt)
  }

  @Test func aDirectoryAndAMissingDirectoryAreToldByPath() throws {
    let directory = TemporaryDirectory()
    #expect(mkdir(directory.database, 0o700) == 0)
    let error = try #require(failure(directory.database))
    #expect(error.code == .io && error.message.contains(directory.database))
    let missing = try #require(failure(directory.path + "/none/state.db"))
    #expect(missing.code == .io && missing.message.contains("No such file"))
  }

  @Test func anotherProgramsDatabaseAndALaterFormatAreLeftAlone() async throws {
    let directory = TemporaryDirectory()
    var store = try SQLiteRevisionStore(path: directory.database)
    try await store.put("/a", "x")
    try await store.close()
    // user_version is at offset 60 of the header, application_id at 68, big-endian.
    try write([0, 0, 0, 9], directory.database, at: 60)
    #expect(failure(directory.database)?.code == .incompatible)
    try write([0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4], directory.database, at: 60)
    #expect(failure(directory.database)?.code == .incompatible)
    try write([0x73, 0x77, 0x6C, 0x73], directory.database, at: 68)
    store = try SQLiteRevisionStore(path: directory.database)
    #expect(try await store.get("/a") != nil)
    try await store.close()
  }

  @Test func onlyTheOwnerMayRead() async throws {
    let directory = TemporaryDirectory()
    let store = try SQLiteRevisionStore(path: directory.database)
    try await store.put("/secret", "x")
    for suffix in ["", "-wal", "-shm", ".lock"] {
      var status = stat()
      #expect(stat(directory.database + suffix, &status) == 0, "\(suffix)")
      #expect(status.st_mode & 0o777 == 0o600, "\(suffix)")
    }
    try await store.close()
  }

  private func write(_ bytes: [UInt8], _ path: String, at offset: Int) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT, 0o600)
    #expect(descriptor >= 0)
    #expect(pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count)
    #expect(close(descriptor) == 0)
  }
}
