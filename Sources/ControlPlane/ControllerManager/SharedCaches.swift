import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers
import Synchronization

extension Kind {
  package var path: ResourcePath { ResourcePath(group: group, version: version, plural) }
  package func path(_ namespace: String) -> ResourcePath {
    ResourcePath(group: group, version: version, plural, namespace: namespace.isEmpty ? nil : namespace)
  }
}

/// One cache for each kind, whoever reads it.
final class SharedCaches: Sendable {
  /// The indexes that every cache has, by their places.
  enum Index {
    /// The uid of the controller.
    static let controller = 0
    /// The namespace, of what has no controller.
    static let orphan = 1
    /// The uid of each owner.
    static let owner = 2
    /// The node of a pod.
    static let node = 3
  }

  private static let indexers: [@Sendable (JSON) -> [String]] = [
    { ($0.meta.controller?["uid"].string).map { [$0] } ?? [] },
    { $0.meta.controller == nil ? [$0["metadata"]["namespace"].string ?? ""] : [] },
    { $0.meta.ownerReferences.compactMap { $0["uid"].string } },
    { $0["spec"]["nodeName"].string.map { [$0] } ?? [] },
  ]

  private let caches = Mutex<[Kind: ObjectCache]>([:])
  private let tasks = Mutex<[Kind: Task<Void, Never>]>([:])
  private let client: KubernetesClient
  private let time: TimeSource
  private let log: Logger
  /// Caches that nobody runs yet.
  private let created: AsyncStream<Kind>
  private let create: AsyncStream<Kind>.Continuation

  init(client: KubernetesClient, time: TimeSource, log: Logger) {
    self.client = client
    self.time = time
    self.log = log
    (created, create) = AsyncStream.makeStream()
  }

  subscript(_ kind: Kind) -> ObjectCache {
    caches.withLock { caches in
      if let known = caches[kind] { return known }
      let indexers = kind == .pod ? Self.indexers : Array(Self.indexers.prefix(3))
      let cache = ObjectCache(kind.path, kind: kind.kind, indexers: indexers, log: log)
      caches[kind] = cache
      create.yield(kind)
      return cache
    }
  }

  /// The cache where there is one: what was written of a kind that nobody reads is not kept.
  func existing(_ kind: Kind) -> ObjectCache? { caches.withLock { $0[kind] } }

  /// Forgets a kind that is not served any more.
  func drop(_ kind: Kind) {
    caches.withLock { _ = $0.removeValue(forKey: kind) }
    tasks.withLock { $0.removeValue(forKey: kind) }?.cancel()
  }

  /// Keeps all caches up to date until the task is cancelled.
  func run() async {
    await withDiscardingTaskGroup { group in
      for await kind in created {
        group.addTask { await self.keep(kind) }
      }
      group.cancelAll()
    }
  }

  private func keep(_ kind: Kind) async {
    guard let cache = existing(kind) else { return }
    let task = Task { await cache.run(client, time: time) }
    tasks.withLock { $0[kind] = task }
    await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
  }
}

/// The caches as reconcilers read them.
struct CachedCluster: ClusterReader {
  let caches: SharedCaches

  func object(_ kind: Kind, _ name: ObjectName) -> JSON? { caches[kind].object(name.namespace, name.name) }
  func objects(_ kind: Kind, namespace: String?) -> [JSON] { caches[kind].objects(namespace: namespace) }
  func controlled(_ kind: Kind, by uid: String) -> [JSON] { caches[kind].objects(index: SharedCaches.Index.controller, uid) }
  func orphans(_ kind: Kind, namespace: String) -> [JSON] { caches[kind].objects(index: SharedCaches.Index.orphan, namespace) }
  func pods(onNode node: String) -> [JSON] { caches[.pod].objects(index: SharedCaches.Index.node, node) }
}
