import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Scheduling

/// Writes the scheduler's events in the background: no decision waits for them. The same event again counts up the first one.
final class EventWriter: Sendable {
  /// Events waiting to be written; beyond this new ones are dropped.
  static let queueMax = 20_000
  /// Events that are remembered for counting.
  static let knownMax = 2_048
  /// Seconds that a Scheduled event waits, so that it does not compete with the pod's start.
  static let pause = 0.2

  struct News: Sendable {
    let pod: PodReference
    let component: String
    let type: String
    let reason: String
    let message: String
    let at: Timestamp
  }

  private struct Key: Hashable {
    let uid, reason, message: String
  }

  private let client: KubernetesClient
  private let time: TimeSource
  private let log: Logger
  private let queue: AsyncStream<News>
  private let enqueue: AsyncStream<News>.Continuation

  init(client: KubernetesClient, time: TimeSource, log: Logger) {
    self.client = client
    self.time = time
    self.log = log
    (queue, enqueue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueMax))
  }

  func tell(_ pod: PodReference, component: String, type: String, reason: String, _ message: String) {
    enqueue.yield(News(pod: pod, component: component, type: type, reason: reason, message: message, at: time.now()))
  }

  /// Writes what is told, until the task is cancelled.
  func run() async {
    var known: [Key: (name: String, count: Int)] = [:]
    for await news in queue {
      if news.reason == "Scheduled" {
        let left = Self.pause - time.now().seconds(since: news.at)
        if left > 0 { try? await time.sleep(left) }
      }
      let key = Key(uid: news.pod.uid, reason: news.reason, message: news.message)
      if let earlier = known[key], await countUp(earlier, news) {
        known[key]!.count += 1
        continue
      }
      guard let name = await write(news), news.reason == "FailedScheduling" else { continue }
      if known.count >= Self.knownMax { known.removeAll() }
      known[key] = (name, 1)
    }
  }

  private func countUp(_ earlier: (name: String, count: Int), _ news: News) async -> Bool {
    let patch: JSON = ["count": JSON(earlier.count + 1), "lastTimestamp": .string(news.at.rfc3339)]
    return (try? await client.patch(.events(news.pod.namespace), name: earlier.name, type: .merge, patch)) != nil
  }

  /// The written event's name; nil where it could not be written.
  private func write(_ news: News) async -> String? {
    let pod = news.pod
    let suffix = String(UInt64(bitPattern: news.at.nanosecondsSinceEpoch), radix: 16)
    let event: JSON = [
      "kind": "Event", "apiVersion": "v1",
      "metadata": ["name": .string("\(pod.name).\(suffix)"), "namespace": .string(pod.namespace)],
      "involvedObject": [
        "kind": "Pod", "apiVersion": "v1", "name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid),
        "resourceVersion": .string(pod.resourceVersion),
      ],
      "type": .string(news.type), "reason": .string(news.reason), "message": .string(String(news.message.prefix(1_024))), "count": 1,
      "source": ["component": .string(news.component)], "reportingComponent": .string(news.component), "reportingInstance": "",
      "firstTimestamp": .string(news.at.rfc3339), "lastTimestamp": .string(news.at.rfc3339),
    ]
    do {
      return try await client.create(.events(pod.namespace), event)["metadata"]["name"].string
    } catch {
      log.debug("event \(news.reason) of \(pod.namespace)/\(pod.name) was not written: \(error)")
      return nil
    }
  }
}
