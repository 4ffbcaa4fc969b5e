import JSONCodec
import KubernetesAPI

/// The conditions that a kubelet writes, in upstream's order: those of others first, then its own.
package struct PodConditionBuilder: Sendable {
  /// The types this node writes; PodScheduled is the scheduler's, and repeated as true.
  static let owned: Set<String> = [
    "PodResizePending", "PodResizeInProgress", "DisruptionTarget", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
    "PodScheduled",
  ]

  let pod: Pod
  let observed: PodObservation
  let phase: PodPhase
  let now: Timestamp
  let statuses: ContainerStatusBuilder

  /// A condition without its times.
  struct Finding: Equatable {
    var type: String
    var isTrue: Bool
    var reason = ""
    var message = ""
  }

  package func conditions(previous: JSON) -> JSON {
    let old = previous.array ?? []
    var result = old.filter { !Self.owned.contains($0["type"].string ?? "") }
    let containersReady = containersReady()
    var findings = resizeFindings()
    if case .evicted(_, let message) = observed.termination.cause {
      findings.append(Finding(type: "DisruptionTarget", isTrue: true, reason: "TerminationByKubelet", message: message))
    } else if let kept = old.first(where: { $0["type"].string == "DisruptionTarget" }) {
      result.append(kept)
    }
    findings += [
      Finding(type: "PodReadyToStartContainers", isTrue: observed.sandbox.isReady), initialized(),
      ready(containersReady, foreign: result), containersReady, Finding(type: "PodScheduled", isTrue: true),
    ]
    return .array(result + findings.map { stamped($0, previous: old) })
  }

  private func stamped(_ finding: Finding, previous: [JSON]) -> JSON {
    let status = finding.isTrue ? "True" : "False"
    let before = previous.first { $0["type"].string == finding.type }
    var condition: JSON = ["type": .string(finding.type), "status": .string(status)]
    if pod.metadata.generation > 0 { condition["observedGeneration"] = JSON(pod.metadata.generation) }
    let kept = before.flatMap { $0["status"].string == status ? $0["lastTransitionTime"].string : nil }
    condition["lastTransitionTime"] = .string(kept ?? now.rfc3339)
    if !finding.reason.isEmpty { condition["reason"] = .string(finding.reason) }
    if !finding.message.isEmpty { condition["message"] = .string(finding.message) }
    return condition
  }

  // MARK: - Findings

  private func list(_ names: [String]) -> String { "[\(names.joined(separator: " "))]" }

  /// A resize that waits or is under way; nothing where none is.
  private func resizeFindings() -> [Finding] {
    guard !phase.isTerminal else { return [] }
    var result: [Finding] = []
    if let pending = observed.resize.pending {
      result.append(Finding(type: "PodResizePending", isTrue: true, reason: pending.reason.rawValue, message: pending.message))
    }
    if !pod.unfinishedResizes(observed).isEmpty {
      let error = observed.resize.error
      result.append(Finding(type: "PodResizeInProgress", isTrue: true, reason: error == nil ? "" : "Error", message: error ?? ""))
    }
    return result
  }

  func initialized() -> Finding {
    let type = "Initialized"
    if phase == .succeeded { return Finding(type: type, isTrue: true, reason: "PodCompleted") }
    if pod.spec.initContainers.isEmpty { return Finding(type: type, isTrue: true) }
    if pod.hasBegun(observed) { return Finding(type: type, isTrue: true) }
    let incomplete = pod.spec.initContainers.filter { container in
      let role: ContainerRole = container.isSidecar ? .sidecar : .initial
      return role == .sidecar ? !statuses.isStarted(container, role) : !statuses.isReady(container, role)
    }
    if incomplete.isEmpty { return Finding(type: type, isTrue: true) }
    return Finding(
      type: type, isTrue: false, reason: "ContainersNotInitialized",
      message: "containers with incomplete status: \(list(incomplete.map(\.name)))")
  }

  func containersReady() -> Finding {
    let type = "ContainersReady"
    if phase == .succeeded { return Finding(type: type, isTrue: false, reason: "PodCompleted") }
    if phase == .failed { return Finding(type: type, isTrue: false, reason: "PodFailed") }
    let unready =
      pod.spec.initContainers.filter { $0.isSidecar && !statuses.isReady($0, .sidecar) }
      + pod.spec.containers.filter { !statuses.isReady($0, .regular) }
    if unready.isEmpty { return Finding(type: type, isTrue: true) }
    return Finding(
      type: type, isTrue: false, reason: "ContainersNotReady",
      message: "containers with unready status: \(list(unready.map(\.name)))")
  }

  /// Ready: the containers are, and every readiness gate's condition is true.
  func ready(_ containers: Finding, foreign: [JSON]) -> Finding {
    let type = "Ready"
    guard containers.isTrue else {
      return Finding(type: type, isTrue: false, reason: containers.reason, message: containers.message)
    }
    var unmet: [String] = []
    for gate in pod.spec.json["readinessGates"].array ?? [] {
      let name = gate["conditionType"].string ?? ""
      let condition = foreign.first { $0["type"].string == name }
      if let condition {
        let status = condition["status"].string ?? "Unknown"
        if status != "True" { unmet.append("the status of pod readiness gate \"\(name)\" is not \"True\", but \(status)") }
      } else {
        unmet.append("corresponding condition of pod readiness gate \"\(name)\" does not exist.")
      }
    }
    if unmet.isEmpty { return Finding(type: type, isTrue: true) }
    return Finding(type: type, isTrue: false, reason: "ReadinessGatesNotReady", message: unmet.joined(separator: ", "))
  }
}
