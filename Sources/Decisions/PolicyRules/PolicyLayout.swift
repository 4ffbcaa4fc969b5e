import NFTables
import ServiceRules

/// What is the same in the tables of all nodes: names, keys and the chains that packets come through.
///
///     vmap egress-pods, ingress-pods   address -> jump to the chain of the pod's policies; only pods that have some
///     set  own                         address . address        a pod may always call itself
///     set  node-servers                address                  what this node answers under an address that no machine has
///     set  peers-N                     address                  the pods of one selection
///     set  blocks-N                    ranges of addresses
///     set  ports-N                     protocol . ranges of ports
///     set  names-N                     address . protocol . port
///     chain egress-N, ingress-N        a rule for each kind of packet that may pass, then drop
///
/// Pods with the same policies share a chain, and selections that read alike a set: a packet's way does not grow with the pods, and a
/// pod that comes or goes is an element of some sets.
struct PolicyLayout: Sendable {
  let table: Table

  var isV6: Bool { table.family == .ipv6 }
  var addressType: DataType { isV6 ? .ipv6Address : .ipv4Address }
  var words: Int { addressType.length / 4 }

  static let own = "own"
  static let nodeServers = "node-servers"

  static func pods(_ direction: PolicyFacts.Direction) -> String { "\(direction.rawValue)-pods" }

  /// The address of the pod's other side, and its own, as the direction sees them.
  func loadPeer(_ direction: PolicyFacts.Direction, to word: Int) -> Expression {
    direction == .ingress ? loadSource(to: word) : loadDestination(to: word)
  }

  func loadSource(to word: Int) -> Expression {
    .payload(.network, offset: isV6 ? 8 : 12, length: UInt32(addressType.length), to: .word(word))
  }

  func loadDestination(to word: Int) -> Expression {
    .payload(.network, offset: isV6 ? 24 : 16, length: UInt32(addressType.length), to: .word(word))
  }

  func loadProtocolPort(to word: Int) -> [Expression] {
    [.meta(.transportProtocol, to: .word(word)), .payload(.transport, offset: 2, length: 2, to: .word(word + 1))]
  }

  /// Packets of connections that were let in once pass; others go by the policies of their sender, then by those of their receiver.
  func entrance() -> [(Chain, [Rule])] {
    let known = withUnsafeBytes(of: ConntrackState.established.rawValue | ConntrackState.related.rawValue) { [UInt8]($0) }
    let passesKnown: [Expression] = [
      .conntrack(.state, to: .word(0)), .bitwise(from: .word(0), to: .word(0), mask: known, xor: [0, 0, 0, 0]),
      .compare(.word(0), .notEqual, [0, 0, 0, 0]), .verdict(.accept),
    ]
    let bySender: [Expression] = [loadSource(to: 0), .verdictMap(Self.pods(.egress), key: .word(0))]
    return [
      (
        Chain("forward", base: .init(.filter, .forward, priority: 0)),
        [
          Rule("forward", passesKnown, comment: "connections that were let in"),
          Rule(
            "forward",
            [loadSource(to: 0), loadDestination(to: words), .lookup(set: Self.own, key: .word(0), inverted: false), .verdict(.accept)],
            comment: "a pod that calls itself"),
          Rule("forward", bySender, comment: "what pods may call"),
          Rule("forward", [loadDestination(to: 0), .verdictMap(Self.pods(.ingress), key: .word(0))], comment: "what may call pods"),
        ]
      ),
      (
        Chain("input", base: .init(.filter, .input, priority: 0)),
        [
          Rule("input", passesKnown, comment: "connections that were let in"),
          Rule(
            "input", [loadDestination(to: 0), .lookup(set: Self.nodeServers, key: .word(0), inverted: false)] + bySender,
            comment: "what pods may ask this node in another's place"),
        ]
      ),
    ]
  }

  var addressPair: [DataType] { [addressType, addressType] }
  var serverKey: [DataType] { [addressType, .protocolNumber, .port] }
}
