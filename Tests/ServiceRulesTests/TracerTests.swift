import JSONCodec
import NFTables
import PacketTracer
import Testing

@testable import ServiceRules

private struct Dice: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ state >> 29) &* 0xbf58_476d_1ce4_e5b9
  }
}

/// A service and its endpoints by themselves, from which both the objects and what packets may meet follow.
private struct Wish {
  struct Endpoint { var address: Int; var node: String; var isReady: Bool; var isServing: Bool }
  var index: Int
  var isUDP = false
  var nodePort: Int?
  var isExternalLocal = false
  var isInternalLocal = false
  var isSticky = false
  var external: Bool = false
  var range: String?
  var endpoints: [Endpoint] = []

  static func random(_ index: Int, _ dice: inout Dice) -> Wish {
    var wish = Wish(index: index)
    wish.isUDP = Bool.random(using: &dice)
    if Bool.random(using: &dice) { wish.nodePort = 30_000 + index }
    wish.isExternalLocal = Int.random(in: 0..<3, using: &dice) == 0
    wish.isInternalLocal = Int.random(in: 0..<4, using: &dice) == 0
    wish.isSticky = Int.random(in: 0..<3, using: &dice) == 0
    wish.external = Bool.random(using: &dice)
    if Int.random(in: 0..<3, using: &dice) == 0 { wish.range = ["192.0.2.0/24", "10.244.0.0/16"].randomElement(using: &dice) }
    wish.endpoints = (0..<Int.random(in: 0...5, using: &dice)).map { _ in
      Endpoint(
        address: Int.random(in: 1...60, using: &dice), node: ["here", "there"].randomElement(using: &dice) ?? "here",
        isReady: Int.random(in: 0..<3, using: &dice) > 0, isServing: Bool.random(using: &dice))
    }
    return wish
  }

  var service: JSON {
    var port: JSON = ["port": 80, "protocol": isUDP ? "UDP" : "TCP"]
    if let nodePort { port["nodePort"] = JSON(nodePort) }
    var spec: JSON = ["type": "LoadBalancer", "clusterIP": .string("10.96.0.\(index)"), "ports": [port]]
    if isExternalLocal { spec["externalTrafficPolicy"] = "Local" }
    if isInternalLocal { spec["internalTrafficPolicy"] = "Local" }
    if isSticky { spec["sessionAffinity"] = "ClientIP" }
    if external { spec["externalIPs"] = JSON(["203.0.113.\(index)"]) }
    if let range { spec["loadBalancerSourceRanges"] = JSON([range]) }
    return [
      "metadata": ["namespace": "d", "name": .string("s\(index)")], "spec": spec,
      "status": ["loadBalancer": ["ingress": [["ip": .string("198.51.100.\(index)")]]]],
    ]
  }

  /// Two slices, between which the endpoints are divided.
  var slices: [JSON] {
    (0..<2).map { half in
      let list = endpoints.enumerated().filter { $0.offset % 2 == half }.map { _, endpoint -> JSON in
        [
          "addresses": [.string("10.244.0.\(endpoint.address)")], "nodeName": .string(endpoint.node),
          "conditions": ["ready": .bool(endpoint.isReady), "serving": .bool(endpoint.isServing), "terminating": .bool(!endpoint.isReady)],
        ]
      }
      return [
        "metadata": [
          "namespace": "d", "name": .string("s\(index)-\(half)"), "labels": ["kubernetes.io/service-name": .string("s\(index)")],
        ],
        "addressType": "IPv4", "endpoints": .array(list), "ports": [["port": 8080, "protocol": isUDP ? "UDP" : "TCP"]],
      ]
    }
  }

  private func usable(_ candidates: [Endpoint]) -> Set<FakeTable.Outcome> {
    let ready = candidates.filter(\.isReady)
    let chosen = ready.isEmpty ? candidates.filter { $0.isServing && !$0.isReady } : ready
    return Set(chosen.compactMap { IPAddress("10.244.0.\($0.address)").map { .sent(Backend($0, 8080)) } })
  }

