import JSONCodec
import KubernetesAPI

/// How one kind of pods is scheduled: which plugins filter and score, and how much each score counts.
package struct Profile: Sendable, Equatable {
  package var schedulerName = "default-scheduler"
  /// Plugins that are asked; a plugin that scores counts with its weight.
  package var filters = Set(Plugin.allCases)
  package var weights: [Plugin: Int] = Profile.defaultWeights
  package var preempts = true
  /// Node affinity that all pods of the profile have besides their own: required terms and preferred ones with weights.
  var addedTerms: [NodeTerm]?
  var addedPreferred: [PodNeeds.Preference<NodeTerm>] = []
  package var strategy = FitStrategy.leastAllocated
  /// Resources that count for the fit score and for the balanced score, with weights.
  package var fitResources: [(name: String, weight: Int64)] = [("cpu", 1), ("memory", 1)]
  package var balancedResources: [String] = ["cpu", "memory"]
  /// What existing pods' required affinity to a pod counts in the score.
  package var hardAffinityWeight: Int32 = 1
  /// Constraints of pods that have none; nil: upstream's system defaults.
  var defaultConstraints: [SpreadConstraint]?

  package enum FitStrategy: String, Sendable { case leastAllocated = "LeastAllocated", mostAllocated = "MostAllocated" }

  package static let defaultWeights: [Plugin: Int] = [
    .taintToleration: 3, .nodeAffinity: 2, .podTopologySpread: 2, .interPodAffinity: 2, .nodeResourcesFit: 1, .balancedAllocation: 1,
    .imageLocality: 1,
  ]

  package init() {}

  package static func == (a: Profile, b: Profile) -> Bool {
    a.schedulerName == b.schedulerName && a.filters == b.filters && a.weights == b.weights && a.preempts == b.preempts
      && a.addedTerms == b.addedTerms && a.addedPreferred == b.addedPreferred && a.strategy == b.strategy
      && a.fitResources.elementsEqual(b.fitResources, by: ==) && a.balancedResources == b.balancedResources
      && a.hardAffinityWeight == b.hardAffinityWeight && a.defaultConstraints == b.defaultConstraints
  }

  /// Upstream's defaults for pods of a service or a workload: spread over hosts, and a little more loosely over zones.
  static let systemConstraints: [SpreadConstraint] = [
    SpreadConstraint(
      ["maxSkew": 3, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"], namespace: "", labels: [:]),
    SpreadConstraint(
      ["maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"], namespace: "", labels: [:]),
  ]
}

/// A profile in the form in which decisions read it: no look-up by hashing, no copy.
package final class SchedulingPlan: Sendable {
  let profile: Profile
  private let asked: UInt32
  let taintWeight, affinityWeight, spreadWeight, podWeight, fitWeight, balanceWeight, imageWeight: Int
  /// The fit score is of cpu and memory, evenly, and prefers nodes with much room; the balance is of the same.
  let scoresAreStandard: Bool

  package init(_ profile: Profile) {
    self.profile = profile
    asked = Plugin.allCases.reduce(0) { $0 | (profile.filters.contains($1) ? $1.bit : 0) }
    func weight(_ plugin: Plugin) -> Int { profile.weights[plugin] ?? 0 }
    (taintWeight, affinityWeight) = (weight(.taintToleration), weight(.nodeAffinity))
    (spreadWeight, podWeight) = (weight(.podTopologySpread), weight(.interPodAffinity))
    (fitWeight, balanceWeight, imageWeight) = (weight(.nodeResourcesFit), weight(.balancedAllocation), weight(.imageLocality))
    let standard = Profile()
    scoresAreStandard =
      profile.strategy == .leastAllocated && profile.balancedResources == standard.balancedResources
      && profile.fitResources.elementsEqual(standard.fitResources, by: ==)
  }

  func asks(_ plugin: Plugin) -> Bool { asked & plugin.bit != 0 }
}

extension Plugin {
  fileprivate var bit: UInt32 {
    switch self {
    case .schedulingGates: 1
    case .prioritySort: 1 << 1
    case .nodeUnschedulable: 1 << 2
    case .nodeName: 1 << 3
    case .taintToleration: 1 << 4
    case .nodeAffinity: 1 << 5
    case .nodePorts: 1 << 6
    case .nodeResourcesFit: 1 << 7
    case .volumeRestrictions: 1 << 8
    case .nodeVolumeLimits: 1 << 9
    case .volumeBinding: 1 << 10
    case .volumeZone: 1 << 11
    case .podTopologySpread: 1 << 12
    case .interPodAffinity: 1 << 13
    case .defaultPreemption: 1 << 14
    case .balancedAllocation: 1 << 15
    case .imageLocality: 1 << 16
    case .defaultBinder: 1 << 17
    }
  }
}
