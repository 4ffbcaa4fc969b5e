import JSONCodec
import KubernetesAPI

/// One look at a DaemonSet, the nodes and its pods, and the writes that come of it.
struct Daemons {
  /// Seconds before a failed pod of a node is replaced again, doubling with its failures, and at most.
  static let backoffFirst = 1.0
  static let backoffMax = 900.0

  private struct Place {
    let node: JSON
    let fit: NodeFit
    var pods: [JSON]
  }

  let set: JSON
  let hash: String
  let now: Timestamp
  var writes: [Write] = []
  private var places: [Place]
  /// Pods on nodes that are not there.
  private let lost: [JSON]

  init(_ set: JSON, _ pods: [JSON], _ nodes: [JSON], hash: String, _ circumstances: Circumstances) {
    self.set = set
    self.hash = hash
    now = circumstances.now
    let spec = set["spec"]["template"]["spec"]
    let tolerations = Self.tolerations(spec)
    let byNode = Dictionary(grouping: pods, by: Self.node)
    places = nodes.sorted { $0.objectName.name < $1.objectName.name }.map { node in
      Place(node: node, fit: NodeFit(spec, tolerations: tolerations, node: node), pods: byNode[node.objectName.name] ?? [])
    }
    let known = Set(nodes.map(\.objectName.name))
    lost = byNode.filter { !known.contains($0.key) && !$0.key.isEmpty }.flatMap(\.value)
  }