  /// Everything that may happen to a packet, from the API's documentation and not from the rules.
  func expected(_ packet: FakeTable.Packet) -> Set<FakeTable.Outcome> {
    let cluster = usable(endpoints)
    let local = usable(endpoints.filter { $0.node == "here" })
    let destination = packet.destination.description
    let fits = (packet.transport == .udp) == isUDP
    let isInside = destination == "10.96.0.\(index)"
    let isOutside = destination == "203.0.113.\(index)" && external || destination == "198.51.100.\(index)"
    let isNodePort = destination == "192.0.2.1" && packet.port == nodePort.map { UInt16($0) }
    if isInside, !fits || packet.port != 80 { return [.refused] }
    guard fits, isInside || isNodePort || isOutside && packet.port == 80 else { return [.untouched] }
    if cluster.isEmpty, local.isEmpty, !(destination == "198.51.100.\(index)" && range != nil) { return [.refused] }
    if destination == "198.51.100.\(index)", let range = range.flatMap({ IPPrefix($0) }), !range.contains(packet.source) {
      return [.dropped]
    }
    if cluster.isEmpty, local.isEmpty { return [.refused] }
    let isLocal = isInside ? isInternalLocal : isExternalLocal
    let isFromHere = IPPrefix("10.244.0.0/16")?.contains(packet.source) == true || packet.source.description == "192.0.2.1"
    let choice = isLocal && (isInside || !isFromHere) ? local : cluster
    return choice.isEmpty ? [.dropped] : choice
  }
}

@Suite struct TracerTests {
  private static func state() -> ServiceState {
    let layout = RuleLayout(.ipv4, tableName: "t", podRange: IPPrefix("10.244.0.0/16"), serviceRange: IPPrefix("10.96.0.0/16"))
    return ServiceState(
      options: RuleOptions(layouts: [layout], node: NodeFacts(name: "here", nodePortAddresses: [IPAddress("192.0.2.1")!])))
  }

  /// Random services come, change and go; after each step every kind of packet meets what the API promises, the table that grew by
  /// changes equals one made anew, and a service's packets reach all of its endpoints.
  @Test(arguments: 1...60) func packetsMeetWhatServicesSay(seed: UInt64) throws {
    var dice = Dice(state: seed &* 0x9e37_79b9_7f4a_7c15)
    var state = Self.state()
    var table = FakeTable()
    table.own = [IPAddress("192.0.2.1")!]
    try table.apply(state.differences(0, from: nil))
    var wishes: [Int: Wish] = [:]
    for _ in 0..<6 {
      for _ in 0..<3 {
        let index = Int.random(in: 20...26, using: &dice)
        if let old = wishes[index], Int.random(in: 0..<4, using: &dice) == 0 {
          state.remove(service: old.service)
          for slice in old.slices { state.remove(slice: slice) }
          wishes[index] = nil
        } else {
          let wish = Wish.random(index, &dice)
          state.put(service: wish.service)
          for slice in wish.slices { state.put(slice: slice) }
          wishes[index] = wish
        }
      }
      _ = state.update()
      try table.apply(state.takeChanges(0))
      var fresh = state
      var other = FakeTable()
      try other.apply(fresh.differences(0, from: nil))
      for set in RuleLayout.SetName.allCases where !set.isMadeByPackets {
        #expect(table.sets[set.rawValue] == other.sets[set.rawValue], "\(set)")
      }
      #expect(table.chains == other.chains)
      try check(&table, wishes, &dice)
    }
  }

  private func check(_ table: inout FakeTable, _ wishes: [Int: Wish], _ dice: inout Dice) throws {
    let sources = ["192.0.2.9", "10.244.0.77", "192.0.2.1", "172.16.0.1"].compactMap { IPAddress($0) }
    for wish in wishes.values {
      let targets = ["10.96.0.\(wish.index)", "203.0.113.\(wish.index)", "198.51.100.\(wish.index)", "192.0.2.1"].compactMap {
        IPAddress($0)
      }
      for source in sources {
        for destination in targets {
          for port in [80, 81, wish.nodePort ?? 9] {
            for transport in [TransportProtocol.tcp, .udp] {
              let packet = FakeTable.Packet(source: source, destination: destination, transport: transport, port: UInt16(port))
              let expected = wish.expected(packet)
              var met: Set<FakeTable.Outcome> = []
              for _ in 0..<(wish.isSticky ? 2 : expected.count == 1 ? 1 : 60) { met.insert(try table.trace(packet, &dice)) }
              let fits = wish.isSticky ? met.count == 1 && met.isSubset(of: expected) : met == expected
              #expect(fits, "\(wish) \(packet): \(met), not \(expected)")
            }
          }
        }
      }
    }
  }
}
