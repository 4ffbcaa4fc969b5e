import JSONCodec
import KubernetesAPI
import Logging
import PodLifecycle
import SystemPackage

/// Watches over what the node and its pods use, and ends pods where it becomes too much.
actor Evictor {
  /// Evicted pods get this long to end, as upstream's hard thresholds give.
  static let graceSeconds = 1

  private let services: PodServices
  private let pods: PodDirectory
  private let nodeAgent: NodeAgent
  private let measures: NodeMeasures
  private let images: ImageCollector
  private let statistics: @Sendable (String) async -> JSON
  /// Signals that were told of, until they are gone.
  private var told: Set<EvictionSignal> = []

  init(
    services: PodServices, pods: PodDirectory, nodeAgent: NodeAgent, measures: NodeMeasures, images: ImageCollector,
    statistics: @escaping @Sendable (String) async -> JSON
  ) {
    self.services = services
    self.pods = pods
    self.nodeAgent = nodeAgent
    self.measures = measures
    self.images = images
    self.statistics = statistics
  }

  func run() async {
    let clock = services.clock
    while !Task.isCancelled {
      guard (try? await clock.sleep(clock.now().advanced(bySeconds: measures.seconds))) != nil else { return }
      await enforceStorageLimits()
      await relievePressure()
    }
  }

  private struct Candidate {
    let worker: PodWorker
    let pod: Pod
    let observed: PodObservation
  }

  private func living() async -> [Candidate] {
    var result: [Candidate] = []
    for entry in pods.all where !entry.hasEnded {
      let (pod, observed) = await entry.worker.snapshot()
      if observed.termination.isSyncing, !pod.isTerminal { result.append(Candidate(worker: entry.worker, pod: pod, observed: observed)) }
    }
    return result
  }

  private func evict(_ candidate: Candidate, _ message: String) async {
    services.log.info("pod \(candidate.pod.namespace)/\(candidate.pod.name) is evicted: \(message)")
    services.events.record(candidate.pod, .warning, "Evicted", message)
    await candidate.worker.end(because: .evicted(reason: "Evicted", message: message), graceSeconds: Self.graceSeconds)
  }

  // MARK: - Limits of pods

  private func enforceStorageLimits() async {
    for candidate in await living() where candidate.pod.limitsStorage && !candidate.pod.isCritical {
      let (storage, _) = await storage(of: candidate)
      if let message = storageEviction(of: candidate.pod, storage) { await evict(candidate, message) }
    }
  }

  /// Bytes by volume and container, and files in all.
  private func storage(of candidate: Candidate) async -> (PodStorage, inodes: Int64) {
    let uid = candidate.pod.uid
    let volumes = "\(services.configuration.dataDirectory)/pods/\(uid)/volumes/kubernetes.io~empty-dir"
    var paths: [(isVolume: Bool, name: String, path: String)] = []
    for volume in candidate.pod.spec.volumes where VolumeKind(volume) == .emptyDir && volume["emptyDir"]["medium"].string != "Memory" {
      let name = volume["name"].string ?? ""
      paths.append((true, name, "\(volumes)/\(name)"))
    }
    let writable = services.runtime.writableDirectories(of: uid)
    let logs = services.logDirectory(of: candidate.pod)
    for (name, seen) in candidate.observed.containers {
      paths.append((false, name, "\(logs)/\(name)"))
      if let id = seen.run?.id, let path = writable[id] { paths.append((false, name, path.string)) }
    }
    var storage = PodStorage()
    var inodes: Int64 = 0
    for (item, found) in zip(paths, await DiskUsage.measure(all: paths.map(\.path))) {
      if item.isVolume {
        storage.emptyDirs[item.name, default: 0] += found.bytes
      } else {
        storage.containers[item.name, default: 0] += found.bytes
      }
      inodes += found.inodes
    }
    return (storage, inodes)
  }

  // MARK: - Pressure on the node

  private func relievePressure() async {
    var met = metThresholds(measures.levels())
    told.formIntersection(met.map(\.signal))
    guard !met.isEmpty else { return }
    nodeAgent.pressureFound(met)
    for one in met where told.insert(one.signal).inserted {
      services.events.recordNode(.warning, "EvictionThresholdMet", "Attempting to reclaim \(one.signal.resource)")
    }
    if met.contains(where: \.signal.isOfDisk) {
      // What nobody uses goes before anybody has to.
      await images.removeUnused()
      met = metThresholds(measures.levels())
    }
    // One at a time: its end may be enough.
    guard let first = met.first else { return }
    let candidates = await living()
    var usages: [PodUsage] = []
    for candidate in candidates { usages.append(await usage(of: candidate, for: first.signal)) }
    guard let victim = podToEvict(usages, for: first.signal), let candidate = candidates.first(where: { $0.pod.uid == victim.uid }) else {
      services.log.warning("the node is low on \(first.signal.resource), and no pod may be evicted for it")
      return
    }
    await evict(candidate, evictionMessage(first, victim))
  }

  private func usage(of candidate: Candidate, for signal: EvictionSignal) async -> PodUsage {
    let pod = candidate.pod
    var usage = PodUsage(uid: pod.uid, priority: pod.spec.priority, isCritical: pod.isCritical, used: 0, requested: 0)
    func requested(_ name: String, _ resource: String) -> Int64 {
      pod.container(named: name)?.container.request(resource)?.value ?? 0
    }
    switch signal {
    case .memory:
      let numbers = await statistics(pod.uid)
      usage.used = Int64(numbers["memory"]["workingSetBytes"].int ?? 0)
      usage.requested = podRequest(pod, "memory").value
      usage.containers = candidate.observed.containers.sorted { $0.key < $1.key }.compactMap { name, seen in
        guard let run = seen.run, run.isRunning else { return nil }
        let used = numbers["containers"][run.id]["memory"]["workingSetBytes"].int ?? 0
        return PodUsage.Container(name: name, used: Int64(used), requested: requested(name, "memory"))
      }
    case .pids:
      usage.used = Int64(await statistics(pod.uid)["process_stats"]["process_count"].int ?? 0)
    case .nodefs, .imagefs:
      let (storage, _) = await storage(of: candidate)
      usage.used = storage.total
      usage.requested = podRequest(pod, "ephemeral-storage").value
      usage.containers = storage.containers.sorted { $0.key < $1.key }.map {
        PodUsage.Container(name: $0.key, used: $0.value, requested: requested($0.key, "ephemeral-storage"))
      }
    case .nodefsInodes, .imagefsInodes:
      usage.used = await storage(of: candidate).inodes
    }
    return usage
  }
}
