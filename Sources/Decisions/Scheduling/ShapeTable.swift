/// What is known of each node for pods of one shape under one profile, kept up to date from the cluster's journal: a decision looks
/// only at nodes that have changed since the last one, then at numbers in a row.
final class ShapeTable {
  /// Tables that a cluster keeps.
  static let tablesMax = 96

  private unowned let cluster: Cluster
  private unowned let shape: PodShape
  let plan: SchedulingPlan
  var lastUse = 0
  private var position = -1

  /// What is known of one node.
  struct Row {
    var verdict = Verdict(.absent, isFinal: true)
    /// Of what does not change with the node's pods.
    var fixed = Verdict(.absent, isFinal: true)
    /// With the pods that wait for the node, where it has room without them.
    var crowded = Verdict(.absent, isFinal: true)
    /// Pods up to this priority come after all that wait for the node; `Int.max`: none waits.
    var crowdedUpTo = Int.max
    var base: Int32 = 0
    var discouraged: Int32 = 0
    var preferred: Int32 = 0
    /// Of the node's facts.
    var version: UInt32 = 0
    var ownAffinity = false
    var ownTaints = false
  }
  /// By slot.
  private(set) var rows: [Row] = []

  private(set) var hard: [SpreadTable] = []
  private(set) var soft: [SpreadTable] = []
  /// Nodes without one of the topologies do not take part in the score of spreading.
  private(set) var softWantsAll = false
  private var softSelector: Selector?
  private var imageVersion = -1
  private var usesTaints = false

  init(_ shape: PodShape, _ cluster: Cluster, _ plan: SchedulingPlan) {
    self.shape = shape
    self.cluster = cluster
    self.plan = plan
    if plan.asks(.podTopologySpread) { hard = shape.needs.spread.filter(\.isHard).map { SpreadTable($0, cluster) } }
    usesTaints = shape.needs.spread.contains { $0.honorsTaints }
  }

  /// Takes in what has changed.
  func refresh() {
    cluster.tableClock += 1
    lastUse = cluster.tableClock
    var isStale = refreshSoftConstraints()
    if imagesChanged() { isStale = true }
    let nodes = cluster.nodes
    let count = nodes.count
    if rows.count < count { rows += Array(repeating: Row(), count: count - rows.count) }
    let end = cluster.journalEnd
    if isStale || position < cluster.journalBase || end - position > count {
      for slot in 0..<count { update(slot, nodes[slot]) }
    } else {
      let journal = cluster.journal
      for index in position - cluster.journalBase..<end - cluster.journalBase {
        let slot = Int(journal[index])
        update(slot, nodes[slot])
      }
    }
    position = end
  }

  /// The journal was rewound to here, with all as it was.
  func rewound(to position: Int) { self.position = min(self.position, position) }

  private func update(_ slot: Int, _ entry: NodeEntry) {
    guard let node = entry.facts else {
      rows[slot] = Row()
      rows[slot].version = entry.version
      for table in hard { table.update(slot, counts: false) }
      for table in soft { table.update(slot, counts: false) }
      return
    }
    var row = rows[slot]
    if row.version != entry.version {
      row.version = entry.version
      row.fixed = Cluster.fixedVerdict(shape, node, plan)
      row.discouraged = Cluster.discouragement(shape, node)
      row.preferred = Cluster.preference(shape, node, plan)
      row.ownAffinity = Cluster.matchesNodeAffinity(shape, node)
      row.ownTaints = !usesTaints || Cluster.toleratesHardTaints(shape, node)
    }
    row.verdict = row.fixed.fits ? Cluster.roomVerdict(shape, entry, node, plan) : row.fixed
    if row.verdict.fits { row.base = cluster.baseScore(shape, entry, node, plan) }
    row.crowdedUpTo = Int.max
    if row.verdict.fits, !entry.nominated.isEmpty {
      row.crowdedUpTo = entry.nominatedKeepOthersAway ? Int.min : entry.nominatedLowest
      row.crowded = crowdedVerdict(entry, node)
    }
    rows[slot] = row
    if !hard.isEmpty { update(hard, slot, wantsAll: true) }
    if !soft.isEmpty { update(soft, slot, wantsAll: softWantsAll) }
  }

  private func crowdedVerdict(_ entry: NodeEntry, _ node: NodeFacts) -> Verdict {
    guard plan.asks(.nodeResourcesFit) else { return .fits }
    var taken = entry.requested
    taken.add(entry.nominatedRequested)
    return Cluster.resourceVerdict(shape, taken, entry.pods.count + entry.nominated.count, node)
  }

  private func update(_ tables: [SpreadTable], _ slot: Int, wantsAll: Bool) {
    let hasAll = !wantsAll || tables.allSatisfy { $0.topology.domainOf[slot] >= 0 }
    for table in tables {
      let constraint = table.constraint
      let counts = hasAll && (!constraint.honorsAffinity || rows[slot].ownAffinity) && (!constraint.honorsTaints || rows[slot].ownTaints)
      table.update(slot, counts: counts)
    }
  }

  /// True where the constraints are others than before.
  private func refreshSoftConstraints() -> Bool {
    guard plan.spreadWeight != 0 else { return false }
    let needs = shape.needs
    if !needs.spread.isEmpty {
      guard soft.isEmpty else { return false }
      soft = needs.spread.filter { !$0.isHard }.map { SpreadTable($0, cluster) }
      softWantsAll = true
      return !soft.isEmpty
    }
    let selector = cluster.defaultSelector(shape)
    guard selector != softSelector else { return false }
    softSelector = selector
    let defaults = plan.profile.defaultConstraints ?? Profile.systemConstraints
    softWantsAll = plan.profile.defaultConstraints != nil
    guard let selector else {
      soft = []
      hard = []
      return true
    }
    let constraints = defaults.map { SpreadConstraint($0, namespace: needs.namespace, selector: selector) }
    soft = constraints.filter { !$0.isHard }.map { SpreadTable($0, cluster) }
    if plan.asks(.podTopologySpread) { hard = constraints.filter(\.isHard).map { SpreadTable($0, cluster) } }
    return true
  }

  /// Image scores depend on how many nodes have an image.
  private func imagesChanged() -> Bool {
    guard plan.imageWeight != 0 else { return false }
    var version = 0
    for image in shape.needs.images { version = version &* 1_000_003 &+ (cluster.images[image]?.version ?? 0) }
    if version != 0 { version = version &* 1_000_003 &+ cluster.nodeCount }
    defer { imageVersion = version }
    return version != imageVersion
  }
}

extension Cluster {
  /// The shape's table, up to date.
  func table(_ shape: PodShape, _ plan: SchedulingPlan, _ index: Int) -> ShapeTable {
    if let known = shape.tables[index] {
      known.refresh()
      return known
    }
    let tables = liveShapes.reduce(0) { $0 + $1.tables.count }
    if tables >= ShapeTable.tablesMax { dropOldTables() }
    let table = ShapeTable(shape, self, plan)
    shape.tables[index] = table
    table.refresh()
    return table
  }

  private func dropOldTables() {
    let uses = liveShapes.flatMap { $0.tables.values.map(\.lastUse) }.sorted()
    let limit = uses[uses.count / 2]
    for shape in liveShapes { shape.tables = shape.tables.filter { $0.value.lastUse > limit } }
  }
}
