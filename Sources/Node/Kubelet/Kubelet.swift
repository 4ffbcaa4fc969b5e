import ContainerImages
import ContainerRuntime
import FoundationEssentials
import JSONCodec
import KubernetesAPI
import KubernetesClient
import LinuxKernel
import Logging
import NIOCore
import PodLifecycle
import PodNetwork
import Synchronization
import SystemPackage

/// Runs the pods that are bound to this node: hands every change to the worker of the pod that it is about.
///
/// Pods keep running while the kubelet does not: what the runtime kept is taken over at the start, before any API server
/// has answered.
package final class Kubelet: Sendable {
  package let services: PodServices
  package let nodeAgent: NodeAgent
  let pods = PodDirectory()
  let hooks: RuntimeHooks
  private let recovered: [SandboxState]
  private let mirrors: MirrorPods
  private let evictor: Evictor
  private let imageCollector: ImageCollector
  var log: Logger { services.log }

  /// What the kubelet takes from the runtime beside a pod's life: its events, and streams and numbers for the server.
  package struct RuntimeHooks: Sendable {
    package var events: AsyncStream<RuntimeEvent>
    package var exec:
      @Sendable (_ command: [String], _ options: StreamOptions, _ container: String, _ sandbox: String) async throws -> ProcessIO
    package var attach: @Sendable (_ options: StreamOptions, _ container: String, _ sandbox: String) async throws -> ProcessIO
    /// `{"cpu", "memory", "containers": {id: {"cpu", "memory"}}}` in the form of /stats/summary.
    package var statistics: @Sendable (_ sandbox: String) async -> JSON
    package init(
      events: AsyncStream<RuntimeEvent>,
      exec:
        @escaping @Sendable (_ command: [String], _ options: StreamOptions, _ container: String, _ sandbox: String) async throws ->
        ProcessIO,
      attach: @escaping @Sendable (_ options: StreamOptions, _ container: String, _ sandbox: String) async throws -> ProcessIO,
      statistics: @escaping @Sendable (_ sandbox: String) async -> JSON
    ) {
      self.events = events
      self.exec = exec
      self.attach = attach
      self.statistics = statistics
    }
  }

  /// `nodeAgent` has been told to register by whoever needed the node's podCIDR for the network.
  package init(
    nodeAgent: NodeAgent, client: KubernetesClient, events: EventRecorder, runtime: any PodRuntime, recovered: [SandboxState],
    hooks: RuntimeHooks, images: any PodImages, network: any PodNetworking, volumes: any PodVolumes,
    environments: any PodEnvironments, endpoints: (any PodEndpoints)? = nil, group: any EventLoopGroup, clock: KubeletClock = .system,
    log: Logger
  ) {
    let configuration = nodeAgent.configuration
    services = PodServices(
      configuration: configuration, client: client, runtime: runtime,
      images: ImageManager(images: images, client: client, events: events, clock: clock), network: network, endpoints: endpoints,
      volumes: volumes,
      environments: environments, events: events,
      prober: Prober(runtime: runtime, http: ProbeClient(group: group), group: group, clock: clock, version: configuration.version),
      runtimeClasses: RuntimeClasses(client: client), clock: clock,
      log: log, memoryBytes: nodeAgent.facts.memoryBytes,
      grantResize: { [pods] in pods.grantResize($0, on: Node(nodeAgent.node ?? .null)) })
    self.nodeAgent = nodeAgent
    self.recovered = recovered
    self.hooks = hooks
    imageCollector = ImageCollector(images: images, measures: nodeAgent.measures, events: events, clock: clock, log: log)
    evictor = Evictor(
      services: services, pods: pods, nodeAgent: nodeAgent, measures: nodeAgent.measures, images: imageCollector,
      statistics: hooks.statistics)
    mirrors = MirrorPods(client: client, nodeName: configuration.nodeName, log: log)
  }

  /// Runs until the task is cancelled. Pods keep running.
  package func run() async throws {
    await adoptRecovered()
    nodeAgent.set(problems: [])
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.services.events.run() }
      group.addTask { await self.nodeAgent.run() }
      group.addTask { await self.followRuntime() }
      group.addTask { await self.followPods() }
      group.addTask { await self.evictor.run() }
      group.addTask { await self.imageCollector.run() }
      group.addTask { [services] in
        let configuration = services.configuration
        await LocalVolumes(dataDirectory: configuration.dataDirectory).run(
          services.client, node: configuration.nodeName, clock: services.clock, log: self.log)
      }
      if let directory = services.configuration.staticPodDirectory {
        group.addTask { await self.followManifests(directory) }
      }
      await group.waitForAll()
    }
  }

  // MARK: - Taking over

  /// Sandboxes of an earlier agent get their workers from the objects that were stored with them.
  private func adoptRecovered() async {
    if recovered.isEmpty { return }
    let objects = (try? await services.client.list(.pods(), fieldSelector: "spec.nodeName=\(services.configuration.nodeName)"))?.items ?? []
    let statuses = Dictionary(objects.map { (Pod($0).uid, $0["status"]) }) { $1 }
    for sandbox in recovered {
      let pod = Pod(sandbox.labels["pod"])
      guard !pod.uid.isEmpty, pod.uid == sandbox.id else {
        log.warning("sandbox \(sandbox.id) belongs to no pod that is known; it is removed")
        try? await services.runtime.removeSandbox(sandbox.id)
        try? await services.network.detach(sandbox: sandbox.id)
        continue
      }
      let isStatic = pod.metadata.annotations[StaticPods.sourceAnnotation].string == "file"
      let worker = makeWorker(pod, isStatic: isStatic)
      await worker.start(adopting: sandbox, told: statuses[pod.uid] ?? .null)
      let granted = await worker.grantedPod
      pods.update(pod.uid) { $0.granted = granted }
    }
  }

  private func makeWorker(_ pod: Pod, isStatic: Bool) -> PodWorker {
    let worker = PodWorker(pod: pod, services: services, isInAPI: !isStatic, isStatic: isStatic) { [weak self] worker in
      self?.podIsGone(worker)
    }
    pods.insert(.init(worker: worker, pod: pod, isStatic: isStatic, hasEnded: pod.isTerminal), uid: pod.uid)
    return worker
  }

  private func podIsGone(_ worker: PodWorker) {
    guard let entry = pods.remove(worker.uid) else { return }
    let directory = services.logDirectory(of: entry.pod)
    Task { removeTree(FilePath(directory)) }
    if entry.isStatic { Task { await staticPodIsGone(worker.uid) } }
    retryResizes()
  }

  /// Resources have become free: who waits for more is asked again.
  private func retryResizes() {
    for entry in pods.all where entry.isResizeDeferred { Task { await entry.worker.reconcile() } }
  }

  /// A manifest that was brought back while its pod ended runs anew; else the mirror goes too.
  private func staticPodIsGone(_ uid: String) async {
    if let manifest = mirrors.manifest(uid), pods.entry(uid) == nil {
      await makeWorker(manifest, isStatic: true).start()
    }
    await mirrors.reconcile(pods)
  }

  // MARK: - The runtime

  private func followRuntime() async {
    for await event in hooks.events {
      switch event {
      case .containerExited(let sandbox, let state): await pods.worker(sandbox)?.containerExited(state)
      case .supervisorDied(let sandbox): await pods.worker(sandbox)?.supervisorDied()
      case .containerWarning(let sandbox, let container, let message): await pods.worker(sandbox)?.containerWarned(container, message)
      }
    }
  }

  // MARK: - The API

  /// Directories of pods that nobody knows any more: an agent that was killed between making them and remembering the pod
  /// leaves them behind.
  private func removeOrphans(listed: Set<String>) async {
    let directory = services.configuration.dataDirectory.appending("pods")
    let known = listed.union(pods.all.map(\.worker.uid))
    for uid in (try? FileManager.default.contentsOfDirectory(atPath: directory.string)) ?? [] where !known.contains(uid) {
      do {
        try await services.volumes.teardown(podUID: uid)
        removeLogs(of: uid)
      } catch {
        log.warning("the directory of pod \(uid), which is gone, was not removed: \(error)")
      }
    }
  }

  /// `<namespace>_<name>_<uid>` below the log directory, which other agents' pods may share.
  private func removeLogs(of uid: String) {
    let directory = services.configuration.logDirectory
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory.string)) ?? [] where name.hasSuffix("_\(uid)") {
      removeTree(directory.appending(name))
    }
  }

  private func followPods() async {
    var isFirst = true
    let selector = "spec.nodeName=\(services.configuration.nodeName)"
    for await event in services.client.reflect(.pods(), fieldSelector: selector, log: log) {
      switch event {
      case .synced(let items):
        await sync(items.map { Pod($0) })
        if isFirst { await removeOrphans(listed: Set(items.map { Pod($0).uid })) }
        isFirst = false
      case .changed(let object): await changed(Pod(object))
      case .deleted(let object): await deleted(Pod(object))
      }
    }
  }

  /// What is not listed is gone from the API: it may have been deleted while nobody watched.
  private func sync(_ listed: [Pod]) async {
    let known = Set(listed.map(\.uid))
    for entry in pods.all where !entry.isStatic && !known.contains(entry.worker.uid) {
      pods.update(entry.worker.uid) { $0.hasEnded = true }
      await entry.worker.objectGone(nil)
    }
    await mirrors.sync(listed.filter(\.isMirror), pods)
    // Older pods first: they were here before those that compete with them for ports and resources.
    for pod in listed.sorted(by: { ($0.json["status"]["startTime"].string ?? "~") < ($1.json["status"]["startTime"].string ?? "~") }) {
      await changed(pod)
    }
  }

  private func changed(_ pod: Pod) async {
    if pod.isMirror { return await mirrors.changed(pod, pods) }
    if let entry = pods.entry(pod.uid) {
      pods.update(pod.uid) {
        $0.pod = pod
        $0.hasEnded = $0.hasEnded || pod.isTerminal
      }
      return await entry.worker.update(pod)
    }
    let rejection = pod.isTerminal || pod.metadata.deletionTimestamp != nil ? nil : rejection(of: pod)
    let worker = makeWorker(pod, isStatic: false)
    if rejection != nil { pods.update(pod.uid) { $0.hasEnded = true } }
    await worker.start(rejection: rejection.map { ($0.reason, $0.message) })
  }

  /// A pod that has begun before is not judged again.
  private func rejection(of pod: Pod) -> PodRejection? {
    guard pod.status["startTime"].isNull else { return nil }
    let others = pods.all.filter { !$0.hasEnded }.map(\.granted)
    let node = Node(nodeAgent.node ?? .null)
    if let refused = pressureRejection(of: pod, conditions: nodeAgent.pressures) { return refused }
    return podRejection(of: pod, on: node, others: others, allowedUnsafeSysctls: services.configuration.allowedUnsafeSysctls)
  }

  private func deleted(_ pod: Pod) async {
    if pod.isMirror { return await mirrors.deleted(pod, pods) }
    // Whoever comes next is judged by the pods that the cluster has. What this one still holds is waited for.
    pods.update(pod.uid) { $0.hasEnded = true }
    await pods.worker(pod.uid)?.objectGone(pod)
  }

  // MARK: - Manifests

  private func followManifests(_ directory: FilePath) async {
    let source = StaticPods(directory: directory, nodeName: services.configuration.nodeName, log: log)
    for await manifests in source.changes() {
      let wanted = Set(manifests.map(\.uid))
      for entry in pods.all where entry.isStatic && !wanted.contains(entry.worker.uid) {
        await entry.worker.end(because: .orphaned, graceSeconds: entry.pod.spec.terminationGracePeriodSeconds)
      }
      for pod in manifests where pods.entry(pod.uid) == nil {
        await makeWorker(pod, isStatic: true).start(rejection: rejection(of: pod).map { ($0.reason, $0.message) })
      }
      await mirrors.set(manifests: manifests, pods)
    }
  }
}
