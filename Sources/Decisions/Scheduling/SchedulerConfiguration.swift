import JSONCodec
import KubernetesAPI

/// What of a kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration has a meaning here.
package struct SchedulerConfiguration: Sendable {
  package var profiles: [Profile] = [Profile()]
  /// Fields that were given and change nothing.
  package var ignored: [String] = []

  package init() {}
}

/// What a configuration says wrongly.
package struct SchedulerConfigurationError: Error, CustomStringConvertible, Equatable {
  /// Such as `profiles[0].plugins.score.enabled[1].name`.
  package let path: String
  package let problem: String
  package var description: String { "\(path): \(problem)" }
}

extension SchedulerConfiguration {
  package init(_ json: JSON) throws(SchedulerConfigurationError) {
    guard json["kind"].string == "KubeSchedulerConfiguration" else {
      throw SchedulerConfigurationError(path: "kind", problem: "wants KubeSchedulerConfiguration")
    }
    guard json["apiVersion"].string == "kubescheduler.config.k8s.io/v1" else {
      throw SchedulerConfigurationError(path: "apiVersion", problem: "wants kubescheduler.config.k8s.io/v1")
    }
    // All nodes are scored: tables make that cheap.
    let known: Set<String> = ["kind", "apiVersion", "profiles"]
    ignored = (json.object?.keys ?? []).filter { !known.contains($0) }
    guard let list = json["profiles"].array, !list.isEmpty else { return }
    profiles = []
    for (index, entry) in list.enumerated() {
      let profile = try Profile(entry, path: "profiles[\(index)]", ignored: &ignored)
      if profiles.contains(where: { $0.schedulerName == profile.schedulerName }) {
        throw SchedulerConfigurationError(path: "profiles[\(index)].schedulerName", problem: "\(profile.schedulerName) is there twice")
      }
      profiles.append(profile)
    }
  }
}

extension Profile {
  init(_ json: JSON, path: String, ignored: inout [String]) throws(SchedulerConfigurationError) {
    schedulerName = json["schedulerName"].string ?? "default-scheduler"
    for (point, set) in json["plugins"].object ?? JSONObject() {
      try apply(point, set, "\(path).plugins.\(point)", &ignored)
    }
    for (index, entry) in json["pluginConfig"].items.enumerated() {
      try configure(entry["name"].string ?? "", entry["args"], "\(path).pluginConfig[\(index)]", &ignored)
    }
    if !json["percentageOfNodesToScore"].isNull { ignored.append("\(path).percentageOfNodesToScore") }
  }

  private mutating func apply(
    _ point: String, _ set: JSON, _ path: String, _ ignored: inout [String]
  ) throws(SchedulerConfigurationError) {
    guard ["multiPoint", "filter", "preFilter", "score", "preScore", "postFilter"].contains(point) else {
      ignored.append(path)
      return
    }
    let (filters, scores) = (["multiPoint", "filter", "preFilter"].contains(point), ["multiPoint", "score", "preScore"].contains(point))
    for (index, entry) in set["disabled"].items.enumerated() {
      let name = entry["name"].string ?? ""
      let plugins: [Plugin] = name == "*" ? Plugin.allCases : [try Self.plugin(name, "\(path).disabled[\(index)].name")]
      for plugin in plugins {
        if filters { self.filters.remove(plugin) }
        if scores { weights[plugin] = nil }
        if plugin == .defaultPreemption, point == "multiPoint" || point == "postFilter" { preempts = false }
      }
    }
    for (index, entry) in set["enabled"].items.enumerated() {
      let plugin = try Self.plugin(entry["name"].string ?? "", "\(path).enabled[\(index)].name")
      let weight = entry["weight"].int ?? 0
      guard weight >= 0 else { throw SchedulerConfigurationError(path: "\(path).enabled[\(index)].weight", problem: "is negative") }
      if filters { self.filters.insert(plugin) }
      if scores, let standard = Self.defaultWeights[plugin] { weights[plugin] = weight > 0 ? weight : (point == "score" ? 1 : standard) }
      if plugin == .defaultPreemption { preempts = true }
    }
  }

  private static func plugin(_ name: String, _ path: String) throws(SchedulerConfigurationError) -> Plugin {
    guard let plugin = Plugin(rawValue: name) else {
      throw SchedulerConfigurationError(path: path, problem: "there is no plugin \(name)")
    }
    return plugin
  }

  private mutating func configure(
    _ name: String, _ arguments: JSON, _ path: String, _ ignored: inout [String]
  ) throws(SchedulerConfigurationError) {
    switch try Self.plugin(name, "\(path).name") {
    case .nodeAffinity:
      let added = arguments["addedAffinity"]
      let required = added["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
      if let terms = required.array { addedTerms = terms.map(NodeTerm.init) }
      addedPreferred = added["preferredDuringSchedulingIgnoredDuringExecution"].items.map {
        PodNeeds.Preference(weight: Int32(clamping: $0["weight"].int ?? 0), term: NodeTerm($0["preference"]))
      }
    case .nodeResourcesFit:
      let scoring = arguments["scoringStrategy"]
      if let type = scoring["type"].string {
        guard let strategy = FitStrategy(rawValue: type) else {
          throw SchedulerConfigurationError(path: "\(path).args.scoringStrategy.type", problem: "wants LeastAllocated or MostAllocated")
        }
        self.strategy = strategy
      }
      let resources = scoring["resources"].items.map { (name: $0["name"].string ?? "", weight: Int64($0["weight"].int ?? 1)) }
      if !resources.isEmpty { fitResources = resources }
    case .balancedAllocation:
      let resources = arguments["resources"].items.compactMap { $0["name"].string }
      if !resources.isEmpty { balancedResources = resources }
    case .interPodAffinity:
      if let weight = arguments["hardPodAffinityWeight"].int {
        guard (0...100).contains(weight) else {
          throw SchedulerConfigurationError(path: "\(path).args.hardPodAffinityWeight", problem: "wants 0 to 100")
        }
        hardAffinityWeight = Int32(weight)
      }
    case .podTopologySpread:
      if arguments["defaultingType"].string == "List" || !arguments["defaultConstraints"].isEmpty {
        defaultConstraints = arguments["defaultConstraints"].items.map { SpreadConstraint($0, namespace: "", labels: [:]) }
      }
    default: ignored.append(path)
    }
  }
}
