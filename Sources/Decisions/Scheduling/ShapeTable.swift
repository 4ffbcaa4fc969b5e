/// What is known of each node for pods of one shape under one profile, kept up to date from the cluster's journal: a decision looks
/// only at nodes that have changed since the last one, then at numbers in a row.
final class ShapeTable {
  /// Tables that a cluster keeps.
  static let tablesMax = 96

  private unowned let cluster: Cluster
  private unowned let shape: PodShape
  let profile: Profile
  var lastUse = 0
  private var position = -1

  /// By slot.
  private(set) var verdicts: [Verdict] = []
  private(set) var base: [Int32] = []
  private(set) var discouraged: [Int32] = []
  private(set) var preferred: [Int32] = []
  private var fixed: [Verdict] = []
  private var versions: [UInt32] = []
  private var ownAffinity: [Bool] = []
  private var ownTaints: [Bool] = []

  private(set) var hard: [SpreadTable] = []
  private(set) var soft: [SpreadTable] = []
  /// Nodes without one of the topologies do not take part in the score of spreading.
  private(set) var softWantsAll = false
  private var softSelector: Selector?
  private var imageVersion = -1
  private var usesTaints = false

  init(_ shape: PodShape, _ cluster: Cluster, _ profile: Profile) {
    self.shape = shape
    self.cluster = cluster
    self.profile = profile
    if profile.filters.contains(.podTopologySpread) { hard = shape.needs.spread.filter(\.isHard).map { SpreadTable($0, cluster) } }
    usesTaints = shape.needs.spread.contains { $0.honorsTaints }
  }

  /// Takes in what has changed.
  func refresh() {
    cluster.tableClock += 1
    lastUse = cluster.tableClock
    var isStale = refreshSoftConstraints()
    if imagesChanged() { isStale = true }
    let count = cluster.nodes.count
    if verdicts.count < count {
      let missing = count - verdicts.count
      verdicts += Array(repeating: Verdict(.absent, isFinal: true), count: missing)
      fixed += Array(repeating: Verdict(.absent, isFinal: true), count: missing)
      base += Array(repeating: 0, count: missing)
      discouraged += Array(repeating: 0, count: missing)
      preferred += Array(repeating: 0, count: missing)
      versions += Array(repeating: 0, count: missing)
      ownAffinity += Array(repeating: false, count: missing)
      ownTaints += Array(repeating: false, count: missing)
    }
    let end = cluster.journalEnd
    if isStale || position < cluster.journalBase || end - position > count {
      for slot in 0..<count { update(slot) }
    } else {
      for index in position - cluster.journalBase..<end - cluster.journalBase { update(Int(cluster.journal[index])) }
    }
    position = end
  }

  /// The journal was rewound to here, with all as it was.
  func rewound(to position: Int) { self.position = min(self.position, position) }

  private func update(_ slot: Int) {
    let entry = cluster.nodes[slot]
    guard let node = entry.facts else {
      verdicts[slot] = Verdict(.absent, isFinal: true)
      fixed[slot] = verdicts[slot]
      versions[slot] = entry.version
      for table in hard { table.update(slot, counts: false) }
      for table in soft { table.update(slot, counts: false) }
      return
    }
    let needs = shape.needs
    if versions[slot] != entry.version {
      versions[slot] = entry.version
      fixed[slot] = Cluster.fixedVerdict(needs, node, profile)
      discouraged[slot] = Cluster.discouragement(needs, node)
      preferred[slot] = Cluster.preference(needs, node, profile)
      ownAffinity[slot] = Cluster.matchesNodeAffinity(needs, node)
      ownTaints[slot] = !usesTaints || Cluster.toleratesHardTaints(needs, node)
    }
    verdicts[slot] = fixed[slot].fits ? Cluster.roomVerdict(shape, entry, node, profile) : fixed[slot]
    if verdicts[slot].fits { base[slot] = cluster.baseScore(shape, entry, node, profile) }
    if !hard.isEmpty { update(hard, slot, wantsAll: true) }
    if !soft.isEmpty { update(soft, slot, wantsAll: softWantsAll) }
  }

  private func update(_ tables: [SpreadTable], _ slot: Int, wantsAll: Bool) {
    let hasAll = !wantsAll || tables.allSatisfy { $0.topology.domainOf[slot] >= 0 }
    for table in tables {
      let constraint = table.constraint
      let counts = hasAll && (!constraint.honorsAffinity || ownAffinity[slot]) && (!constraint.honorsTaints || ownTaints[slot])
      table.update(slot, counts: counts)
    }
  }

  /// True where the constraints are others than before.
  private func refreshSoftConstraints() -> Bool {
    guard profile.weight(.podTopologySpread) != 0 else { return false }
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
    let defaults = profile.defaultConstraints ?? Profile.systemConstraints
    softWantsAll = profile.defaultConstraints != nil
    guard let selector else {
      soft = []
      hard = []
      return true
    }
    let constraints = defaults.map { SpreadConstraint($0, namespace: needs.namespace, selector: selector) }
    soft = constraints.filter { !$0.isHard }.map { SpreadTable($0, cluster) }
    if profile.filters.contains(.podTopologySpread) { hard = constraints.filter(\.isHard).map { SpreadTable($0, cluster) } }
    return true
  }

  /// Image scores depend on how many nodes have an image.
  private func imagesChanged() -> Bool {
    guard profile.weight(.imageLocality) != 0 else { return false }
    var version = 0
    for image in shape.needs.images { version = version &* 1_000_003 &+ (cluster.images[image]?.version ?? 0) }
    if version != 0 { version = version &* 1_000_003 &+ cluster.nodeCount }
    defer { imageVersion = version }
    return version != imageVersion
  }
}

extension Cluster {
  /// The shape's table, up to date.
  func table(_ shape: PodShape, _ profile: Profile, _ index: Int) -> ShapeTable {
    if let known = shape.tables[index] {
      known.refresh()
      return known
    }
    let tables = liveShapes.reduce(0) { $0 + $1.tables.count }
    if tables >= ShapeTable.tablesMax { dropOldTables() }
    let table = ShapeTable(shape, self, profile)
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
