import LinuxKernel
import NFTables
import Netlink
import Synchronization

/// What a restart finds, and the end of draining leases.
extension PodNetwork {
  /// Releases what an earlier process left and no sandbox in `live` owns, and repairs the host side of those that are.
  /// What this process attached is left alone. The pods' own side is repaired by `attach`.
  package func recover(live: Set<String>) async throws {
    let worker = workers[0]
    try await worker.thread.perform { [self] in
      try failing("recover the pod network") { try recoverNow(live, worker) }
    }
  }

  private func recoverNow(_ live: Set<String>, _ worker: NetworkWorker) throws {
    let inherited = state.withLock { state in state.inherited.compactMap { state.table.leases[$0] } }
    let links = try worker.ownLinks(plan)
    let recovery = RecoveryPlan.decide(inherited: inherited, links: links, live: live, plan: plan)
    for lease in recovery.repair + recovery.adopt {
      guard let link = links[lease.interface] else { continue }
      try worker.route.requestAll([.setUp(index: link.index)] + PodWiring.hostSide(lease.address, link: link.index))
    }
    try change { _ in (recovery.adopt.map { .put($0) }, ()) }
    try worker.deleteLinks(recovery.deleteLinks, plan: plan)
    try change { _ in (recovery.free.map { .free($0) }, ()) }
    try installRules(worker)
  }

  /// Host ends that no lease on disk explains keep their addresses taken.
  func noteStrays(_ worker: NetworkWorker) throws {
    let links = try worker.ownLinks(plan)
    let namesByIndex = Dictionary(links.values.map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
    let routes = try worker.routes().filter { $0.destination.length == 32 && $0.origin == Route.ours }
    state.withLock { state in
      for route in routes {
        let address = route.destination.address
        guard let index = route.link, let name = namesByIndex[index], plan.pods.contains(address),
          state.table.leases[address] == nil
        else { continue }
        state.table.apply(.put(Lease(sandbox: "", address: address, interface: name, hostPorts: [], phase: .stray)))
        state.inherited.insert(address)
      }
    }
  }

  /// Frees the addresses of draining leases whose link is gone; gives the others a deadline.
  func settleDraining() throws {
    let worker = workers[0]
    let deadline = ContinuousClock.now + configuration.drainPatience
    try worker.thread.performBlocking { [self] in
      let links = try worker.ownLinks(plan)
      try change { table in
        (table.leases.values.filter { $0.phase == .draining && links[$0.interface] == nil }.map { .free($0.address) }, ())
      }
      state.withLock { state in
        for lease in state.table.leases.values where lease.phase == .draining && state.deadlines[lease.address] == nil {
          state.deadlines[lease.address] = deadline
        }
      }
    }
    wakeWatcher()
  }

  /// The kernel removed a link: with a pod's namespace goes its host end.
  func linkIsGone(_ name: String) {
    try? change { table in
      (table.leases.values.filter { $0.interface == name && $0.phase != .active }.map { .free($0.address) }, ())
    }
  }

  /// Deletes the host ends whose namespaces live on although their sandboxes are detached.
  /// - Returns: milliseconds until the next is due; nil: none waits.
  func deleteOverdue() -> Int32? {
    let now = ContinuousClock.now
    let (overdue, next) = state.withLock { state -> ([Lease], ContinuousClock.Instant?) in
      let overdue = state.deadlines.filter { $0.value <= now }.keys.compactMap { state.table.leases[$0] }
      // Should deleting fail, it is tried again after the same patience.
      for lease in overdue { state.deadlines[lease.address] = now + configuration.drainPatience }
      return (overdue, state.deadlines.values.min())
    }
    if !overdue.isEmpty {
      let worker = workers[0]
      try? worker.thread.performBlocking { [self] in
        let links = try worker.ownLinks(plan)
        try worker.deleteLinks(overdue.compactMap { links[$0.interface]?.index }, plan: plan)
        try change { _ in (overdue.map { .free($0.address) }, ()) }
      }
      return deadlineMilliseconds(state.withLock { $0.deadlines.values.min() }, from: now)
    }
    return deadlineMilliseconds(next, from: now)
  }

  private func deadlineMilliseconds(_ deadline: ContinuousClock.Instant?, from now: ContinuousClock.Instant) -> Int32? {
    guard let deadline else { return nil }
    let wait = (deadline - now) / Duration.milliseconds(1)
    return Int32(min(max(wait.rounded(.up), 0), 60_000))
  }
}
