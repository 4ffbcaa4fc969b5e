import KubernetesAPI
import Synchronization

/// Since when something has been as it is, by the clock of who looks: what objects cannot tell, because other machines'
/// clocks differ. Forgotten with the process, which then waits anew.
final class Memory<Value: Equatable & Sendable>: Sendable {
  private let known = Mutex<[String: (value: Value, since: Timestamp)]>([:])

  /// When this value was first seen for the key without another in between.
  func since(_ key: String, _ value: Value, now: Timestamp) -> Timestamp {
    known.withLock { known in
      if let entry = known[key], entry.value == value { return entry.since }
      known[key] = (value, now)
      return now
    }
  }

  /// The value that was remembered before this one; nil where there was none.
  func exchange(_ key: String, _ value: Value, now: Timestamp) -> Value? {
    known.withLock { $0.updateValue((value, now), forKey: key)?.value }
  }

  func forget(_ key: String) { known.withLock { $0[key] = nil } }
}
