import KubernetesAPI

/// What must be written before a pod is bound, so that its claims get volumes where the pod goes.
package enum VolumeStep: Sendable, Equatable {
  /// A free volume is kept for the claim (`namespace/name`).
  case reserve(volume: String, claim: String, claimUID: String)
  /// A volume is to be made for the claim where the pod goes.
  case provision(claim: String, claimUID: String)

  package var claim: String {
    switch self {
    case .reserve(_, let claim, _), .provision(let claim, _): claim
    }
  }
}

/// What a pod's claims say about nodes.
struct VolumeNeeds {
  enum Answer {
    case needs(VolumeNeeds)
    /// No node will do; the reason as upstream's message has it.
    case refused(String)
  }

  fileprivate struct Delayed {
    let key: String
    let claim: ClaimFacts
    let storage: StorageClassFacts?
    /// Free volumes of the class that suit, smallest first.
    let candidates: [VolumeFacts]
  }

  private static let zoneLabels = [
    "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
  ]

  fileprivate var bound: [VolumeFacts] = []
  fileprivate var isVolumeMissing = false
  fileprivate var delayed: [Delayed] = []
  fileprivate var isClaimInUse = false
  /// Volumes by CSI driver.
  fileprivate var attached: [String: Set<String>] = [:]
  fileprivate var facts: ClusterFacts
  fileprivate let filters: Set<Plugin>

  func verdict(_ entry: NodeEntry) -> Verdict {
    guard let node = entry.facts else { return Verdict(.absent, isFinal: true) }
    if isClaimInUse { return Verdict(.claimInUse) }
    if !attached.isEmpty, filters.contains(.nodeVolumeLimits), exceedsLimits(entry, node) { return Verdict(.volumeLimits) }
    if filters.contains(.volumeBinding) {
      if isVolumeMissing { return Verdict(.volumeLost, isFinal: true) }
      if !bound.allSatisfy({ $0.allows(node) }) { return Verdict(.volumeAffinity, isFinal: true) }
      if !delayed.isEmpty, choices(node) == nil { return Verdict(.volumeBinding, isFinal: true) }
    }
    if filters.contains(.volumeZone), !bound.allSatisfy({ Self.isInZone($0, node) }) { return Verdict(.volumeZone, isFinal: true) }
    return .fits
  }

  /// What binding the claims on the node takes.
  func steps(on entry: NodeEntry) -> [VolumeStep] { entry.facts.flatMap(choices) ?? [] }

  /// Nil where a claim finds no volume and none can be made.
  private func choices(_ node: NodeFacts) -> [VolumeStep]? {
    var taken: Set<String> = []
    var steps: [VolumeStep] = []
    for entry in delayed {
      if entry.claim.selectedNode.isEmpty,
        let volume = entry.candidates.first(where: { !taken.contains($0.name) && $0.allows(node) })
      {
        taken.insert(volume.name)
        steps.append(.reserve(volume: volume.name, claim: entry.key, claimUID: entry.claim.uid))
        continue
      }
      if !entry.claim.selectedNode.isEmpty, entry.claim.selectedNode != node.name { return nil }
      guard let storage = entry.storage, storage.provisions, storage.allows(node) else { return nil }
      steps.append(.provision(claim: entry.key, claimUID: entry.claim.uid))
    }
    return steps
  }

  private static func isInZone(_ volume: VolumeFacts, _ node: NodeFacts) -> Bool {
    guard zoneLabels.contains(where: { node.labels[$0] != nil }) else { return true }
    for key in zoneLabels {
      guard let zones = volume.labels[key] else { continue }
      let modern = key.hasPrefix("failure-domain.beta") ? "topology.kubernetes.io/" + (key.split(separator: "/").last ?? "") : key
      guard let value = node.labels[key] ?? node.labels[modern], zones.split(whereSeparator: { $0 == "_" }).contains(Substring(value))
      else {
        return false
      }
    }
    return true
  }

