import JSONCodec
import Logging
import RevisionStore
import Synchronization

/// The objects of a small collection, kept in memory by following the store: what every request has to look at.
/// A reader may be behind a write by the moment that the store's news take.
final class LiveCollection: Sendable {
  /// Milliseconds before a watch that ended is begun anew.
  static let pause = 100

  private let store: any RevisionStore
  let prefix: String
  private let log: Logger
  private struct State {
    var objects: [String: JSON] = [:]
    var version = 0
    var isFollowing = false
  }
  private let state = Mutex(State())

  init(store: any RevisionStore, prefix: String, log: Logger) {
    self.store = store
    self.prefix = prefix
    self.log = log
  }

  /// The objects in the order of their keys, and a number that grows with every change. Read from the store as long as nobody follows it.
  func all() async throws -> (objects: [JSON], version: Int) {
    let known = state.withLock { $0.isFollowing ? ($0.objects, $0.version) : nil }
    if let (objects, version) = known { return (objects.isEmpty ? [] : objects.sorted { $0.key < $1.key }.map(\.value), version) }
    let page = try await store.list(prefix: prefix)
    return (try page.items.map { try StoredForm.decode($0.value, revision: $0.revision) }, -1)
  }

  /// Follows the store until the task is cancelled. `changed` is called after each batch of news, and once with the first objects.
  func run(changed: @Sendable () async -> Void = {}) async {
    while !Task.isCancelled {
      do {
        let page = try await store.list(prefix: prefix)
        var first: [String: JSON] = [:]
        for item in page.items { first[item.key] = try StoredForm.decode(item.value, revision: item.revision) }
        let objects = first
        state.withLock {
          $0.objects = objects
          $0.version += 1
          $0.isFollowing = true
        }
        await changed()
        try await follow(from: page.revision, changed)
      } catch is CancellationError {
        break
      } catch {
        log.debug("\(prefix) is listed again: \(error)")
      }
      state.withLock { $0.isFollowing = false }
      try? await Task.sleep(for: .milliseconds(Self.pause))
    }
    state.withLock { $0.isFollowing = false }
  }

  private func follow(from revision: Revision, _ changed: @Sendable () async -> Void) async throws {
    let watch = try await store.watch(prefix: prefix, from: revision)
    try await withTaskCancellationHandler {
      for try await batch in watch where !batch.events.isEmpty {
        let decoded = try batch.events.map { event in
          (event.key, event.kind == .put ? try StoredForm.decode(event.value, revision: event.revision) : nil)
        }
        state.withLock { state in
          for (key, object) in decoded { state.objects[key] = object }
          state.version += 1
        }
        await changed()
      }
    } onCancel: {
      watch.cancel()
    }
  }
}
