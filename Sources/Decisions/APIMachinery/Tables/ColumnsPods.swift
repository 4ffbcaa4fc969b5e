import JSONCodec
import KubernetesAPI

extension TableLayouts {
  static let pods: [TableColumn] = [
    .name,
    TableColumn("Ready") { .string(PodCells($0).ready) },
    TableColumn("Status") { .string(PodCells($0).status) },
    TableColumn("Restarts") { .string(PodCells($0).restarts) },
    .age,
    TableColumn("IP", wide: true) { .string($0.status["podIPs"][0].text(["ip"], missing: "<none>")) },
    .text("Node", "spec", "nodeName", missing: "<none>", wide: true),
    .text("Nominated Node", "status", "nominatedNodeName", missing: "<none>", wide: true),
    TableColumn("Readiness Gates", wide: true) { pod in
      let gates = pod.spec["readinessGates"].array ?? []
      let open = gates.filter { pod.isTrue($0["conditionType"].string ?? "") }.count
      return .string(gates.isEmpty ? "<none>" : "\(open)/\(gates.count)")
    },
  ]
}

/// The cells of a pod that follow from its containers' states. Source: upstream's printer; the last assignment wins.
private struct PodCells {
  private let pod: TableSubject
  private let initContainers: [String: JSON]
  private let initStatuses: [JSON]
  private let statuses: [JSON]

  init(_ pod: TableSubject) {
    self.pod = pod
    initContainers = Dictionary(
      (pod.spec["initContainers"].array ?? []).map { ($0["name"].string ?? "", $0) }, uniquingKeysWith: { first, _ in first })
    initStatuses = pod.status["initContainerStatuses"].array ?? []
    statuses = pod.status["containerStatuses"].array ?? []
  }

  private func isSidecar(_ status: JSON) -> Bool {
    initContainers[status["name"].string ?? ""]?["restartPolicy"].string == "Always"
  }

  private var sidecars: [JSON] { initStatuses.filter(isSidecar) }

  var ready: String {
    let total = (pod.spec["containers"].array?.count ?? 0) + initContainers.values.filter { $0["restartPolicy"].string == "Always" }.count
    let running = statuses.filter { $0["ready"].bool == true && !$0["state"]["running"].isNull }.count
    return "\(running + sidecars.filter { $0["started"].bool == true && $0["ready"].bool == true }.count)/\(total)"
  }

  /// What the first init container that has not finished does; nil where all have.
  private var initialization: String? {
    for (index, status) in initStatuses.enumerated() {
      let terminated = status["state"]["terminated"]
      let waiting = status["state"]["waiting"]["reason"].string ?? ""
      if !terminated.isNull, terminated["exitCode"].int ?? 0 == 0 { continue }
      if isSidecar(status), status["started"].bool == true { continue }
      if !terminated.isNull { return "Init:" + Self.ending(terminated) }
      if !waiting.isEmpty, waiting != "PodInitializing" { return "Init:\(waiting)" }
      return "Init:\(index)/\(pod.spec["initContainers"].array?.count ?? 0)"
    }
    return nil
  }

  private static func ending(_ terminated: JSON) -> String {
    if let reason = terminated["reason"].string, !reason.isEmpty { return reason }
    if let signal = terminated["signal"].int, signal != 0 { return "Signal:\(signal)" }
    return "ExitCode:\(terminated["exitCode"].int ?? 0)"
  }

  private var showsContainers: Bool { initialization == nil || pod.isTrue("Initialized") }

  var status: String {
    let phase = pod.status["phase"].string ?? ""
    var result = pod.status.text(["reason"], missing: phase)
    if pod.condition("PodScheduled")?["reason"].string == "SchedulingGated" { result = "SchedulingGated" }
    if let initialization { result = initialization }
    if showsContainers { result = containersStatus(otherwise: result) }
    guard pod.isBeingDeleted else { return result }
    if pod.status["reason"].string == "NodeLost" { return "Unknown" }
    return phase == "Succeeded" || phase == "Failed" ? result : "Terminating"
  }

  private func containersStatus(otherwise before: String) -> String {
    var result = before
    var failure: String?
    var isAnyRunning = false
    for status in statuses.reversed() {
      let state = status["state"]
      if let reason = state["waiting"]["reason"].string, !reason.isEmpty {
        result = reason
      } else if !state["terminated"].isNull {
        result = Self.ending(state["terminated"])
        if state["terminated"]["exitCode"].int ?? 0 != 0 { failure = result }
      } else if status["ready"].bool == true, !state["running"].isNull {
        isAnyRunning = true
      }
    }
    guard result == "Completed" else { return result }
    if isAnyRunning, pod.isTrue("Ready") { return "Running" }
    if let failure { return failure }
    return isAnyRunning ? "NotReady" : result
  }

  var restarts: String {
    let counted = showsContainers ? statuses + sidecars : initStatuses
    let count = counted.reduce(0) { $0 + ($1["restartCount"].int ?? 0) }
    let last = counted.compactMap { $0["lastState"]["terminated"]["finishedAt"].timestamp }.max()
    guard count > 0, let last else { return "\(count)" }
    return "\(count) (\(humanDuration(nanoseconds: pod.now.nanoseconds(since: last))) ago)"
  }
}