  private func exceedsLimits(_ entry: NodeEntry, _ node: NodeFacts) -> Bool {
    guard let limits = facts.volumeLimits[node.name] else { return false }
    var present: [String: Set<String>] = [:]
    for pod in entry.pods where !pod.claims.isEmpty {
      for claim in pod.claims {
        guard let (driver, handle) = facts.attachment("\(pod.namespace)/\(claim.name)") else { continue }
        present[driver, default: []].insert(handle)
      }
    }
    return attached.contains { driver, handles in
      guard let limit = limits[driver] else { return false }
      let there = present[driver] ?? []
      let new = handles.subtracting(there).count
      return new > 0 && there.count + new > limit
    }
  }
}

extension ClusterFacts {
  /// The CSI driver and volume of a claim; of one without a volume the driver that will make it.
  func attachment(_ key: String) -> (driver: String, handle: String)? {
    guard let claim = claims[key] else { return nil }
    if !claim.volumeName.isEmpty, let volume = volumes[claim.volumeName] {
      return volume.driver.isEmpty ? nil : (volume.driver, volume.handle)
    }
    guard let storage = claim.storageClass.flatMap({ storageClasses[$0] }), storage.provisions else { return nil }
    return (storage.provisioner, key)
  }
}

extension Cluster {
  func volumeNeeds(_ pod: PodRecord, _ plan: SchedulingPlan) -> VolumeNeeds.Answer {
    var needs = VolumeNeeds(facts: facts, filters: plan.profile.filters)
    for use in pod.claims {
      let key = "\(pod.namespace)/\(use.name)"
      guard let claim = facts.claims[key] else {
        return .refused(
          use.isOwn
            ? "waiting for ephemeral volume controller to create the persistentvolumeclaim \"\(use.name)\""
            : "persistentvolumeclaim \"\(use.name)\" not found")
      }
      if use.isOwn, claim.ownerUID != pod.uid {
        return .refused("PVC \(key) was not created for pod \(pod.namespace)/\(pod.reference.name) (pod is not owner)")
      }
      if claim.isLost {
        return .refused("persistentvolumeclaim \"\(use.name)\" bound to non-existent persistentvolume \"\(claim.volumeName)\"")
      }
      if claim.isLeaving { return .refused("persistentvolumeclaim \"\(use.name)\" is being deleted") }
      if claim.isSingle, plan.asks(.volumeRestrictions), claimUsers[key] ?? 0 > 0 { needs.isClaimInUse = true }
      if let (driver, handle) = facts.attachment(key) { needs.attached[driver, default: []].insert(handle) }
      guard plan.asks(.volumeBinding) else { continue }
      if claim.isBound {
        if let volume = facts.volumes[claim.volumeName] { needs.bound.append(volume) } else { needs.isVolumeMissing = true }
        continue
      }
      let storage = claim.storageClass.flatMap { facts.storageClasses[$0] }
      guard let storage, storage.waits, claim.volumeName.isEmpty else {
        return .refused("pod has unbound immediate PersistentVolumeClaims")
      }
      needs.delayed.append(VolumeNeeds.Delayed(key: key, claim: claim, storage: storage, candidates: candidates(key, claim)))
    }
    needs.delayed.sort { ($0.claim.requested, $0.key) < ($1.claim.requested, $1.key) }
    return .needs(needs)
  }

  /// Free volumes that suit a claim: those made for it first, then the smallest.
  private func candidates(_ key: String, _ claim: ClaimFacts) -> [VolumeFacts] {
    facts.volumes.values.filter { volume in
      guard volume.isUsable, volume.storageClass == claim.storageClass ?? "", volume.volumeMode == claim.volumeMode,
        volume.capacity >= claim.requested, claim.accessModes.allSatisfy(volume.accessModes.contains),
        claim.selector?.matches(volume.labels) ?? true
      else { return false }
      if let holder = reservedVolumes[volume.name], holder != key { return false }
      return volume.claim.isEmpty || (volume.claim == key && (volume.claimUID.isEmpty || volume.claimUID == claim.uid))
    }.sorted { a, b in
      (a.claim.isEmpty ? 1 : 0, a.capacity, a.name) < (b.claim.isEmpty ? 1 : 0, b.capacity, b.name)
    }
  }
}
