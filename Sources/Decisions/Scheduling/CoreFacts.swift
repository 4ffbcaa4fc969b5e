import JSONCodec
import KubernetesAPI

/// Changes of objects that are neither pods nor nodes.
extension SchedulingCore {
  private static let volumeFilters: Set<Filter> = [
    .claims, .volumeBinding, .volumeAffinity, .volumeLost, .volumeZone, .volumeLimits, .claimInUse,
  ]

  func applyOther(_ kind: Kind, _ change: Change, _ now: Timestamp) {
    switch change {
    case .synced(let all):
      let present = Set(all.map(Self.key))
      for key in knownKeys(kind) where !present.contains(key) { set(kind, key, .null, now) }
      for object in all { set(kind, Self.key(object), object, now) }
    case .changed(let object): set(kind, Self.key(object), object, now)
    case .deleted(let object): set(kind, Self.key(object), .null, now)
    }
  }

  private static func key(_ object: JSON) -> String {
    let name = object["metadata"]["name"].string ?? ""
    guard let namespace = object["metadata"]["namespace"].string, !namespace.isEmpty else { return name }
    return "\(namespace)/\(name)"
  }

  private static func split(_ key: String) -> (namespace: String, name: String) {
    let parts = key.split(separator: "/", maxSplits: 1)
    return parts.count == 2 ? (String(parts[0]), String(parts[1])) : ("", key)
  }

  private func knownKeys(_ kind: Kind) -> [String] {
    func flat<Value>(_ nested: [String: [String: Value]]) -> [String] {
      nested.flatMap { outer in outer.value.keys.map { "\(outer.key)/\($0)" } }
    }
    let facts = cluster.facts
    return switch kind {
    case .namespaces: Array(facts.namespaces.keys)
    case .persistentVolumeClaims: Array(facts.claims.keys)
    case .persistentVolumes: Array(facts.volumes.keys)
    case .storageClasses: Array(facts.storageClasses.keys)
    case .csiNodes: Array(facts.volumeLimits.keys)
    case .disruptionBudgets: flat(facts.budgets)
    case .services: flat(facts.services)
    case .replicationControllers, .replicaSets, .statefulSets: Array(facts.workloads[Self.workloadKind(kind), default: [:]].keys)
    case .nodes, .pods: []
    }
  }

  private static func workloadKind(_ kind: Kind) -> String {
    switch kind {
    case .replicationControllers: "ReplicationController"
    case .replicaSets: "ReplicaSet"
    default: "StatefulSet"
    }
  }

  /// `object` is null where it is gone.
  private func set(_ kind: Kind, _ key: String, _ object: JSON, _ now: Timestamp) {
    switch kind {
    case .namespaces: setNamespace(key, object, now)
    case .persistentVolumeClaims:
      let claim = object.isNull ? nil : ClaimFacts(object)
      guard cluster.facts.claims[key] != claim else { return }
      cluster.facts.claims[key] = claim
      let (namespace, name) = Self.split(key)
      wake(refusedBy: Self.volumeFilters, now: now) { pod in pod.namespace == namespace && pod.claims.contains { $0.name == name } }
    case .persistentVolumes:
      let volume = object.isNull ? nil : VolumeFacts(object)
      guard cluster.facts.volumes[key] != volume else { return }
      cluster.facts.volumes[key] = volume
      // The volume itself says now whose it is.
      if volume?.claim.isEmpty == false { cluster.reservedVolumes[key] = nil }
      wake(refusedBy: Self.volumeFilters, now: now)
    case .storageClasses:
      cluster.facts.storageClasses[key] = object.isNull ? nil : StorageClassFacts(object)
      wake(refusedBy: Self.volumeFilters, now: now)
    case .csiNodes:
      var limits: [String: Int] = [:]
      for driver in object["spec"]["drivers"].items { limits[driver["name"].string ?? ""] = driver["allocatable"]["count"].int }
      guard cluster.facts.volumeLimits[key] ?? [:] != limits else { return }
      cluster.facts.volumeLimits[key] = limits.isEmpty ? nil : limits
      wake(refusedBy: [.volumeLimits], now: now)
    case .disruptionBudgets:
      let (namespace, name) = Self.split(key)
      cluster.facts.budgets[namespace, default: [:]][name] = object.isNull ? nil : Budget(object)
      if cluster.facts.budgets[namespace]!.isEmpty { cluster.facts.budgets[namespace] = nil }
    case .services:
      let (namespace, name) = Self.split(key)
      let selector = object["spec"]["selector"].labels
      let old = cluster.facts.services[namespace]?[name]
      // One without a selector is for no pods.
      guard old ?? [:] != selector else { return }
      cluster.facts.services[namespace, default: [:]][name] = selector.isEmpty ? nil : selector
      if cluster.facts.services[namespace]!.isEmpty { cluster.facts.services[namespace] = nil }
      cluster.facts.spreadEpoch += 1
    case .replicationControllers, .replicaSets, .statefulSets:
      let selector =
        kind == .replicationControllers ? Selector(equal: object["spec"]["selector"].labels) : Selector(object["spec"]["selector"])
      let workload = Self.workloadKind(kind)
      let next = object.isNull ? nil : selector
      guard cluster.facts.workloads[workload]?[key] != next else { return }
      cluster.facts.workloads[workload, default: [:]][key] = next
      cluster.facts.spreadEpoch += 1
    case .nodes, .pods: break
    }
  }

  private func setNamespace(_ key: String, _ object: JSON, _ now: Timestamp) {
    let labels = object.isNull ? nil : object["metadata"]["labels"].labels
    guard cluster.facts.namespaces[key] != labels else { return }
    cluster.facts.namespaces[key] = labels
    // Terms that choose namespaces by labels mean other pods now.
    let choosesByLabels =
      cluster.counters.contains { $0.key.matchers.contains { $0.namespaceSelector != nil } }
      || cluster.owners.contains { $0.key.term.matcher.namespaceSelector != nil }
    guard choosesByLabels else { return }
    cluster.rebuildCounts()
    wake(refusedBy: [.podAffinity, .podAntiAffinity, .existingAntiAffinity], now: now)
  }
}
