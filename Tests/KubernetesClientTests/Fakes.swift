import JSONCodec
import KubernetesAPI
import Synchronization

@testable import KubernetesClient

/// Objects with versions, and watches that a test feeds or breaks.
final class FakeServer: APITransport {
  struct State {
    var objects: [String: JSON] = [:]
    var version = 1
    var watches: [AsyncThrowingStream<WatchEvent, any Error>.Continuation] = []
    var lists = 0
    var isAway = false
  }
  let state = Mutex(State())

  struct Away: Error {}

  private static func failure(_ code: Int, _ reason: String) -> APIResponse {
    APIResponse(status: code, body: ["kind": "Status", "code": JSON(code), "reason": .string(reason), "message": .string(reason)])
  }

  func send(_ request: APIRequest) async throws -> APIResponse {
    try state.withLock { state in
      if state.isAway { throw Away() }
      let name = request.path.split(separator: "/").last.map(String.init) ?? ""
      var body = request.body ?? .null
      switch request.method {
      case "GET":
        if let object = state.objects[name] { return APIResponse(status: 200, body: object) }
        guard ["pods", "leases"].contains(name) else { return Self.failure(404, "NotFound") }
        state.lists += 1
        return APIResponse(
          status: 200,
          body: ["metadata": ["resourceVersion": .string("\(state.version)")], "items": .array(Array(state.objects.values))])
      case "POST":
        let own = body["metadata"]["name"].string ?? ""
        guard state.objects[own] == nil else { return Self.failure(409, "AlreadyExists") }
        return APIResponse(status: 201, body: store(&body, own, &state))
      case "PUT":
        guard let known = state.objects[name] else { return Self.failure(404, "NotFound") }
        guard known["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"] else { return Self.failure(409, "Conflict") }
        return APIResponse(status: 200, body: store(&body, name, &state))
      default: return Self.failure(405, "MethodNotAllowed")
      }
    }
  }

  private func store(_ object: inout JSON, _ name: String, _ state: inout State) -> JSON {
    state.version += 1
    object["metadata"]["resourceVersion"] = .string("\(state.version)")
    state.objects[name] = object
    return object
  }

  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    let (stream, continuation) = AsyncThrowingStream.makeStream(of: WatchEvent.self)
    try state.withLock {
      if $0.isAway { throw Away() }
      $0.watches.append(continuation)
    }
    return stream
  }

  /// Stores a pod, and tells the watches where `isTold`.
  @discardableResult
  func put(_ name: String, uid: String? = nil, _ labels: JSON = [:], isTold: Bool = true) -> JSON {
    var pod: JSON = ["metadata": ["name": .string(name), "namespace": "default", "uid": .string(uid ?? name), "labels": labels]]
    let stored = state.withLock { store(&pod, name, &$0) }
    if isTold { tell(.modified, stored) }
    return stored
  }

  func remove(_ name: String, isTold: Bool = true) {
    let last = state.withLock { state in
      state.version += 1
      return state.objects.removeValue(forKey: name)
    }
    if isTold, let last { tell(.deleted, last) }
  }

  func tell(_ kind: WatchEvent.Kind, _ object: JSON) {
    for watch in state.withLock({ $0.watches }) { watch.yield(WatchEvent(kind: kind, object: object)) }
  }

  func endWatches() {
    let watches = state.withLock { state in
      defer { state.watches = [] }
      return state.watches
    }
    for watch in watches { watch.finish() }
  }
}

/// A clock that stands until a test moves it; who sleeps wakes when his time has come.
final class ManualClock: Sendable {
  private struct State {
    var now: Timestamp
    var sleepers: [Int: (until: Timestamp, continuation: CheckedContinuation<Void, any Error>)] = [:]
    var ever = 0
  }
  private let state = Mutex(State(now: Timestamp(rfc3339: "2026-01-01T00:00:00Z")!))

  var source: TimeSource {
    TimeSource(now: { self.state.withLock { $0.now } }, sleep: { try await self.sleep($0) })
  }

  private func sleep(_ seconds: Double) async throws {
    let id = state.withLock { state in
      state.ever += 1
      return state.ever
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isOver = state.withLock { state in
          if Task.isCancelled || seconds <= 0 { return true }
          state.sleepers[id] = (state.now.advanced(bySeconds: seconds), continuation)
          return false
        }
        if isOver { Task.isCancelled ? continuation.resume(throwing: CancellationError()) : continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume(throwing: CancellationError())
    }
  }

  func advance(_ seconds: Double) {
    let due = state.withLock { state in
      state.now = state.now.advanced(bySeconds: seconds)
      let due = state.sleepers.filter { $0.value.until <= state.now }
      for id in due.keys { state.sleepers[id] = nil }
      return due.values.map(\.continuation)
    }
    for continuation in due { continuation.resume() }
  }

  var sleeperCount: Int { state.withLock { $0.sleepers.count } }
}

/// Tries until the condition holds; a test that waits for nothing is stopped by its suite's limit.
func eventually(_ condition: () async -> Bool) async {
  while await !condition() { try? await Task.sleep(for: .milliseconds(2)) }
}
