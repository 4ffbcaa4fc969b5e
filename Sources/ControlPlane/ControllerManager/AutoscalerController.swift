import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers
import Synchronization

/// Gives the targets of HorizontalPodAutoscalers their size, from the metrics API.
final class AutoscalerController: Sendable {
  /// Seconds between two looks at the same autoscaler.
  static let period = 15.0

  private let client: KubernetesClient
  private let caches: SharedCaches
  private let kinds: KindDirectory
  private let executor: WriteExecutor
  private let queue: WorkQueue<ObjectName>
  private let time: TimeSource
  private let histories = Mutex<[String: AutoscalerHistory]>([:])

  init(client: KubernetesClient, caches: SharedCaches, kinds: KindDirectory, events: EventSink, time: TimeSource) {
    self.client = client
    self.caches = caches
    self.kinds = kinds
    self.time = time
    executor = WriteExecutor(client: client, caches: caches, events: events, time: time, component: "horizontal-pod-autoscaler")
    queue = WorkQueue(time: time)
  }

  /// Runs until the task is cancelled.
  func run() async {
    await caches[.autoscaler].waitUntilSynced()
    await caches[.pod].waitUntilSynced()
    caches[.autoscaler].observe { [queue] old, new in
      guard let new, old?["spec"] != new["spec"] else { return }
      queue.add(new.objectName)
    }
    await withTaskCancellationHandler {
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<ControllerRunner.workers {
          group.addTask {
            while let key = await self.queue.next() {
              if await self.look(key) { self.queue.add(key, after: Self.period) }
              self.queue.done(key)
            }
          }
        }
      }
    } onCancel: {
      queue.close()
    }
  }

  /// False where the autoscaler is gone.
  private func look(_ key: ObjectName) async -> Bool {
    guard let autoscaler = caches[.autoscaler].object(key.namespace, key.name) else { return false }
    let history = histories.withLock { $0[autoscaler.uid] ?? AutoscalerHistory() }
    var round = AutoscalerRound(autoscaler, history: history, now: time.now())
    await decide(&round, autoscaler)
    histories.withLock { $0[autoscaler.uid] = round.history }
    var requeue: Double?
    _ = await executor.perform(round.writes, requeue: &requeue)
    return true
  }

  private func decide(_ round: inout AutoscalerRound, _ autoscaler: JSON) async {
    let reference = autoscaler["spec"]["scaleTargetRef"]
    let namespace = autoscaler.objectName.namespace
    let name = reference["name"].string ?? ""
    guard let kind = kinds.kind(apiVersion: reference["apiVersion"].string ?? "", reference["kind"].string ?? "") else {
      return round.failed(
        target: "no matches for kind \"\(reference["kind"].string ?? "")\" in group \"\(reference["apiVersion"].string ?? "")\"")
    }
    do {
      var scale = try await client.get(kind.path(namespace), name: name, subresource: "scale")
      let text = scale["status"]["selector"].string ?? ""
      guard !text.isEmpty, let selector = try? LabelSelector.parse(text) else { return round.failed(target: "the target has no selector") }
      let pods = caches[.pod].objects(namespace: namespace).filter { selector.matches($0["metadata"]["labels"]) }
      var readings: [AutoscalerRound.Reading] = []
      let reader = MetricReader(client: client, kinds: kinds, namespace: namespace, selector: text, now: time.now())
      for metric in autoscaler["spec"]["metrics"].array ?? [] { readings.append(await reader.reading(metric)) }
      round.decide(scale: scale, pods: pods, readings: readings)
      guard let rescale = round.rescale else { return }
      scale["spec"]["replicas"] = JSON(rescale.replicas)
      do {
        try await client.update(kind.path(namespace), name: name, subresource: "scale", scale)
      } catch {
        round.failed(rescale: "\(error)")
      }
    } catch {
      round.failed(target: "\(error)")
    }
  }
}
