import JSONCodec
import NFTables

/// How the rules of a cluster's node are made.
package struct RuleOptions: Hashable, Sendable {
  /// One for each family that is served.
  package var layouts: [RuleLayout]
  package var node: NodeFacts
  /// Replaces the source of all packets to services.
  package var masqueradesAll = false
  /// Cluster addresses that this machine answers itself, such as that of the cluster's DNS: no rules for them.
  package var servedHere: Set<IPAddress> = []

  package init(layouts: [RuleLayout], node: NodeFacts) {
    self.layouts = layouts
    self.node = node
  }
}

/// Services and endpoints as last heard, and the tables that follow from them. Only what a change touches is computed anew.
package struct ServiceState: Sendable {
  package private(set) var options: RuleOptions
  package fileprivate(set) var tables: [RuleTable]
  private var services: [ObjectName: ServiceFacts] = [:]
  private var slices: [ObjectName: [ObjectName: SliceFacts]] = [:]
  private var serviceOfSlice: [ObjectName: ObjectName] = [:]
  private var dirty: Set<ObjectName> = []
  /// Pods of this node that serve by these slices, by UID.
  private var slicesOfPod: [String: Set<ObjectName>] = [:]
  private var withdrawn = WithdrawnPods()
  /// By service: for each table, for each port.
  private var seats: [ObjectName: [[SeatedBackends]]] = [:]
  private var udp: [ObjectName: [UDPFrontend: Set<Backend>]] = [:]

  package init(options: RuleOptions) {
    self.options = options
    tables = options.layouts.map { RuleTable(layout: $0) }
  }

  package var serviceCount: Int { services.count }
  package var hasChanges: Bool { !dirty.isEmpty || tables.contains { $0.hasChanges } }

  package mutating func put(service json: JSON) {
    if let facts = ServiceFacts(json) {
      if services[facts.name] == facts { return }
      services[facts.name] = facts
      dirty.insert(facts.name)
    } else {
      remove(service: json)
    }
  }

  package mutating func remove(service json: JSON) {
    let name = ObjectName(json["metadata"]["namespace"].string ?? "", json["metadata"]["name"].string ?? "")
    if services.removeValue(forKey: name) != nil { dirty.insert(name) }
  }

  package mutating func put(slice json: JSON) {
    guard let facts = SliceFacts(json, on: options.node.name) else { return remove(slice: json) }
    let old = serviceOfSlice[facts.name]
    if let old, old != facts.service { forget(slice: facts.name, of: old) }
    if slices[facts.service]?[facts.name] == facts { return }
    note(pods: slices[facts.service]?[facts.name], isGone: true)
    note(pods: facts, isGone: false)
    slices[facts.service, default: [:]][facts.name] = facts
    serviceOfSlice[facts.name] = facts.service
    dirty.insert(facts.service)
  }

  package mutating func remove(slice json: JSON) {
    let name = ObjectName(json["metadata"]["namespace"].string ?? "", json["metadata"]["name"].string ?? "")
    if let service = serviceOfSlice[name] { forget(slice: name, of: service) }
  }

  private mutating func forget(slice: ObjectName, of service: ObjectName) {
    serviceOfSlice[slice] = nil
    note(pods: slices[service]?[slice], isGone: true)
    slices[service]?[slice] = nil
    if slices[service]?.isEmpty == true { slices[service] = nil }
    dirty.insert(service)
  }

  /// All services there are: others are gone.
  package mutating func replace(services list: [JSON]) {
    var gone = services
    for json in list {
      if let facts = ServiceFacts(json) { gone[facts.name] = nil }
      put(service: json)
    }
    for name in gone.keys {
      services[name] = nil
      dirty.insert(name)
    }
  }

  package mutating func replace(slices list: [JSON]) {
    var gone = serviceOfSlice
    for json in list {
      if let facts = SliceFacts(json) { gone[facts.name] = nil }
      put(slice: json)
    }
    for (slice, service) in gone { forget(slice: slice, of: service) }
  }

  /// The node's zone or addresses are others now.
  package mutating func set(node: NodeFacts) {
    if options.node == node { return }
    options.node = node
    dirty.formUnion(services.keys)
    for index in tables.indices { setNodePortAddresses(index) }
  }

  /// Brings the tables up to date.
  /// - Returns: where datagrams of changed services come in, and which backends they may still go to: other flows are stale.
  package mutating func update() -> [UDPFrontend: Set<Backend>] {
    var touched: [UDPFrontend: Set<Backend>] = [:]
    for index in tables.indices { setNodePortAddresses(index) }
    for name in dirty {
      let service = services[name]
      var entries: [[RuleEntry]] = tables.map { _ in [] }
      if let service {
        let seated = seat(service)
        seats[name] = seated
        for index in tables.indices {
          entries[index] = ServiceEntries(
            service: service, layout: tables[index].layout, masqueradesAll: options.masqueradesAll, servedHere: options.servedHere
          ).entries(seated[index])
        }
      } else {
        seats[name] = nil
      }
      for index in tables.indices { tables[index].set(name, to: entries[index]) }
      let flows = service.map { udpFlows($0) } ?? [:]
      let old = udp[name] ?? [:]
      for frontend in Set(old.keys).union(flows.keys) where old[frontend] != flows[frontend] {
        let isOnlyMore = old[frontend].map { $0.isSubset(of: flows[frontend] ?? []) && !$0.isEmpty } ?? false
        if !isOnlyMore { touched[frontend] = flows[frontend] ?? [] }
      }
      udp[name] = flows.isEmpty ? nil : flows
    }
    dirty = []
    return touched
  }

  private mutating func setNodePortAddresses(_ index: Int) {
    let family = tables[index].layout.family
    let wanted = options.node.nodePortAddresses.filter { $0.family == family }
    tables[index].set(ObjectName("", "node"), to: wanted.map { RuleEntry(.nodePortAddresses, $0.bytes) })
  }

  private func seat(_ service: ServiceFacts) -> [[SeatedBackends]] {
    let before = seats[service.name]
    return tables.indices.map { table in
      let family = tables[table].layout.family
      return service.ports.indices.map { port in
        let choice = BackendChoice(endpoints(of: service, port: service.ports[port], family: family), on: options.node)
        let old = before.flatMap { port < $0[table].count ? $0[table][port] : nil }
        return SeatedBackends(
          cluster: seated(choice.cluster, before: old?.cluster ?? []), local: seated(choice.local, before: old?.local ?? []),
          here: choice.here)
      }
    }
  }

  private func endpoints(
    of service: ServiceFacts, port: ServiceFacts.Port, family: Family
  ) -> [(endpoint: SliceFacts.Endpoint, port: UInt16)] {
    var found: [(endpoint: SliceFacts.Endpoint, port: UInt16)] = []
    for slice in slices[service.name]?.values ?? [:].values {
      for target in slice.ports where target.name == port.name && target.transport == port.transport {
        for endpoint in slice.endpoints where endpoint.address.family == family {
          found.append((withdrawn.contains(endpoint.pod) ? endpoint.withdrawn : endpoint, target.port))
        }
      }
    }
    return found
  }

  // MARK: - Pods of this node that end

  private mutating func note(pods facts: SliceFacts?, isGone: Bool) {
    for endpoint in facts?.endpoints ?? [] where endpoint.isReady || endpoint.isServingTerminating {
      guard let pod = endpoint.pod, let slice = facts?.name else { continue }
      if isGone {
        slicesOfPod[pod]?.remove(slice)
        if slicesOfPod[pod]?.isEmpty == true { slicesOfPod[pod] = nil }
      } else {
        slicesOfPod[pod, default: []].insert(slice)
      }
    }
  }

  /// UIDs of this node's pods to which services lead.
  package var servedPods: Set<String> { Set(slicesOfPod.keys) }

  /// Where services lead to the pod.
  package func addresses(ofPod pod: String) -> Set<IPAddress> {
    var found: Set<IPAddress> = []
    for slice in slicesOfPod[pod] ?? [] {
      let facts = serviceOfSlice[slice].flatMap { slices[$0]?[slice] }
      for endpoint in facts?.endpoints ?? [] where endpoint.pod == pod { found.insert(endpoint.address) }
    }
    return found
  }

  /// From now on the pod counts as one that ends, whatever slices say; it never comes back under this UID.
  package mutating func withdraw(pod: String) {
    guard withdrawn.insert(pod) else { return }
    dirty.formUnion((slicesOfPod[pod] ?? []).compactMap { serviceOfSlice[$0] })
  }

  /// Whether a slice still says that the pod serves and does not end: then other nodes send it connections.
  package func isOffered(pod: String) -> Bool {
    (slicesOfPod[pod] ?? []).contains { slice in
      let facts = serviceOfSlice[slice].flatMap { slices[$0]?[slice] }
      return facts?.endpoints.contains { $0.pod == pod && $0.isReady && !$0.isServingTerminating } ?? false
    }
  }

  /// How many endpoints on this node serve each health-check port.
  package var healthChecks: [UInt16: (service: ObjectName, localEndpoints: Int)] {
    var checks: [UInt16: (service: ObjectName, localEndpoints: Int)] = [:]
    for (name, service) in services where service.healthCheckNodePort != 0 {
      let local = Set((seats[name] ?? []).joined().flatMap { $0.local.map(\.address) })
      checks[service.healthCheckNodePort] = (name, local.count)
    }
    return checks
  }
}

