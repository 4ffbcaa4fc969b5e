import NFTables

/// A table of services as it was read from the kernel, in words: where connections come in and where they may go.
package struct RuleListing: Sendable {
  package struct Entrance: Hashable, Comparable, Sendable {
    /// Nil: any address of the node that node ports have.
    package let address: IPAddress?
    package let port: UInt16
    package let transport: TransportProtocol
    package let ruleClass: RuleClass
    /// In the order of their places.
    package let backends: [Backend]

    package static func < (left: Self, right: Self) -> Bool {
      let (one, other) = (left.address?.bytes ?? [255], right.address?.bytes ?? [255])
      if one != other { return one.lexicographicallyPrecedes(other) }
      return (left.port, left.transport) < (right.port, right.transport)
    }

    /// Such as `10.96.0.20:80/TCP  10.244.0.5:8080 10.244.0.6:8080  sticky 10800 s`.
    package var description: String {
      var words = ["\(address.map { Self.text($0, port) } ?? "node:\(port)")/\(Self.name(transport))"]
      words.append(backends.isEmpty ? (ruleClass.clusterCount > 0 ? "drops: no endpoint on this node" : "rejects: no endpoint") : "->")
      words += backends.map { Self.text($0.address, $0.port) }
      if ruleClass.isLocal { words.append("(this node's)") }
      if ruleClass.affinitySeconds > 0 { words.append("(a client stays for \(ruleClass.affinitySeconds) s)") }
      if ruleClass.isFirewalled { words.append("(only from its source ranges)") }
      return words.joined(separator: " ")
    }

    private static func name(_ transport: TransportProtocol) -> String {
      switch transport {
      case .tcp: "TCP"
      case .udp: "UDP"
      case .sctp: "SCTP"
      }
    }

    private static func text(_ address: IPAddress, _ port: UInt16) -> String {
      address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
  }

  package let entrances: [Entrance]

  package init(_ found: FoundTable, family: Family) {
    let length = family == .ipv6 ? 16 : 4
    var places: [[UInt8]: [(place: UInt32, backend: Backend)]] = [:]
    for (key, value) in found.elements where key.set == .endpoints && key.bytes.count == length + 12 && value.count >= length + 2 {
      guard let address = IPAddress(bytes: Array(value[..<length])) else { continue }
      let backend = Backend(address, UInt16(value[length]) << 8 | UInt16(value[length + 1]))
      places[Array(key.bytes[..<(length + 8)]), default: []].append((nativeWord(key.bytes[(length + 8)...]), backend))
    }
    var entrances: [Entrance] = []
    for (key, value) in found.elements where key.set == .addresses || key.set == .nodePorts {
      let skipped = key.set == .addresses ? length : 0
      guard key.bytes.count == skipped + 8, value.count == length + 20, let ruleClass = RuleClass(bytes: Array(value[(length + 12)...])),
        let transport = TransportProtocol(rawValue: key.bytes[skipped])
      else { continue }
      let all = places[Array(value[4..<(length + 12)])] ?? []
      let chosen = all.filter { ($0.place >= RuleLayout.localPlace) == ruleClass.isLocal }.sorted { $0.place < $1.place }
      entrances.append(
        Entrance(
          address: key.set == .addresses ? IPAddress(bytes: Array(key.bytes[..<length])) : nil,
          port: UInt16(key.bytes[skipped + 4]) << 8 | UInt16(key.bytes[skipped + 5]), transport: transport, ruleClass: ruleClass,
          backends: ruleClass.count == 0 ? [] : chosen.map(\.backend)))
    }
    self.entrances = entrances.sorted()
  }
}
