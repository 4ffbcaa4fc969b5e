import JSONCodec
import NFTables
import ServiceRules

/// What the rules need of a Pod: a pod with an address of its own. One that uses its node's network is part of the node.
package struct PolicyPod: Hashable, Sendable {
  package struct NamedPort: Hashable, Sendable {
    package let name: String
    package let transport: TransportProtocol
    package let number: UInt16

    package init(name: String, transport: TransportProtocol, number: UInt16) {
      (self.name, self.transport, self.number) = (name, transport, number)
    }
  }

  package let name: ObjectName
  package let node: String
  package let labels: Labels
  package let addresses: [IPAddress]
  package let namedPorts: [NamedPort]

  package init(name: ObjectName, node: String, labels: Labels, addresses: [IPAddress], namedPorts: [NamedPort] = []) {
    (self.name, self.node, self.labels, self.addresses, self.namedPorts) = (name, node, labels, addresses, namedPorts)
  }

  /// Nil: a pod that has no address of its own, not yet or no longer.
  /// - Parameter addresses: what the node gave it, where its status does not say so yet
  package init?(_ json: JSON, addresses given: [String]? = nil) {
    let (spec, status) = (json["spec"], json["status"])
    guard let name = json["metadata"]["name"].string, let namespace = json["metadata"]["namespace"].string,
      spec["hostNetwork"].bool != true, !["Succeeded", "Failed"].contains(status["phase"].string)
    else { return nil }
    var texts = given ?? (status["podIPs"].array ?? []).compactMap { $0["ip"].string }
    if texts.isEmpty, let one = status["podIP"].string { texts = [one] }
    addresses = texts.compactMap { IPAddress($0) }
    if addresses.isEmpty { return nil }
    self.name = ObjectName(namespace, name)
    node = spec["nodeName"].string ?? ""
    labels = json.labelValues
    let containers =
      (spec["containers"].array ?? []) + (spec["initContainers"].array ?? []).filter { $0["restartPolicy"].string == "Always" }
    namedPorts = containers.flatMap { $0["ports"].array ?? [] }.compactMap { port in
      guard let name = port["name"].string, let transport = TransportProtocol(port["protocol"].string),
        let number = port["containerPort"].int.flatMap({ UInt16(exactly: $0) })
      else { return nil }
      return NamedPort(name: name, transport: transport, number: number)
    }
  }
}

/// The pods that a selection has now, as elements of sets.
struct PodGroup: Sendable {
  private(set) var members: [ObjectName: PolicyPod] = [:]
  /// How many members have the address: for a moment two can.
  private var counts: [IPAddress: Int] = [:]

  /// Brings one pod up to date; `pod` nil: it is no member.
  mutating func set(_ name: ObjectName, _ pod: PolicyPod?) {
    let old = members[name]
    if old == pod { return }
    members[name] = pod
    for address in old?.addresses ?? [] {
      counts[address, default: 1] -= 1
      if counts[address] == 0 { counts[address] = nil }
    }
    for address in pod?.addresses ?? [] { counts[address, default: 0] += 1 }
  }

  func addresses(_ family: Family) -> Set<Element> { Set(counts.keys.lazy.filter { $0.family == family }.map { Element($0.bytes) }) }

  /// `address . protocol . port` of what members call so.
  func named(_ transport: TransportProtocol, _ name: String, _ family: Family, node: String?) -> Set<Element> {
    var elements: Set<Element> = []
    for pod in members.values where node == nil || pod.node == node {
      for port in pod.namedPorts where port.transport == transport && port.name == name {
        for address in pod.addresses where address.family == family {
          elements.insert(
            Element(Element.concatenate(address.bytes, [transport.rawValue], [UInt8(port.number >> 8), UInt8(port.number & 0xff)])))
        }
      }
    }
    return elements
  }
}
