import NFTables

/// The node for which rules are made.
package struct NodeFacts: Hashable, Sendable {
  package var name: String
  /// The label topology.kubernetes.io/zone; nil: none.
  package var zone: String?
  /// Addresses at which node ports answer.
  package var nodePortAddresses: [IPAddress]

  package init(name: String, zone: String? = nil, nodePortAddresses: [IPAddress]) {
    self.name = name
    self.zone = zone
    self.nodePortAddresses = nodePortAddresses
  }
}

/// The endpoints that packets for one port of a service may be sent to.
package struct BackendChoice: Hashable, Sendable {
  /// For policy Cluster, after topology hints.
  package let cluster: [Backend]
  /// For policy Local: on this node.
  package let local: [Backend]
  /// Those of `cluster` and `local` on this node: they may call themselves through the service.
  package let here: [Backend]

  /// - Parameter endpoints: of all slices of the service in one family that have the port; one address may come twice.
  package init(_ endpoints: [(endpoint: SliceFacts.Endpoint, port: UInt16)], on node: NodeFacts) {
    let ready = endpoints.filter { $0.endpoint.isReady }
    let hinted = ready.filter(Self.topologyFilter(ready.map(\.endpoint), node))
    let isHere: ((endpoint: SliceFacts.Endpoint, port: UInt16)) -> Bool = { $0.endpoint.node == node.name }
    cluster = Self.backends(ready.isEmpty ? endpoints.filter { $0.endpoint.isServingTerminating } : hinted)
    let localReady = ready.filter(isHere)
    local = Self.backends(localReady.isEmpty ? endpoints.filter { $0.endpoint.isServingTerminating }.filter(isHere) : localReady)
    let used = Set(cluster).union(local)
    here = Self.backends(endpoints.filter(isHere)).filter(used.contains)
  }

  /// In order and once each.
  private static func backends(_ endpoints: [(endpoint: SliceFacts.Endpoint, port: UInt16)]) -> [Backend] {
    var sorted = endpoints.map { Backend($0.endpoint.address, $0.port) }
    sorted.sort()
    var result: [Backend] = []
    result.reserveCapacity(sorted.count)
    for backend in sorted where result.last != backend { result.append(backend) }
    return result
  }

  /// Hints count only where every ready endpoint has one, and one of them is for us: else some would get no traffic, or we none.
  private static func topologyFilter(
    _ ready: [SliceFacts.Endpoint], _ node: NodeFacts
  ) -> ((endpoint: SliceFacts.Endpoint, port: UInt16)) -> Bool {
    if !ready.isEmpty, ready.allSatisfy({ !$0.nodeHints.isEmpty }), ready.contains(where: { $0.nodeHints.contains(node.name) }) {
      return { $0.endpoint.nodeHints.contains(node.name) }
    }
    if let zone = node.zone, !ready.isEmpty, ready.allSatisfy({ !$0.zoneHints.isEmpty }),
      ready.contains(where: { $0.zoneHints.contains(zone) })
    {
      return { $0.endpoint.zoneHints.contains(zone) }
    }
    return { _ in true }
  }
}

/// Where each backend stands in a list from which packets choose by number: those that stay keep their place, newcomers fill holes,
/// and the last ones move into holes that are left. One change moves at most one other.
func seated(_ wanted: [Backend], before: [Backend]) -> [Backend] {
  if before.isEmpty { return wanted }
  let wantedSet = Set(wanted)
  let kept = Set(before).intersection(wantedSet)
  var newcomers = wanted.filter { !kept.contains($0) }[...]
  var seats: [Backend?] = before.map { backend in
    if kept.contains(backend) { return backend }
    return newcomers.popFirst()
  }
  seats += newcomers.map { $0 }
  var hole = 0
  while true {
    while seats.last == .some(nil) { seats.removeLast() }
    while hole < seats.count, seats[hole] != nil { hole += 1 }
    if hole >= seats.count { break }
    seats[hole] = seats.removeLast()
  }
  return seats.compactMap { $0 }
}
