import LinuxKernel
import NFTables
import Netlink
import Synchronization
import SystemPackage

/// One routed veth for each pod, without a bridge, and the node's address range, rules and settings that belong to it.
///
/// In the pod: eth0 with <ip>/32, a default route by 169.254.1.1, and that address's permanent neighbour entry. On the host: a route
/// to <ip>/32 by the pod's link, and the pod's permanent neighbour entry. Nobody asks by ARP. See docs/decisions/pod-network.md.
package final class PodNetwork: Sendable {
  /// Threads that speak to the kernel; it lets one at a time change links anyway, a second one prepares meanwhile.
  static let workersMax = 2

  let plan: NetworkPlan
  let configuration: PodNetworkConfiguration
  let settings: HostSettings
  let workers: [NetworkWorker]
  let state: Mutex<State>
  private let watcher = Mutex<LinkWatcher?>(nil)

  struct State: Sendable {
    var table: LeaseTable
    /// Nil once the network is closed.
    var journal: LeaseJournal?
    /// Nil before `start`.
    var mtu: UInt32?
    /// Addresses of leases that this process did not make; only those are `recover`'s business.
    var inherited: Set<IPv4Address>
    /// When the host end of a draining lease is to be deleted by hand.
    var deadlines: [IPv4Address: ContinuousClock.Instant] = [:]
  }

  /// Reads the leases; changes nothing on the host.
  package init(_ configuration: PodNetworkConfiguration) throws {
    plan = try NetworkPlan(configuration)
    self.configuration = configuration
    settings = HostSettings(directory: configuration.stateDirectory)
    do {
      let (journal, table) = try LeaseJournal.open(in: configuration.stateDirectory, range: plan.pods)
      state = Mutex(State(table: table, journal: journal, inherited: Set(table.leases.keys)))
    } catch let error as KernelError {
      throw PodNetworkError(.state, "cannot read the leases in \(configuration.stateDirectory)", cause: error)
    }
    let home = configuration.hostNamespace.map { NamespaceThread.Home.existing($0) } ?? .current
    workers = try (0..<Self.workersMax).map { _ in try NetworkWorker(home) }
  }

  deinit { close() }

  /// Rules, settings and the range's route; takes note of host ends that no lease explains. May be repeated.
  package func start() throws {
    let worker = workers[0]
    try worker.thread.performBlocking { [self] in
      try failing("prepare the host for pods") {
        let mtu = try configuration.mtu.map { UInt32($0) } ?? worker.defaultMTU()
        try takeRange(worker)
        try takeCluster(worker)
        try settings.apply()
        try worker.route.request(.putRoute(PodWiring.emptyRange(plan.pods)))
        try noteStrays(worker)
        try installRules(worker)
        state.withLock { $0.mtu = mtu }
      }
    }
    try startWatcher()
    try settleDraining()
  }

  /// Joins a sandbox's network namespace (a descriptor that stays open meanwhile) to the host. Repeating it repairs.
  /// - Throws: `PodNetworkError`: `.exhausted`, `.hostPortTaken`, `.badHostPort`, `.kernel`, ...
  package func attach(sandbox: String, netns: Int32, hostPorts: [HostPort] = []) async throws -> PodAddress {
    try Self.check(sandbox: sandbox, hostPorts: hostPorts)
    let worker = worker(of: sandbox)
    return try await worker.thread.perform { [self] in
      try failing("attach sandbox \(sandbox) to the pod network") {
        try attachNow(sandbox, netns: netns, hostPorts: hostPorts, worker)
      }
    }
  }

  /// Takes the sandbox's address out of use. Its host end goes with its namespace; the address is not given again before that.
  /// A sandbox that is not attached is no error.
  package func detach(sandbox: String) async throws {
    let worker = worker(of: sandbox)
    try await worker.thread.perform { [self] in
      try failing("detach sandbox \(sandbox) from the pod network") { try detachNow(sandbox, worker) }
    }
  }

  package func address(of sandbox: String) -> PodAddress? {
    state.withLock { $0.table.lease(of: sandbox) }.map { Self.podAddress($0) }
  }

  /// Stops the threads and lets go of the state directory; pods keep their network.
  package func close() {
    watcher.withLock { $0.take()?.stop() }
    state.withLock { $0.journal = nil }
  }

  /// Takes back all that this instance put on the host: links, routes, rules, settings, state.
  package func remove() throws {
    let worker = workers[0]
    try worker.thread.performBlocking { [self] in
      try failing("remove the pod network") {
        try worker.deleteLinks(worker.ownLinks(plan).values.map(\.index), plan: plan)
        try PeerKernel.remove(
          plan, cluster: [try NodeRange.cluster(configuration.stateDirectory) ?? plan.cluster].map { $0.ofEitherFamily }, worker)
        try worker.netfilter.commit(.deleting(plan.table))
        if let range = try NodeRange.read(configuration.stateDirectory) { try deleteRoute(of: range, worker) }
        // Every instance that is at work here has the route of its range.
        let others = try worker.routes().contains { $0.origin == Route.ours && $0.kind == .unreachable }
        try settings.restore(isNeeded: others)
      }
    }
    close()
    let kept = ["leases", "settings", NodeRange.name, NodeRange.clusterName].flatMap { [$0, $0 + ".new"] }
    for name in kept + [WireGuardTunnel.keyName, "lock"] { removeFile(configuration.stateDirectory.appending(name)) }
  }

  /// The range is on disk before its route is on the host: `remove` takes away exactly this route, whatever it is told.
  private func takeRange(_ worker: NetworkWorker) throws {
    let recorded = try NodeRange.read(configuration.stateDirectory)
    if recorded == plan.pods { return }
    if let recorded { try deleteRoute(of: recorded, worker) }  // the cluster gave the node another range
    try NodeRange.write(plan.pods, configuration.stateDirectory)
  }

  /// So is the cluster's range: `remove` finds the routes to other nodes by it.
  private func takeCluster(_ worker: NetworkWorker) throws {
    let recorded = try NodeRange.cluster(configuration.stateDirectory)
    if recorded == plan.cluster { return }
    if let recorded { try PeerKernel.remove(plan, cluster: [recorded.ofEitherFamily], worker) }
    try NodeRange.write(plan.cluster, configuration.stateDirectory, as: NodeRange.clusterName)
  }

  /// What links of new pods get.
  func set(mtu: UInt32) { state.withLock { $0.mtu = mtu } }

  private func deleteRoute(of range: IPv4Prefix, _ worker: NetworkWorker) throws {
    do {
      try worker.route.request(.deleteRoute(PodWiring.emptyRange(range)))
    } catch  where error.isAbsence {}
  }

  // MARK: What the other files of this room share

  /// Jobs of one sandbox go to one thread, so they never overlap.
  func worker(of sandbox: String) -> NetworkWorker { workers[Int(stableHash(sandbox) % UInt64(workers.count))] }

  /// Writes the changes that `decide` makes of the present leases, then lets them hold.
  func change<Value: Sendable>(_ decide: (LeaseTable) throws -> ([LeaseChange], Value)) throws -> Value {
    try state.withLock { state in
      let (changes, value) = try decide(state.table)
      if changes.isEmpty { return value }
      var next = state.table
      changes.forEach { next.apply($0) }
      guard state.journal != nil else { throw PodNetworkError(.state, "the pod network is closed") }
      try state.journal?.append(changes, table: next)
      state.table = next
      for case .free(let address) in changes {
        state.inherited.remove(address)
        state.deadlines[address] = nil
      }
      return value
    }
  }

  func installRules(_ worker: NetworkWorker) throws {
    let leases = state.withLock { Array($0.table.leases.values) }
    try worker.netfilter.commit(NodeRules.install(plan, leases: leases))
  }

  func wakeWatcher() { watcher.withLock { $0?.wake() } }

  static func podAddress(_ lease: Lease) -> PodAddress {
    PodAddress(
      ip: lease.address.description, gateway: PodWiring.gateway.description, interface: PodWiring.podInterface,
      hostInterface: lease.interface)
  }

  func failing<Value>(_ purpose: String, _ body: () throws -> Value) throws -> Value {
    do {
      return try body()
    } catch let error as PodNetworkError {
      throw error
    } catch let error as NetlinkError {
      throw PodNetworkError(.kernel, "cannot \(purpose)", cause: error)
    } catch {
      throw PodNetworkError(.state, "cannot \(purpose)", cause: error)
    }
  }

  private static func check(sandbox: String, hostPorts: [HostPort]) throws(PodNetworkError) {
    guard (1...253).contains(sandbox.utf8.count), sandbox.utf8.allSatisfy({ (33...126).contains($0) }) else {
      throw PodNetworkError(.badSandbox, "sandbox id \"\(sandbox)\": wants 1 to 253 visible ASCII characters")
    }
    for port in hostPorts {
      guard port.hostPort > 0, port.containerPort > 0 else {
        throw PodNetworkError(.badHostPort, "host port \(port.hostPort) to \(port.containerPort): ports are 1 to 65535")
      }
      if let address = port.hostIP, IPv4Address(address) == nil {
        throw PodNetworkError(.badHostPort, "hostIP \"\(address)\" of host port \(port.hostPort) is no IPv4 address")
      }
    }
  }

  private func startWatcher() throws {
    try watcher.withLock { watcher in
      if watcher != nil { return }
      let home = configuration.hostNamespace.map { NamespaceThread.Home.existing($0) } ?? .current
      watcher = try LinkWatcher(
        home,
        gone: { [weak self] name in self?.linkIsGone(name) },
        missed: { [weak self] in try? self?.settleDraining() },
        due: { [weak self] in self?.deleteOverdue() })
    }
  }
}
