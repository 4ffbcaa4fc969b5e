/// Whether one pod may go to a node, by all filters. `prepare` reads what the whole cluster says; after that each node is quick.
final class PodCheck {
  let cluster: Cluster
  let pod: PodRecord
  let shape: PodShape
  let plan: SchedulingPlan
  /// Nil for pods that name their node.
  let table: ShapeTable?
  let volumes: VolumeNeeds?

  private struct HardSpread {
    let table: SpreadTable
    let fewest: Int
    /// The pod counts for itself.
    let own: Int
  }
  private var hard: [HardSpread] = []
  private var affinity: [DomainSums] = []
  /// Nobody is there to be near to, and the pod would be near itself.
  private var isFirstOfItsKind = false
  private var anti: [DomainSums] = []
  private var existing: [DomainSums] = []
  private let hasNominations: Bool
  /// The node that this pod waits for itself.
  private let ownSlot: Int
  private var resourcesOnly = false

  init(_ cluster: Cluster, _ pod: PodRecord, _ plan: SchedulingPlan, table: ShapeTable?, volumes: VolumeNeeds?) {
    self.cluster = cluster
    self.pod = pod
    shape = pod.shape
    self.plan = plan
    self.table = table
    self.volumes = volumes
    hasNominations = !cluster.nominations.isEmpty
    ownSlot = cluster.nominations[pod.uid]?.slot ?? -1
    cluster.prepareCounters(shape)
    prepare()
  }

  /// Reads the state of the cluster; the table is up to date.
  func prepare() {
    let needs = shape.needs
    if let table {
      hard = table.hard.map(spread)
    } else if plan.asks(.podTopologySpread), needs.spread.contains(where: \.isHard) {
      hard = pinnedSpread()
    }
    defer { resourcesOnly = looksAtResourcesOnly(besides: []) }
    guard plan.asks(.interPodAffinity) else { return }
    cluster.updateOwners(shape)
    existing = shape.meantBy.compactMap { $0.key.role == .requiredAnti && $0.sums.total > 0 ? $0.sums : nil }
    anti = zip(needs.antiAffinity, shape.antiCounters).map { $1.sums(cluster.topology($0.topologyKey)) }
    if let counter = shape.affinityCounter {
      affinity = needs.affinity.map { counter.sums(cluster.topology($0.topologyKey)) }
      isFirstOfItsKind = affinity.allSatisfy { $0.total == 0 } && cluster.matches(needs.affinity.map(\.matcher), shape)
    }
  }

  private func spread(_ table: SpreadTable) -> HardSpread {
    let matcher = table.constraint.matcher
    let own = matcher.selector?.matches(shape.needs.labels) ?? false
    return HardSpread(table: table, fewest: table.fewest, own: own ? 1 : 0)
  }

  /// For a pod that names its node the named node is the only one that counts where affinity is honoured.
  private func pinnedSpread() -> [HardSpread] {
    let constraints = shape.needs.spread.filter(\.isHard)
    let tables = constraints.map { SpreadTable($0, cluster) }
    for slot in cluster.nodes.indices {
      guard let node = cluster.nodes[slot].facts else { continue }
      let hasAll = tables.allSatisfy { $0.topology.domainOf[slot] >= 0 }
      for table in tables {
        let isMeant = node.name == pod.pinnedNode && Cluster.matchesNodeAffinity(shape, node)
        let honoured = !table.constraint.honorsTaints || Cluster.toleratesHardTaints(shape, node)
        table.update(slot, counts: hasAll && honoured && (!table.constraint.honorsAffinity || isMeant))
      }
    }
    return tables.map(spread)
  }

  /// The filters between pods play no part.
  var looksAtRoomOnly: Bool {
    hard.isEmpty && affinity.isEmpty && anti.isEmpty && existing.isEmpty && volumes == nil && shape.affinityCounter == nil
  }

  /// The same with other pods on the node: only sums of resources can differ.
  func looksAtResourcesOnly(besides others: [PodRecord]) -> Bool {
    looksAtRoomOnly && shape.needs.ports.isEmpty && others.allSatisfy { $0.shape.needs.antiAffinity.isEmpty }
  }

  /// What the filters that look at the node alone say.
  func firstVerdict(_ slot: Int) -> Verdict {
    if let table { return table.rows[slot].verdict }
    let entry = cluster.nodes[slot]
    guard let node = entry.facts else { return Verdict(.absent, isFinal: true) }
    let fixed = Cluster.fixedVerdict(shape, node, plan)
    return fixed.fits ? Cluster.roomVerdict(shape, entry, node, plan) : fixed
  }

