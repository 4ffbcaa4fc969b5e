import JSONCodec
import KubernetesAPI

/// Builds `containerStatuses`, `initContainerStatuses` and `ephemeralContainerStatuses`.
package struct ContainerStatusBuilder: Sendable {
  /// The scheme of container ids: `swiftlet://...`.
  package static let runtimeName = "swiftlet"
  /// Bytes of one termination message, and of a pod's messages together.
  package static let messageBytesMax = 4096
  package static let podMessageBytesMax = 12 << 10

  let pod: Pod
  let observed: PodObservation
  let now: Timestamp

  package init(pod: Pod, observed: PodObservation, now: Timestamp) {
    self.pod = pod
    self.observed = observed
    self.now = now
  }

  package func status(of container: Container, role: ContainerRole) -> JSON {
    let seen = observed[container.name]
    let (state, lastState) = states(of: container, role: role)
    var status: JSON = ["name": .string(container.name), "state": state]
    status["lastState"] = lastState.isNull ? .object(JSONObject()) : lastState
    status["ready"] = JSON(isReady(container, role))
    status["restartCount"] = JSON(seen.run?.attempt ?? 0)
    let isPending = seen.run == nil
    status["image"] = .string(isPending || seen.run!.image.isEmpty ? container.image : seen.run!.image)
    status["imageID"] = .string(seen.run?.imageID ?? "")
    if let run = seen.run, !run.id.isEmpty { status["containerID"] = .string("\(Self.runtimeName)://\(run.id)") }
    status["started"] = JSON(isStarted(container, role))
    if role != .ephemeral, let run = seen.run { setResources(&status, container, run) }
    let mounts = container.volumeMounts.map(mountStatus)
    if !mounts.isEmpty { status["volumeMounts"] = .array(mounts) }
    if let user = seen.run?.user, !user.isNull { status["user"] = user }
    if let signal = container.lifecycle["stopSignal"].string { status["stopSignal"] = .string(signal) }
    return status
  }

  /// What the container was granted, and what its cgroup enforces: as long as it does not run, what the next run will have.
  private func setResources(_ status: inout JSON, _ container: Container, _ run: ContainerRun) {
    let own = container.resources.isNull ? JSON.object(JSONObject()) : container.resources
    let granted = observed.resize.allocated[container.name] ?? own
    if !granted["requests"].isEmpty { status["allocatedResources"] = granted["requests"] }
    status["resources"] = run.isRunning && !run.resources.isNull ? run.resources : granted
  }

  private func mountStatus(_ mount: JSON) -> JSON {
    var status: JSON = ["name": mount["name"], "mountPath": mount["mountPath"]]
    if mount["readOnly"].bool == true {
      status["readOnly"] = true
      // IfPossible is: the kernel can since 5.12.
      status["recursiveReadOnly"] = ["Enabled", "IfPossible"].contains(mount["recursiveReadOnly"].string ?? "") ? "Enabled" : "Disabled"
    }
    if let image = observed.volumeImages[mount["name"].string ?? ""] { status["volumeStatus"] = ["image": ["imageRef": .string(image)]] }
    return status
  }

  // MARK: - States

  /// `state` and `lastState`; null where there was none.
  private func states(of container: Container, role: ContainerRole) -> (state: JSON, last: JSON) {
    let seen = observed[container.name]
    let previous = seen.previousRun.map(terminated) ?? .null
    guard let run = seen.run else { return (waitingForFirstRun(seen, role), previous) }
    guard let exit = run.exit else {
      return (["running": ["startedAt": .string(run.startedAt.rfc3339)]], previous)
    }
    let mayRestart = observed.termination.isSyncing && !pod.hasEnded(observed)
    guard mayRestart, container.restarts(after: exit, role: role, pod: pod.spec.restartPolicy) else {
      return (terminated(run), previous)
    }
    if let wait = seen.wait { return (waiting(wait.reason, wait.message), terminated(run)) }
    if !exit.isForRestart, seen.crash.retryAt(finishedAt: exit.finishedAt, now: now) != nil {
      return (waiting(WaitingReason.crashLoopBackOff, crashMessage(container, seen)), terminated(run))
    }
    return (terminated(run), previous)
  }

  private func waitingForFirstRun(_ seen: ContainerObservation, _ role: ContainerRole) -> JSON {
    if let wait = seen.wait { return waiting(wait.reason, wait.message) }
    let initializes = !pod.spec.initContainers.isEmpty && role != .ephemeral
    return waiting(initializes ? WaitingReason.podInitializing : WaitingReason.containerCreating, "")
  }

  private func crashMessage(_ container: Container, _ seen: ContainerObservation) -> String {
    let pause = goDuration(seconds: seen.crash.seconds ?? CrashBackoff.secondsMin)
    return "back-off \(pause) restarting failed container=\(container.name) pod=\(pod.name)_\(pod.namespace)(\(pod.uid))"
  }

  private func waiting(_ reason: String, _ message: String) -> JSON {
    ["waiting": ["reason": .string(reason), "message": message.isEmpty ? .null : .string(message)]]
  }

  private func terminated(_ run: ContainerRun) -> JSON {
    guard let exit = run.exit else { return .null }
    let reason = exit.reason ?? (exit.isOutOfMemory ? "OOMKilled" : exit.code == 0 ? "Completed" : "Error")
    var state: JSON = ["exitCode": JSON(exit.code), "reason": .string(reason)]
    if exit.signal != 0, exit.code < 128 { state["signal"] = JSON(exit.signal) }
    if let message = exit.message, !message.isEmpty { state["message"] = .string(message) }
    state["startedAt"] = .string(run.startedAt.rfc3339)
    state["finishedAt"] = .string(exit.finishedAt.rfc3339)
    if !run.id.isEmpty { state["containerID"] = .string("\(Self.runtimeName)://\(run.id)") }
    return ["terminated": state]
  }

  // MARK: - Started and ready

  func isStarted(_ container: Container, _ role: ContainerRole) -> Bool {
    let seen = observed[container.name]
    guard seen.isRunning else { return false }
    return role == .initial || role == .ephemeral || container.startupProbe.isNull || seen.isStarted
  }

  /// A plain init container is ready once it has succeeded; a pod that ends is not ready.
  func isReady(_ container: Container, _ role: ContainerRole) -> Bool {
    let seen = observed[container.name]
    switch role {
    case .initial: return seen.run?.exit?.code == 0
    case .ephemeral: return false
    case .regular, .sidecar:
      // Until its postStart hook has ended a container is still starting.
      guard seen.isRunning, seen.operation != .starting, isStarted(container, role) else { return false }
      return container.readinessProbe.isNull || seen.isReady
    }
  }
}
