import NFTables

/// The node's table, as a function of its plan and leases.
///
///     map hostports            protocol . port -> pod . port             any address of the node
///     map hostports-address    address . protocol . port -> pod . port   one address of the node
///     set hairpin              pod . pod                                 pods with host ports, which may call themselves through one
///     chain guard         prerouting, raw: a pod may not speak to the node's loopback
///     chain prerouting    } packets for the node's own addresses
///     chain output        } go to the pod that has the port
///     chain postrouting   masquerade what leaves the cluster, what comes back to its sender, what comes from loopback
enum NodeRules {
  static func install(_ plan: NetworkPlan, leases: some Sequence<Lease>) -> Transaction {
    let portKey: [DataType] = [.protocolNumber, .port]
    let podPort = NamedSet.Value.data([.ipv4Address, .port])
    var changes: [Change] = [
      .addSet(NamedSet("hostports", key: portKey, value: podPort)),
      .addSet(NamedSet("hostports-address", key: [.ipv4Address] + portKey, value: podPort)),
      .addSet(NamedSet("hairpin", key: [.ipv4Address, .ipv4Address])),
      .addChain(Chain("guard", base: .init(.filter, .prerouting, priority: -300))),
      .addChain(Chain("prerouting", base: .init(.nat, .prerouting, priority: -100))),
      .addChain(Chain("output", base: .init(.nat, .output, priority: -100))),
      .addChain(Chain("postrouting", base: .init(.nat, .postrouting, priority: 100))),
      .addChain(Chain("hostports")),
    ]
    changes += rules(plan).map { .addRule($0) }
    for lease in leases where lease.phase == .active { changes += add(lease) }
    return .replacing(plan.table, with: changes)
  }

  private static func rules(_ plan: NetworkPlan) -> [Rule] {
    let loopback = IPv4Prefix(IPv4Address(0x7f00_0000), length: 8)
    let multicast = IPv4Prefix(IPv4Address(0xe000_0000), length: 4)
    let translate = Expression.nat(.destination, .ipv4, address: .word(0), port: .word(1), flags: [])
    let pods = "\(plan.prefix)*"
    return [
      // With route_localnet on a pod's link the kernel would let it in. Answers pass: they still carry the masqueraded address here.
      Rule("guard", .inputInterface(pods) + .destination(in: loopback) + [.verdict(.drop)]),
      Rule("prerouting", .destinationIsLocal + [.verdict(.jump("hostports"))]),
      Rule("output", .destinationIsLocal + [.verdict(.jump("hostports"))]),
      Rule("hostports", .loadDestinationProtocolPort + [.map("hostports-address", key: .word(0), to: .word(0)), translate]),
      Rule("hostports", .loadProtocolPort + [.map("hostports", key: .word(0), to: .word(0)), translate]),
      Rule("postrouting", .loadSourceDestination + [.lookup(set: "hairpin", key: .word(0), inverted: false), .masquerade([])]),
      Rule("postrouting", .outputInterface(pods) + .source(in: loopback) + [.masquerade([])]),
      Rule(
        "postrouting",
        .source(in: plan.pods) + .destination(notIn: plan.cluster) + .destination(notIn: multicast) + [.masquerade([])]),
    ]
  }

  /// The elements that a pod's host ports need; none without host ports.
  static func add(_ lease: Lease) -> [Change] {
    elements(lease).map { .addElements(set: $0.set, $0.elements) }
  }

  static func remove(_ lease: Lease) -> [Change] {
    elements(lease).map { .deleteElements(set: $0.set, $0.elements) }
  }

  private static func elements(_ lease: Lease) -> [(set: String, elements: [Element])] {
    if lease.hostPorts.isEmpty { return [] }
    var anywhere: [Element] = []
    var somewhere: [Element] = []
    for port in lease.hostPorts {
      let key = Element.concatenate([port.transport.rawValue], networkOrder(port.hostPort))
      let target = Element.Value.data(Element.concatenate(lease.address.bytes, networkOrder(port.containerPort)))
      if let address = port.hostIP.flatMap({ IPv4Address($0) }) {
        somewhere.append(Element(address.bytes + key, value: target))
      } else {
        anywhere.append(Element(key, value: target))
      }
    }
    let hairpin = [Element(lease.address.bytes + lease.address.bytes)]
    return [("hostports", anywhere), ("hostports-address", somewhere), ("hairpin", hairpin)].filter { !$0.1.isEmpty }
  }

  private static func networkOrder(_ port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(port & 0xff)] }
}
