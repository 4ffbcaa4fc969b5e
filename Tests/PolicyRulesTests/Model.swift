import JSONCodec
import NFTables
import PacketTracer
import ServiceRules

@testable import PolicyRules

struct Dice: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ state >> 29) &* 0xbf58_476d_1ce4_e5b9
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
  mutating func one<Element>(of list: [Element]) -> Element { list[Int.random(in: 0..<list.count, using: &self)] }
}

/// What the API documentation says of NetworkPolicies, read from the objects packet by packet, in no hurry.
struct Model {
  var pods: [JSON] = []
  var namespaces: [JSON] = []
  var policies: [JSON] = []

  func allows(_ packet: FakeTable.Packet, on node: String) -> Bool {
    let sender = pod(packet.source)
    let receiver = pod(packet.destination)
    if packet.source == packet.destination, sender?["spec"]["nodeName"].string == node { return true }
    if let sender, sender["spec"]["nodeName"].string == node {
      let mine = policies(of: sender, "Egress")
      if !mine.isEmpty, !mine.contains(where: { fits($0, "egress", "to", other: packet.destination, packet, receiver) }) { return false }
    }
    if let receiver, receiver["spec"]["nodeName"].string == node {
      let mine = policies(of: receiver, "Ingress")
      if !mine.isEmpty, !mine.contains(where: { fits($0, "ingress", "from", other: packet.source, packet, receiver) }) { return false }
    }
    return true
  }

  private func pod(_ address: IPAddress) -> JSON? {
    pods.first { ($0["status"]["podIPs"].array ?? []).contains { $0["ip"].string == address.description } }
  }

  private func policies(of pod: JSON, _ type: String) -> [JSON] {
    policies.filter {
      $0["metadata"]["namespace"] == pod["metadata"]["namespace"] && selects($0["spec"]["podSelector"], pod["metadata"]["labels"])
        && ($0["spec"]["policyTypes"].array ?? []).contains(.string(type))
    }
  }

  private func fits(
    _ policy: JSON, _ field: String, _ peers: String, other: IPAddress, _ packet: FakeTable.Packet, _ receiver: JSON?
  ) -> Bool {
    (policy["spec"][field].array ?? []).contains { rule in
      let list = rule[peers].array ?? []
      guard list.isEmpty || list.contains(where: { isPeer($0, other, of: policy["metadata"]["namespace"]) }) else { return false }
      let ports = rule["ports"].array ?? []
      return ports.isEmpty || ports.contains { isPort($0, packet, receiver) }
    }
  }

  private func isPeer(_ peer: JSON, _ address: IPAddress, of namespace: JSON) -> Bool {
    if let range = peer["ipBlock"]["cidr"].string.flatMap({ IPPrefix($0) }) {
      return range.contains(address)
        && !(peer["ipBlock"]["except"].array ?? []).contains { $0.string.flatMap { IPPrefix($0) }?.contains(address) == true }
    }
    guard let pod = pod(address) else { return false }
    if peer["namespaceSelector"].isNull {
      guard pod["metadata"]["namespace"] == namespace else { return false }
    } else {
      let home = namespaces.first { $0["metadata"]["name"] == pod["metadata"]["namespace"] }
      guard let home, selects(peer["namespaceSelector"], home["metadata"]["labels"]) else { return false }
    }
    return selects(peer["podSelector"], pod["metadata"]["labels"])
  }

  private func isPort(_ port: JSON, _ packet: FakeTable.Packet, _ receiver: JSON?) -> Bool {
    guard TransportProtocol(port["protocol"].string) == packet.transport else { return false }
    if port["port"].isNull { return true }
    if let name = port["port"].string {
      let containers = receiver?["spec"]["containers"].array ?? []
      return containers.flatMap { $0["ports"].array ?? [] }.contains {
        $0["name"].string == name && $0["containerPort"].int == Int(packet.port)
          && TransportProtocol($0["protocol"].string) == packet.transport
      }
    }
    let first = Int(port["port"].int ?? 0)
    return (first...Int(port["endPort"].int ?? first)).contains(Int(packet.port))
  }

  private func selects(_ selector: JSON, _ labels: JSON) -> Bool {
    for (key, value) in selector["matchLabels"].object ?? JSONObject() where labels[key] != value { return false }
    return (selector["matchExpressions"].array ?? []).allSatisfy { expression in
      let value = labels[expression["key"].string ?? ""]
      let isListed = (expression["values"].array ?? []).contains(value)
      return switch expression["operator"].string {
      case "In": isListed
      case "NotIn": !isListed
      case "Exists": !value.isNull
      default: value.isNull
      }
    }
  }
}
