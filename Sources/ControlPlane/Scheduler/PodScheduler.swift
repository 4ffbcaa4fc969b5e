import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Scheduling

/// Binds pods to nodes as they appear: one loop over both watches, which decides purely and writes bindings.
package struct PodScheduler: Sendable {
  /// The name that a pod's `schedulerName` has where it is ours to place.
  package static let name = "default-scheduler"

  /// Milliseconds before a pod whose binding failed is placed again.
  static let retryPause = 1_000
  /// Milliseconds that the Scheduled event waits, so that it does not compete with the pod's start.
  static let eventPause = 200

  private let client: KubernetesClient
  private let log: Logger

  package init(client: KubernetesClient, log: Logger) {
    self.client = client
    self.log = log
  }

  private enum Input: Sendable {
    case pods(ReflectorEvent)
    case nodes(ReflectorEvent)
    /// A binding that the server did not take.
    case refused(Pod, node: String)
  }

  /// Runs until the task is cancelled.
  package func run() async {
    let (inputs, continuation) = AsyncStream.makeStream(of: Input.self)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await event in client.reflect(.nodes, log: log) { continuation.yield(.nodes(event)) } }
      group.addTask { for await event in client.reflect(.pods(), log: log) { continuation.yield(.pods(event)) } }
      group.addTask {
        var cluster = ClusterView()
        for await input in inputs {
          switch input {
          case .nodes(let event): cluster.apply(nodes: event)
          case .pods(let event): cluster.apply(pods: event)
          case .refused(let pod, let node): cluster.retry(pod, ifOn: node)
          }
          guard cluster.isSynced else { continue }
          placePending(&cluster) { continuation.yield(.refused($0, node: $1)) }
        }
      }
      await group.next()
      group.cancelAll()
      continuation.finish()
    }
  }

  /// Decides for one pod after the other; nothing waits for a write, so that the bindings of a burst share the store's commits.
  private func placePending(_ cluster: inout ClusterView, refused: @escaping @Sendable (Pod, String) -> Void) {
    for pod in cluster.takePending() {
      switch scheduleDecision(for: pod, on: cluster.states(for: pod)) {
      case .bind(let node):
        // Counted before the server knows, so that the next decision sees it; given back where the server refuses.
        cluster.assume(pod, on: node)
        Task {
          guard await !bind(pod, to: node) else { return }
          try? await Task.sleep(for: .milliseconds(Self.retryPause))
          refused(pod, node)
        }
      case .unschedulable(let message):
        if cluster.markUnschedulable(pod, message) { Task { await unschedulable(pod, message) } }
      }
    }
  }

  private func bind(_ pod: Pod, to node: String) async -> Bool {
    do {
      try await client.create(
        .pods(pod.namespace),
        [
          "kind": "Binding", "apiVersion": "v1",
          "metadata": ["name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid)],
          "target": ["kind": "Node", "name": .string(node)],
        ], name: pod.name, subresource: "binding")
    } catch {
      log.debug("pod \(pod.namespace)/\(pod.name) was not bound: \(error)")
      return false
    }
    // Nothing waits for the event.
    let now = Timestamp.now
    Task {
      try? await Task.sleep(for: .milliseconds(Self.eventPause), tolerance: .milliseconds(100))
      await event(pod, "Normal", "Scheduled", "Successfully assigned \(pod.namespace)/\(pod.name) to \(node)", at: now)
    }
    return true
  }

  private func unschedulable(_ pod: Pod, _ message: String) async {
    let condition: JSON = [
      "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": .string(message),
      "lastTransitionTime": .string(Timestamp.now.rfc3339), "observedGeneration": JSON(pod.metadata.generation),
    ]
    _ = try? await client.patch(
      .pods(pod.namespace), name: pod.name, subresource: "status",
      ["metadata": ["uid": .string(pod.uid)], "status": ["conditions": [condition]]])
    await event(pod, "Warning", "FailedScheduling", message)
  }

  private func event(_ pod: Pod, _ type: String, _ reason: String, _ message: String, at now: Timestamp = .now) async {
    let suffix = String(UInt64(now.nanosecondsSinceEpoch), radix: 16)
    let event: JSON = [
      "kind": "Event", "apiVersion": "v1",
      "metadata": ["name": .string("\(pod.name).\(suffix)"), "namespace": .string(pod.namespace)],
      "involvedObject": [
        "kind": "Pod", "apiVersion": "v1", "name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid),
        "resourceVersion": .string(pod.metadata.resourceVersion),
      ],
      "type": .string(type), "reason": .string(reason), "message": .string(message), "count": 1,
      "source": ["component": .string(Self.name)], "reportingComponent": .string(Self.name), "reportingInstance": "",
      "firstTimestamp": .string(now.rfc3339), "lastTimestamp": .string(now.rfc3339),
    ]
    do {
      try await client.create(.events(pod.namespace), event)
    } catch {
      log.debug("event \(reason) of \(pod.namespace)/\(pod.name) was not written: \(error)")
    }
  }
}
