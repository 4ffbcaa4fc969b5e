import FoundationEssentials
import JSONCodec
import KubernetesAPI
import Logging
import RevisionStore
import Synchronization
import X509

/// Nodes whose objects were deleted: what was signed for them until then counts no longer (docs/decisions/joining.md).
///
/// A record is written before the Node goes, and says of which one it is: a record whose Node is still there, because the
/// process ended in between, is dropped when the records are read.
final class NodeRevocations: Sendable {
  /// Apart from the API's objects: nobody but this server reads or writes it.
  static let prefix = "/swiftlet/revoked-nodes/"
  /// Seconds after which no certificate from before can be good any more, whatever its life was.
  static let secondsKept: Int64 = 2 * 366 * 86_400

  private struct State {
    /// Seconds since 1970 of the deletion.
    var revoked: [String: Int64] = [:]
    var streams: [String: [Int: Task<Void, any Error>]] = [:]
    var nextStream = 0
  }

  private let store: any RevisionStore
  private let log: Logger
  private let state = Mutex(State())

  init(store: any RevisionStore, log: Logger) {
    self.store = store
    self.log = log
  }

  /// Reads the records. - Parameter nodeUID: the UID of a Node that is there and not being deleted.
  func load(now: Timestamp = .now, nodeUID: (String) async throws -> String?) async throws {
    for item in try await store.list(prefix: Self.prefix).items {
      let name = String(item.key.dropFirst(Self.prefix.count))
      guard let record = try? JSON.parse(item.value), let at = record["at"].int.map({ Int64($0) }) else { continue }
      let isKept = try await nodeUID(name) != record["uid"].string
      guard isKept, at + Self.secondsKept > now.secondsSinceEpoch else {
        _ = try? await store.write(.delete(key: item.key, value: [], .revision(item.revision)))
        continue
      }
      state.withLock { $0.revoked[name] = at }
    }
  }

  /// When the node was deleted last, in seconds since 1970.
  func revoked(_ node: String) -> Int64? { state.withLock { $0.revoked[node] } }

  /// Whether a certificate was signed before its node was deleted.
  func covers(_ node: String, signed: Date) -> Bool {
    guard let at = revoked(node) else { return false }
    // Certificates know whole seconds: those of the same second are from before.
    return Int64(signed.timeIntervalSince1970) <= at
  }

  /// Ends what a node may do, then deletes it; where that fails, nothing has changed.
  func deleting<Result>(_ node: String, uid: String, now: Timestamp = .now, _ delete: () async throws -> Result) async throws -> Result {
    let record: JSON = ["at": JSON(Int(now.secondsSinceEpoch)), "uid": .string(uid)]
    _ = try await store.write(.put(key: Self.prefix + node, value: record.serialized(), .none))
    let before = state.withLock { state in
      defer { state.revoked[node] = now.secondsSinceEpoch }
      return state.revoked[node]
    }
    do {
      let result = try await delete()
      let streams = state.withLock { $0.streams[node] ?? [:] }
      for stream in streams.values { stream.cancel() }
      log.info("node \(node) was deleted: certificates that were signed for it count no longer")
      return result
    } catch {
      state.withLock { $0.revoked[node] = before }
      throw error
    }
  }

  /// Runs what goes on for long on a node's behalf; it ends when the node is deleted.
  func following(_ node: String?, _ body: @escaping @Sendable () async throws -> Void) async throws {
    guard let node else { return try await body() }
    let task = Task { try await body() }
    let id = state.withLock { state in
      state.nextStream += 1
      state.streams[node, default: [:]][state.nextStream] = task
      return state.nextStream
    }
    defer {
      state.withLock { state in
        state.streams[node]?[id] = nil
        if state.streams[node]?.isEmpty == true { state.streams[node] = nil }
      }
    }
    try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }
}
