import JSONCodec
import KubernetesAPI

#if canImport(Glibc)
  import Glibc
#endif

/// The rules of scheduling once more, as plainly as can be: every question is answered from all objects anew. Slow, and easy to check.
struct ReferenceModel {
  var nodes: [JSON]
  var pods: [JSON]
  var namespaces: [String: JSON] = [:]
  /// Services' selectors by namespace.
  var services: [(namespace: String, selector: JSON)] = []

  func labels(_ object: JSON) -> JSON { object["metadata"]["labels"] }
  func name(_ object: JSON) -> String { object["metadata"]["name"].string! }
  func label(_ node: JSON, _ key: JSON) -> String? { labels(node)[key.string ?? ""].string }
  func pods(on node: JSON) -> [JSON] { pods.filter { $0["spec"]["nodeName"].string == name(node) } }

  // MARK: filters

  func feasible(_ pod: JSON) -> Set<String> { Set(nodes.filter { fits(pod, $0) }.map(name)) }

  func fits(_ pod: JSON, _ node: JSON) -> Bool {
    let spec = pod["spec"]
    func tolerates(_ taint: JSON) -> Bool {
      (spec["tolerations"].array ?? []).contains { toleration in
        let effect = toleration["effect"].string ?? ""
        if effect != "" && effect != taint["effect"].string { return false }
        let key = toleration["key"].string ?? ""
        if key == "" { return toleration["operator"].string == "Exists" }
        if key != taint["key"].string { return false }
        return toleration["operator"].string == "Exists" || (toleration["value"].string ?? "") == (taint["value"].string ?? "")
      }
    }
    if node["spec"]["unschedulable"].bool == true, !tolerates(["key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"]) {
      return false
    }
    for taint in node["spec"]["taints"].array ?? [] where taint["effect"].string != "PreferNoSchedule" && !tolerates(taint) { return false }
    if !affinityAllows(pod, node) { return false }
    return portsAreFree(pod, node) && hasRoom(pod, node) && spreadAllows(pod, node, tolerates: tolerates) && podAffinityAllows(pod, node)
  }

  func matches(_ term: JSON, _ node: JSON) -> Bool {
    let (expressions, fields) = (term["matchExpressions"].array ?? [], term["matchFields"].array ?? [])
    if expressions.isEmpty && fields.isEmpty { return false }
    return LabelSelector(json: ["matchExpressions": .array(expressions)])!.matches(labels(node))
      && LabelSelector(json: ["matchExpressions": .array(fields)])!.matches { $0 == "metadata.name" ? name(node) : nil }
  }

  func affinityAllows(_ pod: JSON, _ node: JSON) -> Bool {
    let spec = pod["spec"]
    for (key, value) in spec["nodeSelector"].object ?? JSONObject() where labels(node)[key] != value { return false }
    let required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return required.isNull || (required["nodeSelectorTerms"].array ?? []).contains { matches($0, node) }
  }

  func ports(_ pod: JSON) -> [(String, String, Int)] {
    (pod["spec"]["containers"].array ?? []).flatMap { $0["ports"].array ?? [] }.compactMap { port in
      guard let number = port["hostPort"].int else { return nil }
      return (port["protocol"].string ?? "TCP", port["hostIP"].string ?? "0.0.0.0", number)
    }
  }

  func portsAreFree(_ pod: JSON, _ node: JSON) -> Bool {
    for used in pods(on: node).flatMap(ports) {
      for wanted in ports(pod) where used.0 == wanted.0 && used.2 == wanted.2 {
        if used.1 == wanted.1 || used.1 == "0.0.0.0" || wanted.1 == "0.0.0.0" { return false }
      }
    }
    return true
  }

  func request(_ pod: JSON, _ resource: String, assumed: Int64 = 0) -> Int64 {
    (pod["spec"]["containers"].array ?? []).reduce(0) { sum, container in
      guard let quantity = container["resources"]["requests"][resource].quantity else { return sum + assumed }
      return sum + (resource == "cpu" ? quantity.milliValue : quantity.value)
    }
  }

