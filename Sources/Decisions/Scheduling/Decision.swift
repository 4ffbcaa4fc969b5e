/// Where a pod goes, or why it cannot.
package enum Decision {
  case place(node: String, volumes: [VolumeStep])
  case refuse(Refusal)
}

package struct Refusal {
  /// `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: ...`
  package var message: String
  package var filters: Set<Filter>
  package var preemption: Preemption?
  /// The pod's victims are on their way: its nominated node stays.
  package var waitsForVictims = false
}

extension Cluster {
  /// Chooses a node for a pod. `profileIndex` tells profiles' tables apart.
  package func decide(_ pod: PodRecord, _ plan: SchedulingPlan, profileIndex: Int = 0) -> Decision {
    guard nodeCount > 0 else { return .refuse(Refusal(message: "no nodes available to schedule pods", filters: [])) }
    // Unlike upstream: devices of ResourceClaims are not allocated, and claims are not made of templates; pods that want some wait.
    if pod.wantsDevices { return refuseAll(pod, "cannot allocate all claims", plan) }
    var volumes: VolumeNeeds?
    if !pod.claims.isEmpty {
      switch volumeNeeds(pod, plan) {
      case .needs(let needs): volumes = needs
      case .refused(let reason): return refuseAll(pod, reason, plan)
      }
    }
    let shape = pod.shape
    let table = pod.pinnedNode == nil ? table(shape, plan, profileIndex) : nil
    let check = PodCheck(self, pod, plan, table: table, volumes: volumes)
    if !pod.nominatedNode.isEmpty || nominations[pod.uid] != nil {
      let wanted = nominations[pod.uid]?.slot ?? slot(pod.nominatedNode)
      if let wanted, nodes[wanted].facts != nil, pod.pinnedNode.map({ $0 == nodes[wanted].facts?.name }) ?? true,
        check.verdictWithNominated(wanted).fits
      {
        return place(wanted, volumes)
      }
    }
    if let pinned = pod.pinnedNode { return decidePinned(pod, pinned, check) }
    guard let table else { preconditionFailure("a pod that names no node has a table") }
    let feasible = feasibleSlots(check, table)
    if feasible.isEmpty { return refuse(pod, check) }
    if feasible.count == 1 { return place(Int(feasible[0]), volumes) }
    let best = bestSlot(feasible, check, table)
    cursor = best + 1
    return place(best, volumes)
  }

  private func place(_ slot: Int, _ volumes: VolumeNeeds?) -> Decision {
    .place(node: nodes[slot].facts?.name ?? "", volumes: volumes?.steps(on: nodes[slot]) ?? [])
  }

  private func decidePinned(_ pod: PodRecord, _ pinned: String, _ check: PodCheck) -> Decision {
    if let slot = slot(pinned), check.verdictWithNominated(slot).fits { return place(slot, check.volumes) }
    return refuse(pod, check)
  }

  private func feasibleSlots(_ check: PodCheck, _ table: ShapeTable) -> [Int32] {
    var feasible: [Int32] = []
    feasible.reserveCapacity(nodes.count)
    let roomOnly = check.looksAtRoomOnly
    let anyNominated = !nominations.isEmpty
    table.rows.withUnsafeBufferPointer { rows in
      for slot in rows.indices where rows[slot].verdict.fits {
        if !roomOnly, !check.laterVerdict(slot).fits { continue }
        feasible.append(Int32(slot))
      }
    }
    guard anyNominated else { return feasible }
    return feasible.filter { slot in check.crowdedVerdict(Int(slot)).fits }
  }

  /// Tells why, and looks for pods to preempt.
  private func refuse(_ pod: PodRecord, _ check: PodCheck) -> Decision {
    let nodes = nodes
    var histogram = Histogram()
    var candidates: [Int] = []
    var finalCount = 0
    func count(_ slot: Int) {
      guard nodes[slot].facts != nil else { return }
      let verdict = check.verdictWithNominated(slot)
      histogram.add(verdict)
      if verdict.isFinal { finalCount += 1 } else { candidates.append(slot) }
    }
    if let pinned = pod.pinnedNode {
      let known = slot(pinned)
      if let known { count(known) }
      let others = nodeCount - (known == nil ? 0 : 1)
      for _ in 0..<others { histogram.add(Verdict(.notNamed, isFinal: true)) }
      finalCount += others
    } else if let table = check.table {
      for slot in table.rows.indices {
        let verdict = table.rows[slot].verdict
        if verdict.fits {
          count(slot)
        } else if verdict.filter != .absent {
          histogram.add(verdict)
          if verdict.isFinal { finalCount += 1 } else { candidates.append(slot) }
        }
      }
    }
    let message = histogram.message(nodeCount, pod.shape)
    var refusal = Refusal(message: message, filters: histogram.filters())
    guard check.plan.profile.preempts else { return .refuse(refusal) }
    switch preempt(check, candidates, finalCount: finalCount) {
    case .found(let preemption): refusal.preemption = preemption
    case .none(let told):
      refusal.message += " preemption: \(told)"
      refusal.waitsForVictims = waitsForVictims(pod)
    }
    return .refuse(refusal)
  }

  /// A filter refused the pod before any node was looked at.
  private func refuseAll(_ pod: PodRecord, _ reason: String, _ plan: SchedulingPlan) -> Decision {
    var message = "0/\(nodeCount) nodes are available: \(reason)."
    if plan.profile.preempts {
      message +=
        pod.preemptsNever
        ? " preemption: not eligible due to preemptionPolicy=Never."
        : " preemption: 0/\(nodeCount) nodes are available: \(nodeCount) Preemption is not helpful for scheduling."
    }
    return .refuse(Refusal(message: message, filters: [.claims]))
  }
}
