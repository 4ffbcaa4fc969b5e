import KubernetesAPI
import PodLifecycle
import Synchronization

/// The pods of this node: one worker for each UID, in the order in which they came.
final class PodDirectory: Sendable {
  struct Entry: Sendable {
    let worker: PodWorker
    /// The newest object: what admission of others looks at.
    var pod: Pod
    /// The pod with the resources that the node has granted it: what counts for others.
    var granted: Pod
    var isStatic: Bool
    /// Its resources are free again: it has ended or was rejected.
    var hasEnded: Bool
    /// It wants more than is free now.
    var isResizeDeferred = false

    init(worker: PodWorker, pod: Pod, isStatic: Bool, hasEnded: Bool) {
      self.worker = worker
      self.pod = pod
      self.isStatic = isStatic
      self.hasEnded = hasEnded
      granted = pod
    }
  }

  /// Grants a pod other resources where the node has them; what was granted counts at once.
  func grantResize(_ pod: Pod, on node: Node) -> ResizePending? {
    state.withLock { state in
      guard var entry = state.entries[pod.uid] else { return ResizePending(.deferred, "the pod is not admitted yet") }
      let others = state.entries.values.filter { $0.pod.uid != pod.uid && !$0.hasEnded }.map(\.granted)
      let refusal = resizeRefusal(of: pod, on: node, others: others, isStatic: entry.isStatic)
      if refusal == nil { entry.granted = pod }
      entry.isResizeDeferred = refusal?.reason == .deferred
      state.entries[pod.uid] = entry
      return refusal
    }
  }

  private let state = Mutex<(entries: [String: Entry], order: [String])>(([:], []))

  func entry(_ uid: String) -> Entry? { state.withLock { $0.entries[uid] } }
  func worker(_ uid: String) -> PodWorker? { entry(uid)?.worker }

  /// All entries, oldest first.
  var all: [Entry] { state.withLock { state in state.order.compactMap { state.entries[$0] } } }

  func insert(_ entry: Entry, uid: String) {
    state.withLock { state in
      if state.entries.updateValue(entry, forKey: uid) == nil { state.order.append(uid) }
    }
  }

  func update(_ uid: String, _ change: (inout Entry) -> Void) {
    state.withLock { state in
      guard var entry = state.entries[uid] else { return }
      change(&entry)
      state.entries[uid] = entry
    }
  }

  @discardableResult
  func remove(_ uid: String) -> Entry? {
    state.withLock { state in
      state.order.removeAll { $0 == uid }
      return state.entries.removeValue(forKey: uid)
    }
  }

  /// By namespace and name; where a namesake is still going, the newest.
  func find(namespace: String, name: String) -> Entry? {
    state.withLock { state in
      for uid in state.order.reversed() {
        guard let entry = state.entries[uid] else { continue }
        if entry.pod.name == name, entry.pod.namespace == namespace { return entry }
      }
      return nil
    }
  }
}
