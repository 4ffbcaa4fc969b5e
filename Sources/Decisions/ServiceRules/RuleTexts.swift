import NFTables

/// The rules of the chains that every packet of a new connection meets.
extension RuleLayout {
  var serviceRules: [Rule] {
    var rules = [
      Rule(Self.prerouting, [.verdict(.jump(Self.services))]),
      Rule(Self.output, [.verdict(.jump(Self.services))]),
      Rule(
        Self.services, loadAddressTarget + [.verdictMap(SetName.addressClasses.rawValue, key: .word(classWord))],
        comment: "service addresses"),
      Rule(
        Self.services,
        loadDestination + [.lookup(set: SetName.nodePortAddresses.rawValue, key: .word(0), inverted: false)] + loadNodePortTarget
          + [.verdictMap(SetName.nodePortClasses.rawValue, key: .word(classWord))],
        comment: "node ports"),
      Rule(
        Self.services,
        loadDestination + [
          .lookup(set: SetName.clusterAddresses.rawValue, key: .word(0), inverted: false), .verdict(.goto(Self.reject)),
        ], comment: "ports that a service does not have"),
    ]
    if let serviceRange {
      rules.append(
        Rule(
          Self.services,
          payload(destinationOffset, in: serviceRange) + [
            .fib(.addressType, of: .destination, to: .word(0)), .compare(.word(0), .notEqual, nativeBytes(Self.localRoute)),
            .verdict(.drop),
          ], comment: "addresses that no service has"))
    }
    return rules
  }

  var rejectRules: [Rule] {
    let portUnreachable: UInt8 = family == .ipv6 ? 4 : 3
    return [
      Rule(
        Self.reject,
        [.meta(.transportProtocol, to: .word(0)), .compare(.word(0), .equal, [TransportProtocol.tcp.rawValue]), .reject(.tcpReset)]),
      Rule(Self.reject, [.reject(.icmp(code: portUnreachable))]),
    ]
  }

  /// The class of a translated packet says whose source is replaced. It is found by the packet's first destination, so that no mark
  /// on the packet is needed, which others might use.
  var postroutingRules: [Rule] {
    let translated = nativeBytes(ConntrackStatus.destinationTranslated.rawValue)
    let masquerade = Expression.masquerade(.fullyRandom)
    var rules = [
      Rule(
        Self.postrouting,
        [
          .conntrack(.status, to: .word(0)), .bitwise(from: .word(0), to: .word(0), mask: translated, xor: nativeBytes(0)),
          .compare(.word(0), .equal, nativeBytes(0)), .verdict(.return),
        ], comment: "only what was sent to a service"),
      Rule(
        Self.postrouting,
        loadSource + [
          .payload(.network, offset: destinationOffset, length: UInt32(addressType.length), to: .word(addressWords)),
          .lookup(set: SetName.hairpin.rawValue, key: .word(0), inverted: false), masquerade,
        ], comment: "a pod that calls itself"),
    ]
    for (load, what) in [(loadOriginalAddressTarget, "service address"), (loadOriginalNodePortTarget, "node port")] {
      rules.append(Rule(Self.postrouting, load + hasMasquerade(.always) + [masquerade], comment: "\(what), policy Cluster"))
      rules.append(
        Rule(
          Self.postrouting, sourceIsThisNode + load + hasMasquerade(.fromNode) + [masquerade],
          comment: "\(what), policy Local, from the node"))
    }
    if let podRange {
      rules.append(
        Rule(
          Self.postrouting, payload(sourceOffset, notIn: podRange) + loadOriginalAddressTarget + hasMasquerade(.fromOutside) + [masquerade],
          comment: "cluster address, from no pod"))
    }
    return rules
  }

  private func hasMasquerade(_ kind: RuleClass.Masquerade) -> [Expression] {
    let word = Register.word(classWord)
    return [
      .bitwise(from: word, to: word, mask: nativeBytes(kind.rawValue), xor: nativeBytes(0)), .compare(word, .notEqual, nativeBytes(0)),
    ]
  }

  static let localRoute: UInt32 = 2  // RTN_LOCAL

  var loadSource: [Expression] { [.payload(.network, offset: sourceOffset, length: UInt32(addressType.length), to: .word(0))] }
  private var loadDestination: [Expression] {
    [.payload(.network, offset: destinationOffset, length: UInt32(addressType.length), to: .word(0))]
  }

  var sourceIsThisNode: [Expression] {
    [.fib(.addressType, of: .source, to: .word(0)), .compare(.word(0), .equal, nativeBytes(Self.localRoute))]
  }

  /// The packet's destination, protocol and port to the words from `word`.
  func loadFrontend(to word: Int) -> [Expression] {
    [
      .payload(.network, offset: destinationOffset, length: UInt32(addressType.length), to: .word(word)),
      .meta(.transportProtocol, to: .word(word + addressWords)),
      .payload(.transport, offset: 2, length: 2, to: .word(word + addressWords + 1)),
    ]
  }

  /// Key and class of the service to the words from 0; ends the rule where there is none.
  var loadAddressTarget: [Expression] {
    loadFrontend(to: Self.frontendWord) + [.map(SetName.addresses.rawValue, key: .word(Self.frontendWord), to: .word(0))]
  }

  var loadNodePortTarget: [Expression] {
    [
      .meta(.transportProtocol, to: .word(Self.frontendWord)),
      .payload(.transport, offset: 2, length: 2, to: .word(Self.frontendWord + 1)),
      .map(SetName.nodePorts.rawValue, key: .word(Self.frontendWord), to: .word(0)),
    ]
  }

  private func originalDestination(to word: Int) -> Expression {
    .conntrackOriginal(family == .ipv6 ? .destinationIPv6 : .destinationIPv4, to: .word(word))
  }

  private var loadOriginalAddressTarget: [Expression] {
    let word = Self.frontendWord
    return [
      originalDestination(to: word), .meta(.transportProtocol, to: .word(word + addressWords)),
      .conntrackOriginal(.destinationPort, to: .word(word + addressWords + 1)),
      .map(SetName.addresses.rawValue, key: .word(word), to: .word(0)),
    ]
  }

  private var loadOriginalNodePortTarget: [Expression] {
    let word = Self.frontendWord
    return [
      originalDestination(to: word), .lookup(set: SetName.nodePortAddresses.rawValue, key: .word(word), inverted: false),
      .meta(.transportProtocol, to: .word(word)), .conntrackOriginal(.destinationPort, to: .word(word + 1)),
      .map(SetName.nodePorts.rawValue, key: .word(word), to: .word(0)),
    ]
  }

  func payload(_ offset: UInt32, in prefix: IPPrefix) -> [Expression] { masked(offset, prefix, .equal) }

  private func payload(_ offset: UInt32, notIn prefix: IPPrefix) -> [Expression] { masked(offset, prefix, .notEqual) }

  private func masked(_ offset: UInt32, _ prefix: IPPrefix, _ comparison: Comparison) -> [Expression] {
    let length = addressType.length
    return [
      .payload(.network, offset: offset, length: UInt32(length), to: .word(0)),
      .bitwise(from: .word(0), to: .word(0), mask: prefix.mask, xor: [UInt8](repeating: 0, count: length)),
      .compare(.word(0), comparison, prefix.address.bytes),
    ]
  }
}
