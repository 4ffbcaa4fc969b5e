import ContainerImages
import ContainerRuntime
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import PodLifecycle

/// One pod's life on this node. Everything that concerns the pod comes here: its object from the API, exits from the
/// runtime, results of its own operations, the time. Each makes `reconcile` decide anew (`podActions`) and start what
/// is missing as a task of its own; the decision itself never waits, so a stuck operation delays nothing else.
actor PodWorker {
  /// A decision may change what the next one sees (a termination begins); more rounds than this are a mistake.
  static let roundsMax = 8

  let services: PodServices
  let uid: String

  /// The newest object that the API or the manifest gave.
  var pod: Pod
  var observed = PodObservation()
  /// Whether the object is in the API: else there is nobody to write a status to.
  var isInAPI: Bool
  /// Set by the static pod source: the object is a manifest, its status goes to this mirror pod.
  var mirror: Pod?
  let isStatic: Bool
  /// Its manifest is gone.
  var isUnwanted = false

  /// Images of the next runs, by container.
  var images: [String: ImageRecord] = [:]
  /// Images of the pod's image volumes, by volume.
  var volumeImages: [String: ImageRecord] = [:]
  var imageBackoffs: [String: RetryBackoff] = [:]
  var configBackoffs: [String: RetryBackoff] = [:]
  /// A claim may be bound at any moment, and a node may not watch claims.
  var volumeBackoff = RetryBackoff(first: 0.5, most: 10)
  var sandboxBackoff = RetryBackoff.podSetup
  var removalBackoff = RetryBackoff.podSetup

  /// What is under way, by what it is about ("sandbox", "volumes", "app", ...).
  var operations: [String: Task<Void, Never>] = [:]
  var kills: [String: KillMachine] = [:]
  /// Runs that are stopped to be started anew, by container id.
  var restarting: Set<String> = []
  var killTimers: [String: Task<Void, Never>] = [:]
  /// Services let go of the pod; containers are told to stop when it is done.
  var withdrawal: Task<Void, Never>?
  /// Exits that the runtime told before the start returned, by container id.
  var earlyExits: [String: ContainerState] = [:]
  /// Images held for containers, by container id: the writing of a lease may take as long as the container's start.
  var leases: [String: Task<Void, Never>] = [:]
  /// Those who wait for the end of a run, by container id.
  var exitWaiters: [String: [AsyncStream<Void>.Continuation]] = [:]
  var probes: [String: [ProbeKind: ProbeMachine]] = [:]
  var probing: [String: Task<Void, Never>] = [:]

  var timer: Task<Void, Never>?
  var timerAt: Timestamp?

  /// A resize was granted, and its end is still to be told.
  var isResizing = false

  var statusWriter = StatusWriter()
  /// Called once, when nothing is left to do for this pod.
  let onGone: @Sendable (PodWorker) -> Void
  var isGone = false

  init(
    pod: Pod, services: PodServices, isInAPI: Bool = true, isStatic: Bool = false, onGone: @escaping @Sendable (PodWorker) -> Void
  ) {
    self.pod = pod
    uid = pod.uid
    self.services = services
    self.isInAPI = isInAPI
    self.isStatic = isStatic
    self.onGone = onGone
  }

  // MARK: - What comes in

  /// Begins: with nothing, or with what the runtime has kept of an earlier agent's work.
  func start(adopting sandbox: SandboxState? = nil, told status: JSON = .null, rejection: (reason: String, message: String)? = nil) {
    observed.hostIPs = services.configuration.addresses
    let now = services.clock.now()
    observed.resize.allocated = pod.resizableResources
    observed.resize.enforced = observed.resize.allocated
    if let sandbox { adopt(sandbox, told: status) }
    observed.adopt(statusOf: pod, now: now)
    observed.startTime = observed.startTime ?? now
    for (name, seen) in observed.containers where seen.isRunning { beginProbes(name, wasAdopted: true) }
    if let rejection {
      services.events.record(pod, .warning, rejection.reason, rejection.message)
      _ = observed.termination.request(.rejected(reason: rejection.reason, message: rejection.message), graceSeconds: 0, now: now)
    }
    reconcile()
  }

  /// A newer object. An older one than the last known (a watch that lags behind an answer) changes nothing.
  func update(_ newer: Pod) {
    guard !isGone, isNewer(newer) else { return }
    let before = pod
    pod = newer
    isInAPI = isInAPI || !isStatic
    if before.spec.json != newer.spec.json || before.metadata.annotations != newer.metadata.annotations
      || before.metadata.labels != newer.metadata.labels
    {
      retryConfiguration(before)
      let volumes = services.volumes
      Task { await volumes.update(newer) }
    }
    reconcile()
  }

  func isNewer(_ other: Pod) -> Bool {
    guard let mine = Int64(pod.metadata.resourceVersion), let theirs = Int64(other.metadata.resourceVersion) else { return true }
    return theirs >= mine
  }

  /// The object is gone from the API: what still runs is stopped with the grace the object named last.
  func objectGone(_ last: Pod?) {
    if let last { pod = last }
    isInAPI = false
    let grace = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds
    // As upstream: even a forced deletion leaves a second to end in order.
    end(.orphaned, graceSeconds: max(1, grace))
    reconcile()
  }

  /// Ends the pod for a reason of the node's own: eviction, a manifest that is gone.
  func end(because cause: TerminationCause, graceSeconds: Int) {
    isUnwanted = isUnwanted || cause == .orphaned
    end(cause, graceSeconds: graceSeconds)
    reconcile()
  }

  /// The pod as the kubelet sees it, for its server.
  func snapshot() -> (pod: Pod, observed: PodObservation) {
    var current = pod
    current.json["apiVersion"] = "v1"
    current.json["kind"] = "Pod"
    current.status = podStatus(of: pod, observed: observed, now: services.clock.now())
    return (current, observed)
  }

  /// Changes what is known and decides again.
  func observe(_ change: (inout PodObservation) -> Void) {
    change(&observed)
    reconcile()
  }

  // MARK: - Deciding

  func reconcile() {
    guard !isGone else { return }
    considerResize()
    var rounds = 0
    var wakeAt: Timestamp?
    var again: Bool
    repeat {
      let now = services.clock.now()
      again = false
      wakeAt = nil
      for action in podActions(for: pod, observed: observed, now: now) {
        if case .wake(let time) = action { wakeAt = time } else { again = perform(action, now) || again }
      }
      rounds += 1
    } while again && rounds < Self.roundsMax
    tellResizeCompleted()
    let probeAt = runDueProbes(services.clock.now())
    arm([wakeAt, probeAt].compactMap { $0 }.min())
    publishStatus()
  }

  /// Starts an action; true where the decision is to be taken again at once.
  private func perform(_ action: PodAction, _ now: Timestamp) -> Bool {
    switch action {
    case .prepareVolumes: prepareVolumes()
    case .createSandbox(let attempt): createSandbox(attempt)
    case .pullImage(let name): resolveImage(name)
    case .startContainer(let name, let attempt): startContainer(name, attempt: attempt)
    case .killContainer(let name, let reason, let deadline): killContainer(name, reason, deadline: deadline)
    case .resize(let names): resizeContainers(names)
    case .removeSandbox: removeSandbox()
    case .terminate(let cause, let grace):
      end(cause, graceSeconds: grace)
      return true
    case .finish:
      observed.termination.stopped()
      return true
    case .wake: break
    }
    return false
  }

  private func end(_ cause: TerminationCause, graceSeconds: Int) {
    guard observed.termination.request(cause, graceSeconds: graceSeconds, now: services.clock.now()) != .none else { return }
    for (name, seen) in observed.containers {
      if seen.operation == .pulling {
        operations[name]?.cancel()
        observed[name].operation = nil
      }
      // A pod that ends is no longer judged; readiness still is, for those who drain it.
      probes[name]?[.liveness] = nil
      probes[name]?[.startup] = nil
    }
  }

  private func arm(_ time: Timestamp?) {
    if time == timerAt { return }
    timer?.cancel()
    timer = nil
    timerAt = time
    guard let time else { return }
    let clock = services.clock
    timer = Task { [weak self] in
      guard (try? await clock.sleep(time)) != nil else { return }
      await self?.timerFired(time)
    }
  }

  private func timerFired(_ time: Timestamp) {
    guard timerAt == time else { return }
    timerAt = nil
    reconcile()
  }

  /// Runs an operation under a name; a second of the same name takes the first one's place in the table.
  func begin(_ name: String, _ body: @escaping @Sendable (PodWorker) async -> Void) {
    operations[name] = Task { await body(self) }
  }

  /// The list of the pod's spec that a container stands in, for events.
  func listName(_ name: String) -> String {
    switch pod.container(named: name)?.role {
    case .initial, .sidecar: "initContainers"
    case .ephemeral: "ephemeralContainers"
    case .regular, nil: "containers"
    }
  }

  func tell(_ container: String? = nil, _ kind: EventRecorder.Kind, _ reason: String, _ message: String) {
    services.events.record(pod, container: container, list: container.map(listName) ?? "containers", kind, reason, message)
  }

  func logger(_ message: String) {
    services.log.info("\(message)", metadata: ["pod": "\(pod.namespace)/\(pod.name)", "uid": "\(uid)"])
  }
}
