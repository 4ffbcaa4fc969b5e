import JSONCodec
import KubernetesClient
import Synchronization

/// An API server that remembers objects by plural and name and tells whoever watches.
package final class FakeAPI: APITransport {
  private struct State {
    var objects: [String: [String: JSON]] = [:]
    var watchers: [String: [AsyncThrowingStream<WatchEvent, any Error>.Continuation]] = [:]
  }

  private let state = Mutex(State())
  private let silent = Mutex(false)
  /// Every request fails.
  package var isSilent: Bool {
    get { silent.withLock { $0 } }
    set { silent.withLock { $0 = newValue } }
  }

  private static func plural(_ path: String) -> String { String(path.split(separator: "/").last ?? "") }

  package init() {}

  package func put(_ plural: String, _ object: JSON) {
    state.withLock { state in
      let name = object["metadata"]["name"].string ?? ""
      let isNew = state.objects[plural, default: [:]].updateValue(object, forKey: name) == nil
      for watcher in state.watchers[plural] ?? [] { watcher.yield(WatchEvent(kind: isNew ? .added : .modified, object: object)) }
    }
  }

  package func remove(_ plural: String, _ name: String) {
    state.withLock { state in
      guard let object = state.objects[plural]?.removeValue(forKey: name) else { return }
      for watcher in state.watchers[plural] ?? [] { watcher.yield(WatchEvent(kind: .deleted, object: object)) }
    }
  }

  package func send(_ request: APIRequest) async throws -> APIResponse {
    if isSilent { throw LabFailure("nobody answers") }
    let items = state.withLock { Array(($0.objects[Self.plural(request.path)] ?? [:]).values) }
    return APIResponse(status: 200, body: ["metadata": ["resourceVersion": "1"], "items": .array(items)])
  }

  package func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    let (stream, continuation) = AsyncThrowingStream.makeStream(of: WatchEvent.self)
    let plural = Self.plural(request.path)
    state.withLock { state in
      for object in (state.objects[plural] ?? [:]).values { continuation.yield(WatchEvent(kind: .modified, object: object)) }
      state.watchers[plural, default: []].append(continuation)
    }
    return stream
  }
}

/// Tries until the condition holds or the time is over.
package func eventually(within: Duration = .seconds(20), _ condition: () async throws -> Bool) async throws -> Bool {
  let end = ContinuousClock.now + within
  while ContinuousClock.now < end {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(10))
  }
  return false
}
