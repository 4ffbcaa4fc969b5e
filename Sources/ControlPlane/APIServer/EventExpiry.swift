import JSONCodec
import KubernetesAPI
import RevisionStore

/// Removes events an hour after they were last seen, as upstream's time-to-live does: the record of what happened must not
/// outgrow what is.
struct EventExpiry: Sendable {
  static let secondsKept = 3600.0
  /// Seconds between two looks.
  static let interval = 300
  /// Events read at a time.
  static let pageSize = 500

  let resources: Resources

  func run() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: .seconds(Self.interval), tolerance: .seconds(30))
      do {
        try await sweep(now: .now)
      } catch is CancellationError {
        return
      } catch {
        resources.log.warning("old events were not removed: \(error)")
      }
    }
  }

  func sweep(now: Timestamp) async throws {
    let prefix = ResourceRequest.prefix(resources.resource("events"), namespace: nil)
    var after: String?
    while true {
      let page = try await resources.store.list(prefix: prefix, after: after, limit: Self.pageSize, at: nil)
      for item in page.items {
        let event = try StoredForm.decode(item.value, revision: item.revision)
        guard Self.isExpired(event, now: now) else { continue }
        // Counted up in the meantime: it stays.
        _ = try? await resources.store.write(.delete(key: item.key, value: item.value, .revision(item.revision)))
      }
      guard page.more, let last = page.items.last else { return }
      after = last.key
    }
  }

  static func isExpired(_ event: JSON, now: Timestamp) -> Bool {
    let times = [
      event["lastTimestamp"], event["series"]["lastObservedTime"], event["eventTime"], event["firstTimestamp"],
      event["metadata"]["creationTimestamp"],
    ]
    guard let last = times.compactMap(\.timestamp).max() else { return false }
    return now.seconds(since: last) > secondsKept
  }
}
