/// The filters that look at one node alone.
extension Cluster {
  /// Of the pod's own node selector and required affinity.
  static func matchesNodeAffinity(_ shape: PodShape, _ node: NodeFacts) -> Bool {
    if !shape.needs.nodeSelector.isEmpty {
      for (key, value) in shape.needs.nodeSelector where node.labels[key] != value { return false }
    }
    guard let terms = shape.needs.nodeTerms else { return true }
    return NodeTerm.any(terms, match: node)
  }

  static func toleratesHardTaints(_ shape: PodShape, _ node: NodeFacts) -> Bool {
    node.taints.allSatisfy { taint in !taint.isHard || shape.needs.tolerations.contains { $0.tolerates(taint) } }
  }

  /// What does not change with the node's pods. Taking pods away never helps against it.
  static func fixedVerdict(_ shape: PodShape, _ node: NodeFacts, _ plan: SchedulingPlan) -> Verdict {
    if node.isUnschedulable, plan.asks(.nodeUnschedulable),
      !shape.needs.tolerations.contains(where: { $0.tolerates(.unschedulable) })
    {
      return Verdict(.unschedulable, isFinal: true)
    }
    if !node.taints.isEmpty, plan.asks(.taintToleration), !toleratesHardTaints(shape, node) {
      return Verdict(.taints, isFinal: true)
    }
    if plan.asks(.nodeAffinity) {
      if let added = plan.profile.addedTerms, !NodeTerm.any(added, match: node) { return Verdict(.nodeAffinity, isFinal: true) }
      if !matchesNodeAffinity(shape, node) { return Verdict(.nodeAffinity, isFinal: true) }
    }
    return .fits
  }

  /// Ports and resources.
  static func roomVerdict(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ plan: SchedulingPlan) -> Verdict {
    if !shape.needs.ports.isEmpty, !entry.ports.isEmpty, plan.asks(.nodePorts),
      entry.ports.keys.contains(where: { used in shape.needs.ports.contains { $0.clashes(with: used) } })
    {
      return Verdict(.ports)
    }
    guard plan.asks(.nodeResourcesFit) else { return .fits }
    return resourceVerdict(
      shape, cpu: entry.requested.cpu, memory: entry.requested.memory, storage: entry.requested.storage,
      extended: entry.requested.extended, entry.pods.count, node)
  }

  static func resourceVerdict(_ shape: PodShape, _ taken: Amounts, _ podCount: Int, _ node: NodeFacts) -> Verdict {
    resourceVerdict(shape, cpu: taken.cpu, memory: taken.memory, storage: taken.storage, extended: taken.extended, podCount, node)
  }

  private static func resourceVerdict(
    _ shape: PodShape, cpu: Int64, memory: Int64, storage: Int64, extended: @autoclosure () -> [String: Int64], _ podCount: Int,
    _ node: NodeFacts
  ) -> Verdict {
    var verdict = Verdict.fits
    if podCount + 1 > node.podsMax { verdict.lack(0, isFinal: node.podsMax == 0) }
    func check(_ bit: Int, _ wanted: Int64, _ offered: Int64, _ taken: Int64) {
      if wanted > 0, wanted > offered - taken { verdict.lack(bit, isFinal: wanted > offered) }
    }
    check(1, shape.needs.requests.cpu, node.allocatable.cpu, cpu)
    check(2, shape.needs.requests.memory, node.allocatable.memory, memory)
    check(3, shape.needs.requests.storage, node.allocatable.storage, storage)
    if shape.extendedNames.isEmpty { return verdict }
    let taken = extended()
    for (index, name) in shape.extendedNames.enumerated() {
      check(4 + index, shape.needs.requests.extended[name] ?? 0, node.allocatable.extended[name] ?? 0, taken[name] ?? 0)
    }
    return verdict
  }
}

