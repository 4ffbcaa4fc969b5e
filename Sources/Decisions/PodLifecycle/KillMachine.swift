import KubernetesAPI

/// Why a container is stopped while its pod goes on, or with it.
package enum KillReason: Sendable, Equatable {
  case podTerminates
  case livenessProbeFailed
  case startupProbeFailed
  /// The pod's spec names another image.
  case definitionChanged
  /// Its resources change, and its resizePolicy wants a restart for that.
  case resized
  /// Its postStart hook failed.
  case postStartHookFailed

  /// The text of the Killing event.
  package func eventMessage(container name: String) -> String {
    switch self {
    case .podTerminates: "Stopping container \(name)"
    case .livenessProbeFailed: "Container \(name) failed liveness probe, will be restarted"
    case .startupProbeFailed: "Container \(name) failed startup probe, will be restarted"
    case .definitionChanged: "Container \(name) definition changed, will be restarted"
    case .resized: "Container \(name) resize requires restart"
    case .postStartHookFailed: "FailedPostStartHook"
    }
  }
}

/// How one container is stopped: preStop hook, its stop signal, SIGKILL at the deadline.
///
/// The hook counts against the grace; whatever it leaves, the process has at least `secondsAfterHookMin` between the
/// stop signal and SIGKILL, as upstream gives it.
package struct KillMachine: Sendable, Equatable {
  package static let secondsAfterHookMin: Double = 2

  package enum State: Sendable, Equatable { case hook, signalled, killed }
  package enum Action: Sendable, Equatable {
    case none
    /// Run the hook; it is abandoned at the deadline.
    case runHook(deadline: Timestamp)
    case sendStopSignal(killAt: Timestamp)
    case sendKill
    /// The timer moves.
    case rearm(Timestamp)
  }

  package private(set) var state: State
  package private(set) var deadline: Timestamp

  /// Begins a stop. Without grace there is neither hook nor stop signal.
  package static func begin(hasHook: Bool, deadline: Timestamp, now: Timestamp) -> (KillMachine, Action) {
    if deadline <= now { return (KillMachine(state: .killed, deadline: deadline), .sendKill) }
    if hasHook { return (KillMachine(state: .hook, deadline: deadline), .runHook(deadline: deadline)) }
    return (KillMachine(state: .signalled, deadline: deadline), .sendStopSignal(killAt: deadline))
  }

  package mutating func hookFinished(now: Timestamp) -> Action {
    guard state == .hook else { return .none }
    state = .signalled
    deadline = max(deadline, now.advanced(bySeconds: Self.secondsAfterHookMin))
    return .sendStopSignal(killAt: deadline)
  }

  /// A nearer deadline; a later one changes nothing.
  package mutating func shorten(to newDeadline: Timestamp, now: Timestamp) -> Action {
    guard state != .killed, newDeadline < deadline else { return .none }
    deadline = newDeadline
    return deadline <= now ? deadlinePassed(now: now) : .rearm(deadline)
  }

  package mutating func deadlinePassed(now: Timestamp) -> Action {
    guard state != .killed else { return .none }
    guard now >= deadline else { return .rearm(deadline) }
    state = .killed
    return .sendKill
  }
}
