import JSONCodec
import KubernetesAPI
import KubernetesClient
import Scheduling

/// The pods and nodes that the scheduler knows, and what it has decided but not yet seen.
struct ClusterView {
  private var nodes: [String: NodeState] = [:]
  /// Where each pod that counts for a node runs: UID to pod and node.
  private var placed: [String: (pod: Pod, node: String)] = [:]
  private var pending: [String: Pod] = [:]
  /// Pods that fitted nowhere, with what they were told; looked at again when something changes that could help.
  private var waiting: [String: (pod: Pod, message: String)] = [:]
  private var hasNodes = false
  private var hasPods = false

  var isSynced: Bool { hasNodes && hasPods }

  mutating func apply(nodes event: ReflectorEvent) {
    switch event {
    case .synced(let all):
      nodes = [:]
      for json in all { put(Node(json)) }
      hasNodes = true
      retryWaiting()
    case .changed(let json):
      let old = nodes[Node(json).name]?.node
      put(Node(json))
      // A heartbeat changes nothing that a waiting pod waits for.
      if old.map({ Self.relevant($0) != Self.relevant(Node(json)) }) ?? true { retryWaiting() }
    case .deleted(let json): nodes[Node(json).name] = nil
    }
  }

  private static func relevant(_ node: Node) -> JSON {
    ["labels": node.labels, "spec": node.json["spec"], "allocatable": node.json["status"]["allocatable"], "ready": .bool(node.isReady)]
  }

  private mutating func put(_ node: Node) {
    var state = NodeState(node: node)
    for entry in placed.values where entry.node == node.name { state.add(entry.pod) }
    nodes[node.name] = state
  }

  private mutating func recount(_ name: String) {
    if let node = nodes[name]?.node { put(node) }
  }

  mutating func apply(pods event: ReflectorEvent) {
    switch event {
    case .synced(let all):
      placed = [:]
      pending = [:]
      waiting = [:]
      for json in all { see(Pod(json)) }
      for name in nodes.keys { recount(name) }
      hasPods = true
    case .changed(let json): see(Pod(json))
    case .deleted(let json): gone(Pod(json))
    }
  }

  private mutating func see(_ pod: Pod) {
    if pod.isTerminal { return gone(pod) }
    let node = pod.spec.nodeName
    if !node.isEmpty {
      pending[pod.uid] = nil
      waiting[pod.uid] = nil
      guard placed[pod.uid]?.node != node else {
        placed[pod.uid] = (pod, node)
        return
      }
      forget(pod)
      assume(pod, on: node)
    } else if placed[pod.uid] == nil, pod.spec.schedulerName == PodScheduler.name, pod.metadata.deletionTimestamp == nil,
      (pod.spec.json["schedulingGates"].array ?? []).isEmpty
    {
      if let known = waiting[pod.uid], known.pod.spec.json == pod.spec.json { return }
      pending[pod.uid] = pod
    } else if pod.metadata.deletionTimestamp != nil {
      gone(pod)
    }
  }

  private mutating func gone(_ pod: Pod) {
    pending[pod.uid] = nil
    waiting[pod.uid] = nil
    guard placed[pod.uid] != nil else { return }
    forget(pod)
    retryWaiting()
  }

  private mutating func retryWaiting() {
    for (uid, entry) in waiting { pending[uid] = entry.pod }
  }

  /// Pods to place now: by priority, then by age.
  mutating func takePending() -> [Pod] {
    let pods = pending.values.sorted {
      ($1.spec.priority, $0.metadata.creationTimestamp?.nanosecondsSinceEpoch ?? 0, $0.name)
        < ($0.spec.priority, $1.metadata.creationTimestamp?.nanosecondsSinceEpoch ?? 0, $1.name)
    }
    pending = [:]
    return pods
  }

  func states(for pod: Pod) -> [NodeState] { Array(nodes.values) }

  mutating func assume(_ pod: Pod, on node: String) {
    waiting[pod.uid] = nil
    placed[pod.uid] = (pod, node)
    nodes[node]?.add(pod)
  }

  mutating func forget(_ pod: Pod) {
    guard let entry = placed.removeValue(forKey: pod.uid) else { return }
    recount(entry.node)
  }

  /// Places a pod again whose binding failed, unless the watch has told meanwhile where it is.
  mutating func retry(_ pod: Pod, ifOn node: String) {
    guard placed[pod.uid]?.node == node, placed[pod.uid]?.pod.spec.nodeName.isEmpty == true else { return }
    forget(pod)
    pending[pod.uid] = pod
  }

  /// False where the pod was told the same before.
  mutating func markUnschedulable(_ pod: Pod, _ message: String) -> Bool {
    let isNew = waiting[pod.uid]?.message != message
    waiting[pod.uid] = (pod, message)
    return isNew
  }
}
