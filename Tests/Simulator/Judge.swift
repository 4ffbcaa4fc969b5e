import JSONCodec
import KubernetesAPI
import RevisionStore
import Synchronization

/// Sees every change of the store and every start of a container, and says what must never be.
final class Judge: @unchecked Sendable {
  struct PodRecord {
    let uid, namespace, name: String
    var node = ""
    var milliCPU: Int64 = 0
    var hasEnded = false
    var isDeleted = false
    /// When a deleted pod should have gone: quotas count it no longer then, although its node may be away (upstream, evaluator/core).
    var isOverdueAt: Timestamp?
    var isReady = false
    var labels: JSON = .null
  }

  /// Written by one thread: the simulation's.
  var tell: (String) -> Void = { _ in }
  private(set) var pods: [String: PodRecord] = [:]
  private var allocatable: [String: Int64] = [:]
  /// Names of quotas' namespaces to the pods that they allow.
  private var quotas: [String: Int] = [:]
  private var budgets: [String: JSON] = [:]
  /// Evictions since a budget's controller looked the last time.
  private var spent: [String: Int] = [:]
  /// Changes that are no heartbeats.
  private(set) var changes = 0
  private(set) var lastChange = ""
  private(set) var commits = 0
  /// Containers that run: from a pod's uid to the machine.
  private var running: [String: String] = [:]
  /// From the namespace and name of a pod with a stable identity to the machine where it runs.
  private var identities: [String: (machine: String, pod: String)] = [:]

  func see(_ event: ChangeEvent) {
    commits += 1
    let parts = event.key.split(separator: "/").map(String.init)
    if !event.key.contains("/leases/") && !event.key.contains("/events/") {
      changes += 1
      lastChange = event.key
    }
    guard parts.count >= 3, let object = try? JSON.parse(Array(event.value.dropFirst(2))) else { return }
    switch parts[1] {
    case "pods": seePod(object, isGone: event.kind == .delete)
    case "nodes":
      let name = object["metadata"]["name"].string ?? ""
      allocatable[name] = event.kind == .delete ? nil : object["status"]["allocatable"]["cpu"].quantity?.milliValue ?? 0
    case "resourcequotas":
      let key = object["metadata"]["namespace"].string ?? ""
      quotas[key] = event.kind == .delete ? nil : object["spec"]["hard"]["pods"].quantity.map { Int($0.value) }
    case "policy": seeBudget(object, isGone: event.kind == .delete)
    default: break
    }
  }

  private func seePod(_ object: JSON, isGone: Bool) {
    let uid = object["metadata"]["uid"].string ?? ""
    guard !isGone else {
      pods[uid] = nil
      return
    }
    let before = pods[uid]
    var pod = PodRecord(
      uid: uid, namespace: object["metadata"]["namespace"].string ?? "", name: object["metadata"]["name"].string ?? "")
    pod.node = object["spec"]["nodeName"].string ?? ""
    pod.milliCPU = (object["spec"]["containers"].array ?? []).reduce(0) {
      $0 + ($1["resources"]["requests"]["cpu"].quantity?.milliValue ?? 0)
    }
    pod.hasEnded = ["Succeeded", "Failed"].contains(object["status"]["phase"].string ?? "")
    pod.isDeleted = !object["metadata"]["deletionTimestamp"].isNull
    if pod.isDeleted, let deletion = object["metadata"]["deletionTimestamp"].timestamp {
      pod.isOverdueAt = deletion.advanced(bySeconds: Double(object["metadata"]["deletionGracePeriodSeconds"].int ?? 0))
    }
    pod.isReady = (object["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
    pod.labels = object["metadata"]["labels"]
    pods[uid] = pod
    let full = "\(pod.namespace)/\(pod.name)"
    if let before, !before.node.isEmpty, before.node != pod.node { tell("pod \(full) moved from \(before.node) to \(pod.node)") }
    if before?.hasEnded == true, !pod.hasEnded { tell("pod \(full) had ended and is alive again") }
    if before?.isDeleted == true, !pod.isDeleted { tell("pod \(full) was being deleted and is so no more") }
    if (before?.node ?? "").isEmpty, !pod.node.isEmpty { checkNode(pod, full) }
    if before == nil { checkQuota(pod) }
    let isEviction = (object["status"]["conditions"].array ?? []).contains {
      $0["type"].string == "DisruptionTarget" && $0["reason"].string == "EvictionByEvictionAPI"
    }
    if isEviction, before?.isDeleted == false, pod.isDeleted { checkBudget(before!, full) }
  }

  private func checkNode(_ pod: PodRecord, _ full: String) {
    guard let most = allocatable[pod.node] else { return }
    let sum = pods.values.reduce(Int64(0)) { $0 + ($1.node == pod.node && !$1.hasEnded ? $1.milliCPU : 0) }
    if sum > most { tell("pod \(full) was bound to \(pod.node), whose pods now request \(sum)m of \(most)m CPU") }
  }

  private func checkQuota(_ pod: PodRecord) {
    guard let most = quotas[pod.namespace] else { return }
    let now = Timestamp.now
    let count = pods.values.count { $0.namespace == pod.namespace && !$0.hasEnded && $0.isOverdueAt ?? now >= now }
    if count > most { tell("\(count) pods are in namespace \(pod.namespace), whose quota allows \(most)") }
  }

  private func seeBudget(_ object: JSON, isGone: Bool) {
    let key = "\(object["metadata"]["namespace"].string ?? "")/\(object["metadata"]["name"].string ?? "")"
    let before = budgets[key]
    budgets[key] = isGone ? nil : object
    guard let before, before["status"]["disruptionsAllowed"].int ?? 0 <= object["status"]["disruptionsAllowed"].int ?? 0 else { return }
    spent[key] = 0
    let healthy = object["status"]["currentHealthy"].int ?? 0
    let desired = object["status"]["desiredHealthy"].int ?? 0
    if object["status"]["disruptionsAllowed"].int ?? 0 > max(0, healthy - desired) {
      tell("budget \(key) allows \(object["status"]["disruptionsAllowed"].int ?? 0) disruptions with \(healthy) healthy pods of \(desired)")
    }
  }

  /// An eviction that was granted: the budget's controller had counted enough pods for it.
  private func checkBudget(_ pod: PodRecord, _ full: String) {
    guard pod.isReady else { return }
    for (key, budget) in budgets where key.hasPrefix(pod.namespace + "/") {
      guard LabelSelector(json: budget["spec"]["selector"])?.matches(pod.labels) == true else { continue }
      spent[key, default: 0] += 1
      let counted = (budget["status"]["currentHealthy"].int ?? 0) - (budget["status"]["desiredHealthy"].int ?? 0)
      if spent[key]! > counted + 1 { tell("pod \(full) was evicted although budget \(key) had \(counted) to spare") }
    }
  }

  // MARK: machines

  func started(_ pod: String, _ full: String, hasIdentity: Bool, on machine: String) {
    if let other = running[pod], other != machine { tell("pod \(full) (\(pod)) runs on \(other) and on \(machine)") }
    running[pod] = machine
    guard hasIdentity else { return }
    if let other = identities[full], other.machine != machine {
      tell("\(full) runs on \(other.machine) and is started on \(machine): twice the same identity")
    }
    identities[full] = (machine, pod)
  }

  func stopped(_ pod: String, _ full: String, on machine: String) {
    if running[pod] == machine { running[pod] = nil }
    if let known = identities[full], known == (machine, pod) { identities[full] = nil }
  }
}