  func offered(_ node: JSON, _ resource: String) -> Int64 {
    guard let quantity = node["status"]["allocatable"][resource].quantity else { return 0 }
    return resource == "cpu" ? quantity.milliValue : quantity.value
  }

  func hasRoom(_ pod: JSON, _ node: JSON) -> Bool {
    let there = pods(on: node)
    if there.count + 1 > offered(node, "pods") { return false }
    return ["cpu", "memory", "example.com/gpu"].allSatisfy { resource in
      let wanted = request(pod, resource)
      return wanted == 0 || wanted + there.reduce(0) { $0 + request($1, resource) } <= offered(node, resource)
    }
  }

  func constraints(_ pod: JSON, hard: Bool) -> [JSON] {
    (pod["spec"]["topologySpreadConstraints"].array ?? []).filter { ($0["whenUnsatisfiable"].string == "DoNotSchedule") == hard }
  }

  func count(_ constraint: JSON, _ pod: JSON, on node: JSON) -> Int {
    guard let selector = LabelSelector(json: constraint["labelSelector"]), !selector.selectsEverything else { return 0 }
    return pods(on: node).filter {
      $0["metadata"]["namespace"] == pod["metadata"]["namespace"] && $0["metadata"]["deletionTimestamp"].isNull
        && selector.matches(labels($0))
    }.count
  }

  func counted(_ constraint: JSON, _ all: [JSON], _ pod: JSON, _ node: JSON, tolerates: (JSON) -> Bool) -> Bool {
    if !all.allSatisfy({ label(node, $0["topologyKey"]) != nil }) { return false }
    if constraint["nodeAffinityPolicy"].string != "Ignore", !affinityAllows(pod, node) { return false }
    let taints = (node["spec"]["taints"].array ?? []).filter { $0["effect"].string != "PreferNoSchedule" }
    return constraint["nodeTaintsPolicy"].string != "Honor" || taints.allSatisfy(tolerates)
  }

  func spreadAllows(_ pod: JSON, _ node: JSON, tolerates: (JSON) -> Bool) -> Bool {
    let all = constraints(pod, hard: true)
    return all.allSatisfy { constraint in
      guard let own = label(node, constraint["topologyKey"]) else { return false }
      var sums: [String: Int] = [:]
      for other in nodes where counted(constraint, all, pod, other, tolerates: tolerates) {
        sums[label(other, constraint["topologyKey"])!, default: 0] += count(constraint, pod, on: other)
      }
      let fewest = sums.count < constraint["minDomains"].int ?? 1 ? 0 : sums.values.min() ?? Int(Int32.max)
      let self1 = LabelSelector(json: constraint["labelSelector"])!.matches(labels(pod)) ? 1 : 0
      return (sums[own] ?? 0) + self1 - fewest <= constraint["maxSkew"].int!
    }
  }

  func means(_ term: JSON, of owner: JSON, _ other: JSON) -> Bool {
    var named = (term["namespaces"].array ?? []).compactMap(\.string)
    if named.isEmpty && term["namespaceSelector"].isNull { named = [owner["metadata"]["namespace"].string!] }
    let namespace = other["metadata"]["namespace"].string!
    let byLabels =
      term["namespaceSelector"].isNull ? false : LabelSelector(json: term["namespaceSelector"])!.matches(namespaces[namespace] ?? [:])
    return (named.contains(namespace) || byLabels) && LabelSelector(json: term["labelSelector"])!.matches(labels(other))
  }

  func terms(_ pod: JSON, _ kind: String) -> [JSON] {
    pod["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"].array ?? []
  }

  /// The nodes that lie in one domain with this one; none where it has no label.
  func domain(_ node: JSON, _ key: JSON) -> [JSON] {
    guard let value = label(node, key) else { return [] }
    return nodes.filter { label($0, key) == value }
  }

