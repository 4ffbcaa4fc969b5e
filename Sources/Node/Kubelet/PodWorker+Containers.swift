import ContainerRuntime
import JSONCodec
import KubernetesAPI
import PodLifecycle
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Starting containers, their ends, and stopping them.
extension PodWorker {
  // MARK: - Start

  func startContainer(_ name: String, attempt: Int) {
    let pod = grantedPod
    guard let (container, role) = pod.container(named: name), let image = images[name] else {
      observed[name].image = .unresolved
      return
    }
    observed[name].operation = .starting
    let builder = ContainerSpecBuilder(
      pod: pod, container: container, role: role, attempt: attempt, image: image, observed: observed, services: services,
      volumeImages: volumeImages)
    let list = listName(name)
    begin(name) { worker in
      do {
        let (spec, user) = try await builder.build()
        await worker.hold(image.id, for: spec.id)
        worker.services.events.record(
          builder.pod, container: name, list: list, .normal, "Created", "Created container: \(name)")
        do {
          let state = try await worker.services.runtime.startContainer(spec, in: worker.uid)
          await worker.containerStarted(container, spec: spec, state: state, user: user)
        } catch {
          await worker.containerDidNotStart(container, spec: spec, error)
        }
      } catch {
        await worker.containerNotConfigured(name, error)
      }
    }
  }

  private func containerNotConfigured(_ name: String, _ error: any Error) {
    let reason = (error as? ContainerConfigError)?.reason ?? "CreateContainerConfigError"
    var backoff = configBackoffs[name] ?? .podSetup
    observed[name].wait = ContainerWait(reason: reason, message: "\(error)", retryAt: backoff.failed(at: services.clock.now()))
    configBackoffs[name] = backoff
    observed[name].operation = nil
    tell(name, .warning, "Failed", "Error: \(error)")
    reconcile()
  }

  /// A new run takes the place of the last one, which is kept; the one before that goes.
  private func setRun(_ name: String, _ run: ContainerRun) {
    let now = services.clock.now()
    if let last = observed[name].run {
      if let oldest = observed[name].previousRun { discard(oldest, of: name) }
      observed[name].previousRun = last
      if let exit = last.exit { observed[name].crash.restarted(at: now, lastFinishedAt: exit.finishedAt) }
    }
    observed[name].run = run
    observed[name].wait = nil
    observed[name].condemned = nil
    observed[name].image = .unresolved
    configBackoffs[name] = nil
  }

  private func discard(_ run: ContainerRun, of name: String) {
    guard !run.id.isEmpty else { return }
    let (services, uid) = (services, uid)
    let log = services.logPath(of: pod, container: name, attempt: run.attempt)
    Task {
      try? await services.runtime.removeContainer(run.id, in: uid)
      unlink(log)
    }
    release(run.id)
  }

  /// Keeps an image as long as a container needs it. The start does not wait for the lease to be on the disk.
  func hold(_ image: String, for container: String) {
    let (images, log) = (services.images.images, services.log)
    leases[container] = Task {
      do { try await images.retain(image: image, by: container) } catch {
        log.warning("image \(image) is not held for container \(container.prefix(12)): \(error)")
      }
    }
  }

  func release(_ container: String) {
    let (images, lease) = (services.images.images, leases.removeValue(forKey: container))
    Task {
      await lease?.value
      await images.release(container: container)
    }
  }

  private func newRun(_ container: Container, _ spec: ContainerSpec, _ state: ContainerRun.State, _ startedAt: Timestamp) -> ContainerRun {
    ContainerRun(
      id: spec.id, attempt: spec.attempt, sandboxAttempt: observed.sandbox.attempt ?? 0, state: state, startedAt: startedAt,
      image: container.image, imageID: images[container.name].map(imageID) ?? "")
  }

  private func containerStarted(_ container: Container, spec: ContainerSpec, state: ContainerState, user: JSON) {
    let name = container.name
    tell(name, .normal, "Started", "Started container \(name)")
    var run = newRun(container, spec, .running, Timestamp(nanosecondsSinceEpoch: state.startedAt))
    run.user = user
    run.resources = container.resources.isNull ? .object(JSONObject()) : container.resources
    setRun(name, run)
    observed[name].isStarted = container.startupProbe.isNull
    observed[name].isReady = container.readinessProbe.isNull
    let hook = container.lifecycle["postStart"]
    if let exit = earlyExits.removeValue(forKey: spec.id) {
      observed[name].operation = nil
      return containerExited(exit)
    }
    if hook.isNull {
      observed[name].operation = nil
      beginProbes(name)
    } else {
      let (pod, podIP) = (pod, observed.podIPs.first ?? "")
      begin(name) { worker in
        let failure = await worker.services.prober.runHook(hook, container: container, id: spec.id, pod: pod, podIP: podIP)
        await worker.postStartFinished(name, id: spec.id, failure: failure)
      }
    }
    reconcile()
  }

  private func postStartFinished(_ name: String, id: String, failure: String?) {
    guard observed[name].run?.id == id, observed[name].operation == .starting else { return }
    observed[name].operation = nil
    if let failure {
      tell(name, .warning, "FailedPostStartHook", failure)
      if observed[name].isRunning { observed[name].condemned = .postStartHookFailed }
    } else if observed[name].isRunning {
      beginProbes(name)
    }
    reconcile()
  }

  /// execve did not succeed: counts as a run that ended at once.
  private func containerDidNotStart(_ container: Container, spec: ContainerSpec, _ error: any Error) {
    let name = container.name
    let now = services.clock.now()
    tell(name, .warning, "Failed", "Error: \(error)")
    let exit = ContainerExit(code: 128, finishedAt: now, reason: "StartError", message: "\(error)")
    setRun(name, newRun(container, spec, .exited(exit), now))
    observed[name].operation = nil
    reconcile()
  }

