import JSONCodec
import KubernetesAPI

/// Notices nodes that no longer report, taints nodes by their conditions, and marks the pods of dead nodes.
package struct NodeLifecycleReconciler: Reconciler {
  /// Seconds without a renewed lease or a posted status after which a node counts as gone.
  static let gracePeriod = 50.0
  /// Seconds that a new node may take to post its first status.
  static let startupGracePeriod = 60.0
  static let leaseNamespace = "kube-node-lease"

  package let name = "node-controller"
  package let watched: [Kind] = [.node, .lease, .pod]
  private let heartbeats = Memory<String>()
  private let pace = EvictionPace()
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .node:
      let ready = change.states.map { $0.condition("Ready")?["status"].string }
      guard change.states.count < 2 || ready[0] != ready[1] else { return [change.name] }
      // One more or less changes how much of its zone is out of order.
      return [change.name]
        + cluster.objects(.node, namespace: nil).filter { !Self.isReady($0) && $0.objectName != change.name }.map(\.objectName)
    case .lease: return change.name.namespace == Self.leaseNamespace ? [ObjectName("", change.name.name)] : []
    default:
      // A pod that says that it is ready on a node that is not.
      guard let pod = change.new, pod.isReadyPod, !pod.podNode.isEmpty, let node = cluster.object(.node, "", pod.podNode),
        !Self.isReady(node)
      else { return [] }
      return [node.objectName]
    }
  }

  private static func isReady(_ node: JSON) -> Bool { node.condition("Ready")?["status"].string == "True" }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard var node = cluster.object(.node, key) else {
      heartbeats.forget(key.name)
      return []
    }
    let now = circumstances.now
    let ready = node.condition("Ready")
    let lease = cluster.object(.lease, Self.leaseNamespace, key.name)
    let heartbeat = "\(lease?["spec"]["renewTime"].string ?? "") \(ready?["lastHeartbeatTime"].string ?? "")"
    let silence = now.seconds(since: heartbeats.since(key.name, heartbeat, now: now))
    let patience = ready == nil && lease == nil ? Self.startupGracePeriod : Self.gracePeriod
    var writes: [Write] = []
    if silence >= patience {
      if let status = Self.unknown(node, now: now) {
        node["status"] = status
        writes.append(.status(.node, node, status))
        writes.append(.event(.node, node, "NodeNotReady", "Node \(key.name) status is now: NodeNotReady"))
      }
    } else {
      writes.append(.requeue(after: patience - silence))
    }
    writes += taint(node, in: cluster, now: now)
    if !Self.isReady(node), node.condition("Ready") != nil { writes += markPods(node, in: cluster, now: now) }
    return writes
  }

  /// The status with every condition unknown; nil where it says so already.
  private static func unknown(_ node: JSON, now: Timestamp) -> JSON? {
    var conditions = node["status"]["conditions"].array ?? []
    var changed = false
    for type in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
      if let i = conditions.firstIndex(where: { $0["type"].string == type }) {
        guard conditions[i]["status"].string != "Unknown" else { continue }
        conditions[i]["status"] = "Unknown"
        conditions[i]["reason"] = "NodeStatusUnknown"
        conditions[i]["message"] = "Kubelet stopped posting node status."
        conditions[i]["lastTransitionTime"] = .string(now.rfc3339)
      } else {
        conditions.append([
          "type": .string(type), "status": "Unknown", "reason": "NodeStatusNeverUpdated",
          "message": "Kubelet never posted node status.", "lastHeartbeatTime": node["metadata"]["creationTimestamp"],
          "lastTransitionTime": .string(now.rfc3339),
        ])
      }
      changed = true
    }
    guard changed else { return nil }
    var status = node["status"]
    status["conditions"] = .array(conditions)
    return status
  }

  /// The taints that the node's conditions call for, as fast as its zone allows.
  private func taint(_ node: JSON, in cluster: any ClusterReader, now: Timestamp) -> [Write] {
    guard let ready = node.condition("Ready")?["status"].string, ready != "True" else { return Self.taint(node, evicts: false, now: now) }
    let key = "node.kubernetes.io/" + (ready == "Unknown" ? "unreachable" : "not-ready")
    let evicts = (node["spec"]["taints"].array ?? []).contains { $0["key"].string == key && $0["effect"].string == "NoExecute" }
    let others = cluster.objects(.node, namespace: nil).filter { $0.objectName != node.objectName }
    let disruption = NodeDisruption(others + [node])
    if disruption.isTotal { return Self.taint(node, evicts: false, now: now) }
    guard !evicts else { return Self.taint(node, evicts: true, now: now) }
    let zone = NodeDisruption.zone(node)
    guard let pause = disruption.pause(in: zone) else { return Self.taint(node, evicts: false, now: now) }
    let wait = pace.wait(node.objectName.name, zone: zone, pause: pause, now: now)
    return Self.taint(node, evicts: wait == 0, now: now) + (wait > 0 ? [.requeue(after: wait)] : [])
  }

  /// The taints of the node beside those of others; `evicts`: pods that do not tolerate them go.
  private static func taint(_ node: JSON, evicts: Bool, now: Timestamp) -> [Write] {
    var wanted: [(key: String, effect: String)] = []
    let ready = node.condition("Ready")?["status"].string
    if ready == "False" { wanted.append(("not-ready", "NoSchedule")) }
    if ready == "Unknown" { wanted.append(("unreachable", "NoSchedule")) }
    if evicts, let key = wanted.first?.key { wanted.append((key, "NoExecute")) }
    let pressures = [
      ("MemoryPressure", "memory-pressure"), ("DiskPressure", "disk-pressure"), ("PIDPressure", "pid-pressure"),
      ("NetworkUnavailable", "network-unavailable"),
    ]
    for (condition, key) in pressures where node.condition(condition)?["status"].string == "True" { wanted.append((key, "NoSchedule")) }
    if node["spec"]["unschedulable"].bool == true { wanted.append(("unschedulable", "NoSchedule")) }
    let own = Set(["not-ready", "unreachable", "unschedulable"] + pressures.map(\.1)).map { "node.kubernetes.io/" + $0 }
    let present = node["spec"]["taints"].array ?? []
    // A node that never told its state keeps the taint that it was made with.
    if ready == nil, present.contains(where: { $0["key"].string == "node.kubernetes.io/not-ready" }) {
      wanted.append(("not-ready", "NoSchedule"))
    }
    var taints = present.filter { taint in
      guard own.contains(taint["key"].string ?? "") else { return true }
      return wanted.contains { "node.kubernetes.io/" + $0.key == taint["key"].string && $0.effect == taint["effect"].string }
    }
    for (key, effect) in wanted
    where !taints.contains(where: { $0["key"].string == "node.kubernetes.io/" + key && $0["effect"].string == effect }) {
      taints.append([
        "key": .string("node.kubernetes.io/" + key), "effect": .string(effect), "timeAdded": .string(now.rfc3339),
      ])
    }
    guard taints != present else { return [] }
    var changed = node
    changed["spec"]["taints"] = taints.isEmpty ? .null : .array(taints)
    return [.update(.node, changed)]
  }

  /// Services must not send anything to a node that is gone.
  private func markPods(_ node: JSON, in cluster: any ClusterReader, now: Timestamp) -> [Write] {
    cluster.pods(onNode: node.objectName.name).filter { $0.isReadyPod && !$0.hasEnded }.map { pod in
      let conditions = (pod["status"]["conditions"].array ?? []).map { condition -> JSON in
        guard condition["type"].string == "Ready" else { return condition }
        var condition = condition
        condition["status"] = "False"
        condition["reason"] = "NodeNotReady"
        condition["lastTransitionTime"] = .string(now.rfc3339)
        return condition
      }
      return .patch(
        .pod, pod.objectName, uid: pod.uid,
        ["metadata": ["uid": .string(pod.uid)], "status": ["conditions": .array(conditions)]], subresource: "status")
    }
  }
}