/// Pods that end, by UID. The oldest are forgotten: by then slices have told it.
struct WithdrawnPods: Sendable {
  static let most = 4_096

  private var pods: Set<String> = []
  private var order: [String] = []

  func contains(_ pod: String?) -> Bool {
    guard let pod, !pods.isEmpty else { return false }
    return pods.contains(pod)
  }

  /// False: it was there.
  mutating func insert(_ pod: String) -> Bool {
    guard pods.insert(pod).inserted else { return false }
    order.append(pod)
    if order.count > Self.most {
      for old in order.prefix(Self.most / 2) { pods.remove(old) }
      order.removeFirst(Self.most / 2)
    }
    return true
  }
}

/// Where datagrams of a service come in.
package struct UDPFrontend: Hashable, Sendable {
  /// Nil: any of the node's addresses (a node port).
  package let address: IPAddress?
  package let port: UInt16

  package init(_ address: IPAddress?, _ port: UInt16) {
    self.address = address
    self.port = port
  }
}

extension ServiceState {
  /// Where datagrams come in, and where they may go.
  private func udpFlows(_ service: ServiceFacts) -> [UDPFrontend: Set<Backend>] {
    var flows: [UDPFrontend: Set<Backend>] = [:]
    for (index, port) in service.ports.enumerated() where port.transport == .udp {
      var backends: Set<Backend> = []
      for table in seats[service.name] ?? [] where index < table.count {
        backends.formUnion(table[index].cluster)
        backends.formUnion(table[index].local)
      }
      for address in service.clusterIPs + service.externalIPs + service.loadBalancerIPs where !options.servedHere.contains(address) {
        flows[UDPFrontend(address, port.port)] = backends
      }
      if port.nodePort != 0 { flows[UDPFrontend(nil, port.nodePort)] = backends }
    }
    return flows
  }
}

extension ServiceState {
  /// The changes of one table since it was last asked.
  package mutating func takeChanges(_ table: Int) -> [Change] { tables[table].takeChanges() }

  /// What makes the kernel's table, as it was read (nil: there is none), equal to ours; empty where it is.
  package mutating func differences(_ table: Int, from found: FoundTable?) -> [Change] {
    if let found, let changes = tables[table].changes(from: found) { return changes }
    return tables[table].replacement()
  }
}
