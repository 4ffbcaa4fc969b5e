import NFTables
import ServiceRules

/// Numbers for what chains and sets are of. Names made of the thing itself could be made to collide by whoever names policies.
struct Numbering: Sendable {
  enum Thing: Hashable, Sendable {
    case chain(PolicyFacts.Direction, [ObjectName])
    case peers(PodSelection)
    case blocks(AddressRanges)
    case ports(PortRanges)
    case names(PodSelection, TransportProtocol, String, isLocal: Bool)
  }

  private var known: [Thing: Int] = [:]
  private var used: [Thing: Int] = [:]
  private var last = 0

  mutating func number(_ thing: Thing) -> Int {
    let number = known[thing] ?? used[thing] ?? last + 1
    last = max(last, number)
    used[thing] = number
    return number
  }

  /// What nobody asked for since the last call may have another number next time.
  mutating func forgetUnused() {
    known = used
    used = [:]
  }
}

/// Writes a node's policies as one table.
struct PolicyWriter {
  let layout: PolicyLayout
  var numbers: Numbering
  private var result: PolicyTable

  init(layout: PolicyLayout, numbers: Numbering) {
    self.layout = layout
    self.numbers = numbers
    result = PolicyTable(layout.table)
  }

  /// Nil: nobody here is restricted.
  mutating func table(
    _ isolated: [ObjectName: PolicyState.Isolation], _ pods: [ObjectName: PolicyPod], _ policies: [ObjectName: PolicyFacts],
    _ groups: [PodSelection: PodGroup], node: String, servers: [IPAddress]
  ) -> PolicyTable? {
    var own: Set<Element> = []
    var entrances: [PolicyFacts.Direction: Set<Element>] = [:]
    for (name, isolation) in isolated {
      let addresses = (pods[name]?.addresses ?? []).filter { $0.family == layout.table.family }
      for address in addresses { own.insert(Element(address.bytes + address.bytes)) }
      for (direction, names) in isolation.policies {
        let chain = "\(direction.rawValue)-\(numbers.number(.chain(direction, names)))"
        if !addresses.isEmpty, result.chains[chain] == nil {
          let rules = names.compactMap { policies[$0] }.flatMap { self.rules($0, direction, chain, groups, node: node) }
          result.put(Chain(chain), rules + [Rule(chain, [.verdict(.drop)], comment: "nothing else")])
        }
        for address in addresses {
          entrances[direction, default: []].insert(Element(address.bytes, value: .verdict(.jump(chain))))
        }
      }
    }
    if own.isEmpty { return nil }
    for direction in PolicyFacts.Direction.allCases {
      let set = NamedSet(PolicyLayout.pods(direction), key: [layout.addressType], value: .verdict)
      result.put(set, Self.withoutContradictions(entrances[direction] ?? []))
    }
    result.put(NamedSet(PolicyLayout.own, key: layout.addressPair), own)
    result.put(NamedSet(PolicyLayout.nodeServers, key: [layout.addressType]), Set(servers.map { Element($0.bytes) }))
    for (chain, rules) in layout.entrance() { result.put(chain, rules) }
    return result
  }

  /// For a moment two pods can have one address; a map holds one verdict for each.
  private static func withoutContradictions(_ elements: Set<Element>) -> Set<Element> {
    let byKey = Dictionary(grouping: elements, by: \.key)
    if byKey.count == elements.count { return elements }
    return Set(byKey.values.compactMap { same in same.max { String(describing: $0.value) < String(describing: $1.value) } })
  }

  /// Fits some of a rule's peers.
  private struct PeerMatch {
    var expressions: [Expression]
    /// The pods that these peers are; nil: not only pods.
    var selection: PodSelection?
  }

  private mutating func rules(
    _ policy: PolicyFacts, _ direction: PolicyFacts.Direction, _ chain: String, _ groups: [PodSelection: PodGroup], node: String
  ) -> [Rule] {
    var rules: [Rule] = []
    for (index, rule) in (policy.rules[direction] ?? []).enumerated() {
      let comment = "\(policy.name) \(direction.rawValue)[\(index)]"
      for peer in peerMatches(rule, direction, groups) {
        var matches = portMatches(rule).map { peer.expressions + $0 }
        for case .named(let transport, let port) in rule.ports ?? [] {
          matches.append(namedMatch(transport, port, peer, direction, groups, node: node))
        }
        rules += matches.map { Rule(chain, $0 + [.verdict(.return)], comment: comment) }
      }
    }
    return rules
  }

  /// Without peers in the rule one that everybody fits.
  private mutating func peerMatches(
    _ rule: PolicyFacts.Rule, _ direction: PolicyFacts.Direction, _ groups: [PodSelection: PodGroup]
  ) -> [PeerMatch] {
    guard let peers = rule.peers else { return [PeerMatch(expressions: [])] }
    var matches: [PeerMatch] = []
    func looksUp(_ set: String) -> [Expression] { [layout.loadPeer(direction, to: 0), .lookup(set: set, key: .word(0), inverted: false)] }
    for selection in peers.pods {
      let name = "peers-\(numbers.number(.peers(selection)))"
      if result.sets[name] == nil {
        result.put(NamedSet(name, key: [layout.addressType]), groups[selection]?.addresses(layout.table.family) ?? [])
      }
      matches.append(PeerMatch(expressions: looksUp(name), selection: selection))
    }
    let blocks = AddressRanges(peers.blocks, layout.table.family)
    if !blocks.ranges.isEmpty {
      let name = "blocks-\(numbers.number(.blocks(blocks)))"
      if result.sets[name] == nil { result.put(NamedSet(name, key: [layout.addressType], flags: .interval), blocks.elements) }
      matches.append(PeerMatch(expressions: looksUp(name)))
    }
    return matches
  }

  private mutating func portMatches(_ rule: PolicyFacts.Rule) -> [[Expression]] {
    guard let ports = rule.ports else { return [[]] }
    let ranges = PortRanges(ports)
    if ranges.ranges.isEmpty { return [] }
    let name = "ports-\(numbers.number(.ports(ranges)))"
    if result.sets[name] == nil {
      result.put(NamedSet(name, key: [.protocolNumber, .port], flags: .interval), ranges.elements)
    }
    return [layout.loadProtocolPort(to: 0) + [.lookup(set: name, key: .word(0), inverted: false)]]
  }

  /// A named port is one of the pod that is called: for what comes in, of the pods here; for what goes out, of the peers.
  private mutating func namedMatch(
    _ transport: TransportProtocol, _ port: String, _ peer: PeerMatch, _ direction: PolicyFacts.Direction,
    _ groups: [PodSelection: PodGroup], node: String
  ) -> [Expression] {
    let isLocal = direction == .ingress
    let selection = isLocal ? .everywhere : peer.selection ?? .everywhere
    let name = "names-\(numbers.number(.names(selection, transport, port, isLocal: isLocal)))"
    if result.sets[name] == nil {
      let elements = groups[selection]?.named(transport, port, layout.table.family, node: isLocal ? node : nil) ?? []
      result.put(NamedSet(name, key: layout.serverKey), elements)
    }
    return peer.expressions + [layout.loadDestination(to: 0)] + layout.loadProtocolPort(to: layout.words)
      + [.lookup(set: name, key: .word(0), inverted: false)]
  }
}
