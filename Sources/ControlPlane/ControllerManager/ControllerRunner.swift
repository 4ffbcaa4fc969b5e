import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers
import Synchronization

/// Runs one reconciler: changes become keys, keys become decisions, decisions become writes.
final class ControllerRunner: Sendable {
  /// Keys that one controller works on at once.
  static let workers = 5
  /// A key rests after a decision for so many times as long as the decision took, and at most for so many seconds: news of each pod
  /// of a large set asks to look at all of them again.
  static let restFactor = 4.0
  static let restMax = 0.25
  /// Seconds below which resting costs more than it saves.
  static let restMin = 0.002

  let reconciler: any Reconciler
  private let cluster: CachedCluster
  private let executor: WriteExecutor
  private let queue: WorkQueue<ObjectName>
  private let time: TimeSource
  private let log: Logger
  /// What the server refused, until the key's writes succeed.
  private let failures = Mutex<[ObjectName: WriteFailure]>([:])

  init(_ reconciler: any Reconciler, caches: SharedCaches, client: KubernetesClient, events: EventSink, time: TimeSource, log: Logger) {
    self.reconciler = reconciler
    cluster = CachedCluster(caches: caches)
    executor = WriteExecutor(client: client, caches: caches, events: events, time: time, component: reconciler.name)
    queue = WorkQueue(time: time)
    self.time = time
    self.log = log
  }

  /// Runs until the task is cancelled.
  func run() async {
    for kind in reconciler.watched { await cluster.caches[kind].waitUntilSynced() }
    guard !Task.isCancelled else { return }
    for kind in reconciler.watched {
      cluster.caches[kind].observe { [weak self] old, new in
        guard let self else { return }
        for key in reconciler.keys(for: Change(kind, old: old, new: new), in: cluster) { queue.add(key) }
      }
    }
    await withTaskCancellationHandler {
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<Self.workers { group.addTask { await self.work() } }
      }
    } onCancel: {
      queue.close()
    }
  }

  private func work() async {
    while let key = await queue.next() {
      let rest = await reconcile(key) * Self.restFactor
      guard rest >= Self.restMin else {
        queue.done(key)
        continue
      }
      // What is added meanwhile waits; the worker does not.
      Task { [queue, time] in
        try? await time.sleep(min(rest, Self.restMax))
        queue.done(key)
      }
    }
  }

  /// Returns the seconds that the decision took.
  private func reconcile(_ key: ObjectName) async -> Double {
    let remembered = failures.withLock { $0[key] }
    let began = time.now()
    let writes = reconciler.reconcile(key, in: cluster, Circumstances(now: began, failure: remembered))
    let took = time.now().seconds(since: began)
    await perform(writes, key, remembered)
    return took
  }

  private func perform(_ writes: [Write], _ key: ObjectName, _ remembered: WriteFailure?) async {
    var requeue: Double?
    switch await executor.perform(writes, requeue: &requeue) {
    case .done:
      queue.forget(key)
      if let requeue { queue.add(key, after: requeue) }
      guard remembered != nil else { return }
      // The status may tell of the failure still.
      failures.withLock { $0[key] = nil }
      queue.add(key)
    case .conflict: queue.retry(key)
    case .failed(let failure):
      log.debug("\(reconciler.name): \(key): \(failure.message)")
      failures.withLock { $0[key] = failure }
      await report(key, failure)
      queue.retry(key)
    }
  }

  /// How things stand is told even where the rest did not work.
  private func report(_ key: ObjectName, _ failure: WriteFailure) async {
    let writes = reconciler.reconcile(key, in: cluster, Circumstances(now: time.now(), failure: failure))
    var requeue: Double?
    _ = await executor.perform(writes.filter(\.isReport), requeue: &requeue)
    if let requeue { queue.add(key, after: requeue) }
  }
}
