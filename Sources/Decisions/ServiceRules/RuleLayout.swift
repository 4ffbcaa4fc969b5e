import NFTables

/// What is the same for all services of one family: the sets and chains, and the names of both.
///
///     map  service-ips         address . protocol . port -> 0 . key . class   cluster, external and balancer addresses
///     map  service-nodeports   protocol . port -> 0 . key . class
///     map  endpoints           key . place -> address . port                  places count from 0, local ones from 65536
///     vmap address-classes     class -> goto a chain that chooses             } as many as kinds of services
///     vmap nodeport-classes    class -> goto a chain that chooses             }
///     map  affinity, affinity-local         key . client -> address . port    made by packets, with a time to live
///     set  affinity-live, -live-local       key . address . port              where an old client may still be sent
///     set  cluster-ips, nodeport-ips, hairpin, source-ranges
///
/// `key` is a service port's first cluster address, protocol and port. A new connection costs four look-ups in hash tables with 1 or
/// with 30,000 services; packets of old connections meet none of this (they pass the nat chains once).
package struct RuleLayout: Hashable, Sendable {
  package var table: Table
  /// Whose packets come from pods. Nil: not known, so nothing counts as from outside.
  package var podRange: IPPrefix?
  /// Addresses in here that no service has lead nowhere, until one has.
  package var serviceRange: IPPrefix?

  package init(_ family: Family, tableName: String, podRange: IPPrefix?, serviceRange: IPPrefix?) {
    table = Table(family, tableName)
    self.podRange = podRange
    self.serviceRange = serviceRange
  }

  package var family: Family { table.family }
  var addressType: DataType { family == .ipv6 ? .ipv6Address : .ipv4Address }
  /// Register words that an address takes.
  var addressWords: Int { addressType.length / 4 }
  var sourceOffset: UInt32 { family == .ipv6 ? 8 : 12 }
  var destinationOffset: UInt32 { family == .ipv6 ? 24 : 16 }
  private var frontendType: [DataType] { [addressType, .protocolNumber, .port] }
  /// Two words. `nft` has no name for such a type, and a concatenation has room for five names.
  private static let classType = DataType(number: DataType.mark.number, length: 8)

  /// Where the parts of a service's value stand in registers once it was looked up. The first word is empty: `nft list` (1.0.6) ends
  /// with a failed assertion where a look-up's key begins at the word in which another look-up's value begins.
  static let keyWord = 1
  var classWord: Int { Self.keyWord + addressWords + 2 }
  /// A packet's destination is loaded here, clear of that value.
  static let frontendWord = 10

  /// Clients that services with affinity remember; more get any backend.
  static let clientsMax: UInt32 = 262_144
  /// Places of local backends start here.
  static let localPlace: UInt32 = 65_536

  package enum SetName: String, CaseIterable, Sendable {
    case addresses = "service-ips"
    case nodePorts = "service-nodeports"
    case endpoints = "endpoints"
    case addressClasses = "address-classes"
    case nodePortClasses = "nodeport-classes"
    case affinity = "affinity"
    case affinityLocal = "affinity-local"
    case affinityLive = "affinity-live"
    case affinityLiveLocal = "affinity-live-local"
    case clusterAddresses = "cluster-ips"
    case nodePortAddresses = "nodeport-ips"
    case hairpin = "hairpin"
    case sourceRanges = "source-ranges"

    /// Packets make the elements; nobody else does.
    package var isMadeByPackets: Bool { self == .affinity || self == .affinityLocal }
  }

  func set(_ name: SetName) -> NamedSet {
    let backend = [addressType, DataType.port]
    let target = NamedSet.Value.data([.mark] + frontendType + [Self.classType])
    switch name {
    case .addresses: return NamedSet(name.rawValue, key: frontendType, value: target)
    case .nodePorts: return NamedSet(name.rawValue, key: [.protocolNumber, .port], value: target)
    case .endpoints: return NamedSet(name.rawValue, key: frontendType + [.mark], value: .data(backend))
    case .addressClasses, .nodePortClasses: return NamedSet(name.rawValue, key: [.mark, .mark], value: .verdict)
    case .affinity, .affinityLocal:
      return NamedSet(
        name.rawValue, key: frontendType + [addressType], value: .data(backend), flags: [.dynamic, .timeout], sizeMax: Self.clientsMax)
    case .affinityLive, .affinityLiveLocal: return NamedSet(name.rawValue, key: frontendType + backend)
    case .clusterAddresses, .nodePortAddresses: return NamedSet(name.rawValue, key: [addressType])
    case .hairpin: return NamedSet(name.rawValue, key: [addressType, addressType])
    case .sourceRanges: return NamedSet(name.rawValue, key: frontendType + [addressType], flags: .interval)
    }
  }

  package static let prerouting = "prerouting"
  package static let output = "output"
  package static let postrouting = "postrouting"
  static let services = "services"
  static let reject = "reject"

  package var chains: [Chain] {
    [
      // Beside the pod network's own nat chains: whichever translates a packet first ends the search, and no packet fits both.
      Chain(Self.prerouting, base: .init(.nat, .prerouting, priority: -100)),
      Chain(Self.output, base: .init(.nat, .output, priority: -100)),
      Chain(Self.postrouting, base: .init(.nat, .postrouting, priority: 100)),
      Chain(Self.services), Chain(Self.reject),
    ]
  }

  /// Everything but services.
  package var foundation: [Change] {
    SetName.allCases.map { .addSet(set($0)) } + chains.map { .addChain($0) } + rules.map { .addRule($0) }
  }

  /// The rules of `chains`, each with a comment that tells its content: what is read back is compared by it.
  package var rules: [Rule] { (serviceRules + rejectRules + postroutingRules).map(\.marked) }
}

extension Rule {
  /// With a comment that ends in a digest of the expressions.
  var marked: Rule {
    let digest = String(describing: expressions).utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return Rule(chain, expressions, comment: "\(comment ?? chain) #\(String(digest, radix: 36))")
  }
}
