import Admission
import JSONCodec
import KubernetesAPI
import RevisionStore
import Synchronization

/// Recounts the quotas of a namespace when something in it went away, ended or changed its quota.
struct QuotaController: Sendable {
  /// Milliseconds in which news are gathered.
  static let gather = 20
  /// Seconds between recounts of everything, for what no news told: an overdue pod stops to count without any.
  static let resync = 300.0

  let resources: Resources

  /// Namespaces to be recounted.
  private final class Pending: Sendable {
    private let names = Mutex<Set<String>>([])
    let news: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func add(_ more: Set<String>) {
      guard !more.isEmpty else { return }
      names.withLock { $0.formUnion(more) }
      continuation.yield()
    }

    func take() -> Set<String> {
      names.withLock { names in
        defer { names = [] }
        return names
      }
    }
  }

  func run() async {
    let quotas = LiveCollection(store: resources.store, prefix: "/registry/resourcequotas/", log: resources.log)
    let pending = Pending()
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await quotas.run { pending.add(await namespaces(quotas)) } }
      group.addTask { await follow(quotas, pending) }
      group.addTask {
        while !Task.isCancelled {
          try? await Task.sleep(for: .seconds(Self.resync), tolerance: .seconds(30))
          pending.add(await namespaces(quotas))
        }
      }
      group.addTask { await work(pending) }
    }
  }

  private func namespaces(_ quotas: LiveCollection) async -> Set<String> {
    Set(((try? await quotas.all().objects) ?? []).compactMap { $0["metadata"]["namespace"].string })
  }

  private static let shrinking = ["/registry/pods/", "/registry/services/", "/registry/persistentvolumeclaims/"]

  /// What gives something back: deletions, pods that end, updates that shrink.
  private func follow(_ quotas: LiveCollection, _ pending: Pending) async {
    while !Task.isCancelled {
      do {
        let watch = try await resources.store.watch(prefix: "/registry/", from: try await resources.store.currentRevision())
        try await withTaskCancellationHandler {
          for try await batch in watch {
            let known = await namespaces(quotas)
            guard !known.isEmpty else { continue }
            var touched: Set<String> = []
            for event in batch.events
            where event.kind == .delete || (event.previous != nil && Self.shrinking.contains { event.key.hasPrefix($0) }) {
              let parts = event.key.split(separator: "/")
              if parts.count >= 2, known.contains(String(parts[parts.count - 2])) { touched.insert(String(parts[parts.count - 2])) }
            }
            pending.add(touched)
          }
        } onCancel: {
          watch.cancel()
        }
      } catch {
        resources.log.debug("quotas: the watch is begun anew: \(error)")
      }
      // What was missed meanwhile is counted.
      pending.add(await namespaces(quotas))
      try? await Task.sleep(for: .milliseconds(LiveCollection.pause))
    }
  }

  private func work(_ pending: Pending) async {
    for await _ in pending.news {
      try? await Task.sleep(for: .milliseconds(Self.gather))
      for namespace in pending.take() {
        do {
          if try await !resources.quotas.recount(namespace, resources) { pending.add([namespace]) }
        } catch {
          resources.log.warning("the quotas of namespace \(namespace) were not recounted: \(error)")
        }
      }
    }
  }
}
