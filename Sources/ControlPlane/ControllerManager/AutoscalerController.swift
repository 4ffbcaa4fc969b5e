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
      for metric in autoscaler["spec"]["metrics"].array ?? [] { readings.append(await reading(metric, namespace, text)) }
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

  private func reading(_ metric: JSON, _ namespace: String, _ selector: String) async -> AutoscalerRound.Reading {
    let isContainer = metric["type"].string == "ContainerResource"
    guard isContainer || metric["type"].string == "Resource" else {
      return .failed("metrics of type \(metric["type"].string ?? "") need a custom metrics API, which is not there")
    }
    let source = isContainer ? metric["containerResource"] : metric["resource"]
    let resource = source["name"].string ?? ""
    do {
      let path = ResourcePath(group: "metrics.k8s.io", version: "v1beta1", "pods", namespace: namespace)
      let items = try await client.list(path, labelSelector: selector).items
      return .usage(items.compactMap { Self.usage($0, resource, container: source["container"].string, now: time.now()) })
    } catch {
      return .failed("unable to get metrics for resource \(resource): \(error)")
    }
  }

  private static func usage(_ item: JSON, _ resource: String, container: String?, now: Timestamp) -> PodUsage? {
    var milli: Int64 = 0
    var found = false
    for json in item["containers"].array ?? [] where container == nil || json["name"].string == container {
      guard let value = json["usage"][resource].quantity else { return nil }
      milli += value.milliValue
      found = true
    }
    guard found else { return nil }
    return PodUsage(
      pod: item.objectName.name, milli: milli, at: item["timestamp"].timestamp ?? now,
      windowSeconds: seconds(item["window"].string ?? "") ?? 60)
  }

  /// A duration as Go writes it: `15.012s`, `1m2.5s`.
  static func seconds(_ text: String) -> Double? {
    let units = ["h": 3600.0, "m": 60, "s": 1, "ms": 0.001]
    var (sum, rest) = (0.0, text[...])
    while !rest.isEmpty {
      let number = rest.prefix { $0.isNumber || $0 == "." }
      let unit = rest.dropFirst(number.count).prefix { $0.isLetter }
      guard let value = Double(number), let factor = units[String(unit)] else { return nil }
      sum += value * factor
      rest = rest.dropFirst(number.count + unit.count)
    }
    return text.isEmpty ? nil : sum
  }
}