  func podAffinityAllows(_ pod: JSON, _ node: JSON) -> Bool {
    let near = terms(pod, "podAffinity")
    if !near.isEmpty {
      if near.contains(where: { label(node, $0["topologyKey"]) == nil }) { return false }
      func meansAll(_ other: JSON) -> Bool { near.allSatisfy { means($0, of: pod, other) } }
      let isNear = near.allSatisfy { term in domain(node, term["topologyKey"]).flatMap(pods(on:)).contains(where: meansAll) }
      let anywhere = near.contains { term in
        nodes.contains { label($0, term["topologyKey"]) != nil && pods(on: $0).contains(where: meansAll) }
      }
      if !isNear && (anywhere || !meansAll(pod)) { return false }
    }
    for term in terms(pod, "podAntiAffinity") {
      if domain(node, term["topologyKey"]).flatMap(pods(on:)).contains(where: { means(term, of: pod, $0) }) { return false }
    }
    for other in nodes {
      for existing in pods(on: other) {
        for term in terms(existing, "podAntiAffinity") where means(term, of: existing, pod) {
          if let here = label(node, term["topologyKey"]), here == label(other, term["topologyKey"]) { return false }
        }
      }
    }
    return true
  }

  // MARK: scores

  /// Of the feasible nodes.
  func scores(_ pod: JSON) -> [String: Int] {
    let feasible = nodes.filter { fits(pod, $0) }
    var sums = [Int](repeating: 0, count: feasible.count)
    func add(_ scores: [Int], _ weight: Int) { for (index, score) in scores.enumerated() { sums[index] += score * weight } }
    add(feasible.map { leastAllocated(pod, $0) }, 1)
    if request(pod, "cpu") + request(pod, "memory") > 0 { add(feasible.map { balanced(pod, $0) }, 1) }
    add(feasible.map { images(pod, $0) }, 1)
    let taints = feasible.map { discouraging(pod, $0) }
    add(taints.map { taints.max()! == 0 ? 100 : 100 - 100 * $0 / taints.max()! }, 3)
    let wishes = feasible.map { preferredNodes(pod, $0) }
    add(wishes.map { wishes.max()! == 0 ? 0 : 100 * $0 / wishes.max()! }, 2)
    let neighbours = feasible.map { preferredPods(pod, $0) }
    let range = (neighbours.max() ?? 0) - (neighbours.min() ?? 0)
    add(neighbours.map { range == 0 ? 0 : Int(100 * (Double($0 - neighbours.min()!) / Double(range))) }, 2)
    add(spread(pod, feasible), 2)
    return Dictionary(uniqueKeysWithValues: zip(feasible.map(name), sums))
  }

  private func leastAllocated(_ pod: JSON, _ node: JSON) -> Int {
    let parts = [("cpu", Int64(100)), ("memory", Int64(200 << 20))].map { resource, assumed -> Int64 in
      let taken = (pods(on: node) + [pod]).reduce(0) { $0 + request($1, resource, assumed: assumed) }
      return taken > offered(node, resource) ? 0 : (offered(node, resource) - taken) * 100 / offered(node, resource)
    }
    return Int(parts.reduce(0, +) / 2)
  }

  private func balanced(_ pod: JSON, _ node: JSON) -> Int {
    let fractions = ["cpu", "memory"].map { resource in
      min(1, Double((pods(on: node) + [pod]).reduce(0) { $0 + request($1, resource) }) / Double(offered(node, resource)))
    }
    return Int((1 - abs((fractions[0] - fractions[1]) / 2)) * 100)
  }

  private func images(_ pod: JSON, _ node: JSON) -> Int {
    let containers = pod["spec"]["containers"].array ?? []
    func size(_ image: String, _ node: JSON) -> Int64? {
      (node["status"]["images"].array ?? []).first { ($0["names"].array ?? []).contains(.string(image)) }.map {
        Int64($0["sizeBytes"].int!)
      }
    }
    let sum = containers.reduce(Int64(0)) { sum, container in
      let image = (container["image"].string ?? "") + ":latest"
      guard let bytes = size(image, node) else { return sum }
      return sum + Int64(Double(bytes) * (Double(nodes.filter { size(image, $0) != nil }.count) / Double(nodes.count)))
    }
    let (least, most) = (Int64(23 << 20), Int64(1000 << 20) * Int64(containers.count))
    return Int(100 * (min(most, max(least, sum)) - least) / (most - least))
  }