/// The scores that look at one node alone.
extension Cluster {
  /// Score of free resources, of their balance and of images, with their weights.
  func baseScore(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ plan: SchedulingPlan) -> Int32 {
    var score = 0
    let fit = plan.fitWeight
    if fit != 0 { score += fit * Int(Self.fitScore(shape, entry, node, plan)) }
    let balance = plan.balanceWeight
    if balance != 0 { score += balance * Int(Self.balanceScore(shape, entry, node, plan)) }
    let images = plan.imageWeight
    if images != 0 { score += images * Int(imageScore(shape, node)) }
    return Int32(clamping: score)
  }

  static func fitScore(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ plan: SchedulingPlan) -> Int64 {
    if plan.scoresAreStandard, node.allocatable.cpu > 0, node.allocatable.memory > 0 {
      func free(_ taken: Int64, _ offered: Int64) -> Int64 { taken > offered ? 0 : (offered - taken) * 100 / offered }
      return
        (free(entry.weighedCPU + shape.needs.weighed.cpu, node.allocatable.cpu)
        + free(entry.weighedMemory + shape.needs.weighed.memory, node.allocatable.memory)) / 2
    }
    var sum: Int64 = 0
    var weights: Int64 = 0
    for (name, weight) in plan.profile.fitResources {
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
      let part = taken > offered ? (plan.profile.strategy == .leastAllocated ? 0 : offered) : taken
      switch plan.profile.strategy {
      case .leastAllocated: sum += taken > offered ? 0 : (offered - taken) * 100 / offered * weight
      case .mostAllocated: sum += part * 100 / offered * weight
      }
    }
    return weights == 0 ? 0 : sum / weights
  }

  /// Pods that ask for none of the resources are not scored.
  static func balanceScore(_ shape: PodShape, _ entry: NodeEntry, _ node: NodeFacts, _ plan: SchedulingPlan) -> Int64 {
    if plan.scoresAreStandard, node.allocatable.cpu > 0, node.allocatable.memory > 0 {
      let (cpu, memory) = (shape.needs.requests.cpu, shape.needs.requests.memory)
      if cpu == 0 && memory == 0 { return 0 }
      let first = min(1, Double(entry.requested.cpu + cpu) / Double(node.allocatable.cpu))
      let second = min(1, Double(entry.requested.memory + memory) / Double(node.allocatable.memory))
      return Int64((1 - abs((first - second) / 2)) * 100)
    }
    let wanted = shape.needs.requests
    guard plan.profile.balancedResources.contains(where: { wanted[$0] > 0 }) else { return 0 }
    let fractions = plan.profile.balancedResources.compactMap { name -> Double? in
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

  func imageScore(_ shape: PodShape, _ node: NodeFacts) -> Int64 {
    if node.images.isEmpty { return 0 }
    var sum: Int64 = 0
    for image in shape.needs.images {
      guard let size = node.images[image], let known = images[image] else { continue }
      sum += Int64(Double(size) * (Double(known.nodes) / Double(nodeCount)))
    }
    let most = Self.imageBytesMax * Int64(shape.needs.containerCount)
    let counted = max(Self.imageBytesMin, min(most, sum))
    return most <= Self.imageBytesMin ? 0 : 100 * (counted - Self.imageBytesMin) / (most - Self.imageBytesMin)
  }

  /// How many taints that only discourage the pod does not tolerate.
  static func discouragement(_ shape: PodShape, _ node: NodeFacts) -> Int32 {
    var count: Int32 = 0
    for taint in node.taints where taint.effect == "PreferNoSchedule" {
      if !shape.needs.tolerations.contains(where: { $0.tolerates(taint) }) { count += 1 }
    }
    return count
  }

  static func preference(_ shape: PodShape, _ node: NodeFacts, _ plan: SchedulingPlan) -> Int32 {
    var sum: Int32 = 0
    for preference in shape.needs.preferredNodes where preference.term.matches(node) { sum += preference.weight }
    if plan.profile.addedPreferred.isEmpty { return sum }
    for preference in plan.profile.addedPreferred where preference.term.matches(node) { sum += preference.weight }
    return sum
  }
}
