import JSONCodec
import KubernetesAPI

/// Makes Jobs at the times of a schedule.
package struct CronJobReconciler: Reconciler {
  /// Times that are looked back for; with more missed, only the last one counts.
  static let missedMax = 100
  /// Seconds after the time at which a job is made, so that a clock that is a little behind does not come twice.
  static let tardiness = 0.1
  static let scheduledAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp"

  package let name = "cronjob-controller"
  package let watched: [Kind] = [.cronJob, .job]
  /// The content of `/usr/share/zoneinfo/<name>`; nil where there is none.
  private let zoneFile: @Sendable (String) -> [UInt8]?

  package init(zoneFile: @escaping @Sendable (String) -> [UInt8]?) { self.zoneFile = zoneFile }

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    change.kind == .cronJob ? [change.name] : change.object.controllerName(.cronJob).map { [$0] } ?? []
  }

  private func zone(_ cron: JSON) -> TimeZoneRules? {
    guard let name = cron["spec"]["timeZone"].string, !name.isEmpty, name != "UTC", name != "Etc/UTC" else { return .utc }
    let isSafe = name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") }
    return isSafe ? zoneFile(name).flatMap { TimeZoneRules(file: $0) } : nil
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let cron = cluster.object(.cronJob, key) else { return [] }
    let jobs = cluster.controlled(.job, by: cron.uid).sorted { ($0.created, $0.objectName.name) < ($1.created, $1.objectName.name) }
    var round = CronRound(cron, jobs, now: circumstances.now)
    round.dropHistory()
    round.noteFinished()
    if !cron.isBeingDeleted {
      if let zone = zone(cron), let schedule = CronSchedule(cron["spec"]["schedule"].string ?? "") {
        if cron["spec"]["suspend"].bool != true { round.schedule(schedule, zone, failure: circumstances.failure) }
      } else {
        let isZone = zone(cron) == nil
        round.writes.append(
          .warning(
            .cronJob, cron, isZone ? "UnknownTimeZone" : "UnparseableSchedule",
            isZone
              ? "invalid timeZone: \"\(cron["spec"]["timeZone"].string ?? "")\""
              : "unparseable schedule for cronjob: \"\(cron["spec"]["schedule"].string ?? "")\""))
      }
    }
    round.writes += round.draft.write(.cronJob, cron)
    return round.writes
  }
}

/// One look at a CronJob and its jobs.
struct CronRound {
  let cron: JSON
  let jobs: [JSON]
  let now: Timestamp
  var writes: [Write] = []
  var draft: StatusDraft
  private var active: [JSON]

  init(_ cron: JSON, _ jobs: [JSON], now: Timestamp) {
    self.cron = cron
    self.jobs = jobs
    self.now = now
    draft = StatusDraft(cron)
    active = jobs.filter { !JobReconciler.isFinished($0) && !$0.isBeingDeleted }
  }

  static func reference(_ job: JSON) -> JSON {
    [
      "apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "namespace": job["metadata"]["namespace"],
      "uid": .string(job.uid), "resourceVersion": job["metadata"]["resourceVersion"],
    ]
  }

