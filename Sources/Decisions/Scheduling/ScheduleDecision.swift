import JSONCodec
import KubernetesAPI

/// Where a pod goes, or why it cannot.
package enum ScheduleDecision: Sendable, Equatable {
  case bind(node: String)
  /// The message of the FailedScheduling event, such as
  /// `0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {a: b}.`
  case unschedulable(message: String)
}

/// Chooses a node for a pod: those that fit are scored by how little of them is taken; of equal ones the first by name wins.
package func scheduleDecision(for pod: Pod, on nodes: [NodeState]) -> ScheduleDecision {
  guard !nodes.isEmpty else { return .unschedulable(message: "no nodes available to schedule pods") }
  let requests = ResourceAmounts.requests(of: pod.spec)
  var refusals: [String: Int] = [:]
  var best: (score: Double, name: String)?
  for state in nodes {
    let reasons = refusalReasons(pod, requests, state)
    guard reasons.isEmpty else {
      for reason in reasons { refusals[reason, default: 0] += 1 }
      continue
    }
    let score = leastAllocatedScore(requests, state) - preferNoSchedulePenalty(pod, state.node) + preferredAffinityScore(pod, state.node)
    if best.map({ score > $0.score || (score == $0.score && state.node.name < $0.name) }) ?? true { best = (score, state.node.name) }
  }
  if let best { return .bind(node: best.name) }
  let parts = refusals.map { "\($0.value) \($0.key)" }.sorted()
  return .unschedulable(message: "0/\(nodes.count) nodes are available: \(parts.joined(separator: ", ")).")
}

/// Why a pod may not run on a node; empty where it may.
func refusalReasons(_ pod: Pod, _ requests: ResourceAmounts, _ state: NodeState) -> [String] {
  let spec = pod.spec
  if !spec.nodeName.isEmpty, spec.nodeName != state.node.name { return ["node(s) didn't match the requested node name"] }
  if state.node.isUnschedulable, !tolerates(spec, key: "node.kubernetes.io/unschedulable", value: "", effect: "NoSchedule") {
    return ["node(s) were unschedulable"]
  }
  for taint in state.node.taints {
    let (key, value, effect) = (taint["key"].string ?? "", taint["value"].string ?? "", taint["effect"].string ?? "")
    guard effect == "NoSchedule" || effect == "NoExecute" else { continue }
    if !tolerates(spec, key: key, value: value, effect: effect) { return ["node(s) had untolerated taint {\(key): \(value)}"] }
  }
  guard NodeAffinity.required(spec, state.node) else { return ["node(s) didn't match Pod's node affinity/selector"] }
  if HostPorts.clash(HostPorts.of(spec), state.hostPorts) { return ["node(s) didn't have free ports for the requested pod ports"] }
  var reasons: [String] = []
  if Int64(state.podCount) + 1 > state.allocatable["pods"] { reasons.append("Too many pods") }
  for (name, amount) in requests.amounts.sorted(by: { $0.key < $1.key }) where amount > 0 {
    if state.requested[name] + amount > state.allocatable[name] { reasons.append("Insufficient \(name)") }
  }
  return reasons
}

func tolerates(_ spec: PodSpec, key: String, value: String, effect: String) -> Bool {
  spec.tolerations.contains { toleration in
    let wanted = toleration["effect"].string ?? ""
    guard wanted.isEmpty || wanted == effect else { return false }
    let tolerated = toleration["key"].string ?? ""
    let exists = toleration["operator"].string == "Exists"
    if tolerated.isEmpty { return exists }
    return tolerated == key && (exists || (toleration["value"].string ?? "") == value)
  }
}

/// 0 to 100: the mean of the free shares of cpu and memory after the pod is placed (NodeResourcesLeastAllocated). Pods that ask
/// for nothing count as asking for a little, so that they spread.
private func leastAllocatedScore(_ requests: ResourceAmounts, _ state: NodeState) -> Double {
  let assumed: [String: Int64] = ["cpu": 100, "memory": 200 << 20]
  let shares = assumed.map { name, least -> Double in
    let capacity = Double(state.allocatable[name])
    guard capacity > 0 else { return 0 }
    let taken = Double(state.requested[name] + max(requests[name], least)) + Double(state.podCount) * Double(least) * 0.01
    return max(0, (capacity - taken) / capacity) * 100
  }
  return shares.reduce(0, +) / Double(shares.count)
}

private func preferNoSchedulePenalty(_ pod: Pod, _ node: Node) -> Double {
  let count = node.taints.filter { taint in
    taint["effect"].string == "PreferNoSchedule"
      && !tolerates(pod.spec, key: taint["key"].string ?? "", value: taint["value"].string ?? "", effect: "PreferNoSchedule")
  }.count
  return Double(count) * 100
}

private func preferredAffinityScore(_ pod: Pod, _ node: Node) -> Double {
  let preferred = pod.spec.json["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].array ?? []
  return preferred.reduce(0) { sum, term in
    sum + (NodeAffinity.matches(term["preference"], node) ? Double(term["weight"].int ?? 0) : 0)
  }
}

/// nodeSelector and required node affinity.
enum NodeAffinity {
  static func required(_ spec: PodSpec, _ node: Node) -> Bool {
    for (key, value) in spec.nodeSelector.object ?? JSONObject() where node.labels[key] != value { return false }
    let required = spec.json["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    guard let terms = required["nodeSelectorTerms"].array else { return true }
    return terms.contains { matches($0, node) }
  }

  /// A term without expressions matches nothing.
  static func matches(_ term: JSON, _ node: Node) -> Bool {
    let expressions = term["matchExpressions"].array ?? []
    let fields = term["matchFields"].array ?? []
    guard !expressions.isEmpty || !fields.isEmpty else { return false }
    guard let labels = LabelSelector(json: ["matchExpressions": .array(expressions)]), labels.matches(node.labels) else { return false }
    guard let selector = LabelSelector(json: ["matchExpressions": .array(fields)]) else { return false }
    return selector.matches { $0 == "metadata.name" ? node.name : nil }
  }
}
