import JSONCodec
import KubernetesAPI

/// What is to be done for a pod now. Actions on different things may run side by side; the result of each comes back
/// in the next observation.
package enum PodAction: Sendable, Equatable {
  case prepareVolumes
  case createSandbox(attempt: Int)
  /// Make sure that the image is here, by the container's pull policy.
  case pullImage(container: String)
  case startContainer(name: String, attempt: Int)
  case killContainer(name: String, reason: KillReason, deadline: Timestamp)
  /// Write the granted limits into the pod's cgroup and those of these running containers.
  case resize(containers: [String])
  /// Request the end of the pod (`PodTermination.request`) and decide again.
  case terminate(cause: TerminationCause, graceSeconds: Int)
  /// Take the sandbox, its network and, where the pod ends, its volumes away.
  case removeSandbox
  /// Nothing is left: `PodTermination.stopped()`, the last status, and the object's deletion where it was asked for.
  case finish
  /// Decide again at this time.
  case wake(at: Timestamp)
}

/// Decides what a pod needs next. Pure: the same pod, observation and time give the same actions.
package func podActions(for pod: Pod, observed: PodObservation, now: Timestamp) -> [PodAction] {
  var decision = PodDecision(pod: pod, observed: observed, now: now)
  switch observed.termination {
  case .syncing: decision.sync()
  case .terminating(let deadline, _): decision.terminate(deadline: deadline)
  case .terminated: break
  }
  return decision.result
}

/// The working state of one decision.
private struct PodDecision {
  let pod: Pod
  let observed: PodObservation
  let now: Timestamp
  private var actions: [PodAction] = []
  private var wakeAt: Timestamp?
  /// A container is being pulled or started: those after it wait, so that they start in the spec's order.
  private var isOccupied = false

  init(pod: Pod, observed: PodObservation, now: Timestamp) {
    self.pod = pod
    self.observed = observed
    self.now = now
  }

  var result: [PodAction] { wakeAt.map { actions + [.wake(at: $0)] } ?? actions }

  private mutating func wake(at time: Timestamp) { wakeAt = min(wakeAt ?? time, time) }

  // MARK: - A pod that shall run

  mutating func sync() {
    if pod.metadata.deletionTimestamp != nil {
      let grace = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds
      return actions = [.terminate(cause: .deleted, graceSeconds: grace)]
    }
    if let limit = pod.spec.activeDeadlineSeconds, let start = observed.startTime {
      let end = start.advanced(bySeconds: Double(limit))
      if end <= now {
        return actions = [.terminate(cause: .deadlineExceeded, graceSeconds: pod.spec.terminationGracePeriodSeconds)]
      }
      wake(at: end)
    }
    // Terminal in the API counts too: somebody else may have failed it, or an earlier agent has seen it end.
    if pod.isTerminal || pod.hasEnded(observed) {
      wakeAt = nil
      return actions = [.terminate(cause: .finished, graceSeconds: pod.spec.terminationGracePeriodSeconds)]
    }
    prepareVolumes()
    prepareSandbox()
    killWhatMustRestart()
    resizeContainers()
    startEphemeralContainers()
    if startInitContainers() { startRegularContainers() }
  }

  private mutating func prepareVolumes() {
    switch observed.volumes {
    case .unprepared: actions.append(.prepareVolumes)
    case .failed(let retryAt): if retryAt <= now { actions.append(.prepareVolumes) } else { wake(at: retryAt) }
    case .preparing, .ready: break
    }
  }

  private mutating func prepareSandbox() {
    switch observed.sandbox {
    case .none: actions.append(.createSandbox(attempt: observed.sandboxesMade))
    case .failed(_, let retryAt):
      if retryAt <= now { actions.append(.createSandbox(attempt: observed.sandboxesMade)) } else { wake(at: retryAt) }
    case .dead: actions.append(.removeSandbox)
    case .creating, .ready, .removing: break
    }
  }

  private mutating func killWhatMustRestart() {
    for (container, role) in pod.containersWithRoles where role != .ephemeral {
      let seen = observed[container.name]
      guard let run = seen.run, run.isRunning, seen.operation == nil else { continue }
      if let reason = seen.condemned {
        kill(container, reason)
      } else if run.image != container.image, !run.image.isEmpty {
        kill(container, .definitionChanged)
      }
    }
  }

  /// Limits change in place, unless the container's resizePolicy wants a restart for it.
  private mutating func resizeContainers() {
    guard observed.sandbox.isReady, !observed.resize.allocated.isEmpty else { return }
    var inPlace: [String] = []
    for (container, resources) in pod.unfinishedResizes(observed) {
      let seen = observed[container.name]
      guard seen.operation == nil, seen.condemned == nil else { continue }
      if container.restartsOnResize(of: resources) { kill(container, .resized) } else { inPlace.append(container.name) }
    }
    guard !observed.resize.isActing, !inPlace.isEmpty || observed.resize.enforced != observed.resize.allocated else { return }
    if let retryAt = observed.resize.retryAt, retryAt > now { return wake(at: retryAt) }
    actions.append(.resize(containers: inPlace))
  }

  private mutating func kill(_ container: Container, _ reason: KillReason) {
    let probe: JSON =
      switch reason {
      case .livenessProbeFailed: container.livenessProbe
      case .startupProbeFailed: container.startupProbe
      default: .null
      }
    let grace = probe["terminationGracePeriodSeconds"].int ?? pod.spec.terminationGracePeriodSeconds
    actions.append(.killContainer(name: container.name, reason: reason, deadline: now.advanced(bySeconds: Double(grace))))
  }