  /// Deletes finished jobs beyond the limits, the oldest first.
  mutating func dropHistory() {
    for (type, field) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
      guard let limit = cron["spec"][field].int else { continue }
      let finished = jobs.filter { JobReconciler.finish($0)?["type"].string == type && !$0.isBeingDeleted }
        .sorted {
          ($0["status"]["startTime"].timestamp ?? $0.created, $0.objectName.name) < (
            $1["status"]["startTime"].timestamp ?? $1.created, $1.objectName.name
          )
        }
      for job in finished.prefix(max(0, finished.count - limit)) { delete(job) }
    }
  }

  private mutating func delete(_ job: JSON) {
    writes.append(
      .delete(.job, job.objectName, uid: job.uid, Write.Deletion(propagation: "Background"), .deleted("job", for: cron, .cronJob)))
  }

  /// Lists the jobs that run, and tells of those that have ended.
  mutating func noteFinished() {
    for job in jobs {
      guard let finish = JobReconciler.finish(job), (cron["status"]["active"].array ?? []).contains(where: { $0["uid"].string == job.uid })
      else { continue }
      writes.append(
        .event(.cronJob, cron, "SawCompletedJob", "Saw completed job: \(job.objectName.name), condition: \(finish["type"].string ?? "")"))
    }
    for job in jobs where JobReconciler.finish(job)?["type"].string == "Complete" {
      guard let ended = job["status"]["completionTime"].timestamp else { continue }
      if draft["lastSuccessfulTime"].timestamp.map({ $0 < ended }) ?? true { draft["lastSuccessfulTime"] = .string(ended.rfc3339) }
    }
    // A reference stays as it was made: the job's version is no news.
    let known = Dictionary((draft["active"].array ?? []).map { ($0["uid"].string ?? "", $0) }) { $1 }
    draft["active"] = active.isEmpty ? .null : .array(active.map { known[$0.uid] ?? Self.reference($0) })
  }

  mutating func schedule(_ schedule: CronSchedule, _ zone: TimeZoneRules, failure: WriteFailure?) {
    if let next = schedule.next(after: now, in: zone) {
      writes.append(.requeue(after: next.seconds(since: now) + CronJobReconciler.tardiness))
    }
    let deadline = cron["spec"]["startingDeadlineSeconds"].int.map(Double.init)
    var from = draft["lastScheduleTime"].timestamp ?? cron.created
    if let deadline { from = max(from, now.advanced(bySeconds: -deadline)) }
    guard let (due, missed) = lastDue(schedule, zone, after: from) else { return }
    if missed > CronJobReconciler.missedMax {
      writes.append(
        .warning(
          .cronJob, cron, "TooManyMissedTimes",
          "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"))
    }
    let job = job(due)
    // Made before, and the status does not say so yet.
    if jobs.contains(where: { $0.objectName == job.objectName }) { return draft["lastScheduleTime"] = .string(due.rfc3339) }
    switch cron["spec"]["concurrencyPolicy"].string {
    case "Forbid" where !active.isEmpty:
      return writes.append(
        .event(.cronJob, cron, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid"))
    case "Replace":
      for job in active { delete(job) }
      draft["active"] = .null
    default: break
    }
    if let failure, failure.reason == "AlreadyExists", failure.name == job.objectName.name {
      return draft["lastScheduleTime"] = .string(due.rfc3339)
    }
    writes.append(.create(.job, job, .created("job", for: cron, .cronJob)))
    draft["lastScheduleTime"] = .string(due.rfc3339)
  }

  /// The latest time that has come since a moment, and how many there were.
  private func lastDue(_ schedule: CronSchedule, _ zone: TimeZoneRules, after start: Timestamp) -> (Timestamp, Int)? {
    var due: Timestamp?
    var count = 0
    var at = start
    while let next = schedule.next(after: at, in: zone), next <= now {
      due = next
      count += 1
      at = next
      // Long asleep: go on near the present.
      if count == CronJobReconciler.missedMax + 1, let second = schedule.next(after: next, in: zone) {
        let step = max(1, second.seconds(since: next))
        at = max(at, now.advanced(bySeconds: -step * 3))
      }
    }
    return due.map { ($0, count) }
  }

  private func job(_ due: Timestamp) -> JSON {
    let template = cron["spec"]["jobTemplate"]
    var annotations = template["metadata"]["annotations"]
    annotations[CronJobReconciler.scheduledAnnotation] = .string(due.rfc3339)
    return [
      "apiVersion": "batch/v1", "kind": "Job",
      "metadata": [
        "name": .string("\(cron.objectName.name)-\(due.secondsSinceEpoch / 60)"), "namespace": .string(cron.objectName.namespace),
        "labels": template["metadata"]["labels"], "annotations": annotations,
        "ownerReferences": [controllerReference(cron, .cronJob)],
      ],
      "spec": template["spec"],
    ]
  }
}
