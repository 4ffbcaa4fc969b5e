/// The filters that look at one node alone.
extension Cluster {
  /// Of the pod's own node selector and required affinity.
  static func matchesNodeAffinity(_ needs: PodNeeds, _ node: NodeFacts) -> Bool {
    if !needs.nodeSelector.isEmpty {
      for (key, value) in needs.nodeSelector where node.labels[key] != value { return false }
    }
    guard let terms = needs.nodeTerms else { return true }
    return NodeTerm.any(terms, match: node)
  }

  static func toleratesHardTaints(_ needs: PodNeeds, _ node: NodeFacts) -> Bool {
    node.taints.allSatisfy { taint in !taint.isHard || needs.tolerations.contains { $0.tolerates(taint) } }
  }

  /// What does not change with the node's pods. Taking pods away never helps against it.
  static func fixedVerdict(_ needs: PodNeeds, _ node: NodeFacts, _ profile: Profile) -> Verdict {
    if node.isUnschedulable, profile.filters.contains(.nodeUnschedulable),
      !needs.tolerations.contains(where: { $0.tolerates(.unschedulable) })
    {
      return Verdict(.unschedulable, isFinal: true)
    }
    if !node.taints.isEmpty, profile.filters.contains(.taintToleration), !toleratesHardTaints(needs, node) {
      return Verdict(.taints, isFinal: true)
    }
    if profile.filters.contains(.nodeAffinity) {
      if let added = profile.addedTerms, !NodeTerm.any(added, match: node) { return Verdict(.nodeAffinity, isFinal: true) }
      if !matchesNodeAffinity(needs, node) { return Verdict(.nodeAffinity, isFinal: true) }
    }
    return .fits
  }

  /// Ports and resources.
  static func roomVerdict(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ profile: Profile) -> Verdict {
    let needs = shape.needs
    if !needs.ports.isEmpty, !entry.ports.isEmpty, profile.filters.contains(.nodePorts),
      entry.ports.keys.contains(where: { used in needs.ports.contains { $0.clashes(with: used) } })
    {
      return Verdict(.ports)
    }
    guard profile.filters.contains(.nodeResourcesFit) else { return .fits }
    return resourceVerdict(shape, entry.requested, entry.pods.count, node)
  }

  static func resourceVerdict(_ shape: PodShape, _ taken: Amounts, _ podCount: Int, _ node: NodeFacts) -> Verdict {
    var verdict = Verdict.fits
    if podCount + 1 > node.podsMax { verdict.lack(0, isFinal: node.podsMax == 0) }
    let (wanted, offered) = (shape.needs.requests, node.allocatable)
    func check(_ bit: Int, _ wanted: Int64, _ offered: Int64, _ taken: Int64) {
      if wanted > 0, wanted > offered - taken { verdict.lack(bit, isFinal: wanted > offered) }
    }
    check(1, wanted.cpu, offered.cpu, taken.cpu)
    check(2, wanted.memory, offered.memory, taken.memory)
    check(3, wanted.storage, offered.storage, taken.storage)
    for (index, name) in shape.extendedNames.enumerated() {
      check(4 + index, wanted.extended[name] ?? 0, offered.extended[name] ?? 0, taken.extended[name] ?? 0)
    }
    return verdict
  }
}

/// The scores that look at one node alone.
extension Cluster {
  /// Score of free resources, of their balance and of images, with their weights.
  func baseScore(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ profile: Profile) -> Int32 {
    var score = 0
    let fit = profile.weight(.nodeResourcesFit)
    if fit != 0 { score += fit * Int(Self.fitScore(shape, entry, node, profile)) }
    let balance = profile.weight(.balancedAllocation)
    if balance != 0 { score += balance * Int(Self.balanceScore(shape, entry, node, profile)) }
    let images = profile.weight(.imageLocality)
    if images != 0 { score += images * Int(imageScore(shape.needs, node)) }
    return Int32(clamping: score)
  }

