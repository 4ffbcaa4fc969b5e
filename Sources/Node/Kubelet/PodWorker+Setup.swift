import ContainerImages
import ContainerRuntime
import JSONCodec
import KubernetesAPI
import PodLifecycle
import SystemPackage

/// Volumes, sandbox and images: what a container needs before it starts.
extension PodWorker {
  // MARK: - Volumes

  func prepareVolumes() {
    observed.volumes = .preparing
    let pod = pod
    begin("volumes") { worker in
      do {
        try await worker.services.volumes.prepare(pod)
        await worker.volumesPrepared(nil)
      } catch {
        await worker.volumesPrepared(error)
      }
    }
  }

  private func volumesPrepared(_ error: (any Error)?) {
    if let error {
      tell(nil, .warning, "FailedMount", "\(error)")
      observed.volumes = .failed(retryAt: volumeBackoff.failed(at: services.clock.now()))
    } else {
      volumeBackoff.succeeded()
      observed.volumes = .ready
    }
    reconcile()
  }

  // MARK: - Sandbox

  func createSandbox(_ attempt: Int) {
    observed.sandbox = .creating
    let pod = grantedPod
    begin("sandbox") { worker in
      do {
        let addresses = try await worker.makeSandbox(pod, attempt)
        await worker.sandboxMade(pod, attempt, addresses, nil)
      } catch {
        await worker.sandboxMade(pod, attempt, [], error)
      }
    }
  }

  private nonisolated func makeSandbox(_ pod: Pod, _ attempt: Int) async throws -> [String] {
    try await services.runtimeClasses.check(pod)
    let spec = try sandboxSpec(for: pod, attempt: attempt, services: services)
    try await services.runtime.createSandbox(spec)
    if pod.spec.hostNetwork { return services.configuration.addresses }
    do {
      let netns = try services.runtime.networkNamespace(of: uid)
      let addresses = try await services.network.attach(sandbox: uid, netns: netns.rawValue, hostPorts: hostPorts(of: pod))
      try await services.network.protect(pod, sandbox: uid, addresses: addresses)
      return addresses
    } catch {
      try? await services.runtime.removeSandbox(uid)
      try? await services.network.detach(sandbox: uid)
      throw error
    }
  }

  private func sandboxMade(_ pod: Pod, _ attempt: Int, _ addresses: [String], _ error: (any Error)?) {
    observed.sandboxesMade = attempt + 1
    if let error {
      tell(nil, .warning, "FailedCreatePodSandBox", "Failed to create pod sandbox: \(error)")
      observed.sandbox = .failed(attempt: attempt, retryAt: sandboxBackoff.failed(at: services.clock.now()))
    } else {
      sandboxBackoff.succeeded()
      observed.sandbox = .ready(attempt: attempt)
      // Made with what was granted when it began: what came since is written again.
      observed.resize.enforced = pod.resizableResources
      observed.podIPs = addresses
      warnOfMissingControllers()
    }
    reconcile()
  }

  /// Limits that the kernel does not enforce here are told, once for each sandbox.
  private func warnOfMissingControllers() {
    let missing = services.configuration.missingControllers
    guard !missing.isEmpty else { return }
    let limited = unenforcedLimits(of: pod, missing: missing)
    guard !limited.isEmpty else { return }
    tell(
      nil, .warning, "LimitsNotEnforced",
      "this node's cgroup v2 lacks the controllers \(missing.joined(separator: ", ")): not enforced: \(limited.joined(separator: ", "))")
  }

  /// The container runs, without something that it asked for.
  func containerWarned(_ id: String, _ message: String) {
    let name = observed.containers.first { $0.value.run?.id == id }?.key
    tell(name, .warning, "SettingNotApplied", "The container runs without a setting that this machine refuses: \(message)")
  }

