/// For one constraint of one shape: pods that match by domain, over the nodes that count for it.
final class SpreadTable {
  let constraint: SpreadConstraint
  let topology: Topology
  let counter: PodCounter
  /// By domain: matching pods, and nodes that count.
  private(set) var sums: [Int32] = []
  private(set) var nodesIn: [Int32] = []
  private(set) var domainsPresent = 0
  /// By slot: what stands in the sums.
  private var domain: [Int32] = []
  private var counted: [Int32] = []

  init(_ constraint: SpreadConstraint, _ cluster: Cluster) {
    self.constraint = constraint
    topology = cluster.topology(constraint.topologyKey)
    counter = cluster.counter([constraint.matcher], skipsLeaving: true)
  }

  func update(_ slot: Int, counts: Bool) {
    while domain.count <= slot {
      domain.append(-1)
      counted.append(0)
    }
    let now = counts ? topology.domainOf[slot] : -1
    let count = now < 0 || !constraint.countsPods || slot >= counter.perNode.count ? 0 : counter.perNode[slot]
    let before = domain[slot]
    if before == now, counted[slot] == count { return }
    if before >= 0 {
      sums[Int(before)] -= counted[slot]
      nodesIn[Int(before)] -= 1
      if nodesIn[Int(before)] == 0 { domainsPresent -= 1 }
    }
    if now >= 0 {
      while sums.count <= Int(now) {
        sums.append(0)
        nodesIn.append(0)
      }
      sums[Int(now)] += count
      nodesIn[Int(now)] += 1
      if nodesIn[Int(now)] == 1 { domainsPresent += 1 }
    }
    domain[slot] = now
    counted[slot] = count
  }

  /// The fewest pods that any domain has; zero where there are fewer domains than there should be.
  var fewest: Int {
    if domainsPresent < constraint.minDomains { return 0 }
    var fewest = Int32.max
    for index in sums.indices where nodesIn[index] > 0 && sums[index] < fewest { fewest = sums[index] }
    return Int(fewest)
  }

  func count(_ slot: Int) -> Int {
    let domain = Int(topology.domainOf[slot])
    return domain >= 0 && domain < sums.count ? Int(sums[domain]) : 0
  }
}
