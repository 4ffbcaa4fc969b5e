import JSONCodec
import KubernetesAPI

/// What a node offers, read once for each state of the Node object.
package final class NodeFacts: Sendable {
  package let name: String
  let labels: Labels
  let taints: [Taint]
  let isUnschedulable: Bool
  package let allocatable: Amounts
  let podsMax: Int
  /// Bytes by normalised name.
  let images: [String: Int64]

  package init(_ node: JSON) {
    name = node["metadata"]["name"].string ?? ""
    labels = node["metadata"]["labels"].labels
    taints = node["spec"]["taints"].items.map(Taint.init)
    isUnschedulable = node["spec"]["unschedulable"].bool ?? false
    let amounts = node["status"]["allocatable"].isNull ? node["status"]["capacity"] : node["status"]["allocatable"]
    allocatable = Amounts(amounts)
    podsMax = Int(clamping: amounts["pods"].quantity?.value ?? 0)
    var images: [String: Int64] = [:]
    for image in node["status"]["images"].items {
      let size = Int64(image["sizeBytes"].int ?? 0)
      for name in image["names"].texts { images[name] = size }
    }
    self.images = images
  }

  /// Equal for what a waiting pod could wait for.
  func offersSame(as other: NodeFacts) -> Bool {
    labels == other.labels && taints == other.taints && isUnschedulable == other.isUnschedulable && allocatable == other.allocatable
      && podsMax == other.podsMax
  }

  /// An image's name with its tag, as nodes list it.
  static func normalized(image: String) -> String {
    let last = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    return last.contains(":") || image.contains("@") ? image : image + ":latest"
  }
}

/// A node and what its pods take of it.
final class NodeEntry {
  /// Nil: the slot is free.
  var facts: NodeFacts?
  /// Counts up with each change of the facts.
  var version: UInt32 = 0
  var requested = Amounts()
  /// What scores count.
  var weighedCPU: Int64 = 0
  var weighedMemory: Int64 = 0
  /// The most important first.
  var pods: [PodRecord] = []
  var ports: [HostPort: Int] = [:]
  /// Pods that wait for victims to leave this node, and what follows from that.
  var nominated: [PodRecord] = [] {
    didSet {
      nominatedRequested = Amounts()
      for pod in nominated { nominatedRequested.add(pod.requests) }
      nominatedLowest = nominated.map(\.priority).min() ?? Int.min
      nominatedKeepOthersAway = nominated.contains { !$0.shape.needs.antiAffinity.isEmpty }
    }
  }
  private(set) var nominatedRequested = Amounts()
  private(set) var nominatedLowest = Int.min
  /// Some of them have required anti-affinity.
  private(set) var nominatedKeepOthersAway = false

  func add(_ pod: PodRecord) {
    requested.add(pod.requests)
    weighedCPU += pod.shape.needs.weighed.cpu
    weighedMemory += pod.shape.needs.weighed.memory
    var (low, high) = (0, pods.count)
    while low < high {
      let middle = (low + high) / 2
      if PodRecord.moreImportant(pod, pods[middle]) { high = middle } else { low = middle + 1 }
    }
    pods.insert(pod, at: low)
    for port in pod.shape.needs.ports { ports[port, default: 0] += 1 }
  }

  func remove(_ pod: PodRecord) {
    guard let index = pods.firstIndex(where: { $0 === pod }) else { return }
    pods.remove(at: index)
    requested.subtract(pod.requests)
    weighedCPU -= pod.shape.needs.weighed.cpu
    weighedMemory -= pod.shape.needs.weighed.memory
    for port in pod.shape.needs.ports {
      if let count = ports[port], count > 1 { ports[port] = count - 1 } else { ports[port] = nil }
    }
  }
}

/// The nodes' values of one label, as numbers.
final class Topology {
  let key: String
  /// The domain of each slot; -1 where the node has no such label.
  private(set) var domainOf: [Int32] = []
  private var numbers: [String: Int32] = [:]
  var domainCount: Int { numbers.count }

  init(_ key: String, nodes: [NodeEntry]) {
    self.key = key
    for slot in nodes.indices { set(slot, nodes[slot].facts) }
  }

  func set(_ slot: Int, _ facts: NodeFacts?) {
    while domainOf.count <= slot { domainOf.append(-1) }
    guard let value = facts?.labels[key] else {
      domainOf[slot] = -1
      return
    }
    if let number = numbers[value] {
      domainOf[slot] = number
    } else {
      domainOf[slot] = Int32(numbers.count)
      numbers[value] = domainOf[slot]
    }
  }
}

/// Pods counted by the domains of one topology.
final class DomainSums {
  let topology: Topology
  var sums: [Int32] = []
  /// Of all domains.
  var total: Int64 = 0

  init(_ topology: Topology) { self.topology = topology }

  func add(_ count: Int32, _ slot: Int) {
    let domain = Int(topology.domainOf[slot])
    guard domain >= 0 else { return }
    while sums.count <= domain { sums.append(0) }
    sums[domain] += count
    total += Int64(count)
  }

  /// Pods in the domain of a slot; 0 where the node is in none.
  func count(_ slot: Int) -> Int32 {
    let domain = Int(topology.domainOf[slot])
    return domain >= 0 && domain < sums.count ? sums[domain] : 0
  }
}

/// How many pods fulfil all matchers, by node or by domain.
final class PodCounter {
  struct Key: Hashable {
    let matchers: [PodMatcher]
    /// Pods that are going do not count.
    let skipsLeaving: Bool
  }
  let key: Key
  /// By slot.
  var perNode: [Int32] = []
  var domains: [DomainSums] = []

  init(_ key: Key) { self.key = key }

  func add(_ count: Int32, _ slot: Int) {
    while perNode.count <= slot { perNode.append(0) }
    perNode[slot] += count
    for sums in domains { sums.add(count, slot) }
  }

  func sums(_ topology: Topology) -> DomainSums {
    if let known = domains.first(where: { $0.topology === topology }) { return known }
    let sums = DomainSums(topology)
    for (slot, count) in perNode.enumerated() where count != 0 { sums.add(count, slot) }
    domains.append(sums)
    return sums
  }
}

/// Where the pods are that have a term of their own about other pods.
final class TermOwners {
  enum Role: Hashable { case requiredAnti, requiredAffinity, preferred }
  struct Key: Hashable {
    let role: Role
    let weight: Int32
    let term: AffinityTerm
  }
  let key: Key
  let sums: DomainSums

  init(_ key: Key, _ topology: Topology) {
    self.key = key
    sums = DomainSums(topology)
  }
}
