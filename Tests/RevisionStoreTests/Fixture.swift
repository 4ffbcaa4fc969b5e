import FoundationEssentials
import Synchronization
import Testing

@testable import RevisionStore

#if canImport(Glibc)
  import Glibc
#endif

/// A directory that goes away with the test.
final class TemporaryDirectory: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/swiftlet-store-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var database: String { path + "/state.db" }
}

/// A clock that stands until it is moved.
final class TestClock: Sendable {
  private let time = Mutex(Duration.zero)
  func advance(_ by: Duration) { time.withLock { $0 += by } }
  var now: @Sendable () -> Duration { { [self] in time.withLock { $0 } } }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// Runs a test on a fresh store and closes it.
func withStore(
  _ limits: StoreLimits = StoreLimits(), now: (@Sendable () -> Duration)? = nil,
  _ body: (SQLiteRevisionStore, TemporaryDirectory) async throws -> Void
) async throws {
  let directory = TemporaryDirectory()
  let store = try SQLiteRevisionStore(path: directory.database, limits: limits, now: now ?? SQLiteRevisionStore.uptime)
  do {
    try await body(store, directory)
  } catch {
    try? await store.close()
    throw error
  }
  try await store.close()
}

/// The code of the store's error that `body` throws, or nil.
func code(_ body: () async throws -> Void) async -> RevisionStoreError.Code? {
  do {
    try await body()
    return nil
  } catch {
    if let error = error as? RevisionStoreError { return error.code }
    Issue.record("not the store's error: \(error)")
    return nil
  }
}

extension RevisionStore {
  @discardableResult
  func put(_ key: String, _ value: String, _ condition: Precondition = .none) async throws -> Revision {
    try await write(.put(key: key, value: bytes(value), condition))
  }

  @discardableResult
  func delete(_ key: String, _ condition: Precondition = .none) async throws -> Revision {
    try await write(.delete(key: key, value: bytes("last " + key), condition))
  }
}

func fileSize(_ path: String) -> Int {
  var status = stat()
  return stat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// Numbers that a seed decides.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
