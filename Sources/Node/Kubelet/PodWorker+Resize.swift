import ContainerRuntime
import JSONCodec
import KubernetesAPI
import LinuxKernel
import PodLifecycle
import SystemPackage

/// In-place resize: what the spec asks for is granted by the node, written down, and then enforced.
extension PodWorker {
  /// Seconds until limits that could not be written are tried again.
  static let resizeRetrySeconds = 10.0

  /// The pod with the resources that it has been granted: what its containers and its cgroup are made from.
  var grantedPod: Pod { pod.granted(observed.resize) }

  // MARK: - Granting

  /// Asks the node for what the spec wants, where that is not what was granted.
  func considerResize() {
    guard observed.termination.isSyncing, pod.metadata.deletionTimestamp == nil, !pod.isTerminal,
      pod.metadata.generation >= observed.resize.generation
    else { return }
    guard pod.wantsResize(observed.resize) else {
      observed.resize.pending = nil
      // Other words for the same amounts.
      let wanted = pod.resizableResources
      if !observed.resize.allocated.isEmpty, observed.resize.allocated != wanted { grant(wanted) }
      return
    }
    if let refusal = services.grantResize(pod) {
      guard observed.resize.pending != refusal else { return }
      observed.resize.pending = refusal
      tell(nil, .warning, "Resize\(refusal.reason.rawValue)", "Pod resize \(refusal.reason.rawValue): \(resizeReport(refusal.message))")
      return
    }
    observed.resize.pending = nil
    observed.resize.error = nil
    observed.resize.retryAt = nil
    grant(pod.resizableResources)
    if !pod.unfinishedResizes(observed).isEmpty {
      isResizing = true
      tell(nil, .normal, "ResizeStarted", "Pod resize started: \(resizeReport(nil))")
    }
  }

  /// From here on the new amounts count, for an agent that is started anew as well.
  private func grant(_ resources: [String: JSON]) {
    let before = observed.resize.allocated
    observed.resize.allocated = resources
    observed.resize.generation = pod.metadata.generation
    for (name, seen) in observed.containers {
      guard let run = seen.run, let after = resources[name] else { continue }
      if ResizableAmounts(run.resources) == ResizableAmounts(after), !run.resources.isNull { observed[name].run!.resources = after }
    }
    if before.mapValues(ResizableAmounts.init) == resources.mapValues(ResizableAmounts.init) { observed.resize.enforced = resources }
    saveAllocation()
  }

  /// `{"containers":[{"name":...,"resources":{...}}],"generation":n,"error":...}`
  private func resizeReport(_ error: String?) -> String {
    var report: JSON = [
      "containers": .array(pod.spec.containers.map { ["name": .string($0.name), "resources": $0.resources] }),
      "generation": JSON(pod.metadata.generation),
    ]
    if let error { report["error"] = .string(error) }
    return report.text()
  }

  // MARK: - Enforcing

  func resizeContainers(_ names: [String]) {
    observed.resize.isActing = true
    let target = grantedPod
    let granted = observed.resize.allocated
    var limits: [String: ResourceLimits] = [:]
    var ids: [String: String] = [:]
    for name in names {
      guard let (container, _) = target.container(named: name), let run = observed[name].run else { continue }
      ids[name] = run.id
      limits[run.id] = ResourceLimits(CgroupValues(container: container, pod: target, nodeMemoryBytes: services.memoryBytes))
    }
    var values = CgroupValues(pod: target, nodeMemoryBytes: services.memoryBytes)
    values.pidsMax = services.configuration.podPidsLimit
    let podLimits = ResourceLimits(values)
    begin("resize") { [limits, ids] worker in
      do {
        try await worker.services.runtime.resize(sandbox: worker.uid, pod: podLimits, containers: limits)
        await worker.resized(ids, granted, nil)
      } catch {
        await worker.resized(ids, granted, error)
      }
    }
  }

  private func resized(_ ids: [String: String], _ granted: [String: JSON], _ error: (any Error)?) {
    observed.resize.isActing = false
    if let error {
      let message = "\(error)"
      if observed.resize.error != message { tell(nil, .warning, "ResizeError", "Pod resize error: \(resizeReport(message))") }
      observed.resize.error = message
      observed.resize.retryAt = services.clock.now().advanced(bySeconds: Self.resizeRetrySeconds)
      return reconcile()
    }
    observed.resize.error = nil
    observed.resize.retryAt = nil
    observed.resize.enforced = granted
    for (name, id) in ids where observed[name].run?.id == id {
      if let resources = granted[name] { observed[name].run?.resources = resources }
    }
    saveAllocation()
    reconcile()
  }

  /// Tells the end of a resize, once.
  func tellResizeCompleted() {
    guard isResizing, !observed.resize.isActing, pod.unfinishedResizes(observed).isEmpty,
      observed.resize.enforced == observed.resize.allocated, observed.resize.allocated.keys.allSatisfy(isSettled)
    else { return }
    isResizing = false
    tell(nil, .normal, "ResizeCompleted", "Pod resize completed: \(resizeReport(nil))")
  }

  /// Not between the end of one run and the start of the next, as a resize by restart has it.
  private func isSettled(_ name: String) -> Bool { observed[name].run?.exit?.isForRestart != true }

  // MARK: - Remembering

  /// `<dataDirectory>/pods/<uid>/allocation.json`: `{"generation": of the spec that asked for it, "allocated": {name: resources},
  /// "actuated": {name: resources}}`. Only a pod that was resized has one; it goes with the pod's directory.
  private var allocationDirectory: FilePath { services.configuration.dataDirectory.appending("pods").appending(uid) }
  static let allocationFile = "allocation.json"
  static let allocationBytesMax = 1 << 20

  private func saveAllocation() {
    var actuated: JSON = .object(JSONObject())
    for (name, seen) in observed.containers {
      if let run = seen.run, !run.resources.isNull { actuated[name] = run.resources }
    }
    let record: JSON = [
      "generation": JSON(observed.resize.generation),
      "allocated": .object(JSONObject(observed.resize.allocated.sorted { $0.key < $1.key })), "actuated": actuated,
    ]
    do {
      try HostFiles.makeDirectories(allocationDirectory.string, 0o755)
      let directory = try Files.openDirectory(allocationDirectory)
      try Files.replace(Self.allocationFile, in: directory.rawValue, with: record.serialized())
    } catch {
      services.log.warning("what pod \(pod.namespace)/\(pod.name) was granted is not written down: \(error)")
    }
  }

  private func savedAllocation() -> JSON {
    let path = allocationDirectory.appending(Self.allocationFile).string
    guard let bytes = try? Files.read(path, limit: Self.allocationBytesMax) else { return .null }
    return (try? JSON.parse(bytes)) ?? .null
  }

  /// What an earlier agent granted; its sandbox was made with what stands in the stored pod.
  func adoptAllocation() {
    let saved = savedAllocation()
    guard let granted = saved["allocated"].object else { return }
    observed.resize.generation = saved["generation"].int ?? 0
    for (name, resources) in granted where observed.resize.allocated[name] != nil { observed.resize.allocated[name] = resources }
    // Written again: the earlier agent may have died before it did.
    observed.resize.enforced = [:]
  }

  func adoptedResources(of name: String) -> JSON {
    let saved = savedAllocation()["actuated"][name]
    return saved.isNull ? observed.resize.allocated[name] ?? .null : saved
  }
}