  func supervisorDied() {
    let now = services.clock.now()
    for (name, seen) in observed.containers {
      guard let run = seen.run, run.isRunning else { continue }
      let exit = ContainerExit(
        code: 137, signal: 9, finishedAt: now, reason: "ContainerStatusUnknown", message: "the pod's supervisor has died")
      containerEnded(name, run.id, exit)
    }
    guard case .ready(let attempt) = observed.sandbox else { return reconcile() }
    observed.sandbox = .dead(attempt: attempt)
    tell(nil, .normal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
    reconcile()
  }

  /// Takes the sandbox away; where the pod ends, its volumes too.
  func removeSandbox() {
    observed.sandbox = .removing
    let ends = !observed.termination.isSyncing
    let uid = uid
    begin("sandbox") { worker in
      do {
        try await worker.services.runtime.removeSandbox(uid)
        try await worker.services.network.detach(sandbox: uid)
        if ends { try await worker.services.volumes.teardown(podUID: uid) }
        await worker.sandboxRemoved(ends: ends, nil)
      } catch {
        await worker.sandboxRemoved(ends: ends, error)
      }
    }
  }

  private func sandboxRemoved(ends: Bool, _ error: (any Error)?) {
    let now = services.clock.now()
    if let error {
      tell(nil, .warning, "FailedKillPod", "error killing pod: \(error)")
      let retryAt = removalBackoff.failed(at: now)
      let clock = services.clock
      begin("sandbox") { worker in
        try? await clock.sleep(retryAt)
        await worker.removeSandbox()
      }
      return
    }
    removalBackoff.succeeded()
    observed.sandbox = .none
    for (_, seen) in observed.containers {
      for run in [seen.run, seen.previousRun] {
        if let id = run?.id, !id.isEmpty { release(id) }
      }
    }
    if ends {
      observed.volumes = .unprepared
      for volume in pod.spec.volumes where !volume["image"].isNull { release(volumeLease(volume["name"].string ?? "")) }
    }
    reconcile()
  }

  // MARK: - Images

  func resolveImage(_ name: String) {
    guard let (container, _) = pod.container(named: name) else { return }
    observed[name].operation = .pulling
    let (pod, list) = (pod, listName(name))
    begin(name) { worker in
      var outcome = await worker.services.images.resolve(container, list: list, of: pod)
      var volumes: [String: ImageRecord] = [:]
      for (volume, source) in await worker.missingVolumeImages(of: container) {
        guard case .ready = outcome else { break }
        let other = await worker.services.images.resolve(source, list: list, of: pod)
        if case .ready(let record) = other { volumes[volume] = record } else { outcome = other }
      }
      await worker.imageResolved(name, container.image, outcome, volumes)
    }
  }

  /// The image volumes that a container mounts and whose images are not known yet, each in the shape of a container.
  private func missingVolumeImages(of container: Container) -> [(volume: String, source: Container)] {
    let mounted = Set(container.volumeMounts.compactMap { $0["name"].string })
    return pod.spec.volumes.compactMap { volume in
      guard let name = volume["name"].string, mounted.contains(name), volumeImages[name] == nil,
        let reference = volume["image"]["reference"].string
      else { return nil }
      let policy = volume["image"]["pullPolicy"]
      return (
        name,
        Container([
          "name": .string(container.name), "image": .string(reference), "imagePullPolicy": policy.isNull ? "IfNotPresent" : policy,
        ])
      )
    }
  }

  /// Under which the image of a volume is held.
  private func volumeLease(_ volume: String) -> String { "volume-\(uid)-\(volume)" }

  private func imageResolved(_ name: String, _ image: String, _ outcome: ImageManager.Outcome, _ volumes: [String: ImageRecord]) {
    for (volume, record) in volumes where volumeImages[volume] == nil {
      volumeImages[volume] = record
      observed.volumeImages[volume] = imageID(record)
      hold(record.id, for: volumeLease(volume))
    }
    guard observed[name].operation == .pulling else { return }
    observed[name].operation = nil
    guard pod.container(named: name)?.container.image == image else { return reconcile() }
    switch outcome {
    case .ready(let record):
      images[name] = record
      imageBackoffs[name] = nil
      observed[name].image = .ready
      observed[name].wait = nil
    case .failed(var wait, let isPull):
      var backoff = imageBackoffs[name] ?? .imagePull
      wait.retryAt = wait.reason == WaitingReason.invalidImageName ? nil : backoff.failed(at: services.clock.now())
      imageBackoffs[name] = backoff
      observed[name].wait = wait
      if isPull { sayBackingOff(name, image, wait) }
    }
    reconcile()
  }

  /// How long a failed pull shows its error before it shows that it waits.
  static let pullErrorSeconds = 1.0

  private func sayBackingOff(_ name: String, _ image: String, _ failure: ContainerWait) {
    let clock = services.clock
    let at = clock.now().advanced(bySeconds: Self.pullErrorSeconds)
    Task { [weak self] in
      guard (try? await clock.sleep(at)) != nil else { return }
      await self?.showBackOff(name, image, failure)
    }
  }

  private func showBackOff(_ name: String, _ image: String, _ failure: ContainerWait) {
    guard observed[name].wait == failure, observed.termination.isSyncing else { return }
    let message = "Back-off pulling image \"\(image)\""
    observed[name].wait?.reason = WaitingReason.imagePullBackOff
    observed[name].wait?.message = "\(message): \(failure.reason): \(failure.message)"
    tell(name, .normal, "BackOff", message)
    tell(name, .warning, "Failed", "Error: \(WaitingReason.imagePullBackOff)")
    reconcile()
  }

  /// The pod has changed: what could not be configured or pulled is tried at once, with the new image where there is one.
  func retryConfiguration(_ before: Pod) {
    for (name, seen) in observed.containers {
      let image = pod.container(named: name)?.container.image
      if image != before.container(named: name)?.container.image {
        observed[name].image = .unresolved
        observed[name].wait = nil
        imageBackoffs[name] = nil
      } else if let reason = seen.wait?.reason, reason.hasPrefix("CreateContainer") {
        observed[name].wait = nil
        configBackoffs[name] = nil
      }
    }
  }
}
