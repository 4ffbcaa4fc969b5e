import JSONCodec
import KubernetesAPI

/// The nodes with their pods, those decided but not yet seen included, kept so that a decision need not look at what has not changed:
/// a journal of changed nodes for tables, and counts of pods by domain for terms between pods.
package final class Cluster {
  private(set) var nodes: [NodeEntry] = []
  private var slots: [String: Int] = [:]
  private var freeSlots: [Int] = []
  package private(set) var nodeCount = 0

  /// Slots that changed; a position in it counts from the beginning of time.
  private(set) var journal: [Int32] = []
  private(set) var journalBase = 0
  var journalEnd: Int { journalBase + journal.count }

  private var shapes: [PodNeeds: PodShape] = [:]
  private var shapesMax = 256
  private var topologies: [String: Topology] = [:]
  var counters: [PodCounter] = []
  private var counterIndex: [PodCounter.Key: PodCounter] = [:]
  var owners: [TermOwners] = []
  private var ownerIndex: [TermOwners.Key: TermOwners] = [:]

  /// Placed pods by UID, with their slot; nil where the node is not known yet.
  private(set) var placed: [String: (pod: PodRecord, slot: Int?)] = [:]
  private var homeless: [String: [String: PodRecord]] = [:]
  private(set) var nominations: [String: (pod: PodRecord, slot: Int)] = [:]

  /// How many nodes have an image, and when that changed.
  private(set) var images: [String: (nodes: Int, version: Int)] = [:]
  private var imageClock = 0
  var facts = ClusterFacts()
  /// Pods by claim, as namespace/name.
  private(set) var claimUsers: [String: Int] = [:]
  /// Volumes that are being reserved for a claim, as the watch will tell.
  var reservedVolumes: [String: String] = [:]
  /// Where the last pods went: equal nodes take turns.
  var cursor = 0
  var tableClock = 0

  package init() {}

  // MARK: shapes

  /// Reads a pod.
  package func record(_ json: JSON) -> PodRecord {
    let (needs, pinned) = PodNeeds.read(json)
    if let shape = shapes[needs] { return PodRecord(json, pinnedNode: pinned, shape: shape) }
    if shapes.count >= shapesMax { collectShapes() }
    let shape = PodShape(needs)
    shapes[needs] = shape
    return PodRecord(json, pinnedNode: pinned, shape: shape)
  }

  /// Forgets shapes that no pod has, and the counters that only they used.
  private func collectShapes() {
    shapes = shapes.filter { $0.value.users > 0 }
    shapesMax = max(256, shapes.count * 2)
    rebuildCounts()
  }

  var liveShapes: some Collection<PodShape> { shapes.values }

  /// Begins all counts anew: after shapes have gone, or a namespace's labels have changed.
  func rebuildCounts() {
    counters = []
    counterIndex = [:]
    owners = []
    ownerIndex = [:]
    for shape in shapes.values {
      shape.countedBy = []
      shape.countersSeen = 0
      shape.meantBy = []
      shape.ownersSeen = 0
      shape.owned = []
      shape.ownsTerms = false
      shape.hasCounters = false
      shape.tables = [:]
    }
    for shape in shapes.values where !shape.placed.isEmpty { ownTerms(shape) }
  }

  func topology(_ key: String) -> Topology {
    if let known = topologies[key] { return known }
    let topology = Topology(key, nodes: nodes)
    topologies[key] = topology
    return topology
  }

  /// The counter of the pods that fulfil all matchers.
  func counter(_ matchers: [PodMatcher], skipsLeaving: Bool) -> PodCounter {
    let key = PodCounter.Key(matchers: matchers, skipsLeaving: skipsLeaving)
    if let known = counterIndex[key] { return known }
    let counter = PodCounter(key)
    for shape in shapes.values where !shape.placed.isEmpty && matches(matchers, shape) {
      for (slot, count) in shape.placed { counter.add(count - (skipsLeaving ? shape.leaving[slot] ?? 0 : 0), Int(slot)) }
    }
    counterIndex[key] = counter
    counters.append(counter)
    return counter
  }

  func matches(_ matchers: [PodMatcher], _ shape: PodShape) -> Bool {
    matchers.allSatisfy { $0.matches(shape.needs.labels, namespace: shape.needs.namespace) { facts.namespaces[$0] ?? [:] } }
  }

  /// Brings the list of what counts a shape up to date.
  private func updateCounters(_ shape: PodShape) {
    while shape.countersSeen < counters.count {
      let counter = counters[shape.countersSeen]
      if matches(counter.key.matchers, shape) { shape.countedBy.append(counter) }
      shape.countersSeen += 1
    }
  }

  /// Brings the list of existing pods' terms that mean a shape up to date.
  func updateOwners(_ shape: PodShape) {
    while shape.ownersSeen < owners.count {
      let owner = owners[shape.ownersSeen]
      if matches([owner.key.term.matcher], shape) { shape.meantBy.append(owner) }
      shape.ownersSeen += 1
    }
  }

  /// Registers the terms of a shape that has its first pod somewhere.
  private func ownTerms(_ shape: PodShape) {
    guard !shape.ownsTerms else { return }
    shape.ownsTerms = true
    let needs = shape.needs
    var keys: [TermOwners.Key] = needs.antiAffinity.map { .init(role: .requiredAnti, weight: 0, term: $0) }
    keys += needs.affinity.map { .init(role: .requiredAffinity, weight: 1, term: $0) }
    keys += needs.preferredPods.map { .init(role: .preferred, weight: $0.weight, term: $0.term) }
    for key in keys {
      let owner: TermOwners
      if let known = ownerIndex[key] {
        owner = known
      } else {
        owner = TermOwners(key, topology(key.term.topologyKey))
        ownerIndex[key] = owner
        owners.append(owner)
      }
      shape.owned.append(owner)
      for (slot, count) in shape.placed { owner.sums.add(count, Int(slot)) }
    }
  }

  // MARK: nodes

  func slot(_ node: String) -> Int? { slots[node] }
  package func node(_ name: String) -> NodeFacts? { slots[name].flatMap { nodes[$0].facts } }
  package var nodeNames: [String] { Array(slots.keys) }

  /// What the node was before.
  @discardableResult
  package func put(node facts: NodeFacts) -> NodeFacts? {
    if let slot = slots[facts.name] {
      let entry = nodes[slot]
      let old = entry.facts!
      countImages(old, -1, besides: facts)
      countImages(facts, 1, besides: old)
      if old.labels != facts.labels {
        let pods = entry.pods
        for pod in pods { take(pod, slot) }
        entry.facts = facts
        for topology in topologies.values { topology.set(slot, facts) }
        for pod in pods { give(pod, slot) }
      }
      entry.facts = facts
      entry.version &+= 1
      note(slot)
      return old
    }
    let slot = freeSlots.popLast() ?? nodes.count
    if slot == nodes.count { nodes.append(NodeEntry()) }
    slots[facts.name] = slot
    nodes[slot].facts = facts
    nodes[slot].version &+= 1
    nodeCount += 1
    for topology in topologies.values { topology.set(slot, facts) }
    countImages(facts, 1, besides: nil)
    note(slot)
    for pod in (homeless.removeValue(forKey: facts.name) ?? [:]).values {
      placed[pod.uid]?.slot = slot
      give(pod, slot)
    }
    return nil
  }

  package func remove(node name: String) {
    guard let slot = slots.removeValue(forKey: name) else { return }
    let entry = nodes[slot]
    for pod in entry.pods {
      take(pod, slot)
      placed[pod.uid]?.slot = nil
      homeless[name, default: [:]][pod.uid] = pod
    }
    for pod in entry.nominated { nominations[pod.uid] = nil }
    countImages(entry.facts!, -1, besides: nil)
    entry.facts = nil
    entry.nominated = []
    entry.version &+= 1
    for topology in topologies.values { topology.set(slot, nil) }
    freeSlots.append(slot)
    nodeCount -= 1
    note(slot)
  }

  private func countImages(_ facts: NodeFacts, _ count: Int, besides other: NodeFacts?) {
    for name in facts.images.keys where other?.images[name] != facts.images[name] {
      imageClock += 1
      let nodes = (images[name]?.nodes ?? 0) + count
      images[name] = nodes == 0 ? nil : (nodes, imageClock)
    }
  }

  private func note(_ slot: Int) {
    if journal.count > max(8_192, nodes.count * 2) {
      let half = journal.count / 2
      journal.removeFirst(half)
      journalBase += half
    }
    journal.append(Int32(slot))
  }

  /// Takes back the last entries: what was changed since has been put back as it was.
  func rewindJournal(to position: Int) {
    if position >= journalBase { journal.removeLast(journalEnd - position) }
  }

  // MARK: pods

  /// Counts a pod for a node from now on.
  package func place(_ pod: PodRecord, on node: String) {
    remove(uid: pod.uid)
    let slot = slots[node]
    placed[pod.uid] = (pod, slot)
    for claim in pod.claims { claimUsers["\(pod.namespace)/\(claim.name)", default: 0] += 1 }
    guard let slot else {
      homeless[node, default: [:]][pod.uid] = pod
      return
    }
    give(pod, slot)
  }

  /// The pod that counted so far.
  @discardableResult
  package func remove(uid: String) -> PodRecord? {
    guard let (pod, slot) = placed.removeValue(forKey: uid) else { return nil }
    for claim in pod.claims {
      let key = "\(pod.namespace)/\(claim.name)"
      if let count = claimUsers[key], count > 1 { claimUsers[key] = count - 1 } else { claimUsers[key] = nil }
    }
    if let slot {
      take(pod, slot)
    } else {
      for (node, pods) in homeless where pods[uid] != nil {
        homeless[node]![uid] = nil
        if homeless[node]!.isEmpty { homeless[node] = nil }
      }
    }
    return pod
  }

  /// Adds a pod to a node's sums and all counts; `take` is its opposite.
  func give(_ pod: PodRecord, _ slot: Int) { change(pod, slot, 1) }
  func take(_ pod: PodRecord, _ slot: Int) { change(pod, slot, -1) }

  private func change(_ pod: PodRecord, _ slot: Int, _ count: Int32) {
    let shape = pod.shape
    ownTerms(shape)
    updateCounters(shape)
    for counter in shape.countedBy where !(pod.isLeaving && counter.key.skipsLeaving) { counter.add(count, slot) }
    for owner in shape.owned { owner.sums.add(count, slot) }
    Self.count(&shape.placed, slot, count)
    if pod.isLeaving { Self.count(&shape.leaving, slot, count) }
    if count > 0 { nodes[slot].add(pod) } else { nodes[slot].remove(pod) }
    note(slot)
  }

  private static func count(_ counts: inout [Int32: Int32], _ slot: Int, _ count: Int32) {
    let sum = (counts[Int32(slot)] ?? 0) + count
    counts[Int32(slot)] = sum == 0 ? nil : sum
  }

  // MARK: nominations

  func nominate(_ pod: PodRecord, _ slot: Int) {
    dropNomination(uid: pod.uid)
    nominations[pod.uid] = (pod, slot)
    nodes[slot].nominated.append(pod)
    note(slot)
  }

  func dropNomination(uid: String) {
    guard let (_, slot) = nominations.removeValue(forKey: uid) else { return }
    nodes[slot].nominated.removeAll { $0.uid == uid }
    note(slot)
  }
}
