/// Pods that make room for a more important one.
package struct Preemption {
  package struct Victim {
    package let pod: PodReference
    package let priority: Int
  }
  package let node: String
  package let victims: [Victim]
  /// Less important pods that waited for the same node and must look anew.
  package let outrun: [PodReference]
  /// Victims whose disruption budget does not allow it.
  package let violations: Int
}

extension Cluster {
  enum PreemptionAnswer {
    case found(Preemption)
    /// What the message tells after `preemption: `.
    case none(String)
  }

  /// Nodes that are tried: a tenth of those that could do, but not fewer than this.
  static let preemptionNodesMin = 100

  private struct Candidate {
    let slot: Int
    let victims: [PodRecord]
    let violations: Int

    /// What is compared first to last; the smaller the better.
    let cost: (Int, Int, Int, Int, Int64)

    init(slot: Int, victims: [PodRecord], violations: Int) {
      self.slot = slot
      self.victims = victims
      self.violations = violations
      let highest = victims[0].priority
      // Each counts its distance from the lowest priority there is.
      var sum = 0
      var earliest = Int64.max
      for victim in victims {
        sum += victim.priority + Int(Int32.max) + 1
        if victim.priority == highest { earliest = min(earliest, victim.started) }
      }
      cost = (violations, highest, sum, victims.count, -earliest)
    }
  }

  /// Chooses the node where making room costs least.
  func preempt(_ check: PodCheck, _ candidates: [Int], finalCount: Int) -> PreemptionAnswer {
    let pod = check.pod
    if pod.preemptsNever { return .none("not eligible due to preemptionPolicy=Never.") }
    if waitsForVictims(pod) { return .none("not eligible due to a terminating pod on the nominated node.") }
    var histogram = Histogram()
    if finalCount > 0 { histogram.add("Preemption is not helpful for scheduling", finalCount) }
    var best: Candidate?
    var (found, withoutVictims) = (0, 0)
    let most = max(candidates.count / 10, Self.preemptionNodesMin)
    let start = candidates.firstIndex { $0 >= cursor } ?? 0
    for offset in candidates.indices {
      let slot = candidates[(start + offset) % candidates.count]
      guard let last = nodes[slot].pods.last, last.priority < pod.priority else {
        withoutVictims += 1
        continue
      }
      switch dryRun(check, slot) {
      case .success(let candidate):
        if best.map({ candidate.cost < $0.cost }) ?? true { best = candidate }
        found += 1
      case .failure(let refusal): histogram.add(refusal.verdict)
      }
      if found >= most { break }
    }
    if withoutVictims > 0 { histogram.add("No preemption victims found for incoming pod", withoutVictims) }
    guard let best else { return .none(histogram.message(nodeCount, pod.shape)) }
    cursor = best.slot + 1
    return .found(nomination(pod, best))
  }

  private func nomination(_ pod: PodRecord, _ best: Candidate) -> Preemption {
    let outrun = nodes[best.slot].nominated.filter { $0.priority < pod.priority }.map(\.reference)
    return Preemption(
      node: nodes[best.slot].facts?.name ?? "", victims: best.victims.map { .init(pod: $0.reference, priority: $0.priority) },
      outrun: outrun, violations: best.violations)
  }

  /// The pod made room for itself already, and its victims are on their way.
  func waitsForVictims(_ pod: PodRecord) -> Bool {
    let waiting = nominations[pod.uid]?.slot ?? slot(pod.nominatedNode)
    guard let waiting else { return false }
    return nodes[waiting].pods.contains { $0.isLeaving && $0.priority < pod.priority }
  }

  private struct NotHelpful: Error { let verdict: Verdict }

  /// Which pods would have to go from one node.
  private func dryRun(_ check: PodCheck, _ slot: Int) -> Result<Candidate, NotHelpful> {
    let lower = nodes[slot].pods.drop { $0.priority >= check.pod.priority }
    let violating = violatingPods(lower)
    let others = check.nominated(slot)
    let fast = check.looksAtResourcesOnly(besides: others)
    return fast ? fastRun(check, slot, lower, violating, others) : fullRun(check, slot, Array(lower), violating, others)
  }