  /// What all filters say, of a node for which the first ones have nothing against it.
  func laterVerdict(_ slot: Int) -> Verdict {
    if let volumes {
      let verdict = volumes.verdict(cluster.nodes[slot])
      if !verdict.fits { return verdict }
    }
    for spread in hard {
      let domain = spread.table.topology.domainOf[slot]
      if domain < 0 { return Verdict(.spreadLabel, isFinal: true) }
      let skew = spread.table.count(slot) + spread.own - spread.fewest
      if skew > spread.table.constraint.maxSkew { return Verdict(.spread) }
    }
    if !affinity.isEmpty {
      var isNear = true
      for sums in affinity {
        if sums.topology.domainOf[slot] < 0 { return Verdict(.podAffinity, isFinal: true) }
        if sums.count(slot) <= 0 { isNear = false }
      }
      if !isNear, !isFirstOfItsKind { return Verdict(.podAffinity, isFinal: true) }
    }
    for sums in anti where sums.count(slot) > 0 { return Verdict(.podAntiAffinity) }
    for sums in existing where sums.count(slot) > 0 { return Verdict(.existingAntiAffinity) }
    return .fits
  }

  func verdict(_ slot: Int) -> Verdict {
    let first = firstVerdict(slot)
    return first.fits ? laterVerdict(slot) : first
  }

  /// The pods that wait for this node and come before this one.
  func nominated(_ slot: Int) -> [PodRecord] {
    let entry = cluster.nodes[slot]
    if entry.nominated.isEmpty { return [] }
    return entry.nominated.filter { $0.uid != pod.uid && $0.priority >= pod.priority }
  }

  /// A node must take the pod with the pods that wait for it, and without them.
  func verdictWithNominated(_ slot: Int) -> Verdict {
    let plain = verdict(slot)
    return plain.fits ? crowdedVerdict(slot) : plain
  }

  /// What the pods that wait for a node add, where it takes the pod without them.
  func crowdedVerdict(_ slot: Int) -> Verdict {
    guard hasNominations else { return .fits }
    // The common case, known of each node: all of them come first, and only sums of resources can differ.
    if resourcesOnly, slot != ownSlot, let table {
      let upTo = table.rows[slot].crowdedUpTo
      if upTo == Int.max { return .fits }
      if pod.priority <= upTo { return table.rows[slot].crowded }
    }
    return nominatedVerdict(slot)
  }

  private func nominatedVerdict(_ slot: Int) -> Verdict {
    let entry = cluster.nodes[slot]
    if entry.nominated.isEmpty { return .fits }
    // The same without a list, for pods that have no table.
    if resourcesOnly, !entry.nominatedKeepOthersAway, pod.priority <= entry.nominatedLowest, slot != ownSlot, let node = entry.facts {
      guard plan.asks(.nodeResourcesFit) else { return .fits }
      var taken = entry.requested
      taken.add(entry.nominatedRequested)
      return Cluster.resourceVerdict(shape, taken, entry.pods.count + entry.nominated.count, node)
    }
    let others = nominated(slot)
    if others.isEmpty { return .fits }
    if looksAtResourcesOnly(besides: others), let node = cluster.nodes[slot].facts {
      guard plan.asks(.nodeResourcesFit) else { return .fits }
      var taken = cluster.nodes[slot].requested
      for other in others { taken.add(other.requests) }
      return Cluster.resourceVerdict(shape, taken, cluster.nodes[slot].pods.count + others.count, node)
    }
    return assuming(others, on: slot) { verdict(slot) }
  }

  /// Acts as if the pods were on the node.
  func assuming<Answer>(_ pods: [PodRecord], on slot: Int, _ body: () -> Answer) -> Answer {
    let start = cluster.journalEnd
    for other in pods { cluster.give(other, slot) }
    reread()
    let answer = body()
    for other in pods { cluster.take(other, slot) }
    reread()
    finish(start)
    return answer
  }

  /// Takes in a change that was made to the cluster.
  func reread() {
    table?.refresh()
    prepare()
  }

  /// All is as it was at that position of the journal.
  func finish(_ start: Int) {
    cluster.rewindJournal(to: start)
    table?.rewound(to: start)
  }
}

extension Cluster {
  /// The counters that a shape's own terms need.
  func prepareCounters(_ shape: PodShape) {
    guard !shape.hasCounters else { return }
    shape.hasCounters = true
    let needs = shape.needs
    shape.affinityCounter = needs.affinity.isEmpty ? nil : counter(needs.affinity.map(\.matcher), skipsLeaving: false)
    shape.antiCounters = needs.antiAffinity.map { counter([$0.matcher], skipsLeaving: false) }
    shape.preferredCounters = needs.preferredPods.map { counter([$0.term.matcher], skipsLeaving: false) }
  }
}
