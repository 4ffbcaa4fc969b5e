/// Which filter refused a node. The order is that in which filters are asked: the first refusal counts.
package enum Filter: UInt8, Sendable, CaseIterable {
  case unschedulable = 1, taints, nodeAffinity, ports, resources, claimInUse, volumeLimits, volumeBinding, volumeAffinity, volumeLost,
    volumeZone, spreadLabel, spread, podAffinity, podAntiAffinity, existingAntiAffinity
  /// The node is not one of those that the pod names.
  case notNamed
  /// The pod's claims refuse all nodes.
  case claims
  case gates
  /// No node has this slot.
  case absent

  /// The plugin's name, as in configuration and in messages.
  package var plugin: Plugin {
    switch self {
    case .unschedulable: .nodeUnschedulable
    case .taints: .taintToleration
    case .nodeAffinity, .notNamed: .nodeAffinity
    case .ports: .nodePorts
    case .resources: .nodeResourcesFit
    case .claimInUse: .volumeRestrictions
    case .volumeLimits: .nodeVolumeLimits
    case .volumeBinding, .volumeAffinity, .volumeLost, .claims: .volumeBinding
    case .volumeZone: .volumeZone
    case .spreadLabel, .spread: .podTopologySpread
    case .podAffinity, .podAntiAffinity, .existingAntiAffinity: .interPodAffinity
    case .gates: .schedulingGates
    case .absent: .nodeName
    }
  }
}

/// The plugins of upstream's default profile, by their names there.
package enum Plugin: String, Sendable, CaseIterable {
  case schedulingGates = "SchedulingGates"
  case prioritySort = "PrioritySort"
  case nodeUnschedulable = "NodeUnschedulable"
  case nodeName = "NodeName"
  case taintToleration = "TaintToleration"
  case nodeAffinity = "NodeAffinity"
  case nodePorts = "NodePorts"
  case nodeResourcesFit = "NodeResourcesFit"
  case volumeRestrictions = "VolumeRestrictions"
  case nodeVolumeLimits = "NodeVolumeLimits"
  case volumeBinding = "VolumeBinding"
  case volumeZone = "VolumeZone"
  case podTopologySpread = "PodTopologySpread"
  case interPodAffinity = "InterPodAffinity"
  case defaultPreemption = "DefaultPreemption"
  case balancedAllocation = "NodeResourcesBalancedAllocation"
  case imageLocality = "ImageLocality"
  case defaultBinder = "DefaultBinder"
}

/// Whether a pod may go to a node, in four bytes: zero where it may; else the filter, whether taking pods away could help, and
/// which resources are short.
struct Verdict: Hashable, Sendable {
  var bits: UInt32

  static let fits = Verdict(bits: 0)
  /// Resources that have a bit of their own: pods, cpu, memory, storage, then the extended ones.
  static let resourcesMax = 24

  init(bits: UInt32) { self.bits = bits }
  init(_ filter: Filter, isFinal: Bool = false) { bits = UInt32(filter.rawValue) | (isFinal ? 0x80 : 0) }

  var fits: Bool { bits == 0 }
  var filter: Filter? { Filter(rawValue: UInt8(bits & 0x7F)) }
  /// Taking pods away does not help.
  var isFinal: Bool { bits & 0x80 != 0 }

  mutating func lack(_ resource: Int, isFinal: Bool) {
    bits |= UInt32(Filter.resources.rawValue) | (isFinal ? 0x80 : 0) | 1 << UInt32(8 + min(resource, Self.resourcesMax - 1))
  }

  /// The reasons as upstream's messages have them.
  func reasons(_ shape: PodShape) -> [String] {
    switch filter {
    case nil, .absent?: []
    case .unschedulable: ["node(s) were unschedulable"]
    case .taints: ["node(s) had untolerated taint(s)"]
    case .nodeAffinity: ["node(s) didn't match Pod's node affinity/selector"]
    case .notNamed: ["node(s) didn't satisfy plugin(s) [NodeAffinity]"]
    case .ports: ["node(s) didn't have free ports for the requested pod ports"]
    case .resources: lackingResources(shape)
    case .claimInUse: ["node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"]
    case .volumeLimits: ["node(s) exceed max volume count"]
    case .volumeBinding: ["node(s) didn't find available persistent volumes to bind"]
    case .volumeAffinity: ["node(s) had volume node affinity conflict"]
    case .volumeLost: ["node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"]
    case .volumeZone: ["node(s) had no available volume zone"]
    case .spreadLabel: ["node(s) didn't match pod topology spread constraints (missing required label)"]
    case .spread: ["node(s) didn't match pod topology spread constraints"]
    case .podAffinity: ["node(s) didn't match pod affinity rules"]
    case .podAntiAffinity: ["node(s) didn't match pod anti-affinity rules"]
    case .existingAntiAffinity: ["node(s) didn't satisfy existing pods anti-affinity rules"]
    case .claims, .gates: []
    }
  }

  private func lackingResources(_ shape: PodShape) -> [String] {
    let names = ["cpu", "memory", "ephemeral-storage"] + shape.extendedNames
    return (0..<Self.resourcesMax).compactMap { bit in
      guard bits & 1 << UInt32(8 + bit) != 0 else { return nil }
      return bit == 0 ? "Too many pods" : "Insufficient \(names[min(bit - 1, names.count - 1)])"
    }
  }
}

/// How many nodes gave which reason, as upstream's messages tell it.
struct Histogram {
  private var counts: [Verdict: Int] = [:]
  private var last = Verdict.fits
  private var lastCount = 0
  private var others: [String: Int] = [:]

  mutating func add(_ verdict: Verdict) {
    if verdict == last {
      lastCount += 1
    } else {
      flush()
      last = verdict
      lastCount = 1
    }
  }

  mutating func add(_ reason: String, _ count: Int = 1) { others[reason, default: 0] += count }

  private mutating func flush() {
    if lastCount > 0, !last.fits { counts[last, default: 0] += lastCount }
    lastCount = 0
  }

  /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
  mutating func message(_ nodeCount: Int, _ shape: PodShape) -> String {
    flush()
    var reasons = others
    for (verdict, count) in counts { for reason in verdict.reasons(shape) { reasons[reason, default: 0] += count } }
    let parts = reasons.map { "\($0.value) \($0.key)" }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    return "0/\(nodeCount) nodes are available:" + (parts.isEmpty ? "" : " \(parts.joined(separator: ", ")).")
  }

  /// The plugins that refused.
  mutating func filters() -> Set<Filter> {
    flush()
    return Set(counts.keys.compactMap(\.filter))
  }
}
