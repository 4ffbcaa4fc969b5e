import FoundationEssentials

/// When a certificate is renewed: after 70 to 90 % of its life, where in between is chance, so that a thousand nodes that joined
/// together do not come back together.
package struct Renewal: Sendable, Equatable {
  package static let earliest = 0.7
  package static let latest = 0.9
  /// Seconds between attempts after one that failed: the first pause, and the longest.
  static let retrySeconds = 1.0...60.0

  package let due: Date
  package let expires: Date

  /// - Parameter chance: 0 to 1.
  package init(from begin: Date, to end: Date, chance: Double = .random(in: 0...1)) {
    let life = end.timeIntervalSince(begin)
    due = begin.addingTimeInterval(life * (Self.earliest + (Self.latest - Self.earliest) * min(max(chance, 0), 1)))
    expires = end
  }

  package func isDue(_ now: Date) -> Bool { now >= due }
  package func isOver(_ now: Date) -> Bool { now >= expires }

  /// Seconds until the next attempt after so many failures in a row: doubling, and never longer than half of what is left.
  package func pause(failures: Int, now: Date) -> Double {
    let doubled = Self.retrySeconds.lowerBound * Double(1 << min(max(failures - 1, 0), 6))
    let left = expires.timeIntervalSince(now)
    return max(Self.retrySeconds.lowerBound, min(doubled, Self.retrySeconds.upperBound, left > 0 ? left / 2 : .infinity))
  }
}
