import KubernetesAPI

/// Where controllers take the time from: the machine's clock, or a simulator's.
package struct TimeSource: Sendable {
  package let now: @Sendable () -> Timestamp
  /// Sleeps for so many seconds; throws where the task is cancelled.
  package let sleep: @Sendable (Double) async throws -> Void

  package init(now: @escaping @Sendable () -> Timestamp, sleep: @escaping @Sendable (Double) async throws -> Void) {
    self.now = now
    self.sleep = sleep
  }

  package static let system = TimeSource(
    now: { Timestamp.now },
    // Rounded up: who wakes before what he waits for sleeps no time at all, again and again.
    sleep: { seconds in try await Task.sleep(for: .milliseconds(Int64((max(0, min(seconds, 1e9)) * 1000).rounded(.up)))) })
}
