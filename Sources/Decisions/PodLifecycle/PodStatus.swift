import JSONCodec
import KubernetesAPI

package enum PodPhase: String, Sendable {
  case pending = "Pending"
  case running = "Running"
  case succeeded = "Succeeded"
  case failed = "Failed"

  package var isTerminal: Bool { self == .succeeded || self == .failed }
}

/// Where a pod stands in its life. A terminal phase is never left, and not entered while a container runs.
package func podPhase(of pod: Pod, observed: PodObservation) -> PodPhase {
  let previous = PodPhase(rawValue: pod.phase) ?? .pending
  if previous.isTerminal { return previous }
  let phase = currentPhase(of: pod, observed: observed)
  guard phase.isTerminal, observed.hasRunningContainers else { return phase }
  return previous
}

private func currentPhase(of pod: Pod, observed: PodObservation) -> PodPhase {
  if observed.termination.cause?.podReason != nil { return .failed }
  let regular = pod.spec.containers.map { observed[$0.name].run }
  let hasBegun = regular.contains { $0 != nil }

  if case .terminated = observed.termination {
    let allSucceeded = !regular.isEmpty && regular.allSatisfy { $0?.exit?.code == 0 }
    return allSucceeded ? .succeeded : .failed
  }
  if !hasBegun {
    return pod.hasEnded(observed) ? .failed : .pending
  }
  if pod.hasEnded(observed) {
    return regular.allSatisfy { $0?.exit?.code == 0 } ? .succeeded : .failed
  }
  return regular.contains { $0 == nil } ? .pending : .running
}

/// The whole `status` of a pod, on top of what stands in the pod's object: fields of others are kept.
package func podStatus(of pod: Pod, observed: PodObservation, now: Timestamp) -> JSON {
  let phase = podPhase(of: pod, observed: observed)
  let builder = ContainerStatusBuilder(pod: pod, observed: observed, now: now)
  let conditions = PodConditionBuilder(pod: pod, observed: observed, phase: phase, now: now, statuses: builder)
  var status = pod.status
  if pod.metadata.generation > 0 { status["observedGeneration"] = JSON(pod.metadata.generation) }
  status["phase"] = .string(phase.rawValue)
  if case .rejected = observed.termination.cause, pod.containerStatusesAreEmpty { return rejectedStatus(status, pod, observed, now) }
  status["conditions"] = conditions.conditions(previous: pod.status["conditions"])
  if let (reason, message) = observed.termination.cause?.podReason {
    status["reason"] = .string(reason)
    status["message"] = .string(message)
  }
  setAddresses(&status, pod: pod, observed: observed)
  if status["startTime"].isNull { status["startTime"] = .string((observed.startTime ?? now).rfc3339) }

  func statuses(_ containers: [Container], _ role: (Container) -> ContainerRole) -> JSON {
    containers.isEmpty ? .null : .array(containers.map { builder.status(of: $0, role: role($0)) })
  }
  status["initContainerStatuses"] = statuses(pod.spec.initContainers) { $0.isSidecar ? .sidecar : .initial }
  status["containerStatuses"] = statuses(pod.spec.containers.sorted { $0.name < $1.name }) { _ in .regular }
  status["ephemeralContainerStatuses"] = statuses(pod.spec.ephemeralContainers) { _ in .ephemeral }
  capMessages(&status)
  if status["qosClass"].isNull { status["qosClass"] = .string(pod.qosClass.rawValue) }
  return status
}

/// Of a pod that the node never took there is nothing to say but that: `kubectl get` shows the reason only where no container has one.
private func rejectedStatus(_ begun: JSON, _ pod: Pod, _ observed: PodObservation, _ now: Timestamp) -> JSON {
  var status = begun
  if let (reason, message) = observed.termination.cause?.podReason {
    status["reason"] = .string(reason)
    status["message"] = .string(message)
  }
  if status["startTime"].isNull { status["startTime"] = .string((observed.startTime ?? now).rfc3339) }
  if status["qosClass"].isNull { status["qosClass"] = .string(pod.qosClass.rawValue) }
  return status
}

extension Pod {
  fileprivate var containerStatusesAreEmpty: Bool { status["containerStatuses"].isEmpty && status["initContainerStatuses"].isEmpty }
}

private func setAddresses(_ status: inout JSON, pod: Pod, observed: PodObservation) {
  if let first = observed.hostIPs.first {
    status["hostIP"] = .string(first)
    status["hostIPs"] = .array(observed.hostIPs.map { ["ip": .string($0)] })
  }
  let addresses = pod.spec.hostNetwork ? (observed.sandbox.isReady ? observed.hostIPs : []) : observed.podIPs
  if let first = addresses.first {
    status["podIP"] = .string(first)
    status["podIPs"] = .array(addresses.map { ["ip": .string($0)] })
  }
}

/// Keeps a pod's termination messages below 12 KiB together, each getting an equal part.
private func capMessages(_ status: inout JSON) {
  let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
  let count = lists.reduce(0) { $0 + (status[$1].array?.count ?? 0) }
  guard count * ContainerStatusBuilder.messageBytesMax > ContainerStatusBuilder.podMessageBytesMax else { return }
  let most = ContainerStatusBuilder.podMessageBytesMax / count
  for list in lists {
    guard let items = status[list].array else { continue }
    let capped = items.map { item -> JSON in
      guard let message = item["state"]["terminated"]["message"].string, message.utf8.count > most else { return item }
      var item = item
      item["state"]["terminated"]["message"] = .string(message.prefix(utf8Bytes: most))
      return item
    }
    status[list] = .array(capped)
  }
}

extension String {
  /// At most so many bytes from the start, without half a character at the end.
  package func prefix(utf8Bytes most: Int) -> String {
    guard utf8.count > most else { return self }
    var end = utf8.index(utf8.startIndex, offsetBy: most)
    while end > utf8.startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
    return String(self[..<end])
  }
}
