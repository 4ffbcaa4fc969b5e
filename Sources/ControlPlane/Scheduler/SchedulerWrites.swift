import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Scheduling

/// What the scheduler writes: bindings, conditions, claims and volumes, and the end of victims.
struct SchedulerWrites: Sendable {
  let client: KubernetesClient
  let events: EventWriter
  let time: TimeSource
  let log: Logger

  /// False where the server did not take it.
  func bind(_ pod: PodReference, to node: String, schedulerName: String) async -> Bool {
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
    events.tell(
      pod, component: schedulerName, type: "Normal", reason: "Scheduled", "Successfully assigned \(pod.namespace)/\(pod.name) to \(node)")
    return true
  }

  // MARK: volumes

  /// Reserves volumes and asks for new ones; throws where the server refuses.
  func perform(_ steps: [VolumeStep], on node: String) async throws {
    for step in steps {
      let parts = step.claim.split(separator: "/", maxSplits: 1).map(String.init)
      switch step {
      case .provision(_, let uid):
        let annotations: JSON = ["volume.kubernetes.io/selected-node": .string(node)]
        try await client.patch(
          ResourcePath("persistentvolumeclaims", namespace: parts[0]), name: parts[1], type: .merge,
          ["metadata": ["uid": .string(uid), "annotations": annotations]])
      case .reserve(let name, _, let uid):
        var volume = try await client.get(ResourcePath("persistentvolumes"), name: name)
        let holder = volume["spec"]["claimRef"]["uid"].string ?? ""
        guard holder.isEmpty || holder == uid else { throw VolumeTaken(volume: name) }
        if volume["spec"]["claimRef"].isNull { volume["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"] = "yes" }
        volume["spec"]["claimRef"] = [
          "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": .string(parts[0]), "name": .string(parts[1]),
          "uid": .string(uid),
        ]
        try await client.update(ResourcePath("persistentvolumes"), name: name, volume)
      }
    }
  }

  struct VolumeTaken: Error, CustomStringConvertible {
    let volume: String
    var description: String { "volume \(volume) has gone to another claim meanwhile" }
  }

  // MARK: refusals

  /// Tells why a pod has no node, and ends its victims. False where a victim could not be deleted.
  func tell(_ refusal: PodRefusal) async -> Bool {
    let pod = refusal.pod
    if refusal.reason == "Unschedulable" {
      events.tell(pod, component: refusal.schedulerName, type: "Warning", reason: "FailedScheduling", refusal.message)
    }
    if refusal.isNews || refusal.nominatedNode != nil || refusal.losesNomination { await patchStatus(refusal) }
    for other in refusal.outrun { await clearNomination(other) }
    guard let node = refusal.nominatedNode else { return true }
    var isComplete = true
    for victim in refusal.victims { isComplete = await end(victim, for: refusal, on: node) && isComplete }
    return isComplete
  }

  private func patchStatus(_ refusal: PodRefusal) async {
    let pod = refusal.pod
    var status: JSON = [
      "conditions": [
        [
          "type": "PodScheduled", "status": "False", "reason": .string(refusal.reason), "message": .string(refusal.message),
          "lastTransitionTime": .string(time.now().rfc3339), "observedGeneration": JSON(pod.generation),
        ]
      ]
    ]
    if let node = refusal.nominatedNode { status["nominatedNodeName"] = .string(node) }
    await write("status of \(pod.namespace)/\(pod.name)") {
      try await client.patch(
        .pods(pod.namespace), name: pod.name, subresource: "status", ["metadata": ["uid": .string(pod.uid)], "status": status])
    }
    if refusal.losesNomination { await clearNomination(pod) }
  }

  private func clearNomination(_ pod: PodReference) async {
    let status = JSON.object(JSONObject([("nominatedNodeName", JSON.null)]))
    let metadata: JSON = ["uid": .string(pod.uid)]
    let patch = JSON.object(JSONObject([("metadata", metadata), ("status", status)]))
    await write("nominated node of \(pod.namespace)/\(pod.name)") {
      try await client.patch(.pods(pod.namespace), name: pod.name, subresource: "status", type: .merge, patch)
    }
  }

  /// First the condition that says why, then the deletion with the pod's own grace.
  private func end(_ victim: PodReference, for refusal: PodRefusal, on node: String) async -> Bool {
    let condition: JSON = [
      "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
      "message": .string("\(refusal.schedulerName): preempting to accommodate a higher priority pod"),
      "lastTransitionTime": .string(time.now().rfc3339), "observedGeneration": JSON(victim.generation),
    ]
    do {
      try await client.patch(
        .pods(victim.namespace), name: victim.name, subresource: "status",
        ["metadata": ["uid": .string(victim.uid)], "status": ["conditions": [condition]]])
      try await client.delete(.pods(victim.namespace), name: victim.name, uid: victim.uid)
    } catch let error as APIStatusError where error.isNotFound || error.isConflict {
      // Another pod of that name, or none: this one has gone by itself.
      return true
    } catch {
      log.warning("pod \(victim.namespace)/\(victim.name) could not be preempted: \(error)")
      return false
    }
    events.tell(
      victim, component: refusal.schedulerName, type: "Normal", reason: "Preempted", "Preempted by pod \(refusal.pod.uid) on node \(node)")
    return true
  }

  private func write(_ what: String, _ body: () async throws -> Void) async {
    do { try await body() } catch { log.debug("\(what) was not written: \(error)") }
  }
}