  private func discouraging(_ pod: JSON, _ node: JSON) -> Int {
    (node["spec"]["taints"].array ?? []).filter { taint in
      taint["effect"].string == "PreferNoSchedule"
        && !(pod["spec"]["tolerations"].array ?? []).contains {
          ($0["effect"].isNull || $0["effect"] == taint["effect"]) && ($0["key"].isNull || $0["key"] == taint["key"])
            && ($0["operator"].string == "Exists" || $0["value"] == taint["value"])
        }
    }.count
  }

  private func preferredNodes(_ pod: JSON, _ node: JSON) -> Int {
    (pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].array ?? []).reduce(0) {
      $0 + (matches($1["preference"], node) ? $1["weight"].int! : 0)
    }
  }

  private func preferredPods(_ pod: JSON, _ node: JSON) -> Int {
    func wishes(_ pod: JSON) -> [(JSON, Int)] {
      [("podAffinity", 1), ("podAntiAffinity", -1)].flatMap { kind, sign in
        (pod["spec"]["affinity"][kind]["preferredDuringSchedulingIgnoredDuringExecution"].array ?? []).map {
          ($0["podAffinityTerm"], sign * $0["weight"].int!)
        }
      }
    }
    var sum = 0
    for other in nodes {
      for existing in pods(on: other) {
        func together(_ key: JSON) -> Bool { label(node, key) != nil && label(node, key) == label(other, key) }
        for (term, weight) in wishes(pod) where means(term, of: pod, existing) && together(term["topologyKey"]) { sum += weight }
        for (term, weight) in wishes(existing) where means(term, of: existing, pod) && together(term["topologyKey"]) { sum += weight }
        for term in terms(existing, "podAffinity") where means(term, of: existing, pod) && together(term["topologyKey"]) { sum += 1 }
      }
    }
    return sum
  }

  private func spread(_ pod: JSON, _ feasible: [JSON]) -> [Int] {
    var all = constraints(pod, hard: false)
    let hasOwn = !(pod["spec"]["topologySpreadConstraints"].array ?? []).isEmpty
    if !hasOwn {
      var selector: JSON = [:]
      for service in services where service.namespace == pod["metadata"]["namespace"].string {
        guard LabelSelector(json: ["matchLabels": service.selector])!.matches(labels(pod)) else { continue }
        for (key, value) in service.selector.object! { selector[key] = value }
      }
      if selector.isEmpty { return feasible.map { _ in 0 } }
      all = [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)].map {
        ["topologyKey": .string($0.0), "maxSkew": JSON($0.1), "labelSelector": ["matchLabels": selector]]
      }
    }
    if all.isEmpty { return feasible.map { _ in 0 } }
    let plays = feasible.map { node in !hasOwn || all.allSatisfy { label(node, $0["topologyKey"]) != nil } }
    let players = zip(feasible, plays).filter(\.1).map(\.0)
    func tolerates(_ taint: JSON) -> Bool { true }
    let raw = feasible.map { node -> Int in
      var score = 0.0
      for constraint in all {
        let key = constraint["topologyKey"]
        let isHost = key.string == "kubernetes.io/hostname"
        let size = isHost ? players.count : Set(players.map { label($0, key) ?? "" }).count
        guard let own = label(node, key) else { continue }
        let counting =
          isHost ? [node] : nodes.filter { label($0, key) == own && counted(constraint, hasOwn ? all : [], pod, $0, tolerates: tolerates) }
        let pods = counting.reduce(0) { $0 + count(constraint, pod, on: $1) }
        score += Double(pods) * log(Double(size + 2)) + Double(constraint["maxSkew"].int! - 1)
      }
      return Int(score.rounded())
    }
    let playing = zip(raw, plays).filter(\.1).map(\.0)
    let (least, most) = (playing.min() ?? 0, playing.max() ?? 0)
    return zip(raw, plays).map { score, plays in !plays ? 0 : most == 0 ? 100 : 100 * (most + least - score) / most }
  }
}
