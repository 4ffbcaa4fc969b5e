import JSONCodec
import Logging

/// What a reflector saw.
package enum ReflectorEvent: Sendable {
  /// Everything there is, after each list: what is not in it is gone.
  case synced([JSON])
  case changed(JSON)
  case deleted(JSON)
}

extension KubernetesClient {
  /// The first pause after a failed list or watch, in milliseconds; it doubles up to `reflectorBackoffMax`.
  static let reflectorBackoffMin = 50
  static let reflectorBackoffMax = 10_000

  /// Lists, watches from there, and starts again after any failure, until the reader stops. Changes come in the
  /// order in which they happened; after a gap there is a new `.synced`.
  package func reflect(
    _ path: ResourcePath, labelSelector: String? = nil, fieldSelector: String? = nil, log: Logger? = nil
  ) -> AsyncStream<ReflectorEvent> {
    AsyncStream { continuation in
      let task = Task {
        var pause = Self.reflectorBackoffMin
        while !Task.isCancelled {
          do {
            let (items, listed) = try await list(path, labelSelector: labelSelector, fieldSelector: fieldSelector)
            continuation.yield(.synced(items))
            pause = Self.reflectorBackoffMin
            try await follow(path, labelSelector, fieldSelector, from: listed) { continuation.yield($0) }
          } catch is CancellationError {
            break
          } catch {
            log?.debug("watch of \(path) starts again: \(error)")
            try? await Task.sleep(for: .milliseconds(pause))
            pause = min(pause * 2, Self.reflectorBackoffMax)
          }
        }
        continuation.finish()
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// Watches on and on from a resource version; throws when it has expired or the server is away.
  private func follow(
    _ path: ResourcePath, _ labelSelector: String?, _ fieldSelector: String?, from start: String,
    _ yield: (ReflectorEvent) -> Void
  ) async throws {
    var version = start
    while !Task.isCancelled {
      let events = try await watch(path, from: version, labelSelector: labelSelector, fieldSelector: fieldSelector)
      for try await event in events {
        switch event.kind {
        case .added, .modified: yield(.changed(event.object))
        case .deleted: yield(.deleted(event.object))
        case .bookmark: break
        case .error: throw APIStatusError(APIResponse(status: event.object["code"].int ?? 500, body: event.object))
        }
        if let seen = event.object["metadata"]["resourceVersion"].string { version = seen }
      }
      try Task.checkCancellation()
    }
  }
}
