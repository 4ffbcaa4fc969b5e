import JSONCodec
import NFTables
import PacketTracer
import ServiceRules
import Testing

@testable import PolicyRules

/// What the model says of a packet is what the rules do with it, through thousands of random changes that are told as differences.
struct TracerTests {
  @Test(arguments: 1...10)
  func rulesDoWhatThePoliciesSay(seed: UInt64) throws {
    var dice = Dice(state: seed &* 7919)
    var model = Model()
    var state = PolicyState(node: "here", tableName: "policies", families: [.ipv4, .ipv6])
    var tables: [Family: FakeTable] = [:]
    var told: [Family: PolicyTable] = [:]
    model.namespaces = RandomCluster.namespaces.map { RandomCluster.namespace($0, &dice) }
    state.replace(namespaces: model.namespaces)
    for step in 0..<16 {
      change(&model, &state, step: step, &dice)
      let wanted = Dictionary(uniqueKeysWithValues: state.tables().map { ($0.table.family, $0) })
      for family in [Family.ipv4, .ipv6] {
        var table = tables[family] ?? FakeTable()
        switch (told[family], wanted[family]) {
        case (let old?, let new?): try table.apply(new.changes(from: old))
        case (nil, let new?): try table.apply(new.replacement)
        case (_, nil): table = FakeTable()
        }
        tables[family] = table
        told[family] = wanted[family]
        try check(&table, family, model, "seed \(seed), step \(step)", &dice)
      }
    }
  }

  private func change(_ model: inout Model, _ state: inout PolicyState, step: Int, _ dice: inout Dice) {
    switch step < 4 ? step % 2 : Int.random(in: 0..<6, using: &dice) {
    case 0:
      model.pods = (0..<7).map { RandomCluster.pod($0, &dice) }
      state.replace(pods: model.pods)
    case 1:
      let policy = RandomCluster.policy(Int.random(in: 0..<4, using: &dice), &dice)
      model.policies.removeAll { $0["metadata"] == policy["metadata"] }
      model.policies.append(policy)
      state.put(policy: policy)
    case 2:
      guard !model.policies.isEmpty else { return }
      state.remove(policy: model.policies.remove(at: Int.random(in: 0..<model.policies.count, using: &dice)))
    case 3:
      let index = Int.random(in: 0..<model.pods.count, using: &dice)
      var pod = RandomCluster.pod(index, &dice)
      pod["metadata"]["namespace"] = model.pods[index]["metadata"]["namespace"]
      model.pods[index] = pod
      state.put(pod: pod)
    case 4:
      let index = Int.random(in: 0..<3, using: &dice)
      model.namespaces[index] = RandomCluster.namespace(RandomCluster.namespaces[index], &dice)
      state.put(namespace: model.namespaces[index])
    default:
      let index = Int.random(in: 0..<model.pods.count, using: &dice)
      model.pods[index]["status"]["phase"] = "Succeeded"
      model.pods[index]["status"]["podIPs"] = []
      state.put(pod: model.pods[index])
    }
  }

  private func check(_ table: inout FakeTable, _ family: Family, _ model: Model, _ what: String, _ dice: inout Dice) throws {
    var addresses = model.pods.flatMap { $0["status"]["podIPs"].array ?? [] }.compactMap { $0["ip"].string.flatMap { IPAddress($0) } }
    addresses += ["192.0.2.7", "192.0.2.9", "fd00:2::7"].compactMap { IPAddress($0) }
    addresses = addresses.filter { $0.family == family }
    for source in addresses {
      for destination in addresses {
        for (transport, port) in [(TransportProtocol.tcp, 80), (.tcp, 81), (.udp, 80), (.udp, 82), (.sctp, 81)] {
          let packet = FakeTable.Packet(source: source, destination: destination, transport: transport, port: UInt16(port))
          let outcome = try table.trace(packet, from: "forward", &dice)
          let expected = model.allows(packet, on: "here")
          #expect((outcome != .dropped) == expected, "\(what): \(packet) met \(outcome)")
        }
      }
    }
  }
}
