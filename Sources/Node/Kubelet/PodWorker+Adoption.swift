import ContainerRuntime
import JSONCodec
import KubernetesAPI
import PodLifecycle

extension PodWorker {
  /// Takes over what the runtime kept while no agent ran: the same processes, restart counts and exit codes.
  /// `status` is what the API server has of the pod: it knows images' ids and users, which the runtime does not keep.
  func adopt(_ sandbox: SandboxState, told status: JSON) {
    let attempt = sandbox.labels["sandboxAttempt"].int ?? 0
    observed.sandboxesMade = attempt + 1
    // An agent that died between the sandbox and its network leaves a sandbox without an address: made anew.
    observed.podIPs = pod.spec.hostNetwork ? services.configuration.addresses : services.network.addresses(of: uid)
    let isWhole = sandbox.isAlive && !observed.podIPs.isEmpty
    observed.sandbox = isWhole ? .ready(attempt: attempt) : .dead(attempt: attempt)
    adoptAllocation()
    observed.adoptVolumeImages(status)
    for state in sandbox.containers.sorted(by: { $0.attempt < $1.attempt }) {
      guard let run = adoptedRun(state, in: sandbox, attempt, Self.told(state.id, in: status.isNull ? pod.status : status)) else {
        continue
      }
      observed[state.name].previousRun = observed[state.name].run
      var adopted = run
      adopted.resources = adoptedResources(of: state.name)
      observed[state.name].run = adopted
    }
    for (name, seen) in observed.containers {
      guard let run = seen.run, run.attempt > 0 else { continue }
      observed[name].crash = CrashBackoff(restarts: run.attempt, lastStartedAt: run.startedAt)
    }
  }

  private func adoptedRun(_ state: ContainerState, in sandbox: SandboxState, _ attempt: Int, _ known: JSON) -> ContainerRun? {
    var run = ContainerRun(
      id: state.id, attempt: state.attempt, sandboxAttempt: attempt, startedAt: Timestamp(nanosecondsSinceEpoch: state.startedAt),
      image: known["image"].string ?? "", imageID: known["imageID"].string ?? "", user: known["user"])
    switch state.phase {
    case .running:
      guard !sandbox.isAlive else { return run }
      run.state = .exited(
        ContainerExit(
          code: 137, signal: 9, finishedAt: services.clock.now(), reason: "ContainerStatusUnknown",
          message: "the pod's supervisor has died"))
    case .exited: run.state = .exited(containerExit(state, pod: pod, services: services))
    case .created: return nil
    }
    return run
  }

  private static func told(_ id: String, in status: JSON) -> JSON {
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
      for item in status[list].array ?? [] {
        if item["containerID"].string == "\(ContainerStatusBuilder.runtimeName)://\(id)" { return item }
      }
    }
    return .null
  }
}
