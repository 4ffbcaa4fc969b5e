import KubernetesAPI

/// Why a pod stops.
package enum TerminationCause: Sendable, Equatable {
  /// Its object has a deletion timestamp.
  case deleted
  /// It is no longer in the API (or never was): nobody is left to tell.
  case orphaned
  /// All its containers ended and none will run again.
  case finished
  /// activeDeadlineSeconds have passed.
  case deadlineExceeded
  /// The node needs its resources; reason and message go into the pod's status.
  case evicted(reason: String, message: String)
  /// The node does not accept it.
  case rejected(reason: String, message: String)

  /// The pod's `status.reason` and `status.message`.
  package var podReason: (reason: String, message: String)? {
    switch self {
    case .deleted, .orphaned, .finished: nil
    case .deadlineExceeded: ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    case .evicted(let reason, let message): (reason, message)
    case .rejected(let reason, let message): (reason, "Pod was rejected: \(message)")
    }
  }
}

/// The end of a pod: it syncs until something ends it, terminates until nothing of it runs, and stays terminated.
package enum PodTermination: Sendable, Equatable {
  case syncing
  /// What runs gets SIGTERM now and SIGKILL at the deadline.
  case terminating(deadline: Timestamp, cause: TerminationCause)
  case terminated(cause: TerminationCause)

  /// What an event calls for.
  package enum Change: Sendable, Equatable {
    case none
    case begin(deadline: Timestamp)
    case shorten(deadline: Timestamp)
  }

  /// Asks to end the pod. Later requests may bring the deadline nearer, never put it off, and do not change the cause,
  /// but for a deletion, which is final: it makes the object go away.
  package mutating func request(_ cause: TerminationCause, graceSeconds: Int, now: Timestamp) -> Change {
    let deadline = now.advanced(bySeconds: Double(max(0, graceSeconds)))
    switch self {
    case .syncing:
      self = .terminating(deadline: deadline, cause: cause)
      return .begin(deadline: deadline)
    case .terminating(let current, let first):
      guard deadline < current else { return .none }
      self = .terminating(deadline: deadline, cause: first)
      return .shorten(deadline: deadline)
    case .terminated:
      return .none
    }
  }

  /// Nothing of the pod runs and nothing of it is left on the node.
  package mutating func stopped() {
    guard case .terminating(_, let cause) = self else { return }
    self = .terminated(cause: cause)
  }

  package var isSyncing: Bool { self == .syncing }
  package var isTerminated: Bool { if case .terminated = self { true } else { false } }
  package var cause: TerminationCause? {
    switch self {
    case .syncing: nil
    case .terminating(_, let cause), .terminated(let cause): cause
    }
  }
}
