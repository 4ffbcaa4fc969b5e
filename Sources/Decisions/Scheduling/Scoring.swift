#if canImport(Glibc)
  import Glibc
#endif

extension Cluster {
  /// The node with the highest score; equal ones take turns.
  func bestSlot(_ feasible: [Int32], _ check: PodCheck, _ table: ShapeTable) -> Int {
    let scores = self.scores(feasible, check, table)
    var best = -1
    var bestScore = Int.min
    // Those behind the last choice come first.
    var isBehind = false
    for index in feasible.indices {
      let slot = Int(feasible[index])
      let score = scores[index]
      if score > bestScore || (score == bestScore && !isBehind && slot >= cursor) {
        bestScore = score
        best = slot
        isBehind = slot >= cursor
      }
    }
    return best
  }

  /// The sum of all scores with their weights, in the order of the slots.
  func scores(_ feasible: [Int32], _ check: PodCheck, _ table: ShapeTable) -> [Int] {
    let plan = check.plan
    var scores = feasible.map { Int(table.rows[Int($0)].base) }
    let taints = plan.taintWeight
    if taints != 0 { Self.addNormalized(&scores, feasible, table.rows, { $0.discouraged }, weight: taints, isReversed: true) }
    let affinity = plan.affinityWeight
    if affinity != 0 { Self.addNormalized(&scores, feasible, table.rows, { $0.preferred }, weight: affinity, isReversed: false) }
    let spread = plan.spreadWeight
    if spread != 0, !table.soft.isEmpty { addSpread(&scores, feasible, table, weight: spread) }
    let pods = plan.podWeight
    if pods != 0 { addPodAffinity(&scores, feasible, check, weight: pods) }
    return scores
  }

  /// Shares of the largest value, of 100; reversed where little is good.
  private static func addNormalized(
    _ scores: inout [Int], _ feasible: [Int32], _ rows: [ShapeTable.Row], _ value: (ShapeTable.Row) -> Int32, weight: Int, isReversed: Bool
  ) {
    var largest: Int32 = 0
    for slot in feasible { largest = max(largest, value(rows[Int(slot)])) }
    if largest == 0 {
      if isReversed { for index in scores.indices { scores[index] += 100 * weight } }
      return
    }
    for index in scores.indices {
      let share = 100 * Int(value(rows[Int(feasible[index])])) / Int(largest)
      scores[index] += (isReversed ? 100 - share : share) * weight
    }
  }

  /// Few matching pods in the node's domains are good; a topology with many domains counts a little more.
  private func addSpread(_ scores: inout [Int], _ feasible: [Int32], _ table: ShapeTable, weight: Int) {
    let constraints = table.soft
    var takesPart = [Bool](repeating: true, count: feasible.count)
    var count = feasible.count
    if table.softWantsAll {
      for index in feasible.indices where constraints.contains(where: { $0.topology.domainOf[Int(feasible[index])] < 0 }) {
        takesPart[index] = false
        count -= 1
      }
    }
    var raw = [Double](repeating: 0, count: feasible.count)
    for spread in constraints {
      let isHost = spread.constraint.topologyKey == SpreadConstraint.hostname
      let domains = isHost ? count : Self.domainCount(spread.topology, feasible, takesPart)
      let factor = log(Double(domains + 2))
      let slack = Double(spread.constraint.maxSkew - 1)
      let perNode = spread.counter.perNode
      for index in feasible.indices where takesPart[index] {
        let slot = Int(feasible[index])
        guard spread.topology.domainOf[slot] >= 0 else { continue }
        let pods = isHost ? (spread.constraint.countsPods && slot < perNode.count ? Int(perNode[slot]) : 0) : spread.count(slot)
        raw[index] += Double(pods) * factor + slack
      }
    }
    var (least, most) = (Int.max, 0)
    for index in raw.indices where takesPart[index] {
      let value = Int(raw[index].rounded())
      least = min(least, value)
      most = max(most, value)
    }
    for index in raw.indices where takesPart[index] {
      scores[index] += weight * (most == 0 ? 100 : 100 * (most + least - Int(raw[index].rounded())) / most)
    }
  }

  /// Different values of a topology among the nodes; those without the label are one more.
  private static func domainCount(_ topology: Topology, _ feasible: [Int32], _ takesPart: [Bool]) -> Int {
    var seen = [Bool](repeating: false, count: topology.domainCount + 1)
    var count = 0
    for index in feasible.indices where takesPart[index] {
      let domain = Int(topology.domainOf[Int(feasible[index])]) + 1
      if !seen[domain] {
        seen[domain] = true
        count += 1
      }
    }
    return count
  }

  /// Pods that are preferred near, and pods that prefer this one near.
  private func addPodAffinity(_ scores: inout [Int], _ feasible: [Int32], _ check: PodCheck, weight: Int) {
    let shape = check.shape
    var terms: [(sums: DomainSums, weight: Int)] = []
    for (preference, counter) in zip(shape.needs.preferredPods, shape.preferredCounters) {
      terms.append((counter.sums(topology(preference.term.topologyKey)), Int(preference.weight)))
    }
    updateOwners(shape)
    for owner in shape.meantBy where owner.sums.total > 0 {
      switch owner.key.role {
      case .requiredAnti: break
      case .requiredAffinity:
        if check.plan.profile.hardAffinityWeight != 0 { terms.append((owner.sums, Int(check.plan.profile.hardAffinityWeight))) }
      case .preferred: terms.append((owner.sums, Int(owner.key.weight)))
      }
    }
    terms.removeAll { $0.sums.total == 0 }
    if terms.isEmpty { return }
    var raw = [Int](repeating: 0, count: feasible.count)
    for term in terms {
      for index in feasible.indices { raw[index] += Int(term.sums.count(Int(feasible[index]))) * term.weight }
    }
    var (least, most) = (Int.max, Int.min)
    for value in raw {
      least = min(least, value)
      most = max(most, value)
    }
    guard most > least else { return }
    for index in raw.indices {
      scores[index] += weight * Int(100 * (Double(raw[index] - least) / Double(most - least)))
    }
  }
}