  static func fitScore(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ profile: Profile) -> Int64 {
    var sum: Int64 = 0
    var weights: Int64 = 0
    for (name, weight) in profile.fitResources {
      let offered = node.allocatable[name]
      guard offered > 0 else { continue }
      let taken: Int64
      switch name {
      case "cpu": taken = entry.weighedCPU + shape.needs.weighed.cpu
      case "memory": taken = entry.weighedMemory + shape.needs.weighed.memory
      default:
        let wanted = shape.needs.requests[name]
        if wanted == 0, name != "ephemeral-storage" { continue }
        taken = entry.requested[name] + wanted
      }
      weights += weight
      let part = taken > offered ? (profile.strategy == .leastAllocated ? 0 : offered) : taken
      switch profile.strategy {
      case .leastAllocated: sum += taken > offered ? 0 : (offered - taken) * 100 / offered * weight
      case .mostAllocated: sum += part * 100 / offered * weight
      }
    }
    return weights == 0 ? 0 : sum / weights
  }

  /// Pods that ask for none of the resources are not scored.
  static func balanceScore(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ profile: Profile) -> Int64 {
    let wanted = shape.needs.requests
    guard profile.balancedResources.contains(where: { wanted[$0] > 0 }) else { return 0 }
    if profile.balancedResources.count == 2, node.allocatable[profile.balancedResources[0]] > 0,
      node.allocatable[profile.balancedResources[1]] > 0
    {
      func fraction(_ name: String) -> Double { min(1, Double(entry.requested[name] + wanted[name]) / Double(node.allocatable[name])) }
      let deviation = abs((fraction(profile.balancedResources[0]) - fraction(profile.balancedResources[1])) / 2)
      return Int64((1 - deviation) * 100)
    }
    let fractions = profile.balancedResources.compactMap { name -> Double? in
      let offered = node.allocatable[name]
      if offered == 0 || (wanted[name] == 0 && !["cpu", "memory", "ephemeral-storage"].contains(name)) { return nil }
      return min(1, Double(entry.requested[name] + wanted[name]) / Double(offered))
    }
    guard fractions.count > 1 else { return 100 }
    if fractions.count == 2 { return Int64((1 - abs((fractions[0] - fractions[1]) / 2)) * 100) }
    let mean = fractions.reduce(0, +) / Double(fractions.count)
    let variance = fractions.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(fractions.count)
    return Int64((1 - variance.squareRoot()) * 100)
  }

  /// Bytes below which images do not count, and above which each container's do not count more.
  static let imageBytesMin: Int64 = 23 << 20
  static let imageBytesMax: Int64 = 1_000 << 20

  func imageScore(_ needs: PodNeeds, _ node: NodeFacts) -> Int64 {
    if node.images.isEmpty { return 0 }
    var sum: Int64 = 0
    for image in needs.images {
      guard let size = node.images[image], let known = images[image] else { continue }
      sum += Int64(Double(size) * (Double(known.nodes) / Double(nodeCount)))
    }
    let most = Self.imageBytesMax * Int64(needs.containerCount)
    let counted = max(Self.imageBytesMin, min(most, sum))
    return most <= Self.imageBytesMin ? 0 : 100 * (counted - Self.imageBytesMin) / (most - Self.imageBytesMin)
  }

  /// How many taints that only discourage the pod does not tolerate.
  static func discouragement(_ needs: PodNeeds, _ node: NodeFacts) -> Int32 {
    var count: Int32 = 0
    for taint in node.taints where taint.effect == "PreferNoSchedule" {
      if !needs.tolerations.contains(where: { $0.tolerates(taint) }) { count += 1 }
    }
    return count
  }

  static func preference(_ needs: PodNeeds, _ node: NodeFacts, _ profile: Profile) -> Int32 {
    var sum: Int32 = 0
    for preference in needs.preferredNodes where preference.term.matches(node) { sum += preference.weight }
    for preference in profile.addedPreferred where preference.term.matches(node) { sum += preference.weight }
    return sum
  }
}
