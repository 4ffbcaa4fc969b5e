import JSONCodec
import KubernetesAPI
import NFTables
import ServiceRules

/// Policies, pods and namespaces as last heard, and the tables that follow for one node.
package struct PolicyState: Sendable {
  package let node: String
  private let families: [Table]
  /// Pods that no node runs but that stand for what every node does itself, such as the cluster's DNS server.
  private let standIns: [PolicyPod]
  private var policies: [ObjectName: PolicyFacts] = [:]
  private(set) var pods: [ObjectName: PolicyPod] = [:]
  private var namespaces: [String: Labels] = [:]
  /// Pods that begin here: their status may not say their addresses yet.
  private var announced: [ObjectName: PolicyPod] = [:]

  private var groups: [PodSelection: PodGroup] = [:]
  /// Namespaces whose policies changed since the last tables.
  private var changedNamespaces: Set<String> = []
  /// By pod of this node: what is asked of its packets. Pods without policies are missing.
  private(set) var isolated: [ObjectName: Isolation] = [:]
  private var numbers = Numbering()

  struct Isolation: Hashable, Sendable {
    /// By name; nil: the direction is free.
    var policies: [PolicyFacts.Direction: [ObjectName]] = [:]
  }

  /// - Parameter standIns: their addresses are answered by this node itself
  package init(node: String, tableName: String, families: [Family], standIns: [PolicyPod] = []) {
    self.node = node
    self.families = families.map { Table($0, tableName) }
    self.standIns = standIns
    for pod in standIns { pods[pod.name] = pod }
  }

  package var hasPolicies: Bool { !policies.isEmpty }
  package var allTables: [Table] { families }

  // MARK: what is heard

  package mutating func put(policy json: JSON) {
    guard let facts = PolicyFacts(json), policies[facts.name] != facts else { return }
    policies[facts.name] = facts
    changedNamespaces.insert(facts.name.namespace)
  }

  package mutating func remove(policy json: JSON) {
    let name = ObjectName(json)
    if policies.removeValue(forKey: name) != nil { changedNamespaces.insert(name.namespace) }
  }

  package mutating func replace(policies list: [JSON]) {
    var gone = Set(policies.keys)
    for json in list {
      gone.remove(ObjectName(json))
      put(policy: json)
    }
    for name in gone {
      policies[name] = nil
      changedNamespaces.insert(name.namespace)
    }
  }

  package mutating func put(pod json: JSON) {
    let name = ObjectName(json)
    // What the node gave a pod is newer than what its status says of that.
    let pod = PolicyPod(json, addresses: announced[name]?.addresses.map(\.description))
    if pod == nil, PolicyPod(json, addresses: ["0.0.0.0"]) == nil { announced[name] = nil }
    put(pod, name)
  }

  package mutating func remove(pod json: JSON) {
    announced[ObjectName(json)] = nil
    put(nil, ObjectName(json))
  }

  package mutating func replace(pods list: [JSON]) {
    var gone = Set(pods.keys).subtracting(standIns.map(\.name)).subtracting(announced.keys)
    for json in list {
      gone.remove(ObjectName(json))
      put(pod: json)
    }
    for name in gone { put(nil, name) }
  }

  /// A pod of this node is about to start with these addresses; its status may not say so yet.
  package mutating func announce(_ pod: PolicyPod) {
    announced[pod.name] = pod
    put(pod, pod.name)
  }

  /// The pod has its addresses no longer.
  package mutating func retract(_ pod: PolicyPod) {
    guard announced[pod.name] == pod else { return }
    announced[pod.name] = nil
    put(nil, pod.name)
  }

  package mutating func put(namespace json: JSON) {
    guard let name = json["metadata"]["name"].string else { return }
    set(namespace: name, json.labelValues)
  }

  package mutating func remove(namespace json: JSON) {
    if let name = json["metadata"]["name"].string { set(namespace: name, nil) }
  }

  package mutating func replace(namespaces list: [JSON]) {
    let gone = Set(namespaces.keys).subtracting(list.compactMap { $0["metadata"]["name"].string })
    for json in list { put(namespace: json) }
    for name in gone { set(namespace: name, nil) }
  }

  // MARK: what follows

  private mutating func set(namespace: String, _ labels: Labels?) {
    if namespaces[namespace] == labels { return }
    namespaces[namespace] = labels
    for (name, pod) in pods where name.namespace == namespace { group(pod) }
  }

  private mutating func put(_ pod: PolicyPod?, _ name: ObjectName) {
    if pods[name] == pod { return }
    pods[name] = pod
    if let pod {
      group(pod)
    } else {
      for selection in groups.keys { groups[selection]?.set(name, nil) }
    }
    judge(name)
  }

  private mutating func group(_ pod: PolicyPod) {
    let labels = namespaces[pod.name.namespace]
    for selection in groups.keys {
      groups[selection]?.set(pod.name, selection.selects(pod, labelsOfNamespace: labels) ? pod : nil)
    }
  }

  /// Selections that policies name, each with its pods.
  private mutating func regroup() {
    var wanted: Set<PodSelection> = policies.isEmpty ? [] : [.everywhere]
    for policy in policies.values {
      for rule in policy.rules.values.joined() { wanted.formUnion(rule.peers?.pods ?? []) }
    }
    for selection in groups.keys where !wanted.contains(selection) { groups[selection] = nil }
    for selection in wanted where groups[selection] == nil {
      var group = PodGroup()
      for pod in pods.values where selection.selects(pod, labelsOfNamespace: namespaces[pod.name.namespace]) { group.set(pod.name, pod) }
      groups[selection] = group
    }
  }

  private mutating func judge(_ name: ObjectName) {
    var isolation = Isolation()
    if let pod = pods[name], pod.node == node {
      for policy in policies.values where policy.name.namespace == name.namespace && policy.pods.matches({ pod.labels[$0] }) {
        for direction in policy.rules.keys { isolation.policies[direction, default: []].append(policy.name) }
      }
      for direction in isolation.policies.keys { isolation.policies[direction]?.sort() }
    }
    isolated[name] = isolation.policies.isEmpty ? nil : isolation
  }

  /// The tables, without those families in which no pod of this node is restricted.
  package mutating func tables() -> [PolicyTable] {
    if !changedNamespaces.isEmpty {
      regroup()
      for (name, pod) in pods where pod.node == node && changedNamespaces.contains(name.namespace) { judge(name) }
      changedNamespaces = []
    }
    defer { numbers.forgetUnused() }
    return families.compactMap { table in
      var writer = PolicyWriter(layout: PolicyLayout(table: table), numbers: numbers)
      let servers = standIns.flatMap(\.addresses).filter { $0.family == table.family }
      let result = writer.table(isolated, pods, policies, groups, node: node, servers: servers)
      numbers = writer.numbers
      return result
    }
  }
}

extension ObjectName {
  fileprivate init(_ json: JSON) { self.init(json["metadata"]["namespace"].string ?? "", json["metadata"]["name"].string ?? "") }
}
