import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers

/// Writes the events of all controllers, in the background: no controller waits for them. The same event again counts
/// up the first one, and an object that has much to tell is cut short, as upstream's recorder does it.
final class EventSink: Sendable {
  /// Events waiting to be written; beyond this new ones are dropped.
  static let queueMax = 4_000
  /// Events remembered for counting.
  static let correlatedMax = 4_096
  /// Events that one object may tell at once, and seconds after which it may tell one more.
  static let burstMax = 25.0
  static let secondsPerEvent = 300.0

  struct News: Sendable {
    let component: String
    let kind: Kind
    let object: JSON
    let type: String
    let reason: String
    let message: String
    let at: Timestamp
  }

  private struct Key: Hashable {
    let component, uid, type, reason, message: String
  }

  private let client: KubernetesClient
  private let log: Logger
  private let queue: AsyncStream<News>
  private let enqueue: AsyncStream<News>.Continuation

  init(client: KubernetesClient, log: Logger) {
    self.client = client
    self.log = log
    (queue, enqueue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueMax))
  }

  func tell(_ news: News) { enqueue.yield(news) }

  /// Writes what is told, until the task is cancelled.
  func run() async {
    var known: [Key: (name: String, count: Int)] = [:]
    var order: [Key] = []
    var budgets: [String: (tokens: Double, at: Timestamp)] = [:]
    for await news in queue {
      let uid = news.object.uid
      let budget = budgets[news.component + uid] ?? (Self.burstMax, news.at)
      let tokens = min(Self.burstMax, budget.tokens + news.at.seconds(since: budget.at) / Self.secondsPerEvent)
      if budgets.count > Self.correlatedMax { budgets.removeAll() }
      budgets[news.component + uid] = (max(0, tokens - 1), news.at)
      guard tokens >= 1 else { continue }
      let key = Key(component: news.component, uid: uid, type: news.type, reason: news.reason, message: news.message)
      if let earlier = known[key], await countUp(earlier, news) {
        known[key]!.count += 1
        continue
      }
      guard let name = await write(news) else { continue }
      if known[key] == nil { order.append(key) }
      known[key] = (name, 1)
      if order.count > Self.correlatedMax {
        for old in order.prefix(Self.correlatedMax / 4) { known[old] = nil }
        order.removeFirst(Self.correlatedMax / 4)
      }
    }
  }

  private static func namespace(_ news: News) -> String { news.object["metadata"]["namespace"].string ?? "default" }

  private func countUp(_ earlier: (name: String, count: Int), _ news: News) async -> Bool {
    let patch: JSON = ["count": JSON(earlier.count + 1), "lastTimestamp": .string(news.at.rfc3339)]
    return (try? await client.patch(.events(Self.namespace(news)), name: earlier.name, type: .merge, patch)) != nil
  }

  /// The written event's name; nil where it could not be written.
  private func write(_ news: News) async -> String? {
    let metadata = news.object["metadata"]
    let suffix = String(UInt64(bitPattern: news.at.nanosecondsSinceEpoch), radix: 16)
    let unique = String(UInt32.random(in: 0...UInt32.max), radix: 16)
    let event: JSON = [
      "apiVersion": "v1", "kind": "Event",
      "metadata": ["name": .string("\(metadata["name"].string ?? "").\(suffix)\(unique)"), "namespace": .string(Self.namespace(news))],
      "involvedObject": [
        "kind": .string(news.kind.kind), "apiVersion": .string(news.kind.apiVersion), "name": metadata["name"],
        "namespace": metadata["namespace"], "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
      ],
      "type": .string(news.type), "reason": .string(news.reason), "message": .string(String(news.message.prefix(1_024))), "count": 1,
      "source": ["component": .string(news.component)], "reportingComponent": .string(news.component), "reportingInstance": "",
      "firstTimestamp": .string(news.at.rfc3339), "lastTimestamp": .string(news.at.rfc3339),
    ]
    do {
      return try await client.create(.events(Self.namespace(news)), event)["metadata"]["name"].string
    } catch {
      log.debug("event \(news.reason) of \(news.object.objectName) was not written: \(error)")
      return nil
    }
  }
}
