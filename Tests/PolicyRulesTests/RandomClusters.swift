import JSONCodec

/// Objects of a small cluster that is made to have many coincidences.
struct RandomCluster {
  static let namespaces = ["x", "y", "z"]
  static let tiers = ["web", "db", "cache"]

  static func namespace(_ name: String, _ dice: inout Dice) -> JSON {
    [
      "metadata": [
        "name": .string(name), "labels": ["kubernetes.io/metadata.name": .string(name), "team": .string(dice.one(of: ["red", "blue"]))],
      ]
    ]
  }

  static func pod(_ index: Int, _ dice: inout Dice) -> JSON {
    var labels: JSON = ["tier": .string(dice.one(of: tiers))]
    if dice.chance(40) { labels["new"] = "yes" }
    let web: JSON = ["name": "web", "containerPort": JSON(dice.one(of: [80, 81])), "protocol": .string(dice.one(of: ["TCP", "UDP"]))]
    var addresses: [JSON] = [["ip": .string("10.244.0.\(10 + index)")]]
    if dice.chance(70) { addresses.append(["ip": .string("fd00:244::\(10 + index)")]) }
    return [
      "metadata": ["name": .string("p\(index)"), "namespace": .string(dice.one(of: namespaces)), "labels": labels],
      "spec": ["nodeName": .string(dice.chance(60) ? "here" : "there"), "containers": [["name": "c", "ports": [web]]]],
      "status": ["phase": "Running", "podIPs": .array(addresses)],
    ]
  }

  static func selector(_ dice: inout Dice) -> JSON {
    switch Int.random(in: 0..<6, using: &dice) {
    case 0: return .object(JSONObject())
    case 1: return ["matchExpressions": [["key": "tier", "operator": "In", "values": JSON([dice.one(of: tiers), dice.one(of: tiers)])]]]
    case 2: return ["matchExpressions": [["key": "tier", "operator": "NotIn", "values": JSON([dice.one(of: tiers)])]]]
    case 3: return ["matchExpressions": [["key": "new", "operator": .string(dice.one(of: ["Exists", "DoesNotExist"]))]]]
    default: return ["matchLabels": ["tier": .string(dice.one(of: tiers))]]
    }
  }

  static func peer(_ dice: inout Dice) -> JSON {
    if dice.chance(30) {
      let blocks: [JSON] = [
        ["cidr": "0.0.0.0/0"], ["cidr": "10.244.0.0/24", "except": ["10.244.0.12/31", "10.244.0.16/29"]], ["cidr": "192.0.2.0/24"],
        ["cidr": "::/0", "except": ["fd00:244::12/127"]], ["cidr": "10.244.0.12/32"], ["cidr": "128.0.0.0/1", "except": ["192.0.2.7/32"]],
      ]
      return ["ipBlock": dice.one(of: blocks)]
    }
    var peer: JSON = .object(JSONObject())
    let both = Int.random(in: 0..<3, using: &dice)
    if both != 0 { peer["podSelector"] = selector(&dice) }
    if both != 1 {
      let team: JSON = ["matchLabels": ["team": .string(dice.one(of: ["red", "blue"]))]]
      peer["namespaceSelector"] = dice.chance(20) ? .object(JSONObject()) : team
    }
    return peer
  }

  static func port(_ dice: inout Dice) -> JSON {
    var port: JSON = ["protocol": .string(dice.one(of: ["TCP", "TCP", "UDP", "SCTP"]))]
    switch Int.random(in: 0..<4, using: &dice) {
    case 0: port["port"] = "web"
    case 1: (port["port"], port["endPort"]) = (80, JSON(dice.one(of: [80, 82])))
    case 2: port["port"] = JSON(dice.one(of: [80, 81]))
    default: break
    }
    return port
  }

  static func policy(_ index: Int, _ dice: inout Dice) -> JSON {
    var spec: JSON = ["podSelector": selector(&dice)]
    let types = dice.one(of: [["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    spec["policyTypes"] = JSON(types)
    for (type, field, peers) in [("Ingress", "ingress", "from"), ("Egress", "egress", "to")] where types.contains(type) {
      spec[field] = .array(
        (0..<Int.random(in: 0...2, using: &dice)).map { _ in
          var rule: JSON = .object(JSONObject())
          if dice.chance(80) { rule[peers] = .array((0...Int.random(in: 0...1, using: &dice)).map { _ in peer(&dice) }) }
          if dice.chance(60) { rule["ports"] = .array((0...Int.random(in: 0...1, using: &dice)).map { _ in port(&dice) }) }
          return rule
        })
    }
    return ["metadata": ["name": .string("n\(index)"), "namespace": .string(dice.one(of: namespaces))], "spec": spec]
  }
}
