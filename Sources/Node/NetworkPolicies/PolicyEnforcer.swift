import JSONCodec
import KubernetesClient
import Logging
import NFTables
import PolicyRules
import ServiceRules

/// Keeps the kernel's rules equal to what NetworkPolicies say of this node's pods. As long as there are no policies it follows nothing
/// else and holds nothing; with the first one it follows pods and namespaces too, because policies name them by their labels.
package actor PolicyEnforcer {
  /// Milliseconds before the kernel is told again after it refused; doubles up to the second.
  static let retryMin = 50
  static let retryMax = 1_000

  private let configuration: PolicyConfiguration
  private let client: KubernetesClient
  private let log: Logger
  private var state: PolicyState
  private var known = Known()
  /// Pods that start wait for the first list of policies.
  private var isPatient = true
  /// Pods of this node by sandbox, from before their containers start until their addresses are free.
  private var local: [String: PolicyPod] = [:]

  private var kernel: PolicyKernel?
  private var followers: Task<Void, Never>?
  /// What the kernel was told last; nil: it may hold anything.
  private var told: [Table: PolicyTable]?
  /// Counts changes; `toldUpTo` are in the kernel.
  private var changes = 0
  private var toldUpTo = 0
  private var isTelling = false
  private var retry = retryMin
  private var waiting: [(change: Int, continuation: CheckedContinuation<Void, Never>)] = []
  private var lastFailure: String?

  private struct Known {
    var policies = false
    var pods = false
    var namespaces = false
  }

  package init(_ configuration: PolicyConfiguration, client: KubernetesClient, log: Logger) {
    self.configuration = configuration
    self.client = client
    self.log = log
    let dns = PolicyPod(
      name: ObjectName("kube-system", "the DNS server of every node"), node: "", labels: ["k8s-app": "kube-dns"],
      addresses: configuration.dnsAddresses.compactMap { IPAddress($0) },
      namedPorts: [.init(name: "dns", transport: .udp, number: 53), .init(name: "dns-tcp", transport: .tcp, number: 53)])
    state = PolicyState(
      node: configuration.nodeName, tableName: configuration.tableName, families: configuration.families,
      standIns: dns.addresses.isEmpty ? [] : [dns])
  }

  /// Runs until the task is cancelled. Rules stay: a pod does not become open because the agent is away.
  package func run() async {
    let silence = Task { [weak self, configuration] in
      try await Task.sleep(for: .seconds(configuration.silenceSeconds))
      await self?.stopWaitingForPolicies()
    }
    let policies = ResourcePath(group: "networking.k8s.io", "networkpolicies")
    for await event in client.reflect(policies, log: log) { take(policy: event) }
    silence.cancel()
    stopFollowing()
  }

  /// Takes the rules away; all pods of this machine can be reached again.
  package static func remove(_ configuration: PolicyConfiguration) async throws {
    let tables = [Family.ipv4, .ipv6].map { Table($0, configuration.tableName) }
    try await PolicyKernel.remove(tables, configuration.hostNamespace)
  }

  // MARK: the pods of this node

  /// Returns when the policies of a pod hold for its addresses, so that none of its containers is ever without.
  /// - Throws: `PolicyError` after the configured patience
  package func protect(_ pod: PolicyPod, sandbox: String) async throws {
    local[sandbox] = pod
    state.announce(pod)
    changed()
    if !mustWait { return }
    let mine = changes
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(configuration.patienceSeconds)
    let alarm = Task { [weak self] in
      try await clock.sleep(until: deadline)
      await self?.wakeAll()
    }
    defer { alarm.cancel() }
    while toldUpTo < mine, mustWait, clock.now < deadline {
      await withCheckedContinuation { waiting.append((mine, $0)) }
    }
    guard toldUpTo < mine, mustWait else { return }
    let reason =
      lastFailure ?? (known.policies ? "pods and namespaces could not be listed yet" : "network policies could not be listed yet")
    throw PolicyError("the network policies of \(pod.name) are not in force after \(configuration.patienceSeconds) s: \(reason)")
  }

  private var mustWait: Bool { known.policies ? state.hasPolicies : isPatient }

  /// The sandbox's addresses are free.
  package func release(sandbox: String) {
    guard let pod = local.removeValue(forKey: sandbox) else { return }
    state.retract(pod)
    changed()
  }

  // MARK: what is heard

  private func take(policy event: ReflectorEvent) {
    switch event {
    case .synced(let list):
      state.replace(policies: list)
      known.policies = true
    case .changed(let object): state.put(policy: object)
    case .deleted(let object): state.remove(policy: object)
    }
    if state.hasPolicies { follow() } else { stopFollowing() }
    changed()
  }

  private func take(pod event: ReflectorEvent) {
    switch event {
    case .synced(let list):
      state.replace(pods: list)
      known.pods = true
    case .changed(let object): state.put(pod: object)
    case .deleted(let object): state.remove(pod: object)
    }
    changed()
  }

  private func take(namespace event: ReflectorEvent) {
    switch event {
    case .synced(let list):
      state.replace(namespaces: list)
      known.namespaces = true
    case .changed(let object): state.put(namespace: object)
    case .deleted(let object): state.remove(namespace: object)
    }
    changed()
  }

  /// With the first policy.
  private func follow() {
    if followers != nil { return }
    followers = Task { [client, log] in
      await withTaskGroup(of: Void.self) { group in
        group.addTask { for await event in client.reflect(.namespaces, log: log) { await self.take(namespace: event) } }
        group.addTask { for await event in client.reflect(.pods(), log: log) { await self.take(pod: event) } }
      }
    }
  }

  /// After the last policy.
  private func stopFollowing() {
    guard let followers else { return }
    followers.cancel()
    self.followers = nil
    known.pods = false
    known.namespaces = false
    state.replace(pods: [])
    state.replace(namespaces: [])
  }

  private func stopWaitingForPolicies() {
    if known.policies { return }
    log.warning(
      "network policies could not be listed for \(configuration.silenceSeconds) s: what was enforced before stays so, new pods start without. In a cluster of another kind this node needs list and watch of networkpolicies, namespaces and pods."
    )
    // The rules that are there are left alone: the server may only be away.
    isPatient = false
    wakeAll()
  }

  // MARK: what the kernel is told

  private func changed() {
    changes += 1
    tell()
  }

  private func disturbed() {
    told = nil
    changed()
  }

  /// Half of what policies need would open or close what it should not.
  private var isReady: Bool { known.policies && (!state.hasPolicies || known.pods && known.namespaces) }

  private func tell() {
    guard isReady, !isTelling, toldUpTo < changes else { return }
    isTelling = true
    Task {
      while isReady, toldUpTo < changes { await tellOnce() }
      isTelling = false
    }
  }

  private func tellOnce() async {
    let upTo = changes
    let wanted = Dictionary(uniqueKeysWithValues: state.tables().map { ($0.table, $0) })
    do {
      try await tellKernel(wanted)
      toldUpTo = max(toldUpTo, upTo)
      retry = Self.retryMin
      lastFailure = nil
      wakeAll()
    } catch {
      told = nil
      lastFailure = "\(error)"
      log.error("the rules of network policies could not be brought up to date and are written again in \(retry) ms: \(error)")
      try? await Task.sleep(for: .milliseconds(retry))
      retry = min(retry * 2, Self.retryMax)
    }
  }

  private func tellKernel(_ wanted: [Table: PolicyTable]) async throws {
    let before = told
    if wanted.isEmpty, before?.isEmpty != false {
      if before == nil { try await PolicyKernel.remove(state.allTables, configuration.hostNamespace) }
      told = [:]
      kernel?.stop()
      kernel = nil
      return
    }
    let kernel = try openKernel()
    // A foreign change while this is on its way must not be taken for told.
    told = wanted
    for table in state.allTables {
      switch (before?[table], wanted[table]) {
      case (let old?, let new?):
        let changes = new.changes(from: old)
        if !changes.isEmpty { try await kernel.apply(changes, to: table) }
      case (nil, let new?): try await kernel.apply(new.replacement, to: table)
      case (_?, nil): try await kernel.apply([.addTable, .deleteTable], to: table)
      case (nil, nil): if before == nil { try await kernel.apply([.addTable, .deleteTable], to: table) }
      }
    }
  }

  private func openKernel() throws -> PolicyKernel {
    if let kernel { return kernel }
    let new = try PolicyKernel(configuration.hostNamespace, tables: state.allTables) { [weak self] in
      Task { await self?.disturbed() }
    }
    kernel = new
    return new
  }

  private func wakeAll() {
    let woken = waiting
    waiting = []
    for waiter in woken { waiter.continuation.resume() }
  }

  /// For tests: everything heard so far is in the kernel.
  package var isSettled: Bool { isReady && toldUpTo == changes }
}
