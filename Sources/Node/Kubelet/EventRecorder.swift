import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Synchronization

/// Writes core/v1 events. Recording never waits and never fails: events are told in the background, after the writes
/// that matter. The same event again counts up the first one.
package final class EventRecorder: Sendable {
  /// Events waiting to be written; beyond this new ones are dropped.
  static let queueMax = 1_000
  /// Events remembered for counting.
  static let correlatedMax = 4_096
  /// How long a first event waits, so that the status it belongs to goes ahead of it in the database.
  static let gatherMilliseconds = 200
  /// Writes per second once a burst of `burstMax` is used up.
  static let writesPerSecond = 50.0
  static let burstMax = 100.0

  package enum Kind: String, Sendable { case normal = "Normal", warning = "Warning" }

  private struct Key: Hashable {
    let uid, fieldPath, reason, message, kind: String
  }
  private struct Pending {
    let key: Key
    let event: JSON
    let namespace: String
    let at: Timestamp
  }
  private struct Known {
    let name: String
    let namespace: String
    var count: Int
  }

  private let client: KubernetesClient
  private let nodeName: String
  private let log: Logger
  private let queue: AsyncStream<Pending>
  private let enqueue: AsyncStream<Pending>.Continuation

  package init(client: KubernetesClient, nodeName: String, log: Logger) {
    self.client = client
    self.nodeName = nodeName
    self.log = log
    (queue, enqueue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueMax))
  }

  /// Records something about a pod, or about one of its containers.
  package func record(_ pod: Pod, container: String? = nil, list: String = "containers", _ kind: Kind, _ reason: String, _ message: String)
  {
    var object: JSON = [
      "kind": "Pod", "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(pod.uid), "apiVersion": "v1",
    ]
    object["resourceVersion"] = JSON(pod.metadata.resourceVersion.isEmpty ? nil : pod.metadata.resourceVersion)
    if let container { object["fieldPath"] = .string("spec.\(list){\(container)}") }
    record(object: object, namespace: pod.namespace, kind, reason, message)
  }

  /// Records something about the node. Its events are in namespace default, and its uid is its name, as upstream has it.
  package func recordNode(_ kind: Kind, _ reason: String, _ message: String) {
    record(
      object: ["kind": "Node", "name": .string(nodeName), "uid": .string(nodeName)], namespace: "default", kind, reason, message)
  }

  private func record(object: JSON, namespace: String, _ kind: Kind, _ reason: String, _ message: String) {
    let now = Timestamp.now
    let text = message.prefix(1024)
    let key = Key(
      uid: object["uid"].string ?? "", fieldPath: object["fieldPath"].string ?? "", reason: reason, message: String(text),
      kind: kind.rawValue)
    let name = "\(object["name"].string ?? "").\(String(now.nanosecondsSinceEpoch, radix: 16))"
    let event: JSON = [
      "apiVersion": "v1", "kind": "Event", "metadata": ["name": .string(name), "namespace": .string(namespace)],
      "involvedObject": object, "reason": .string(reason), "message": .string(String(text)),
      "source": ["component": "kubelet", "host": .string(nodeName)], "reportingComponent": "kubelet",
      "reportingInstance": .string(nodeName), "type": .string(kind.rawValue), "count": 1,
      "firstTimestamp": .string(now.rfc3339), "lastTimestamp": .string(now.rfc3339),
    ]
    enqueue.yield(Pending(key: key, event: event, namespace: namespace, at: now))
  }

  /// Writes what is recorded, until the task is cancelled.
  package func run() async {
    var known: [Key: Known] = [:]
    var order: [Key] = []
    var tokens = Self.burstMax
    var filled = Timestamp.now
    for await pending in queue {
      let age = Timestamp.now.seconds(since: pending.at) * 1000
      if age < Double(Self.gatherMilliseconds) {
        try? await Task.sleep(for: .milliseconds(Self.gatherMilliseconds - Int(age)))
      }
      let now = Timestamp.now
      tokens = min(Self.burstMax, tokens + now.seconds(since: filled) * Self.writesPerSecond)
      filled = now
      if tokens < 1 { try? await Task.sleep(for: .seconds(1 / Self.writesPerSecond)) }
      tokens -= 1
      if Task.isCancelled { return }
      if let earlier = known[pending.key], await countUp(earlier, pending) {
        known[pending.key]!.count += 1
        continue
      }
      guard let name = await write(pending) else { continue }
      if known[pending.key] == nil { order.append(pending.key) }
      known[pending.key] = Known(name: name, namespace: pending.namespace, count: 1)
      if order.count > Self.correlatedMax {
        for key in order.prefix(Self.correlatedMax / 4) { known[key] = nil }
        order.removeFirst(Self.correlatedMax / 4)
      }
    }
  }

  private func countUp(_ earlier: Known, _ pending: Pending) async -> Bool {
    let patch: JSON = ["count": JSON(earlier.count + 1), "lastTimestamp": .string(pending.at.rfc3339)]
    do {
      try await client.patch(.events(earlier.namespace), name: earlier.name, patch)
      return true
    } catch {
      return false
    }
  }

  /// The written event's name; nil where it could not be written.
  private func write(_ pending: Pending) async -> String? {
    do {
      return try await client.create(.events(pending.namespace), pending.event)["metadata"]["name"].string
    } catch {
      log.debug("an event was not written: \(error)")
      return nil
    }
  }
}
