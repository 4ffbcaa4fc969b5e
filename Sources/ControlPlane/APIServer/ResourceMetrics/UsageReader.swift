import JSONCodec
import KubernetesAPI

// Unlike upstream: metrics.k8s.io needs no metrics-server; kubelets are read when somebody asks, so that the first answer takes a second.

/// Keeps the last two readings of each node that somebody asks about. Nobody asked: nothing is read, and an idle cluster stays idle.
actor UsageReader {
  /// Seconds for which a reading answers all who ask.
  static let freshSeconds = 10.0
  /// Seconds after which a reading says nothing about now, and two new ones are taken.
  static let staleSeconds = 55.0
  /// Milliseconds between those two.
  static let firstWindowMilliseconds = 1_000

  typealias Pair = (older: UsageReading, newer: UsageReading)
  private struct Kept {
    var pair: Pair
    var at: Timestamp
  }

  private let fetch: @Sendable (_ node: String) async throws -> JSON
  private let now: @Sendable () -> Timestamp
  private let pause: @Sendable (_ milliseconds: Int) async throws -> Void
  private var kept: [String: Kept] = [:]
  private var running: [String: Task<Pair, any Error>] = [:]

  init(
    now: @escaping @Sendable () -> Timestamp = { .now },
    pause: @escaping @Sendable (_ milliseconds: Int) async throws -> Void = { try await Task.sleep(for: .milliseconds($0)) },
    fetch: @escaping @Sendable (_ node: String) async throws -> JSON
  ) {
    self.fetch = fetch
    self.now = now
    self.pause = pause
  }

  /// Two readings of a node, not more than ten seconds old. All who ask at a time share one.
  func readings(of node: String) async throws -> Pair {
    if let known = kept[node], now().seconds(since: known.at) < Self.freshSeconds { return known.pair }
    if let task = running[node] { return try await task.value }
    let task = Task { try await self.read(node) }
    running[node] = task
    defer { running[node] = nil }
    return try await task.value
  }

  private func read(_ node: String) async throws -> Pair {
    forgetStale()
    var first = kept[node].map(\.pair.newer)
    if first == nil {
      first = UsageReading(summary: try await fetch(node), receivedAt: now())
      try await pause(Self.firstWindowMilliseconds)
    }
    let last = UsageReading(summary: try await fetch(node), receivedAt: now())
    let pair = (older: first ?? last, newer: last)
    kept[node] = Kept(pair: pair, at: now())
    return pair
  }

  private func forgetStale() {
    let time = now()
    kept = kept.filter { time.seconds(since: $0.value.at) < Self.staleSeconds }
  }
}
