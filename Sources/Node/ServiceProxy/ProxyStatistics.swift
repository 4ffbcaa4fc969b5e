/// What the proxy has done, for its metrics and health.
package struct ProxyStatistics: Sendable {
  /// Transactions that succeeded, and how many of them began by reading the kernel's tables.
  package private(set) var transactions = 0
  package private(set) var comparisons = 0
  package var failures = 0
  package private(set) var flowsEnded = 0
  package private(set) var secondsTotal = 0.0
  package private(set) var lastSeconds = 0.0
  /// When the kernel last had everything.
  package private(set) var lastTold: ContinuousClock.Instant?
  /// When the first change that the kernel does not have came.
  package var queued: ContinuousClock.Instant?
  package var isNodeEligible = true

  mutating func told(changes: Int, wasFull: Bool, flows: Int, took: Duration) {
    transactions += 1
    if wasFull { comparisons += 1 }
    flowsEnded += flows
    lastSeconds = Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18
    secondsTotal += lastSeconds
    lastTold = .now
  }

  /// Changes have waited for the kernel too long.
  func isBehind(now: ContinuousClock.Instant, isTelling: Bool) -> Bool {
    guard lastTold != nil else { return true }
    guard isTelling, let queued else { return false }
    return now - queued > Self.patience
  }

  /// Twice the time in which upstream's proxy synchronizes anew.
  static let patience: Duration = .seconds(60)
}

struct ProxyReport: Sendable {
  var statistics = ProxyStatistics()
  var isBehind = true
}
