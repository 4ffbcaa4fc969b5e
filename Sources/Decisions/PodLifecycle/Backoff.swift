import KubernetesAPI

/// The pause between the runs of a container that keeps ending: none before the first restart, then 10 s, doubling up
/// to 5 min; forgotten once the container has run for 10 min.
package struct CrashBackoff: Sendable, Equatable {
  package static let secondsMin: Double = 10
  package static let secondsMax: Double = 300
  /// A run that lasts this long clears the record.
  package static let forgetAfterSeconds: Double = 600

  /// Seconds to wait after the next exit; nil before the first restart.
  package private(set) var seconds: Double?
  private var restartedAt: Timestamp?

  package init() {}

  /// What an agent that was started anew assumes: that every restart so far was one of a chain.
  package init(restarts: Int, lastStartedAt: Timestamp) {
    guard restarts > 0 else { return }
    var pause = Self.secondsMin
    for _ in 1..<max(restarts, 1) where pause < Self.secondsMax { pause *= 2 }
    seconds = min(pause, Self.secondsMax)
    restartedAt = lastStartedAt
  }

  /// When a container that ended at `finishedAt` may run again; nil: at once.
  package func retryAt(finishedAt: Timestamp, now: Timestamp) -> Timestamp? {
    guard let seconds, let restartedAt, finishedAt.seconds(since: restartedAt) < Self.forgetAfterSeconds else { return nil }
    let retry = finishedAt.advanced(bySeconds: seconds)
    return retry > now ? retry : nil
  }

  /// To call when a run other than the first begins.
  package mutating func restarted(at now: Timestamp, lastFinishedAt: Timestamp) {
    if let seconds, let restartedAt, lastFinishedAt.seconds(since: restartedAt) < Self.forgetAfterSeconds {
      self.seconds = min(seconds * 2, Self.secondsMax)
    } else {
      seconds = Self.secondsMin
    }
    restartedAt = now
  }
}

/// The pause between attempts at something that fails: `first` seconds, doubling up to `most`.
package struct RetryBackoff: Sendable, Equatable {
  /// Of an image that cannot be pulled.
  package static let imagePull = RetryBackoff(first: 10, most: 300)
  /// Of a sandbox, a volume or a container's configuration.
  package static let podSetup = RetryBackoff(first: 1, most: 60)

  private let first: Double
  private let most: Double
  private var next: Double

  package init(first: Double, most: Double) {
    self.first = first
    self.most = most
    next = first
  }

  /// Counts a failure and says when to try again.
  package mutating func failed(at now: Timestamp) -> Timestamp {
    defer { next = min(next * 2, most) }
    return now.advanced(bySeconds: next)
  }

  package mutating func succeeded() { next = first }
}

/// A duration as Go prints it: `10s`, `1m20s`, `2m40s`, `5m0s`.
package func goDuration(seconds: Double) -> String {
  let whole = Int(seconds)
  let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
  if hours > 0 { return "\(hours)h\(minutes)m\(rest)s" }
  if minutes > 0 { return "\(minutes)m\(rest)s" }
  return "\(rest)s"
}
