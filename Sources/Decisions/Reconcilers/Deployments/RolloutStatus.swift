import JSONCodec
import KubernetesAPI

extension Rollout {
  /// Seconds without progress after which a rollout counts as stuck; nil where it never does.
  var deadline: Int? { deployment.json["spec"]["progressDeadlineSeconds"].int.flatMap { $0 == Int(Int32.max) ? nil : $0 } }

  /// The status with the counts as the sets have them.
  func draftedStatus() -> StatusDraft {
    var status = draft
    func sum(_ field: String) -> Int { all.reduce(0) { $0 + $1.count(field) } }
    let available = sum("availableReplicas")
    let total = sum("replicas")
    status.number("observedGeneration", deployment.json.meta.generation)
    status.count("replicas", total)
    status.count("updatedReplicas", current?.count("replicas") ?? 0)
    status.count("readyReplicas", sum("readyReplicas"))
    status.count("availableReplicas", available)
    status.count("unavailableReplicas", max(0, total - available))
    status.number("terminatingReplicas", sum("terminatingReplicas"))
    if available >= replicas - fence.unavailable {
      status.set(
        condition: "Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.", now: now, updateTime: true)
    } else {
      status.set(
        condition: "Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now: now,
        updateTime: true)
    }
    return status
  }

  func isComplete(_ status: StatusDraft) -> Bool {
    func count(_ field: String) -> Int { status[field].int ?? 0 }
    return count("updatedReplicas") == replicas && count("replicas") == replicas && count("availableReplicas") == replicas
  }

  /// Writes the counts without a word on progress.
  mutating func reportSize() {
    writes += draftedStatus().write(.deployment, deployment.json)
  }

  /// Writes the counts and how the rollout gets on, and comes back when its deadline may have passed.
  mutating func reportProgress() {
    var status = draftedStatus()
    if deadline == nil { status.remove(condition: "Progressing") }
    let condition = status.condition("Progressing")
    let isDone =
      status["replicas"].int ?? 0 == status["updatedReplicas"].int ?? 0 && condition?["reason"].string == "NewReplicaSetAvailable"
    if deadline != nil, !isDone {
      let subject = current.map { "ReplicaSet \"\($0.name)\"" } ?? "Deployment \"\(deployment.name)\""
      if isComplete(status) {
        status.set(
          condition: "Progressing", true, "NewReplicaSetAvailable", "\(subject) has successfully progressed.", now: now, updateTime: true)
      } else if isProgressing(status) {
        noteProgress(&status, "\(subject) is progressing.")
      } else if isOverdue(condition) {
        status.set(
          condition: "Progressing", false, "ProgressDeadlineExceeded", "\(subject) has timed out progressing.", now: now, updateTime: true)
      }
    }
    if let failed = all.lazy.compactMap({ $0.json.condition("ReplicaFailure") }).first {
      status.set(
        condition: "ReplicaFailure", true, failed["reason"].string ?? "", failed["message"].string ?? "", now: now, updateTime: true)
    } else {
      status.remove(condition: "ReplicaFailure")
    }
    writes += status.write(.deployment, deployment.json)
    remindOfDeadline(status)
  }

  private func isProgressing(_ status: StatusDraft) -> Bool {
    func grew(_ field: String) -> Bool { status[field].int ?? 0 > deployment.count(field) }
    let outdated = (status["replicas"].int ?? 0) - (status["updatedReplicas"].int ?? 0)
    return grew("updatedReplicas") || grew("readyReplicas") || grew("availableReplicas")
      || outdated < deployment.count("replicas") - deployment.count("updatedReplicas")
  }

  /// Progress starts the clock anew, even where the condition says so already.
  private func noteProgress(_ status: inout StatusDraft, _ message: String) {
    let since = status.condition("Progressing").flatMap { $0["status"].string == "True" ? $0["lastTransitionTime"] : nil }
    status.remove(condition: "Progressing")
    status.set(condition: "Progressing", true, "ReplicaSetUpdated", message, now: now, updateTime: true)
    guard let since, let conditions = status["conditions"].array else { return }
    status["conditions"] = .array(
      conditions.map { condition in
        guard condition["type"].string == "Progressing" else { return condition }
        var condition = condition
        condition["lastTransitionTime"] = since
        return condition
      })
  }

  private func isOverdue(_ condition: JSON?) -> Bool {
    guard let deadline, let condition, condition["reason"].string != "NewReplicaSetAvailable" else { return false }
    if condition["reason"].string == "ProgressDeadlineExceeded" { return true }
    guard let since = condition["lastUpdateTime"].timestamp else { return false }
    return now.seconds(since: since) > Double(deadline)
  }

  private mutating func remindOfDeadline(_ status: StatusDraft) {
    guard let deadline, let condition = status.condition("Progressing"), !isComplete(status),
      condition["reason"].string != "ProgressDeadlineExceeded", let since = condition["lastUpdateTime"].timestamp
    else { return }
    writes.append(.requeue(after: max(1, Double(deadline) - now.seconds(since: since) + 1)))
  }
}
