import JSONCodec
import KubernetesAPI

/// What may change of a running container's resources.
package struct ResizableAmounts: Sendable, Equatable {
  package var cpuRequest, cpuLimit, memoryRequest, memoryLimit: Quantity?

  package init(_ resources: JSON) {
    cpuRequest = resources["requests"]["cpu"].quantity
    cpuLimit = resources["limits"]["cpu"].quantity
    memoryRequest = resources["requests"]["memory"].quantity
    memoryLimit = resources["limits"]["memory"].quantity
  }

  /// `cpu`, `memory`: those that differ.
  package func changes(to other: ResizableAmounts) -> Set<String> {
    var result: Set<String> = []
    if cpuRequest != other.cpuRequest || cpuLimit != other.cpuLimit { result.insert("cpu") }
    if memoryRequest != other.memoryRequest || memoryLimit != other.memoryLimit { result.insert("memory") }
    return result
  }
}

/// Why a resize has not been taken up: the condition PodResizePending.
package struct ResizePending: Sendable, Equatable {
  package enum Reason: String, Sendable { case infeasible = "Infeasible", deferred = "Deferred" }
  package let reason: Reason
  package let message: String
  package init(_ reason: Reason, _ message: String) {
    self.reason = reason
    self.message = message
  }
}

/// How far the resize of a pod has come.
package struct ResizeObservation: Sendable, Equatable {
  /// The `resources` that the node has granted each container; empty: what the spec says.
  package var allocated: [String: JSON] = [:]
  /// The pod's generation that asked for it: an older spec, as a sandbox keeps the first, asks for nothing.
  package var generation = 0
  /// What the pod's own cgroup enforces.
  package var enforced: [String: JSON] = [:]
  package var pending: ResizePending?
  /// Limits are being written.
  package var isActing = false
  /// Why writing them failed, and when it is tried again.
  package var error: String?
  package var retryAt: Timestamp?

  package init() {}
}

/// What the node answers to a pod that wants other resources. `others` are the pods that are admitted and have not
/// ended, with what they have been granted. Nil: granted.
package func resizeRefusal(of pod: Pod, on node: Node, others: [Pod], isStatic: Bool = false) -> ResizePending? {
  if isStatic { return ResizePending(.infeasible, "In-place resize of static-pods is not supported") }
  for resource in ["memory", "cpu"] {
    guard let capacity = node.allocatable(resource) else { continue }
    let want = podRequest(pod, resource)
    guard want > capacity else { continue }
    func number(_ quantity: Quantity) -> Int64 { resource == "cpu" ? quantity.milliValue : quantity.value }
    return ResizePending(
      .infeasible, "Node didn't have enough capacity: \(resource), requested: \(number(want)), capacity: \(number(capacity))")
  }
  return missingResource(pod, node, others).map { ResizePending(.deferred, $0.message) }
}

extension Pod {
  /// The `resources` of every container that can be resized: regular ones and sidecars, by name.
  package var resizableResources: [String: JSON] {
    var result: [String: JSON] = [:]
    for container in spec.initContainers + spec.containers {
      result[container.name] = container.resources.isNull ? .object(JSONObject()) : container.resources
    }
    return result
  }

  /// The pod with the resources that it has been granted.
  package func granted(_ resize: ResizeObservation) -> Pod {
    if resize.allocated.isEmpty || resize.allocated == resizableResources { return self }
    var pod = self
    for list in ["initContainers", "containers"] {
      guard let containers = pod.json["spec"][list].array else { continue }
      pod.json["spec"][list] = .array(
        containers.map { container in
          guard let granted = resize.allocated[container["name"].string ?? ""] else { return container }
          var container = container
          container["resources"] = granted
          return container
        })
    }
    return pod
  }

  /// Whether the spec asks for other amounts than were granted.
  package func wantsResize(_ resize: ResizeObservation) -> Bool {
    guard metadata.generation >= resize.generation else { return false }
    return resizableResources.contains { name, wanted in
      guard let granted = resize.allocated[name], granted != wanted else { return false }
      return ResizableAmounts(granted) != ResizableAmounts(wanted)
    }
  }

  /// Running containers whose limits are not those they were granted, with the resources that differ.
  package func unfinishedResizes(_ observed: PodObservation) -> [(container: Container, resources: Set<String>)] {
    guard !observed.resize.allocated.isEmpty else { return [] }
    return containersWithRoles.compactMap { container, role in
      guard role != .ephemeral, let run = observed[container.name].run, run.isRunning, !run.resources.isNull,
        let granted = observed.resize.allocated[container.name], granted != run.resources
      else { return nil }
      let changes = ResizableAmounts(run.resources).changes(to: ResizableAmounts(granted))
      return changes.isEmpty ? nil : (container, changes)
    }
  }
}

extension Container {
  /// Whether a change of one of these resources restarts the container (`resizePolicy`).
  package func restartsOnResize(of resources: Set<String>) -> Bool {
    (json["resizePolicy"].array ?? []).contains {
      $0["restartPolicy"].string == "RestartContainer" && resources.contains($0["resourceName"].string ?? "")
    }
  }
}
