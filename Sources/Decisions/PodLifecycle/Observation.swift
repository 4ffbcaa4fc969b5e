import JSONCodec
import KubernetesAPI

/// How a run of a container ended.
package struct ContainerExit: Sendable, Equatable {
  /// 0...255; 128 + n after signal n.
  package var code: Int
  /// The signal that ended it, 0 where it ended by itself.
  package var signal: Int
  package var isOutOfMemory: Bool
  package var finishedAt: Timestamp
  /// Where the reason is neither Completed, Error nor OOMKilled: ContainerStatusUnknown, StartError.
  package var reason: String?
  /// The termination message, at most 4096 bytes.
  package var message: String?
  /// It was stopped to be started anew, whatever its restart policy says of such an exit.
  package var isForRestart = false

  package init(
    code: Int, signal: Int = 0, isOutOfMemory: Bool = false, finishedAt: Timestamp, reason: String? = nil,
    message: String? = nil
  ) {
    self.code = code
    self.signal = signal
    self.isOutOfMemory = isOutOfMemory
    self.finishedAt = finishedAt
    self.reason = reason
    self.message = message
  }
}

/// One run of a container: every restart is a new run with a new id.
package struct ContainerRun: Sendable, Equatable {
  package enum State: Sendable, Equatable {
    case running
    case exited(ContainerExit)
  }

  /// The runtime's id, without the scheme.
  package var id: String
  /// 0 for the first run: the restart count.
  package var attempt: Int
  /// The sandbox in which it ran; init containers run again in a new sandbox.
  package var sandboxAttempt: Int
  package var state: State
  package var startedAt: Timestamp
  /// The image as the pod named it when the run began: another name in the pod restarts the container.
  package var image: String
  /// `repository@digest` or the image's id.
  package var imageID: String
  /// `{"linux": {"uid", "gid", "supplementalGroups"}}`.
  package var user: JSON
  /// The `resources` that its cgroup enforces; null: not known, as long as nothing is resized.
  package var resources: JSON = .null

  package init(
    id: String, attempt: Int = 0, sandboxAttempt: Int = 0, state: State = .running, startedAt: Timestamp, image: String = "",
    imageID: String = "", user: JSON = .null
  ) {
    self.id = id
    self.attempt = attempt
    self.sandboxAttempt = sandboxAttempt
    self.state = state
    self.startedAt = startedAt
    self.image = image
    self.imageID = imageID
    self.user = user
  }

  package var isRunning: Bool { state == .running }
  package var exit: ContainerExit? { if case .exited(let exit) = state { exit } else { nil } }
}

/// Why the next run of a container has not started, as `state.waiting` tells it.
package struct ContainerWait: Sendable, Equatable {
  package var reason: String
  package var message: String
  /// When it is tried again; nil: when the pod changes.
  package var retryAt: Timestamp?
  package init(reason: String, message: String = "", retryAt: Timestamp? = nil) {
    self.reason = reason
    self.message = message
    self.retryAt = retryAt
  }
}

/// What is known of one container of a pod.
package struct ContainerObservation: Sendable, Equatable {
  /// What is being done to it at this moment; one thing at a time.
  package enum Operation: Sendable, Equatable {
    case pulling
    case starting
    /// Its processes get SIGKILL at the deadline.
    case killing(deadline: Timestamp)
  }
  /// Whether the image for the next run is here.
  package enum Image: Sendable, Equatable { case unresolved, ready }

  package var run: ContainerRun?
  /// The run before the newest: `lastState`, `logs --previous`.
  package var previousRun: ContainerRun?
  package var operation: Operation?
  package var image: Image = .unresolved
  package var wait: ContainerWait?
  package var crash = CrashBackoff()
  /// The startup probe has succeeded, or there is none; false until the run has its first answer.
  package var isStarted = false
  /// The readiness probe's answer; true where there is none.
  package var isReady = false
  /// A liveness or startup probe has given up on this run.
  package var condemned: KillReason?

  package init() {}

  package var isRunning: Bool { run?.isRunning ?? false }
}

package enum SandboxObservation: Sendable, Equatable {
  case none
  case creating
  /// The namespaces stand and the network is set up.
  case ready(attempt: Int)
  case failed(attempt: Int, retryAt: Timestamp)
  /// Its supervisor has died, and the containers with it.
  case dead(attempt: Int)
  case removing

  /// The attempt whose containers count.
  package var attempt: Int? {
    switch self {
    case .ready(let attempt), .dead(let attempt), .failed(let attempt, _): attempt
    case .none, .creating, .removing: nil
    }
  }
  package var isReady: Bool { if case .ready = self { true } else { false } }
}

package enum VolumesObservation: Sendable, Equatable {
  case unprepared
  case preparing
  case ready
  case failed(retryAt: Timestamp)
}

/// What is known of a pod: everything that a decision depends on besides the pod itself and the time.
package struct PodObservation: Sendable, Equatable {
  package var termination: PodTermination = .syncing
  package var sandbox: SandboxObservation = .none
  /// How many sandboxes there have been.
  package var sandboxesMade = 0
  package var volumes: VolumesObservation = .unprepared
  package var containers: [String: ContainerObservation] = [:]
  package var podIPs: [String] = []
  package var hostIPs: [String] = []
  package var startTime: Timestamp?
  package var resize = ResizeObservation()
  /// Which image each image volume shows: `repository@digest`, by volume.
  package var volumeImages: [String: String] = [:]

  package init() {}

  /// Of a container that nothing is known of yet: the empty observation.
  package subscript(_ name: String) -> ContainerObservation {
    get { containers[name] ?? ContainerObservation() }
    set { containers[name] = newValue }
  }

  package var hasRunningContainers: Bool { containers.values.contains { $0.isRunning } }
}
