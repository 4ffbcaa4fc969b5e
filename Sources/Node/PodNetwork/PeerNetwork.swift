import JSONCodec
import KubernetesClient
import Logging
import NFTables
import Netlink
import Synchronization

/// How pods of this node reach those of other nodes; see docs/decisions/pod-network.md.
package struct PeerConfiguration: Sendable {
  package var backend: NetworkBackend
  package var nodeName: String
  /// This node's addresses; the first one's family is that of tunnels.
  package var nodeAddresses: [String]
  /// For `.wireguard`.
  package var tunnel: WireGuardTunnel?

  package init(backend: NetworkBackend, nodeName: String, nodeAddresses: [String], tunnel: WireGuardTunnel? = nil) {
    self.backend = backend
    self.nodeName = nodeName
    self.nodeAddresses = nodeAddresses
    self.tunnel = tunnel
  }
}

/// Follows the cluster's nodes and keeps the ways to their pods. Changes that come while the kernel is being told others go together.
package actor PeerNetwork {
  /// Milliseconds before the kernel is told again after it refused; doubles up to the last.
  static let retryMin = 100
  static let retryMax = 10_000

  private let kernel: PeerKernel
  private let home: NamespaceThread.Home
  private let log: Logger
  /// New pods get links of this size; nil: of the one configured.
  private let onMTU: @Sendable (UInt32) -> Void
  /// Why no other node is reached; nil: all is well.
  private let onState: @Sendable (String?) -> Void
  private var peers: [String: PeerNode] = [:]
  private var isKnown = false
  private var isTelling = false
  private var hasNews = false
  private var retry = retryMin
  private var said: Set<String> = []
  private var watcher: PeerWatcher?
  private nonisolated let others = Mutex(true)
  /// Times that the kernel was read, and changes that it was told.
  package private(set) var rounds = 0
  package private(set) var changes = 0

  package init(
    _ configuration: PeerConfiguration, network: PodNetwork, log: Logger, onState: @escaping @Sendable (String?) -> Void = { _ in }
  ) throws {
    let addresses = configuration.nodeAddresses.compactMap { IPAddress($0) }
    let plan = network.plan
    let site = NodeSite(
      name: configuration.nodeName, nodeAddresses: addresses, ranges: [plan.pods.ofEitherFamily],
      clusterRanges: [plan.cluster.ofEitherFamily], addresses: [])
    home = network.configuration.hostNamespace.map { .existing($0) } ?? .current
    kernel = PeerKernel(plan: plan, backend: configuration.backend, worker: network.workers[0], site: site, tunnel: configuration.tunnel)
    self.log = log
    self.onState = onState
    let fixed = network.configuration.mtu
    onMTU = { if fixed == nil { network.set(mtu: $0) } }
  }

  /// Makes the ways to these nodes before the first pod starts.
  /// - Throws: what would be no better the next time, such as a kernel without the device that is wanted
  package func start(_ nodes: [JSON]) async throws {
    peers = Self.named(nodes)
    isKnown = true
    do {
      try await tellOnce()
    } catch let error as PodNetworkError where kernel.backend == .wireguard || kernel.backend == .vxlan {
      throw error  // asked for by name
    } catch {
      failed(error)
    }
  }

  /// Follows the nodes until the task is cancelled. The ways stay: pods go on without us.
  package func run(client: KubernetesClient) async throws {
    let (foreign, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let watcher = try PeerWatcher(home, own: [kernel.worker.route.port]) { continuation.yield() }
    self.watcher = watcher
    look()  // for what changed before the watcher listened
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [log] in for await event in client.reflect(.nodes, log: log) { await self.take(event) } }
      group.addTask { for await _ in foreign { await self.look() } }
    }
    watcher.stop()
  }

  private static func named(_ nodes: [JSON]) -> [String: PeerNode] {
    Dictionary(nodes.compactMap { PeerNode($0) }.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
  }

  func take(_ event: ReflectorEvent) {
    let before = peers
    switch event {
    case .synced(let nodes):
      peers = Self.named(nodes)
      isKnown = true
    case .changed(let object): if let node = PeerNode(object) { peers[node.name] = node }
    case .deleted(let object): if let node = PeerNode(object) { peers[node.name] = nil }
    }
    // Nodes write their status every few seconds; most of that is nothing to us.
    if peers != before { look() }
  }

  /// Whether the cluster has other nodes; true until that is known.
  package nonisolated var hasOthers: Bool { others.withLock { $0 } }

  private func look() {
    hasNews = true
    let count = peers.keys.count { $0 != kernel.site.name }
    if isKnown { others.withLock { $0 = count > 0 } }
    guard isKnown, !isTelling else { return }
    isTelling = true
    Task {
      while hasNews, !Task.isCancelled {
        do {
          try await tellOnce()
        } catch {
          failed(error)
        }
      }
      isTelling = false
    }
  }

  private func tellOnce() async throws {
    hasNews = false
    rounds += 1
    let nodes = Array(peers.values)
    let outcome = try await kernel.worker.thread.perform { [kernel] in try kernel.bring(nodes) }
    changes += outcome.changes
    watcher?.follow(outcome.links)
    onMTU(outcome.mtu)
    onState(nil)
    for problem in outcome.problems where !said.contains(problem) { log.warning("pod network: \(problem)") }
    said = Set(outcome.problems)
    if let failure = outcome.failures.first {
      log.warning("pod network: \(outcome.failures.count) changes were refused, tries again in \(retry) ms: \(failure)")
      again()
    } else {
      retry = Self.retryMin
    }
  }

  private func failed(_ error: any Error) {
    onState("\(error)")
    log.error("the ways to other nodes' pods could not be made, tries again in \(retry) ms: \(error)")
    again()
  }

  private func again() {
    let pause = retry
    retry = min(retry * 2, Self.retryMax)
    Task { [weak self] in
      try? await Task.sleep(for: .milliseconds(pause))
      await self?.look()
    }
  }

  /// For tests: the kernel has what was told so far.
  package var isSettled: Bool { isKnown && !isTelling && !hasNews }
}
