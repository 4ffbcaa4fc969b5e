import NFTables

/// How packets of a class come in: by an address of the service, or by a port of the node.
enum Entrance: String, CaseIterable {
  case address = "ip"
  case nodePort = "nodeport"
}

extension RuleLayout {
  func chainName(_ ruleClass: RuleClass, _ entrance: Entrance) -> String { "\(entrance.rawValue)-\(ruleClass.name)" }

  /// The chain's rules; for a class without backends there may be none that translates.
  func rules(_ ruleClass: RuleClass, _ entrance: Entrance) -> [Rule] {
    let chain = chainName(ruleClass, entrance)
    var bodies: [[Expression]] = []
    if ruleClass.isFirewalled, entrance == .address { bodies.append(dropsStrangers) }
    if ruleClass.hasShortcut {
      var origins = [sourceIsThisNode]
      if let podRange { origins.append(payload(sourceOffset, in: podRange)) }
      for origin in origins {
        bodies += picks(entrance, ruleClass, isLocal: false, count: ruleClass.clusterCount).map { origin + $0 }
      }
    }
    if ruleClass.count > 0 {
      bodies += picks(entrance, ruleClass, isLocal: ruleClass.isLocal, count: ruleClass.count)
    } else {
      bodies.append([.verdict(ruleClass.clusterCount > 0 ? .drop : .goto(Self.reject))])
    }
    return bodies.map { Rule(chain, $0).marked }
  }

  /// Drops what comes from a source outside the ranges for the address.
  private var dropsStrangers: [Expression] {
    loadFrontend(to: 0) + [
      .payload(.network, offset: sourceOffset, length: UInt32(addressType.length), to: .word(addressWords + 2)),
      .lookup(set: SetName.sourceRanges.rawValue, key: .word(0), inverted: true), .verdict(.drop),
    ]
  }

  private func picks(_ entrance: Entrance, _ ruleClass: RuleClass, isLocal: Bool, count: Int) -> [[Expression]] {
    let load = entrance == .address ? loadAddressTarget : loadNodePortTarget
    let first = isLocal ? Self.localPlace : 0
    let placeWord = Register.word(classWord)  // behind the key; the class is known by now
    let one: [Expression] = [.immediate(nativeBytes(first), to: placeWord)]
    let any: [Expression] = count == 1 ? one : [.random(modulus: UInt32(count), offset: first, to: placeWord)]
    let sticky =
      ruleClass.affinitySeconds == 0
      ? [] : stickyPicks(load, any, isLocal: isLocal, milliseconds: UInt64(ruleClass.affinitySeconds) * 1000)
    // A packet that reads the class just before and the endpoints just after a commit may look for a place that is gone; place 0 is not.
    return sticky + (count == 1 ? [one] : [any, one]).map { load + $0 + lookUpBackend(to: 0) + [translate(from: 0)] }
  }

  private func lookUpBackend(to word: Int) -> [Expression] { [.map(SetName.endpoints.rawValue, key: .word(Self.keyWord), to: .word(word))] }

  private func translate(from word: Int) -> Expression {
    .nat(.destination, family, address: .word(word), port: .word(word + addressWords), flags: [])
  }

  /// A client that has been here goes where it went, if that still belongs to the service, and is remembered anew.
  private func stickyPicks(_ load: [Expression], _ place: [Expression], isLocal: Bool, milliseconds: UInt64) -> [[Expression]] {
    let map = (isLocal ? SetName.affinityLocal : .affinity).rawValue
    let live = (isLocal ? SetName.affinityLiveLocal : .affinityLive).rawValue
    let client = classWord
    let backend = client + addressWords
    let loadClient = Expression.payload(.network, offset: sourceOffset, length: UInt32(addressType.length), to: .word(client))
    let remember = Expression.updateMap(map, key: .word(Self.keyWord), data: .word(backend), timeout: milliseconds)
    let key = load + [loadClient]
    return [
      key + [.map(map, key: .word(Self.keyWord), to: .word(backend)), remember],
      key + [
        .map(map, key: .word(Self.keyWord), to: .word(client)), .lookup(set: live, key: .word(Self.keyWord), inverted: false),
        translate(from: client),
      ],
      key + [.removeKey(map, key: .word(Self.keyWord), data: .word(Self.keyWord))],
      load + place + lookUpBackend(to: backend) + [loadClient, remember, translate(from: backend)],
    ]
  }
}