  /// Only sums of resources play a part.
  private func fastRun(
    _ check: PodCheck, _ slot: Int, _ lower: ArraySlice<PodRecord>, _ violating: Set<String>, _ others: [PodRecord]
  ) -> Result<Candidate, NotHelpful> {
    let entry = nodes[slot]
    guard let node = entry.facts else { return .failure(NotHelpful(verdict: Verdict(.absent, isFinal: true))) }
    var taken = entry.requested
    var count = entry.pods.count - lower.count + others.count
    for pod in lower { taken.subtract(pod.requests) }
    for pod in others { taken.add(pod.requests) }
    let fixed = check.table?.rows[slot].fixed ?? Cluster.fixedVerdict(check.shape, node, check.plan)
    if !fixed.fits { return .failure(NotHelpful(verdict: fixed)) }
    let verdict = Cluster.resourceVerdict(check.shape, taken, count, node)
    if !verdict.fits { return .failure(NotHelpful(verdict: verdict)) }
    var victims: [PodRecord] = []
    var violations = 0
    for isViolating in violating.isEmpty ? [false] : [true, false] {
      for pod in lower where violating.contains(pod.uid) == isViolating {
        taken.add(pod.requests)
        count += 1
        if Cluster.resourceVerdict(check.shape, taken, count, node).fits { continue }
        taken.subtract(pod.requests)
        count -= 1
        victims.append(pod)
        if isViolating { violations += 1 }
      }
    }
    return finish(slot, victims, violations, verdict: check.verdict(slot))
  }

  /// Takes the pods away and puts them back one by one, asking all filters each time.
  private func fullRun(
    _ check: PodCheck, _ slot: Int, _ lower: [PodRecord], _ violating: Set<String>, _ others: [PodRecord]
  ) -> Result<Candidate, NotHelpful> {
    let start = journalEnd
    let claims = lower.flatMap { pod in pod.claims.map { "\(pod.namespace)/\($0.name)" } }
    func verdict() -> Verdict {
      check.reread()
      let plain = check.verdict(slot)
      if !plain.fits || others.isEmpty { return plain }
      return check.assuming(others, on: slot) { check.verdict(slot) }
    }
    for pod in lower { take(pod, slot) }
    let first = verdict()
    var victims: [PodRecord] = []
    var violations = 0
    if first.fits {
      for isViolating in violating.isEmpty ? [false] : [true, false] {
        for pod in lower where violating.contains(pod.uid) == isViolating {
          give(pod, slot)
          if verdict().fits { continue }
          take(pod, slot)
          victims.append(pod)
          if isViolating { violations += 1 }
        }
      }
      for pod in victims { give(pod, slot) }
    } else {
      for pod in lower { give(pod, slot) }
    }
    check.reread()
    check.finish(start)
    // A claim that only one pod may use is freed by its user's end, which no sum of this node tells.
    if !first.fits, first.filter == .claimInUse, !claims.isEmpty { return singleClaimRun(check, slot, lower, first) }
    if !first.fits { return .failure(NotHelpful(verdict: first)) }
    return finish(slot, victims, violations, verdict: check.verdict(slot))
  }

  /// The users of the pod's ReadWriteOncePod claims, where they are all less important pods of this node.
  private func singleClaimRun(
    _ check: PodCheck, _ slot: Int, _ lower: [PodRecord], _ verdict: Verdict
  ) -> Result<Candidate, NotHelpful> {
    let wanted = Set(check.pod.claims.map { "\(check.pod.namespace)/\($0.name)" }.filter { facts.claims[$0]?.isSingle ?? false })
    let users = lower.filter { pod in pod.claims.contains { wanted.contains("\(pod.namespace)/\($0.name)") } }
    let freed = users.reduce(into: [String: Int]()) { counts, pod in
      for claim in pod.claims { counts["\(pod.namespace)/\(claim.name)", default: 0] += 1 }
    }
    guard wanted.allSatisfy({ (claimUsers[$0] ?? 0) <= freed[$0] ?? 0 }) else { return .failure(NotHelpful(verdict: verdict)) }
    return finish(slot, users, 0, verdict: verdict)
  }

  private func finish(_ slot: Int, _ victims: [PodRecord], _ violations: Int, verdict: @autoclosure () -> Verdict) -> Result<
    Candidate, NotHelpful
  > {
    // The node fits already without a victim: nothing is to be preempted there.
    if victims.isEmpty { return .failure(NotHelpful(verdict: verdict())) }
    let sorted = violations == 0 ? victims : victims.sorted(by: PodRecord.moreImportant)
    return .success(Candidate(slot: slot, victims: sorted, violations: violations))
  }

  /// The pods whose end a disruption budget does not allow, counted in their order.
  private func violatingPods(_ pods: ArraySlice<PodRecord>) -> Set<String> {
    if facts.budgets.isEmpty { return [] }
    var left: [String: Int] = [:]
    var violating: Set<String> = []
    for pod in pods {
      for (name, budget) in facts.budgets[pod.namespace] ?? [:] where budget.covers(pod.shape.needs.labels, name: pod.reference.name) {
        let key = "\(pod.namespace)/\(name)"
        let rest = (left[key] ?? budget.allowed) - 1
        left[key] = rest
        if rest < 0 { violating.insert(pod.uid) }
      }
    }
    return violating
  }
}