  /// The node that a pod is on or meant for.
  static func node(_ pod: JSON) -> String {
    if !pod.podNode.isEmpty { return pod.podNode }
    let terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].array ?? []
    for field in terms.flatMap({ $0["matchFields"].array ?? [] }) where field["key"].string == "metadata.name" {
      if let name = field["values"][0].string { return name }
    }
    return ""
  }

  /// What every daemon tolerates.
  static func tolerations(_ spec: JSON) -> [JSON] {
    var tolerations = spec["tolerations"].array ?? []
    func add(_ key: String, _ effect: String) {
      let toleration: JSON = ["key": .string("node.kubernetes.io/\(key)"), "operator": "Exists", "effect": .string(effect)]
      if !tolerations.contains(toleration) { tolerations.append(toleration) }
    }
    add("not-ready", "NoExecute")
    add("unreachable", "NoExecute")
    for pressure in ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] { add(pressure, "NoSchedule") }
    if spec["hostNetwork"].bool == true { add("network-unavailable", "NoSchedule") }
    return tolerations
  }

  private var minReady: Int { self.set["spec"]["minReadySeconds"].int ?? 0 }
  private var strategy: JSON { self.set["spec"]["updateStrategy"] }
  private var desired: Int { places.count { $0.fit.starts } }
  private var surge: Int { limit("maxSurge") }
  private var unavailable: Int {
    let value = limit("maxUnavailable", or: 1)
    return value == 0 && surge == 0 ? 1 : value
  }
  private func limit(_ field: String, or fallback: Int = 0) -> Int {
    let value = strategy["rollingUpdate"][field]
    return value.isNull ? fallback : scaled(value, of: desired, roundingUp: true) ?? fallback
  }
  private func isUpdated(_ pod: JSON) -> Bool { pod["metadata"]["labels"][StatefulPods.revisionLabel].string == hash }
  private func isAvailable(_ pod: JSON) -> Bool { pod.isAvailablePod(minReadySeconds: minReady, now: now) }

  mutating func manage() {
    var creations: [String] = []
    var deletions: [JSON] = lost.filter { !$0.isBeingDeleted }
    for place in places { manage(place, &creations, &deletions) }
    if strategy["type"].string != "OnDelete" { roll(&creations, &deletions) }
    let announcement = Write.Announcement.created("pod", for: set, .daemonSet)
    var seen: Set<String> = []
    // What a surge made room for goes before another surge begins.
    for pod in deletions where seen.insert(pod.uid).inserted {
      writes.append(.delete(.pod, pod.objectName, uid: pod.uid, Write.Deletion(), .deleted("pod", for: set, .daemonSet)))
    }
    for node in creations { writes.append(.create(.pod, pod(on: node), announcement)) }
    let soonest = places.flatMap(\.pods).compactMap { $0.secondsUntilAvailable(minReadySeconds: minReady, now: now) }.min()
    if let soonest { writes.append(.requeue(after: soonest)) }
  }

  private mutating func manage(_ place: Place, _ creations: inout [String], _ deletions: inout [JSON]) {
    let living = place.pods.filter { !$0.isBeingDeleted }
    guard place.fit.stays else { return deletions += living }
    let (ended, running) = living.partitioned(\.hasEnded)
    for pod in ended {
      let isFailure = pod.podPhase == "Failed"
      if isFailure, let wait = backoff(pod) {
        writes.append(.requeue(after: wait))
        continue
      }
      let what = isFailure ? ("FailedDaemonPod", "Found failed") : ("SucceededDaemonPod", "Found succeeded")
      let message =
        "\(what.1) daemon pod \(pod.objectName) on node \(place.node.objectName.name), will try to \(isFailure ? "kill" : "delete") it"
      writes.append(isFailure ? .warning(.daemonSet, set, what.0, message) : .event(.daemonSet, set, what.0, message))
      deletions.append(pod)
    }
    if place.pods.isEmpty, place.fit.starts { creations.append(place.node.objectName.name) }
    // With a surge, one pod of each revision may be there.
    let groups = surge > 0 ? [running.filter(isUpdated), running.filter { !isUpdated($0) }] : [running]
    for group in groups where group.count > 1 {
      let order = group.sorted {
        if $0.podNode.isEmpty != $1.podNode.isEmpty { return !$0.podNode.isEmpty }
        return ($0.created, $0.uid) < ($1.created, $1.uid)
      }
      deletions += order.dropFirst()
    }
  }

  /// Seconds that a failed pod stays, so that one that fails at once is not made again without end.
  private func backoff(_ pod: JSON) -> Double? {
    let lived = now.seconds(since: pod.created)
    return lived < Self.backoffFirst ? Self.backoffFirst - lived : nil
  }

  private func roll(_ creations: inout [String], _ deletions: inout [JSON]) {
    let going = Set(deletions.map(\.uid))
    var used = 0
    var broken: [(pod: JSON, node: String)] = []
    var candidates: [(pod: JSON, node: String)] = []
    var replaced: [JSON] = []
    let surge = surge
    for place in places where place.fit.starts {
      let name = place.node.objectName.name
      let living = place.pods.filter { !$0.isBeingDeleted && !$0.hasEnded && !going.contains($0.uid) }
      let new = living.first(where: isUpdated)
      let old = living.first { !isUpdated($0) }
      if surge > 0 {
        switch (new, old) {
        case (let new?, let old?): if isAvailable(new) { replaced.append(old) } else { used += 1 }
        case (nil, let old?): if isAvailable(old) { candidates.append((old, name)) } else { broken.append((old, name)) }
        default: break
        }
      } else if let new {
        if !isAvailable(new) { used += 1 }
      } else if let old {
        if isAvailable(old) {
          candidates.append((old, name))
        } else {
          broken.append((old, name))
          used += 1
        }
      } else {
        used += 1
      }
    }
    let chosen = broken + candidates.prefix(max(0, (surge > 0 ? surge : unavailable) - used))
    if surge > 0 {
      deletions += replaced
      creations += chosen.map(\.node).filter { !creations.contains($0) }
    } else {
      deletions += chosen.map(\.pod)
    }
  }

  private func pod(on node: String) -> JSON {
    var pod = Templates.pod(set["spec"]["template"], of: set, .daemonSet)
    pod["metadata"]["labels"][StatefulPods.revisionLabel] = .string(hash)
    let generation = set["metadata"]["annotations"]["deprecated.daemonset.template.generation"].string
    pod["metadata"]["labels"]["pod-template-generation"] = .string(generation ?? String(set.meta.generation))
    pod["spec"]["tolerations"] = .array(Self.tolerations(pod["spec"]))
    let field: JSON = ["key": "metadata.name", "operator": "In", "values": [.string(node)]]
    let path = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    let terms: [JSON] = (path.array ?? []).map { term in
      var term = term
      term["matchFields"] = [field]
      return term
    }
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] =
      .array(terms.isEmpty ? [["matchFields": [field]]] : terms)
    return pod
  }

  mutating func report(collisions: Int) {
    var current = 0
    var misscheduled = 0
    var ready = 0
    var available = 0
    var updated = 0
    for place in places {
      guard place.fit.starts else {
        if !place.pods.isEmpty { misscheduled += 1 }
        continue
      }
      guard
        let oldest = place.pods.filter({ !$0.isBeingDeleted }).min(by: { ($0.created, $0.uid) < ($1.created, $1.uid) }) ?? place.pods.first
      else { continue }
      current += 1
      if place.pods.contains(where: { $0.isReadyPod }) { ready += 1 }
      if place.pods.contains(where: isAvailable) { available += 1 }
      if isUpdated(oldest) || place.pods.contains(where: { isUpdated($0) && isAvailable($0) }) { updated += 1 }
    }
    var draft = StatusDraft(set)
    draft.number("currentNumberScheduled", current)
    draft.number("numberMisscheduled", misscheduled)
    draft.number("desiredNumberScheduled", desired)
    draft.number("numberReady", ready)
    draft.count("updatedNumberScheduled", updated)
    draft.count("numberAvailable", available)
    draft.count("numberUnavailable", desired - available)
    draft.number("observedGeneration", set.meta.generation)
    if collisions > 0 { draft.number("collisionCount", collisions) }
    writes += draft.write(.daemonSet, set)
  }
}
