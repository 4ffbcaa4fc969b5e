import LinuxKernel
import NFTables
import Netlink
import ServiceRules

/// The tables of services in one network namespace: written, read back, removed. Blocking work happens on its own thread there.
package final class KernelRules: Sendable {
  private let thread: NamespaceThread
  private let socket: NetlinkSocket

  /// Elements and rules for one transaction; a larger change is told in parts, the first of which holds everything but elements.
  static let elementsMax = 200_000

  package init(_ home: NamespaceThread.Home) throws {
    let thread = try NamespaceThread(home)
    self.thread = thread
    socket = try thread.performBlocking { try NetlinkSocket(.netfilter) }
  }

  package var namespace: SharedDescriptor { thread.namespace }
  /// Whose changes are our own.
  package var port: UInt32 { socket.port }

  package func apply(_ changes: [Change], to table: Table) async throws {
    try await thread.perform { [socket] in
      for part in Self.parts(changes) { try socket.commit(Transaction(table, part)) }
    }
  }

  /// Parts of at most `elementsMax` elements. A change that fits, which is every change but the first of a huge cluster, stays whole.
  static func parts(_ changes: [Change]) -> [[Change]] {
    var parts: [[Change]] = [[]]
    var room = elementsMax
    for change in changes {
      guard case .addElements(let set, let elements) = change, elements.count > room else {
        if case .addElements(_, let elements) = change { room -= elements.count }
        parts[parts.count - 1].append(change)
        continue
      }
      var rest = elements[...]
      while !rest.isEmpty {
        if room == 0 {
          parts.append([])
          room = elementsMax
        }
        let some = rest.prefix(room)
        parts[parts.count - 1].append(.addElements(set: set, Array(some)))
        rest = rest.dropFirst(some.count)
        room -= some.count
      }
    }
    return parts
  }

  package func remove(_ table: Table) async throws {
    try await thread.perform { [socket] in
      if try socket.tables().contains(table) { try socket.commit(.deleting(table)) }
    }
  }

  /// Nil: there is no such table.
  package func read(_ table: Table) async throws -> FoundTable? {
    try await thread.perform { [socket] in
      guard try socket.tables().contains(table) else { return nil }
      var found = FoundTable(rules: try socket.ruleComments(in: table), sets: Set(try socket.sets(in: table)))
      for name in RuleLayout.SetName.allCases where !name.isMadeByPackets && found.sets.contains(name.rawValue) {
        for element in try socket.elements(of: name.rawValue, in: table) {
          let key = RuleEntry.Key(name, element.key + (element.keyEnd ?? []))
          found.elements[key] = element.data ?? element.chain.map { Array($0.utf8) } ?? []
        }
      }
      return found
    }
  }

  /// How many TCP connections through services lead to these addresses and have not begun to end.
  package func openConnections(to addresses: Set<IPAddress>) async throws -> Int {
    try await thread.perform { [socket] in
      var count = 0
      for family in Set(addresses.map(\.family)) {
        for message in try socket.dump(.flows(family)) {
          guard let flow = TrackedFlow(message), flow.isOpen, addresses.contains(flow.reply.source),
            flow.original.destination != flow.reply.source
          else { continue }
          count += 1
        }
      }
      return count
    }
  }

  /// Ends flows of UDP that came in at one of the frontends and lead to no backend that it still has. Answers how many there were.
  package func endStaleFlows(_ frontends: [UDPFrontend: Set<Backend>], nodeAddresses: Set<IPAddress>) async throws -> Int {
    if frontends.isEmpty { return 0 }
    return try await thread.perform { [socket] in
      var requests: [NetlinkRequest] = []
      for family in [NFTables.Family.ipv4, .ipv6] {
        for message in try socket.dump(.flows(family)) {
          guard let flow = TrackedFlow(message), flow.original.transport == TransportProtocol.udp.rawValue else { continue }
          let entry = flow.original.destination
          let allowed =
            frontends[UDPFrontend(entry, flow.original.destinationPort)]
            ?? (nodeAddresses.contains(entry) ? frontends[UDPFrontend(nil, flow.original.destinationPort)] : nil)
          guard let allowed, !allowed.contains(Backend(flow.reply.source, flow.reply.sourcePort)) else { continue }
          // Without backends only what was translated is the service's: others may be anybody's who has that address now.
          if allowed.isEmpty, flow.reply.source == entry { continue }
          requests.append(.deleteFlow(flow))
        }
      }
      for case .failure(let error) in try socket.exchange(requests) where !error.isAbsence { throw error }
      return requests.count
    }
  }
}
