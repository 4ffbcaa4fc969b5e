import ContainerImages
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import PodLifecycle
import Synchronization
import SystemPackage

/// Keeps this machine's Node object and its lease in the API: registers, then writes the status when something changed
/// and renews the lease, whatever else the kubelet is busy with.
package final class NodeAgent: Sendable {
  /// Seconds between looks at the machine, between renewals, and at most between two writes of an unchanged status.
  static let statusSeconds = 10.0
  static let leaseSeconds = 10.0
  static let leaseDurationSeconds = 40
  static let statusWriteSecondsMax = 300.0
  /// Pauses between attempts to register.
  static let registerRetry = RetryBackoff(first: 0.1, most: 7)

  let configuration: KubeletConfiguration
  let client: KubernetesClient
  let events: EventRecorder
  let clock: KubeletClock
  let log: Logger
  package let facts: MachineFacts
  package let measures: NodeMeasures
  private let images: @Sendable () async -> [(names: [String], bytes: Int64)]
  private let state = Mutex(State())

  private struct State {
    var node: JSON?
    var problems: [String] = ["container runtime status check may not have completed yet"]
    var writtenAt = Timestamp(secondsSinceEpoch: 0)
    var changed: AsyncStream<Void>.Continuation?
    var conditions = PressureConditions()
    var network: NetworkState?
  }

  package init(
    configuration: KubeletConfiguration, client: KubernetesClient, events: EventRecorder, clock: KubeletClock, log: Logger,
    facts: MachineFacts? = nil, measures: NodeMeasures? = nil, images: @escaping @Sendable () async -> [(names: [String], bytes: Int64)]
  ) {
    self.configuration = configuration
    self.client = client
    self.events = events
    self.clock = clock
    self.log = log
    self.facts = facts ?? MachineFacts.read(dataDirectory: configuration.dataDirectory)
    self.measures = measures ?? .system(dataDirectory: configuration.dataDirectory)
    self.images = images
  }

  /// The Node as last seen or written.
  package var node: JSON? { state.withLock { $0.node } }

  /// Says what keeps the node from being ready; nothing: it is ready. Written at once where it changes.
  package func set(problems: [String]) {
    let changed = state.withLock { state in
      defer { state.problems = problems }
      return state.problems == problems ? nil : state.changed
    }
    changed?.yield()
  }

  /// Says whether pods of other nodes are reached. Written at once where it changes.
  package func set(network: NetworkState) {
    let changed = state.withLock { state in
      defer { state.network = network }
      return state.network == network ? nil : state.changed
    }
    changed?.yield()
  }

  /// `MemoryPressure`, `DiskPressure`, `PIDPressure`: those that hold.
  var pressures: Set<String> { state.withLock { $0.conditions.active } }

  /// The node is short of something: told at once where that is news.
  func pressureFound(_ met: [MetThreshold]) {
    let now = clock.now()
    let changed = state.withLock { state in
      let before = state.conditions.active
      state.conditions.update(met, now: now)
      return state.conditions.active == before ? nil : state.changed
    }
    changed?.yield()
  }

  // MARK: - Registration

  /// Creates the Node, or takes over the one that is there; tries until it succeeds or the task is cancelled.
  @discardableResult
  package func register() async throws -> JSON {
    var backoff = Self.registerRetry
    while true {
      do {
        let node = try await registerOnce()
        remember(node)
        return node
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        log.warning("node \(configuration.nodeName) is not registered yet: \(error)")
        try await clock.sleep(backoff.failed(at: clock.now()))
      }
    }
  }

  private func remember(_ node: JSON) {
    state.withLock { state in
      let mine = state.node?["metadata"]["resourceVersion"].string.flatMap { Int64($0) } ?? -1
      let theirs = node["metadata"]["resourceVersion"].string.flatMap { Int64($0) } ?? Int64.max
      if theirs >= mine { state.node = node }
    }
  }

  private func input() async -> NodeStatusInput {
    let met = metThresholds(measures.levels())
    let now = clock.now()
    let active = state.withLock { state in
      state.conditions.update(met, now: now)
      return state.conditions.active
    }
    return NodeStatusInput(
      facts: facts,
      pressure: MachinePressure(
        memory: active.contains("MemoryPressure"), disk: active.contains("DiskPressure"), processes: active.contains("PIDPressure")),
      problems: state.withLock { $0.problems }, images: await images(), network: state.withLock { $0.network })
  }

  private func registerOnce() async throws -> JSON {
    let node = newNode(configuration, await input(), now: clock.now())
    do {
      let created = try await client.create(.nodes, node)
      tellTransitions(from: .null, to: created["status"])
      return created
    } catch let error as APIStatusError where error.isAlreadyExists {
      let existing = try await client.get(.nodes, name: configuration.nodeName)
      return try await reconcileLabels(existing, node)
    }
  }

  /// The labels that a kubelet owns are brought up to date; those of others stay.
  private func reconcileLabels(_ existing: JSON, _ wanted: JSON) async throws -> JSON {
    var metadata: JSON = .object(JSONObject())
    for field in ["labels", "annotations"] {
      for (key, value) in wanted["metadata"][field].object ?? JSONObject() where existing["metadata"][field][key] != value {
        metadata[field][key] = value
      }
    }
    guard !metadata.isEmpty else { return existing }
    return try await client.patch(.nodes, name: configuration.nodeName, ["metadata": metadata])
  }

  // MARK: - Status

  /// Keeps status, lease and the view of the Node up to date until the task is cancelled.
  package func run() async {
    events.recordNode(.normal, "Starting", "Starting kubelet.")
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.followNode() }
      group.addTask { await self.keepStatus() }
      group.addTask { await self.keepLease() }
      group.addTask { await self.makeStorageNode() }
    }
  }

  private func followNode() async {
    for await event in client.reflect(.nodes, fieldSelector: "metadata.name=\(configuration.nodeName)", log: log) {
      switch event {
      case .synced(let items): items.first.map(remember)
      case .changed(let node): remember(node)
      case .deleted:
        log.warning(
          "the Node object \(configuration.nodeName) was deleted; it is made again when the agent starts again, where its certificate still counts"
        )
      }
    }
  }

  private func keepStatus() async {
    let (changes, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    state.withLock { $0.changed = continuation }
    let ticker = Task { [clock] in
      while !Task.isCancelled {
        try? await clock.sleep(clock.now().advanced(bySeconds: Self.statusSeconds))
        continuation.yield()
      }
    }
    defer { ticker.cancel() }
    await writeStatus()
    for await _ in changes {
      if Task.isCancelled { return }
      await writeStatus()
    }
  }

  private func writeStatus() async {
    guard let node else { return }
    let now = clock.now()
    let before = node["status"]
    let status = nodeStatus(previous: before, configuration, await input(), now: now)
    let isDue = now.seconds(since: state.withLock { $0.writtenAt }) >= Self.statusWriteSecondsMax
    guard isDue || nodeStatusChanged(from: before, to: status) else { return }
    guard var patch = statusPatch(from: before, to: status, mergeKeys: ["conditions": "type"]) else { return }
    // Addresses merge by type, and a node may have two of one type: the list is replaced as a whole.
    if let addresses = patch["addresses"].array { patch["addresses"] = .array([["$patch": "replace"]] + addresses) }
    do {
      let answer = try await client.patch(.nodes, name: configuration.nodeName, subresource: "status", ["status": patch])
      remember(answer)
      state.withLock { $0.writtenAt = now }
      tellTransitions(from: before, to: status)
    } catch {
      log.warning("the status of node \(configuration.nodeName) was not written: \(error)")
    }
  }

  private func tellTransitions(from old: JSON, to new: JSON) {
    func value(_ status: JSON, _ type: String) -> String? {
      (status["conditions"].array ?? []).first { $0["type"].string == type }?["status"].string
    }
    let names: [(type: String, good: String, goodEvent: String, badEvent: String)] = [
      ("Ready", "True", "NodeReady", "NodeNotReady"),
      ("MemoryPressure", "False", "NodeHasSufficientMemory", "NodeHasInsufficientMemory"),
      ("DiskPressure", "False", "NodeHasNoDiskPressure", "NodeHasDiskPressure"),
      ("PIDPressure", "False", "NodeHasSufficientPID", "NodeHasInsufficientPID"),
    ]
    for name in names where value(old, name.type) != value(new, name.type) {
      let reason = value(new, name.type) == name.good ? name.goodEvent : name.badEvent
      events.recordNode(.normal, reason, "Node \(configuration.nodeName) status is now: \(reason)")
    }
  }

  // MARK: - Storage

  /// The CSINode of this node: there even without drivers, as clients and the scheduler expect.
  private func makeStorageNode() async {
    let path = ResourcePath(group: "storage.k8s.io", "csinodes")
    var backoff = Self.registerRetry
    while !Task.isCancelled {
      do {
        guard let uid = node?["metadata"]["uid"], !uid.isNull else { throw CancellationError() }
        let owner: JSON = ["apiVersion": "v1", "kind": "Node", "name": .string(configuration.nodeName), "uid": uid]
        let metadata: JSON = ["name": .string(configuration.nodeName), "ownerReferences": [owner]]
        _ = try await client.create(
          path, ["apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": metadata, "spec": ["drivers": []]])
        return
      } catch let error as APIStatusError where error.isAlreadyExists {
        return
      } catch {
        log.debug("the CSINode \(configuration.nodeName) was not made: \(error)")
        try? await clock.sleep(backoff.failed(at: clock.now()))
      }
    }
  }

  // MARK: - Lease

  private func keepLease() async {
    let leases = ResourcePath.leases("kube-node-lease")
    let name = configuration.nodeName
    var lease: JSON?
    var backoff = RetryBackoff(first: 0.2, most: 7)
    while !Task.isCancelled {
      var next = clock.now().advanced(bySeconds: Self.leaseSeconds)
      do {
        if var current = lease {
          current["spec"]["renewTime"] = .string(clock.now().rfc3339Micro)
          lease = try await client.update(leases, name: name, current)
        } else {
          lease = try await obtainLease(leases, name)
        }
        backoff.succeeded()
      } catch {
        lease = nil
        log.debug("lease of node \(name) was not renewed: \(error)")
        next = backoff.failed(at: clock.now())
      }
      try? await clock.sleep(next)
    }
  }

  private func obtainLease(_ leases: ResourcePath, _ name: String) async throws -> JSON {
    var spec: JSON = ["holderIdentity": .string(name), "leaseDurationSeconds": JSON(Self.leaseDurationSeconds)]
    spec["renewTime"] = .string(clock.now().rfc3339Micro)
    var metadata: JSON = ["name": .string(name), "namespace": "kube-node-lease"]
    if let uid = node?["metadata"]["uid"], !uid.isNull {
      metadata["ownerReferences"] = [["apiVersion": "v1", "kind": "Node", "name": .string(name), "uid": uid]]
    }
    do {
      return try await client.create(leases, ["apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec])
    } catch let error as APIStatusError where error.isAlreadyExists {
      var existing = try await client.get(leases, name: name)
      existing["spec"] = spec
      return try await client.update(leases, name: name, existing)
    }
  }
}