  // MARK: - End

  func containerExited(_ state: ContainerState) {
    guard observed[state.name].run?.id == state.id else {
      earlyExits[state.id] = state
      return
    }
    containerEnded(state.name, state.id, containerExit(state, pod: pod, services: services))
    reconcile()
  }

  func containerEnded(_ name: String, _ id: String, _ exit: ContainerExit) {
    var exit = exit
    exit.isForRestart = restarting.remove(id) != nil
    observed[name].run?.state = .exited(exit)
    for waiter in exitWaiters.removeValue(forKey: id) ?? [] { waiter.finish() }
    if case .killing = observed[name].operation { observed[name].operation = nil }
    if observed[name].operation == .starting {
      // Its postStart hook is still at work: there is nothing left to hook on.
      operations[name]?.cancel()
      observed[name].operation = nil
    }
    kills[name] = nil
    killTimers.removeValue(forKey: name)?.cancel()
    probes[name] = nil
    observed[name].isReady = false
    observed[name].isStarted = false
    guard let (container, role) = pod.container(named: name), observed.termination.isSyncing,
      container.restarts(after: exit, role: role, pod: pod.spec.restartPolicy)
    else { return }
    if observed[name].crash.retryAt(finishedAt: exit.finishedAt, now: services.clock.now()) != nil {
      tell(
        name, .warning, "BackOff",
        "Back-off restarting failed container \(name) in pod \(pod.name)_\(pod.namespace)(\(uid))")
    }
  }

  // MARK: - Kill

  func killContainer(_ name: String, _ reason: KillReason, deadline: Timestamp) {
    let now = services.clock.now()
    guard let run = observed[name].run, run.isRunning else { return }
    if var machine = kills[name] {
      let action = machine.shorten(to: deadline, now: now)
      kills[name] = machine
      observed[name].operation = .killing(deadline: deadline)
      return kill(name, run.id, action)
    }
    // A postStart hook that is still at work ends with the container.
    if observed[name].operation == .starting { operations[name]?.cancel() }
    observed[name].operation = .killing(deadline: deadline)
    if reason == .resized || reason == .definitionChanged, pod.spec.restartPolicy != .never { restarting.insert(run.id) }
    tell(name, .normal, "Killing", reason.eventMessage(container: name))
    let hook = pod.container(named: name)?.container.lifecycle["preStop"] ?? .null
    let (machine, action) = KillMachine.begin(hasHook: !hook.isNull, deadline: deadline, now: now)
    kills[name] = machine
    if reason == .podTerminates { withdraw(deadline: deadline, now: now) }
    kill(name, run.id, action)
  }

  private func kill(_ name: String, _ id: String, _ action: KillMachine.Action) {
    switch action {
    case .none: break
    case .runHook(let deadline): runPreStop(name, id, deadline)
    case .sendStopSignal(let killAt):
      armKill(name, killAt)
      stop(name, id)
    case .sendKill:
      killTimers.removeValue(forKey: name)?.cancel()
      send(SIGKILL, to: id)
    case .rearm(let time): armKill(name, time)
    }
  }

  private func stop(_ name: String, _ id: String) {
    guard let withdrawal else { return send(stopSignal(of: name), to: id) }
    begin("stop/\(name)") { worker in
      await withdrawal.value
      await worker.stopNow(name, id)
    }
  }

  private func stopNow(_ name: String, _ id: String) {
    guard observed[name].run?.id == id, observed[name].isRunning, kills[name]?.state == .signalled else { return }
    send(stopSignal(of: name), to: id)
  }

  private func stopSignal(of name: String) -> Int32 {
    pod.container(named: name).map { signalNumber($0.container.lifecycle["stopSignal"].string ?? images[name]?.config.stopSignal) }
      ?? SIGTERM
  }

  private func send(_ signal: Int32, to id: String) {
    let (runtime, uid, log) = (services.runtime, uid, services.log)
    Task {
      do {
        try await runtime.signalContainer(id, in: uid, signal: signal)
      } catch {
        log.debug("signal \(signal) to container \(id.prefix(12)): \(error)")
      }
    }
  }

  private func armKill(_ name: String, _ time: Timestamp) {
    killTimers[name]?.cancel()
    let clock = services.clock
    killTimers[name] = Task { [weak self] in
      guard (try? await clock.sleep(time)) != nil else { return }
      await self?.killDeadline(name)
    }
  }

  private func killDeadline(_ name: String) {
    guard var machine = kills[name], let id = observed[name].run?.id else { return }
    let action = machine.deadlinePassed(now: services.clock.now())
    kills[name] = machine
    kill(name, id, action)
  }

  private func runPreStop(_ name: String, _ id: String, _ deadline: Timestamp) {
    guard let (container, _) = pod.container(named: name) else { return }
    let (pod, podIP, services) = (pod, observed.podIPs.first ?? "", services)
    let hook = container.lifecycle["preStop"]
    begin("hook/\(name)") { worker in
      let failure = await withDeadline(deadline, clock: services.clock) {
        await services.prober.runHook(hook, container: container, id: id, pod: pod, podIP: podIP)
      }
      switch failure {
      case .finished(let message?): await worker.tell(name, .warning, "FailedPreStopHook", message)
      case .finished(nil): break
      case .timedOut: await worker.tell(name, .warning, "FailedPreStopHook", "PreStopHook did not end within the grace period")
      }
      await worker.preStopFinished(name, id)
    }
  }

  private func preStopFinished(_ name: String, _ id: String) {
    guard var machine = kills[name], observed[name].run?.id == id, observed[name].isRunning else { return }
    let action = machine.hookFinished(now: services.clock.now())
    kills[name] = machine
    kill(name, id, action)
  }
}
