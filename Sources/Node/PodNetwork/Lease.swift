import NFTables

/// An address in use.
struct Lease: Hashable, Sendable {
  enum Phase: Hashable, Sendable {
    case active
    /// Detached; the address stays taken until the host end is gone.
    case draining
    /// A host end of ours that no lease on disk explains; `recover` gives it to its sandbox or removes it.
    case stray
  }

  var sandbox: String
  let address: IPv4Address
  /// The host end's name.
  let interface: String
  var hostPorts: [HostPort]
  var phase: Phase
}

/// What happens to leases; the journal keeps a line of each.
enum LeaseChange: Hashable, Sendable {
  case put(Lease)
  case drain(IPv4Address)
  case free(IPv4Address)
  /// The address that was given last.
  case cursor(IPv4Address)
}

/// All leases of a node. Decides which address comes next; changes only by `apply`.
struct LeaseTable: Hashable, Sendable {
  let range: IPv4Prefix
  private(set) var cursor: IPv4Address
  private(set) var leases: [IPv4Address: Lease] = [:]
  private var active: [String: IPv4Address] = [:]

  init(range: IPv4Prefix) {
    self.range = range
    cursor = IPv4Address(range.address.value + 1)
  }

  /// Addresses that pods can have: not the network's, not the first, which is kept for the node, not the broadcast address.
  var capacity: Int { Int(range.last.value - range.address.value) - 2 }

  func lease(of sandbox: String) -> Lease? { active[sandbox].flatMap { leases[$0] } }

  /// The first free address after the one given last, so that a freed address rests as long as possible.
  func nextAddress() -> IPv4Address? {
    guard leases.count < capacity else { return nil }
    let first = range.address.value + 2
    let last = range.last.value - 1
    var candidate = cursor.value
    for _ in 0..<capacity {
      candidate = candidate >= last || candidate < first ? first : candidate + 1
      if leases[IPv4Address(candidate)] == nil { return IPv4Address(candidate) }
    }
    return nil
  }

  /// Who already has this port of the node.
  func holder(of port: HostPort, except sandbox: String) -> Lease? {
    leases.values.first { lease in
      lease.phase == .active && lease.sandbox != sandbox && lease.hostPorts.contains { $0.conflicts(with: port) }
    }
  }

  mutating func apply(_ change: LeaseChange) {
    switch change {
    case .put(let lease):
      forgetActive(lease.address)
      leases[lease.address] = lease
      if lease.phase == .active {
        active[lease.sandbox] = lease.address
        cursor = lease.address
      }
    case .drain(let address):
      forgetActive(address)
      leases[address]?.phase = .draining
    case .free(let address):
      forgetActive(address)
      leases[address] = nil
    case .cursor(let address): if range.contains(address) { cursor = address }
    }
  }

  private mutating func forgetActive(_ address: IPv4Address) {
    guard let lease = leases[address], active[lease.sandbox] == address else { return }
    active[lease.sandbox] = nil
  }
}

extension HostPort {
  func conflicts(with other: HostPort) -> Bool {
    transport == other.transport && hostPort == other.hostPort
      && (hostIP == nil || other.hostIP == nil || hostIP == other.hostIP)
  }
}
