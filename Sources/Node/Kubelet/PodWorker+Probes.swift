import JSONCodec
import KubernetesAPI
import PodLifecycle

/// Probing: which probe is due, carrying it out beside everything else, and what its result changes.
extension PodWorker {
  func beginProbes(_ name: String, wasAdopted: Bool = false) {
    guard let (container, role) = pod.container(named: name), role == .regular || role == .sidecar,
      let run = observed[name].run, run.isRunning
    else { return }
    let before = wasAdopted ? status(of: name) : .null
    if wasAdopted {
      observed[name].isStarted = container.startupProbe.isNull || before["started"].bool == true
      observed[name].isReady = container.readinessProbe.isNull || before["ready"].bool == true
    }
    var machines: [ProbeKind: ProbeMachine] = [:]
    for kind in ProbeKind.allCases {
      guard let spec = kind.spec(of: container) else { continue }
      let held = kind == .startup ? observed[name].isStarted : observed[name].isReady
      machines[kind] =
        wasAdopted
        ? ProbeMachine(kind: kind, spec: spec, startedAt: run.startedAt, wasPassing: held)
        : ProbeMachine(kind: kind, spec: spec, startedAt: run.startedAt)
    }
    probes[name] = machines.isEmpty ? nil : machines
  }

  /// What the API says of a container.
  private func status(of name: String) -> JSON {
    for list in ["containerStatuses", "initContainerStatuses"] {
      for item in pod.status[list].array ?? [] where item["name"].string == name { return item }
    }
    return .null
  }

  /// Starts every probe that is due; tells when the next one is.
  func runDueProbes(_ now: Timestamp) -> Timestamp? {
    var next: Timestamp?
    for (name, machines) in probes {
      guard observed[name].isRunning else { continue }
      for (kind, machine) in machines {
        let key = "\(kind.rawValue)/\(name)"
        guard probing[key] == nil, let due = machine.due(isStarted: observed[name].isStarted) else { continue }
        if due <= now { probe(name, machine, key) } else { next = min(next ?? due, due) }
      }
    }
    return next
  }

  private func probe(_ name: String, _ machine: ProbeMachine, _ key: String) {
    guard let (container, _) = pod.container(named: name), let run = observed[name].run else { return }
    let (pod, podIP, services) = (pod, observed.podIPs.first ?? "", services)
    probing[key] = Task { [weak self] in
      let outcome = await services.prober.probe(machine.spec, container: container, id: run.id, pod: pod, podIP: podIP)
      await self?.probed(name, machine.kind, id: run.id, key: key, outcome)
    }
  }

  private func probed(_ name: String, _ kind: ProbeKind, id: String, key: String, _ outcome: ProbeOutcome) {
    probing[key] = nil
    guard observed[name].run?.id == id, observed[name].isRunning, var machine = probes[name]?[kind] else { return reconcile() }
    let verdict = machine.record(outcome.result, at: services.clock.now())
    probes[name]?[kind] = machine
    switch outcome.result {
    case .success where outcome.isWarning: tell(name, .warning, "ProbeWarning", "\(kind.title) probe warning: \(outcome.message)")
    case .success: break
    case .failure: tell(name, .warning, "Unhealthy", "\(kind.title) probe failed: \(outcome.message)")
    case .unknown: tell(name, .warning, "Unhealthy", "\(kind.title) probe errored and resulted in unknown state: \(outcome.message)")
    }
    switch (verdict, kind) {
    case (.unchanged, _): break
    case (.passes, .startup): observed[name].isStarted = true
    case (.passes, .readiness): observed[name].isReady = true
    case (.fails, _): observed[name].isReady = false
    case (.condemns, .startup): observed[name].condemned = .startupProbeFailed
    case (.condemns, _): observed[name].condemned = .livenessProbeFailed
    case (.passes, .liveness): break
    }
    reconcile()
  }
}
