import JSONCodec
import KubernetesClient
import Logging
import NFTables
import Netlink
import ServiceRules
import Synchronization

/// Keeps the kernel's rules equal to what Services and EndpointSlices say. Changes that come while the kernel is being told others wait
/// and go together in the next transaction; nothing else makes them wait.
package actor ServiceProxy {
  /// Milliseconds before the kernel is told again after it refused; doubles up to the second.
  static let retryMin = 50
  static let retryMax = 1_000

  let configuration: ServiceProxyConfiguration
  private let client: KubernetesClient
  let log: Logger
  private let kernel: KernelRules
  private let tables: Set<Table>
  var state: ServiceState
  private var hasServices = false
  private var hasSlices = false
  var isTelling = false
  /// The kernel's tables may differ from what we told it.
  var mustCompare = true
  /// Where stale flows of UDP may be, and what is not stale there.
  private var flowsToCheck: [UDPFrontend: Set<Backend>] = [:]
  private var retry = retryMin
  package private(set) var statistics = ProxyStatistics()
  private var health: ProxyHealthServers?
  /// Reads flows while `kernel` is busy with rules; made when first needed.
  var flows: KernelRules?
  /// Changes that came, and those of them that the kernel has.
  var wanted = 0
  var told = 0
  /// Those who wait until something is in the kernel, or in the slices.
  var waiters: [Int: AsyncStream<Void>.Continuation] = [:]
  var waiterNumber = 0
  nonisolated let served = Mutex<Set<String>>([])

  package init(_ configuration: ServiceProxyConfiguration, client: KubernetesClient, log: Logger) throws {
    self.configuration = configuration
    self.client = client
    self.log = log
    let options = try configuration.options()
    state = ServiceState(options: options)
    tables = Set(options.layouts.map(\.table))
    kernel = try KernelRules(configuration.hostNamespace.map { .existing($0) } ?? .current)
  }

  /// Runs until the task is cancelled. Rules stay: connections of pods go on without us.
  package func run() async throws {
    let servers = ProxyHealthServers(configuration, log: log) { [weak self] in await self?.report() ?? ProxyReport() }
    try await servers.start()
    health = servers
    let (foreign, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let watcher = try TableWatcher(.existing(kernel.namespace), tables: tables, own: kernel.port) { continuation.yield() }
    let ours = "!service.kubernetes.io/service-proxy-name"
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [client, log] in
        for await event in client.reflect(.services(), labelSelector: ours, log: log) { await self.take(service: event) }
      }
      group.addTask { [client, log] in
        let slices = ResourcePath(group: "discovery.k8s.io", "endpointslices")
        for await event in client.reflect(slices, labelSelector: "!service.kubernetes.io/headless,\(ours)", log: log) {
          await self.take(slice: event)
        }
      }
      group.addTask { [client, log, configuration] in
        for await event in client.reflect(.nodes, fieldSelector: "metadata.name=\(configuration.nodeName)", log: log) {
          await self.take(node: event)
        }
      }
      group.addTask { for await _ in foreign { await self.compare() } }
    }
    watcher.stop()
    await Task { await servers.stop() }.value
  }

  /// Takes the rules away; services no longer work on this machine.
  package static func remove(_ configuration: ServiceProxyConfiguration) async throws {
    let kernel = try KernelRules(configuration.hostNamespace.map { .existing($0) } ?? .current)
    for family in [NFTables.Family.ipv4, .ipv6] { try await kernel.remove(Table(family, configuration.tableName)) }
  }

  /// The tables as the kernel holds them; none where there are none.
  package static func read(_ configuration: ServiceProxyConfiguration) async throws -> [(family: NFTables.Family, table: FoundTable)] {
    let kernel = try KernelRules(configuration.hostNamespace.map { .existing($0) } ?? .current)
    var found: [(family: NFTables.Family, table: FoundTable)] = []
    for family in [NFTables.Family.ipv4, .ipv6] {
      if let table = try await kernel.read(Table(family, configuration.tableName)) { found.append((family, table)) }
    }
    return found
  }

  private func take(service event: ReflectorEvent) {
    switch event {
    case .synced(let list):
      state.replace(services: list)
      hasServices = true
    case .changed(let object): state.put(service: object)
    case .deleted(let object): state.remove(service: object)
    }
    tell()
  }

  private func take(slice event: ReflectorEvent) {
    switch event {
    case .synced(let list):
      state.replace(slices: list)
      hasSlices = true
    case .changed(let object): state.put(slice: object)
    case .deleted(let object): state.remove(slice: object)
    }
    let pods = state.servedPods
    served.withLock { $0 = pods }
    tell()
    wakeWaiters()
  }

  private func take(node event: ReflectorEvent) {
    var object = JSON.null
    switch event {
    case .synced(let list): object = list.first ?? .null
    case .changed(let node): object = node
    case .deleted: break
    }
    let toBeDeleted = (object["spec"]["taints"].array ?? []).contains { $0["key"].string == "ToBeDeletedByClusterAutoscaler" }
    statistics.isNodeEligible = object["metadata"]["deletionTimestamp"].isNull && !toBeDeleted
    var node = state.options.node
    node.zone = object["metadata"]["labels"]["topology.kubernetes.io/zone"].string
    state.set(node: node)
    tell()
  }

  private func compare() {
    mustCompare = true
    tell()
  }

  /// Nothing is told before both lists are known: half of them would take away what works.
  func tell() {
    wanted += 1
    guard hasServices, hasSlices, !isTelling, mustCompare || state.hasChanges else { return }
    isTelling = true
    statistics.queued = .now
    Task {
      while mustCompare || state.hasChanges, !Task.isCancelled { await tellOnce() }
      isTelling = false
    }
  }

  private func tellOnce() async {
    let began = ContinuousClock.now
    let compares = mustCompare
    mustCompare = false
    let reached = wanted
    flowsToCheck.merge(state.update()) { _, new in new }
    let touched = flowsToCheck
    do {
      var count = 0
      for index in state.tables.indices {
        let table = state.tables[index].layout.table
        let changes: [Change]
        if compares {
          let found = try await kernel.read(table)
          changes = state.differences(index, from: found)
        } else {
          changes = state.takeChanges(index)
        }
        count += changes.count
        if !changes.isEmpty { try await kernel.apply(changes, to: table) }
      }
      let ended = try await kernel.endStaleFlows(touched, nodeAddresses: Set(state.options.node.nodePortAddresses))
      flowsToCheck = [:]
      retry = Self.retryMin
      told = reached
      wakeWaiters()
      statistics.told(changes: count, wasFull: compares, flows: ended, took: ContinuousClock.now - began)
      await health?.set(state.healthChecks)
    } catch {
      mustCompare = true
      statistics.failures += 1
      log.error("the rules of services could not be brought up to date and are compared again in \(retry) ms: \(error)")
      try? await Task.sleep(for: .milliseconds(retry))
      retry = min(retry * 2, Self.retryMax)
    }
  }

  private func report() -> ProxyReport {
    ProxyReport(statistics: statistics, isBehind: statistics.isBehind(now: .now, isTelling: isTelling))
  }

  /// For tests and tools: everything told so far is in the kernel.
  package var isSettled: Bool { hasServices && hasSlices && !isTelling && !mustCompare && !state.hasChanges }
}
