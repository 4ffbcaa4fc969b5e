import LinuxKernel
import NFTables
import Netlink
import Synchronization

/// Attach and detach, on a worker's thread.
extension PodNetwork {
  func attachNow(
    _ sandbox: String, netns: Int32, hostPorts: [HostPort], _ worker: NetworkWorker
  ) throws -> PodAddress {
    guard let mtu = state.withLock({ $0.mtu }) else { throw PodNetworkError(.notStarted, "the pod network is not started") }
    let pod = try worker.thread.visiting(netns) { try NetlinkSocket(.route) }
    let known = state.withLock { $0.table.lease(of: sandbox) }
    let decision = AttachDecision.decide(
      hasLease: known != nil, hostLink: try known.flatMap { try worker.link($0.interface) },
      podLink: known == nil ? nil : try pod.link(PodWiring.podInterface))
    if decision == .replace { try detachNow(sandbox, worker) }
    if decision == .replace || known == nil { try endDraining(of: sandbox, pod: pod, worker) }
    let lease = try reserve(sandbox, hostPorts: hostPorts)
    do {
      switch decision {
      case .create, .replace: try makeLink(lease, netns: netns, mtu: mtu, pod: pod, worker)
      case .repair(let hostLink, let podLink): try wire(lease, hostLink: hostLink, podLink: podLink, pod: pod, worker)
      }
      try openPorts(lease, before: decision == .replace ? nil : known, worker)
    } catch {
      try? undo(lease, worker)
      throw error
    }
    return Self.podAddress(lease)
  }

  /// A sandbox that is attached again right after its detach may still have the old link in its namespace: that one goes now.
  private func endDraining(of sandbox: String, pod: NetlinkSocket, _ worker: NetworkWorker) throws {
    let draining = state.withLock { $0.table.leases.values.filter { $0.sandbox == sandbox && $0.phase == .draining } }
    if draining.isEmpty { return }
    guard let inside = try pod.link(PodWiring.podInterface) else { return }
    for lease in draining {
      guard let host = try worker.link(lease.interface), host.index == inside.peerIndex, host.peerIndex == inside.index else { continue }
      try worker.deleteLinks([host.index], plan: plan)
      try change { _ in ([.free(lease.address)], ()) }
    }
  }

  /// The sandbox's lease, or a new one; on disk when it returns.
  private func reserve(_ sandbox: String, hostPorts: [HostPort]) throws -> Lease {
    let lease = try change { table -> ([LeaseChange], Lease) in
      for port in hostPorts {
        if let holder = table.holder(of: port, except: sandbox) {
          throw PodNetworkError(
            .hostPortTaken, "host port \(port.hostPort) (protocol \(port.transport)) belongs to sandbox \(holder.sandbox) already")
        }
      }
      if var lease = table.lease(of: sandbox) {
        if lease.hostPorts == hostPorts { return ([], lease) }
        lease.hostPorts = hostPorts
        return ([.put(lease)], lease)
      }
      guard let address = table.nextAddress() else {
        throw PodNetworkError(
          .exhausted,
          "no address is free in the node's pod CIDR \(table.range): all \(table.capacity) are in use; delete pods or give the node a larger range"
        )
      }
      let lease = Lease(
        sandbox: sandbox, address: address, interface: plan.interfaceName(sandbox: sandbox, address: address),
        hostPorts: hostPorts, phase: .active)
      return ([.put(lease)], lease)
    }
    state.withLock { _ = $0.inherited.remove(lease.address) }
    return lease
  }

  private func makeLink(_ lease: Lease, netns: Int32, mtu: UInt32, pod: NetlinkSocket, _ worker: NetworkWorker) throws {
    let made = try worker.route.exchange([
      PodWiring.makeLink(lease, plan: plan, namespace: netns, mtu: mtu), .getLink(name: lease.interface),
    ])
    _ = try made[0].get()
    guard let host = try made[1].get().first.flatMap({ Link($0) }), let podLink = host.peerIndex else {
      throw NetlinkError("RTM_GETLINK", lease.interface, errno: .badMessage, explanation: "no link in the answer")
    }
    try wire(lease, hostLink: host.index, podLink: podLink, pod: pod, worker)
  }

  private func wire(
    _ lease: Lease, hostLink: Int32, podLink: Int32, pod: NetlinkSocket, _ worker: NetworkWorker
  ) throws {
    let loopback: Int32 = 1  // in every namespace
    try pod.requestAll([.setUp(index: loopback)] + PodWiring.podSide(lease.address, link: podLink))
    try worker.route.requestAll([.setUp(index: hostLink)] + PodWiring.hostSide(lease.address, link: hostLink))
    let settings = "net/ipv4/conf/\(lease.interface)"
    try Sysctl.write("\(settings)/forwarding", "1")  // whatever conf/default says
    try Sysctl.write("\(settings)/rp_filter", "1")  // a pod sends from its own address only
    if !lease.hostPorts.isEmpty { try Sysctl.write("\(settings)/route_localnet", "1") }  // 127.0.0.1:hostPort
  }

  private func openPorts(_ lease: Lease, before: Lease?, _ worker: NetworkWorker) throws {
    let old = before?.hostPorts ?? []
    if old.isEmpty {
      try worker.netfilter.commit(Transaction(plan.table, NodeRules.add(lease)))
    } else if old != lease.hostPorts {
      try installRules(worker)
    }
  }

  /// After a failed attach: nothing of it stays.
  private func undo(_ lease: Lease, _ worker: NetworkWorker) throws {
    try closePorts(lease, worker)
    if let link = try worker.link(lease.interface) { try worker.deleteLinks([link.index], plan: plan) }
    try change { _ in ([.free(lease.address)], ()) }
  }

  func detachNow(_ sandbox: String, _ worker: NetworkWorker) throws {
    let lease = try change { table -> ([LeaseChange], Lease?) in
      guard let lease = table.lease(of: sandbox) else { return ([], nil) }
      return ([.drain(lease.address)], lease)
    }
    guard let lease else { return }
    let answers = try worker.route.exchange([
      .getLink(name: lease.interface), .deleteRoute(PodWiring.podRoute(lease.address, link: nil)),
    ])
    try closePorts(lease, worker)
    if case .failure(let error) = answers[1], !error.isAbsence { throw error }
    if case .failure(let error) = answers[0] {
      guard error.isAbsence else { throw error }
      return try change { _ in ([.free(lease.address)], ()) }  // the namespace went first
    }
    let deadline = ContinuousClock.now + configuration.drainPatience
    state.withLock { state in
      if state.table.leases[lease.address]?.phase == .draining { state.deadlines[lease.address] = deadline }
    }
    wakeWatcher()
  }

  private func closePorts(_ lease: Lease, _ worker: NetworkWorker) throws {
    do {
      try worker.netfilter.commit(Transaction(plan.table, NodeRules.remove(lease)))
    } catch  where error.isAbsence {
      try installRules(worker)  // somebody else changed the table
    }
  }
}
