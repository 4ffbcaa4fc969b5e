import JSONCodec
import KubernetesAPI

/// What the scheduler wants written.
package enum SchedulingOutcome: Sendable {
  /// The pod counts for the node from now on; `bindingFailed` takes that back.
  case bind(PodReference, node: String, volumes: [VolumeStep], schedulerName: String)
  case refuse(PodRefusal)
}

/// A pod that fits nowhere, and what to tell about it.
package struct PodRefusal: Sendable {
  package let pod: PodReference
  package let schedulerName: String
  /// `Unschedulable` or `SchedulingGated`.
  package let reason: String
  package let message: String
  /// The pod's condition says something else so far.
  package let isNews: Bool
  /// Pods to be deleted, so that the pod can go to `nominatedNode`.
  package let victims: [PodReference]
  package let nominatedNode: String?
  /// The nominated node that the pod had is no longer its.
  package var losesNomination = false
  /// Pods that lose their nominated node.
  package let outrun: [PodReference]
}

/// The whole scheduler without its writes: takes in what happens in the cluster, and says pod by pod what to do. Not thread-safe.
package final class SchedulingCore {
  /// The kinds of objects that decide where pods go.
  package enum Kind: String, CaseIterable, Sendable {
    case nodes, pods, namespaces, persistentVolumeClaims, persistentVolumes, storageClasses, csiNodes, disruptionBudgets, services,
      replicationControllers, replicaSets, statefulSets
  }

  package enum Change: Sendable {
    case synced([JSON])
    case changed(JSON)
    case deleted(JSON)
  }

  package let cluster = Cluster()
  let plans: [SchedulingPlan]
  private var profileIndex: [String: Int] = [:]
  var queue = SchedulingQueue()
  /// Pods whose binding is under way, and how they stood in the queue.
  private var binding: [String: SchedulingQueue.Item] = [:]
  /// Gated pods that have not been told yet.
  private var told: [PodRefusal] = []
  private var turn = 0

  package init(profiles: [Profile] = [Profile()]) {
    plans = profiles.map(SchedulingPlan.init)
    for (index, profile) in profiles.enumerated() { profileIndex[profile.schedulerName] = index }
  }

  /// Pods that have no node.
  package var pendingCount: Int { queue.count }

  /// When `next` may have something to do without another change; long past where it has now.
  package var nextTurn: Timestamp? { told.isEmpty ? queue.nextTurn : Timestamp(nanosecondsSinceEpoch: 0) }

  // MARK: changes

  package func apply(_ kind: Kind, _ change: Change, now: Timestamp) {
    switch (kind, change) {
    case (.pods, .synced(let all)):
      let present = Set(all.map { $0["metadata"]["uid"].string ?? "" })
      for uid in Array(cluster.placed.keys) + Array(queue.items.keys) where !present.contains(uid) { gone(uid, now) }
      for pod in all { see(pod, now) }
    case (.pods, .changed(let pod)): see(pod, now)
    case (.pods, .deleted(let pod)): gone(pod["metadata"]["uid"].string ?? "", now)
    case (.nodes, .synced(let all)):
      let present = Set(all.map { $0["metadata"]["name"].string ?? "" })
      for name in cluster.nodeNames where !present.contains(name) { cluster.remove(node: name) }
      for node in all { put(node: node, now) }
    case (.nodes, .changed(let node)): put(node: node, now)
    case (.nodes, .deleted(let node)): cluster.remove(node: node["metadata"]["name"].string ?? "")
    default: applyOther(kind, change, now)
    }
  }

  private func put(node json: JSON, _ now: Timestamp) {
    let facts = NodeFacts(json)
    let old = cluster.node(facts.name)
    // Heartbeats change nothing here.
    if let old, old.offersSame(as: facts), old.images == facts.images { return }
    cluster.put(node: facts)
    if let old, old.offersSame(as: facts) { return }
    wake(node: facts.name, topologyChanged: old?.labels != facts.labels, now)
  }

  private func see(_ json: JSON, _ now: Timestamp) {
    let phase = json["status"]["phase"].string
    let uid = json["metadata"]["uid"].string ?? ""
    if phase == "Succeeded" || phase == "Failed" { return gone(uid, now) }
    let pod = cluster.record(json)
    if !pod.nodeName.isEmpty { return seePlaced(pod, now) }
    guard let index = profileIndex[pod.schedulerName] else { return }
    if pod.isLeaving { return gone(uid, now) }
    if binding[uid] != nil {
      binding[uid]?.pod = pod
      return
    }
    if cluster.placed[uid] != nil { return }
    let known = queue.items[uid]?.pod
    let isNews =
      known.map { $0.shape !== pod.shape || $0.pinnedNode != pod.pinnedNode || $0.claims != pod.claims || $0.isGated != pod.isGated }
      ?? true
    queue.update(pod, isNews: isNews, now: now)
    if known == nil, !pod.nominatedNode.isEmpty, let slot = cluster.slot(pod.nominatedNode) { cluster.nominate(pod, slot) }
    if pod.isGated, known == nil || isNews { tellGated(pod, plans[index].profile) }
  }

  private func tellGated(_ pod: PodRecord, _ profile: Profile) {
    let message = "Scheduling is blocked due to non-empty scheduling gates"
    let condition = PodRecord.Condition(isTrue: false, reason: "SchedulingGated", message: message)
    guard pod.condition != condition else { return }
    told.append(
      PodRefusal(
        pod: pod.reference, schedulerName: profile.schedulerName, reason: "SchedulingGated", message: message, isNews: true, victims: [],
        nominatedNode: nil, outrun: []))
  }

  private func seePlaced(_ pod: PodRecord, _ now: Timestamp) {
    let uid = pod.uid
    binding[uid] = nil
    _ = queue.remove(uid)
    endNomination(uid, now)
    let known = cluster.placed[uid]
    if let old = known?.pod, known?.slot == cluster.slot(pod.nodeName), old.shape === pod.shape, old.isLeaving == pod.isLeaving,
      old.requests == pod.requests, old.started == pod.started, old.claims == pod.claims, known?.slot != nil
    {
      return
    }
    cluster.place(pod, on: pod.nodeName)
    for claim in pod.claims { release(volumesOf: "\(pod.namespace)/\(claim.name)") }
    if let old = known?.pod {
      // Less is asked of the node, or the pod is another one for affinity.
      if old.requests != pod.requests { wake(node: pod.nodeName, topologyChanged: false, now) }
      if old.shape !== pod.shape || old.isLeaving != pod.isLeaving {
        wake(after: old, gone: true, now)
        wake(after: pod, gone: false, now)
      }
    } else {
      wake(after: pod, gone: false, now)
    }
  }

  private func gone(_ uid: String, _ now: Timestamp) {
    binding[uid] = nil
    _ = queue.remove(uid)
    endNomination(uid, now)
    guard let slot = cluster.placed[uid]?.slot, let pod = cluster.remove(uid: uid) else {
      cluster.remove(uid: uid)
      return
    }
    guard let name = cluster.nodes[slot].facts?.name else { return }
    wake(after: pod, gone: true, now)
    wake(node: name, topologyChanged: false, now)
  }

  // MARK: decisions

  /// The next pod's decision; nil where no pod is to be tried now.
  package func next(now: Timestamp) -> SchedulingOutcome? {
    if !told.isEmpty { return .refuse(told.removeFirst()) }
    guard let item = queue.pop(now: now) else { return nil }
    let pod = item.pod
    let index = profileIndex[pod.schedulerName] ?? 0
    switch cluster.decide(pod, plans[index], profileIndex: index) {
    case .place(let node, let volumes):
      cluster.place(pod, on: node)
      endNomination(pod.uid, now)
      binding[pod.uid] = item
      for case .reserve(let volume, let claim, _) in volumes { cluster.reservedVolumes[volume] = claim }
      return .bind(pod.reference, node: node, volumes: volumes, schedulerName: pod.schedulerName)
    case .refuse(let refusal): return .refuse(refuse(item, refusal, now))
    }
  }

  private func refuse(_ item: SchedulingQueue.Item, _ refusal: Refusal, _ now: Timestamp) -> PodRefusal {
    let pod = item.pod
    let condition = PodRecord.Condition(isTrue: false, reason: "Unschedulable", message: refusal.message)
    let isNews = pod.condition != condition && item.message != refusal.message
    var nominated: String?
    let wasNominated = cluster.nominations[pod.uid] != nil || !pod.nominatedNode.isEmpty
    let waits = refusal.preemption != nil || refusal.waitsForVictims
    queue.park(item, filters: refusal.filters, message: refusal.message, waitsForVictims: waits, now: now)
    let loses = wasNominated && refusal.preemption == nil && !refusal.waitsForVictims
    if loses { endNomination(pod.uid, now) }
    if let preemption = refusal.preemption, let slot = cluster.slot(preemption.node) {
      nominated = preemption.node
      cluster.nominate(pod, slot)
      for loser in preemption.outrun {
        cluster.dropNomination(uid: loser.uid)
        queue.wake(loser.uid, now: now)
      }
    }
    return PodRefusal(
      pod: pod.reference, schedulerName: pod.schedulerName, reason: "Unschedulable", message: refusal.message, isNews: isNews,
      victims: refusal.preemption?.victims.map(\.pod) ?? [], nominatedNode: nominated, losesNomination: loses,
      outrun: refusal.preemption?.outrun ?? [])
  }

  /// Victims could not be deleted: the pod is tried again.
  package func preemptionFailed(_ uid: String, now: Timestamp) {
    endNomination(uid, now)
    queue.wake(uid, now: now)
  }

  /// The pod waits for its nominated node no more: others may have it.
  private func endNomination(_ uid: String, _ now: Timestamp) {
    guard let slot = cluster.nominations[uid]?.slot else { return }
    cluster.dropNomination(uid: uid)
    if let name = cluster.nodes[slot].facts?.name { wake(node: name, topologyChanged: false, now) }
  }

  /// The server did not take a binding: the pod is tried again.
  package func bindingFailed(_ uid: String, now: Timestamp) {
    guard let item = binding.removeValue(forKey: uid) else { return }
    // The watch has told meanwhile that it is bound.
    guard cluster.placed[uid]?.pod.nodeName.isEmpty ?? false else { return }
    cluster.remove(uid: uid)
    for claim in item.pod.claims { release(volumesOf: "\(item.pod.namespace)/\(claim.name)") }
    queue.pause(item, now: now)
  }

  /// The pod's binding is under way.
  package func isBinding(_ uid: String) -> Bool { binding[uid] != nil }

  /// All claims are bound to volumes.
  package func areBound(_ claims: [String]) -> Bool { claims.allSatisfy { cluster.facts.claims[$0]?.isBound ?? false } }

  private func release(volumesOf claim: String) {
    if cluster.reservedVolumes.isEmpty { return }
    cluster.reservedVolumes = cluster.reservedVolumes.filter { $0.value != claim }
  }

  // MARK: what could help

  /// Wakes the pods that a node could take now, perhaps by preemption. Pods that wait for victims on another node stay where they are,
  /// unless this one has room that nobody waits for.
  private func wake(node name: String, topologyChanged: Bool, _ now: Timestamp) {
    guard let slot = cluster.slot(name) else { return }
    let entry = cluster.nodes[slot]
    guard let node = entry.facts else { return }
    for pod in entry.nominated { queue.wake(pod.uid, now: now) }
    turn += 1
    let lowest = entry.pods.last?.priority ?? Int.max
    for uid in queue.parked {
      guard let item = queue.items[uid] else { continue }
      if let pinned = item.pod.pinnedNode, pinned != name { continue }
      let isAboutDomains = topologyChanged && !item.filters.isDisjoint(with: [.spread, .spreadLabel])
      let couldPreempt = lowest < item.pod.priority && !item.pod.preemptsNever
      if isAboutDomains || couldPreempt || hasRoom(item.pod, entry, node) { queue.wake(uid, now: now) }
    }
    guard entry.nominated.isEmpty else { return }
    for uid in queue.parkedForVictims {
      guard let pod = queue.items[uid]?.pod, pod.pinnedNode == nil, hasRoom(pod, entry, node) else { continue }
      queue.wake(uid, now: now)
    }
  }

  /// The filters that look at the node alone have nothing against the pod. Told once a turn for pods of the same shape.
  private func hasRoom(_ pod: PodRecord, _ entry: NodeEntry, _ node: NodeFacts) -> Bool {
    let shape = pod.shape
    let plan = plans[profileIndex[pod.schedulerName] ?? 0]
    if shape.turn != turn {
      shape.turn = turn
      shape.turnAnswer = Cluster.fixedVerdict(shape, node, plan).fits && Cluster.roomVerdict(shape, entry, node, plan).fits
    }
    guard shape.turnAnswer, !entry.nominated.isEmpty else { return shape.turnAnswer }
    if pod.priority <= entry.nominatedLowest {
      var taken = entry.requested
      taken.add(entry.nominatedRequested)
      return Cluster.resourceVerdict(shape, taken, entry.pods.count + entry.nominated.count, node).fits
    }
    var taken = entry.requested
    var count = entry.pods.count
    for other in entry.nominated where other.uid != pod.uid && other.priority >= pod.priority {
      taken.add(other.requests)
      count += 1
    }
    return Cluster.resourceVerdict(shape, taken, count, node).fits
  }

  /// Wakes the pods whose terms mean a pod that came or went.
  private func wake(after other: PodRecord, gone: Bool, _ now: Timestamp) {
    for uid in queue.parked {
      guard let item = queue.items[uid] else { continue }
      let needs = item.pod.shape.needs
      func means(_ matchers: [PodMatcher]) -> Bool { matchers.contains { cluster.matches([$0], other.shape) } }
      var helps = item.filters.contains(.spread) && (needs.spread.isEmpty || means(needs.spread.map(\.matcher)))
      if gone {
        helps = helps || (item.filters.contains(.podAntiAffinity) && means(needs.antiAffinity.map(\.matcher)))
        helps = helps || (item.filters.contains(.existingAntiAffinity) && !other.shape.needs.antiAffinity.isEmpty)
        helps =
          helps || (item.filters.contains(.claimInUse) && item.pod.claims.contains { use in other.claims.contains { $0.name == use.name } })
      } else {
        helps = helps || (item.filters.contains(.podAffinity) && means(needs.affinity.map(\.matcher)))
      }
      if helps { queue.wake(uid, now: now) }
    }
  }

  /// Wakes the pods that were refused by one of the filters.
  func wake(refusedBy filters: Set<Filter>, now: Timestamp, where condition: (PodRecord) -> Bool = { _ in true }) {
    for uid in queue.parked {
      guard let item = queue.items[uid], !item.filters.isDisjoint(with: filters), condition(item.pod) else { continue }
      queue.wake(uid, now: now)
    }
  }
}