  private mutating func startEphemeralContainers() {
    for container in pod.spec.ephemeralContainers {
      isOccupied = false
      startIfDue(container, .ephemeral)
    }
    isOccupied = false
  }

  /// True once the regular containers may start.
  private mutating func startInitContainers() -> Bool {
    let begun = pod.hasBegun(observed)
    for container in pod.spec.initContainers {
      let seen = observed[container.name]
      if container.isSidecar {
        startIfDue(container, .sidecar)
        if begun { continue }
        guard seen.isRunning, seen.isStarted else { return false }
        continue
      }
      if begun || pod.isInitialized(container, observed) { continue }
      startIfDue(container, .initial)
      return false
    }
    isOccupied = false
    return true
  }

  private mutating func startRegularContainers() {
    for container in pod.spec.containers { startIfDue(container, .regular) }
  }

  /// Pulls and starts a container that shall run and does not.
  private mutating func startIfDue(_ container: Container, _ role: ContainerRole) {
    let seen = observed[container.name]
    if seen.operation != nil {
      isOccupied = isOccupied || seen.operation == .pulling || seen.operation == .starting
      return
    }
    if let run = seen.run {
      guard let exit = run.exit else { return }
      let ranInEarlierSandbox = role == .initial && run.sandboxAttempt != observed.sandbox.attempt
      guard ranInEarlierSandbox || container.restarts(after: exit, role: role, pod: pod.spec.restartPolicy) else { return }
      if !exit.isForRestart, let retry = seen.crash.retryAt(finishedAt: exit.finishedAt, now: now), exit.code != 0 || role != .initial {
        return wake(at: retry)
      }
    }
    if let wait = seen.wait {
      // Without a time it is the pod that must change.
      guard let retry = wait.retryAt else { return }
      if retry > now { return wake(at: retry) }
    }
    // The image may come while the sandbox and the volumes do.
    if seen.image == .unresolved {
      actions.append(.pullImage(container: container.name))
      isOccupied = true
      return
    }
    guard observed.sandbox.isReady, observed.volumes == .ready, !isOccupied else { return }
    actions.append(.startContainer(name: container.name, attempt: seen.run.map { $0.attempt + 1 } ?? 0))
    isOccupied = true
  }

  // MARK: - A pod that ends

  mutating func terminate(deadline: Timestamp) {
    if pod.metadata.deletionTimestamp != nil {
      // Somebody deletes it again, or while it ends anyway: their grace may be shorter.
      let grace = pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds
      if now.advanced(bySeconds: Double(grace)) < deadline {
        return actions = [.terminate(cause: .deleted, graceSeconds: grace)]
      }
    }
    let roles = pod.containersWithRoles
    let first = roles.filter { $0.role != .sidecar }.map(\.container.name)
    for name in first { stop(name, deadline) }
    if first.contains(where: isAlive) { return }
    // Sidecars go one by one, the last started first.
    let sidecars = roles.filter { $0.role == .sidecar }.map(\.container.name)
    for name in sidecars.reversed() where isAlive(name) { return stop(name, deadline) }
    // What runs under a name that the spec no longer has.
    let known = Set(first + sidecars)
    let strangers = observed.containers.keys.filter { !known.contains($0) && isAlive($0) }.sorted()
    for name in strangers { stop(name, deadline) }
    if !strangers.isEmpty { return }
    switch observed.sandbox {
    case .creating, .removing: return
    case .ready, .dead, .failed: actions.append(.removeSandbox)
    case .none: actions.append(observed.volumes == .unprepared ? .finish : .removeSandbox)
    }
  }

  private func isAlive(_ name: String) -> Bool {
    let seen = observed[name]
    return seen.isRunning || seen.operation == .starting
  }

  private mutating func stop(_ name: String, _ deadline: Timestamp) {
    let seen = observed[name]
    guard seen.isRunning else { return }
    if case .killing(let current) = seen.operation, current <= deadline { return }
    actions.append(.killContainer(name: name, reason: .podTerminates, deadline: deadline))
  }
}

extension Pod {
  /// Whether a plain init container has succeeded in this sandbox.
  func isInitialized(_ container: Container, _ observed: PodObservation) -> Bool {
    guard let run = observed[container.name].run, run.exit?.code == 0 else { return false }
    return observed.sandbox.attempt == nil || run.sandboxAttempt == observed.sandbox.attempt
  }

  /// Whether a regular container has run in this sandbox: then all init containers have done their work.
  func hasBegun(_ observed: PodObservation) -> Bool {
    spec.containers.contains { container in
      guard let run = observed[container.name].run else { return false }
      return observed.sandbox.attempt == nil || run.sandboxAttempt == observed.sandbox.attempt
    }
  }

  /// Whether nothing of the pod will run again: its regular containers have ended for good, or an init container that is
  /// not to be restarted has failed. Sidecars do not keep a pod alive.
  package func hasEnded(_ observed: PodObservation) -> Bool {
    for container in spec.initContainers where !container.isSidecar {
      let seen = observed[container.name]
      if seen.operation == nil, let exit = seen.run?.exit, exit.code != 0,
        !container.restarts(after: exit, role: .initial, pod: spec.restartPolicy)
      {
        return true
      }
    }
    guard !spec.containers.isEmpty else { return false }
    return spec.containers.allSatisfy { container in
      let seen = observed[container.name]
      guard seen.operation == nil, let exit = seen.run?.exit else { return false }
      return !container.restarts(after: exit, role: .regular, pod: spec.restartPolicy)
    }
  }
}
