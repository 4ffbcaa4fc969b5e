import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Scheduling

/// Binds pods to nodes as they appear: one loop over both watches, which decides purely and writes bindings.
package struct PodScheduler: Sendable {
  /// The name that a pod's `schedulerName` has where it is ours to place.
  package static let name = "default-scheduler"

  private let client: KubernetesClient
  private let log: Logger

  package init(client: KubernetesClient, log: Logger) {
    self.client = client
    self.log = log
  }

  private enum Input: Sendable {
    case pods(ReflectorEvent)
    case nodes(ReflectorEvent)
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
          }
          guard cluster.isSynced else { continue }
          await placePending(&cluster)
        }
      }
      await group.next()
      group.cancelAll()
      continuation.finish()
    }
  }

  private func placePending(_ cluster: inout ClusterView) async {
    for pod in cluster.takePending() {
      switch scheduleDecision(for: pod, on: cluster.states(for: pod)) {
      case .bind(let node):
        // Counted before the server knows, so that the next decision sees it; given back where the server refuses.
        cluster.assume(pod, on: node)
        let client = client, log = log
        do {
          try await client.create(
            .pods(pod.namespace),
            [
              "kind": "Binding", "apiVersion": "v1", "metadata": ["name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid)],
              "target": ["kind": "Node", "name": .string(node)],
            ], name: pod.name, subresource: "binding")
          await event(pod, "Normal", "Scheduled", "Successfully assigned \(pod.namespace)/\(pod.name) to \(node)")
        } catch {
          cluster.forget(pod)
          log.debug("pod \(pod.namespace)/\(pod.name) was not bound: \(error)")
        }
      case .unschedulable(let message):
        guard cluster.markUnschedulable(pod, message) else { continue }
        await unschedulable(pod, message)
      }
    }
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

  private func event(_ pod: Pod, _ type: String, _ reason: String, _ message: String) async {
    let now = Timestamp.now
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
