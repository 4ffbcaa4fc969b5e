import NFTables

/// One element that a service needs in a set or map.
package struct RuleEntry: Hashable, Sendable {
  package struct Key: Hashable, Sendable {
    package let set: RuleLayout.SetName
    /// For ranges: first and last key one behind the other.
    package let bytes: [UInt8]

    package init(_ set: RuleLayout.SetName, _ bytes: [UInt8]) {
      self.set = set
      self.bytes = bytes
    }
  }

  package let key: Key
  /// Empty in a set, and in the verdict maps, whose verdict follows from the key.
  package let value: [UInt8]

  init(_ set: RuleLayout.SetName, _ key: [UInt8], _ value: [UInt8] = []) {
    self.key = Key(set, key)
    self.value = value
  }
}

/// The backends of one port of a service, each in its place.
package struct SeatedBackends: Hashable, Sendable {
  package var cluster: [Backend]
  package var local: [Backend]
  package var here: [Backend]
}

/// What one service needs in the table of one family.
struct ServiceEntries {
  let service: ServiceFacts
  let layout: RuleLayout
  let masqueradesAll: Bool
  /// Addresses that this machine answers itself.
  let servedHere: Set<IPAddress>

  /// `backends`: one for each port.
  func entries(_ backends: [SeatedBackends]) -> [RuleEntry] {
    let clusterIPs = service.clusterIPs.filter { $0.family == layout.family && !servedHere.contains($0) }
    guard let first = clusterIPs.first else { return [] }
    var entries = clusterIPs.map { RuleEntry(.clusterAddresses, $0.bytes) }
    for (port, backends) in zip(service.ports, backends) {
      add(port, backends, key: frontend(first, port), clusterIPs: clusterIPs, to: &entries)
    }
    return entries
  }

  private func add(
    _ port: ServiceFacts.Port, _ backends: SeatedBackends, key: [UInt8], clusterIPs: [IPAddress], to entries: inout [RuleEntry]
  ) {
    let cluster = Array(backends.cluster.prefix(RuleClass.backendsMax))
    let local = Array(backends.local.prefix(RuleClass.backendsMax))
    let anywhere = max(cluster.count, local.count)
    let affinity = service.affinitySeconds ?? 0
    let inside = RuleClass(
      masquerade: masqueradesAll ? .always : .fromOutside, isLocal: service.isInternalLocal, affinitySeconds: affinity,
      count: service.isInternalLocal ? local.count : cluster.count, clusterCount: anywhere)
    var outside = RuleClass(
      masquerade: service.isExternalLocal ? .fromNode : .always, isLocal: service.isExternalLocal, hasShortcut: service.isExternalLocal,
      affinitySeconds: affinity, count: service.isExternalLocal ? local.count : cluster.count,
      clusterCount: service.isExternalLocal ? cluster.count : anywhere)
    var used: Set<RuleClass> = [inside]
    add(clusterIPs, port, key, inside, to: &entries)
    let external = service.externalIPs.filter { $0.family == layout.family }
    add(external, port, key, outside, to: &entries)
    if !external.isEmpty { used.insert(outside) }
    if port.nodePort != 0 {
      entries.append(
        RuleEntry(.nodePorts, Element.concatenate([port.transport.rawValue], networkBytes(port.nodePort)), Self.value(key, outside)))
      entries.append(RuleEntry(.nodePortClasses, outside.bytes))
      used.insert(outside)
    }
    let balanced = service.loadBalancerIPs.filter { $0.family == layout.family && !external.contains($0) }
    if !balanced.isEmpty {
      outside.isFirewalled = !service.sourceRanges.isEmpty
      add(balanced, port, key, outside, to: &entries)
      if outside.isFirewalled { addRanges(balanced, port, to: &entries) }
      used.insert(outside)
    }
    if used.contains(where: { !$0.isLocal && $0.count > 0 || $0.hasShortcut }) { add(cluster, key, isLocal: false, to: &entries) }
    if used.contains(where: { $0.isLocal && $0.count > 0 }) { add(local, key, isLocal: true, to: &entries) }
    for backend in backends.here { entries.append(RuleEntry(.hairpin, backend.address.bytes + backend.address.bytes)) }
  }

  private static func value(_ key: [UInt8], _ ruleClass: RuleClass) -> [UInt8] { [0, 0, 0, 0] + key + ruleClass.bytes }

  private func frontend(_ address: IPAddress, _ port: ServiceFacts.Port) -> [UInt8] {
    address.bytes + [port.transport.rawValue, 0, 0, 0, UInt8(port.port >> 8), UInt8(port.port & 0xff), 0, 0]
  }

  private func add(
    _ addresses: [IPAddress], _ port: ServiceFacts.Port, _ key: [UInt8], _ ruleClass: RuleClass, to entries: inout [RuleEntry]
  ) {
    for address in addresses { entries.append(RuleEntry(.addresses, frontend(address, port), Self.value(key, ruleClass))) }
    if !addresses.isEmpty { entries.append(RuleEntry(.addressClasses, ruleClass.bytes)) }
  }

  private func addRanges(_ addresses: [IPAddress], _ port: ServiceFacts.Port, to entries: inout [RuleEntry]) {
    for address in addresses {
      let start = frontend(address, port)
      for range in service.sourceRanges where range.family == layout.family {
        entries.append(RuleEntry(.sourceRanges, start + range.address.bytes + start + range.lastBytes))
      }
    }
  }

  private func add(_ backends: [Backend], _ key: [UInt8], isLocal: Bool, to entries: inout [RuleEntry]) {
    let first = isLocal ? RuleLayout.localPlace : 0
    for (place, backend) in backends.enumerated() {
      let target = backend.address.bytes + [UInt8(backend.port >> 8), UInt8(backend.port & 0xff), 0, 0]
      entries.append(RuleEntry(.endpoints, key + nativeBytes(first + UInt32(place)), target))
      if service.affinitySeconds != nil { entries.append(RuleEntry(isLocal ? .affinityLiveLocal : .affinityLive, key + target)) }
    }
  }
}
