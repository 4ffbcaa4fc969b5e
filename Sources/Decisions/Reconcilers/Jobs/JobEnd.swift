import JSONCodec
import KubernetesAPI

/// Whether a job is over, and why.
struct JobEnd {
  private(set) var reason: (type: String, reason: String, message: String)?

  init(_ run: JobRun) {
    if let met = run.job.condition("SuccessCriteriaMet"), met["status"].string == "True" {
      reason = ("Complete", met["reason"].string ?? "", met["message"].string ?? "")
    } else if let target = run.job.condition("FailureTarget"), target["status"].string == "True" {
      reason = ("Failed", target["reason"].string ?? "", target["message"].string ?? "")
    } else {
      reason = Self.failure(run) ?? Self.success(run)
    }
  }

  private static func failure(_ run: JobRun) -> (String, String, String)? {
    let spec = run.spec
    if let message = run.policyFailure { return ("Failed", "PodFailurePolicy", message) }
    let limit = spec["backoffLimit"].int ?? 6
    if run.failed > limit || restarted(run, limit) {
      return ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    }
    if let deadline = spec["activeDeadlineSeconds"].int, !run.isSuspended, let start = run.draft["startTime"].timestamp,
      run.now.seconds(since: start) >= Double(deadline)
    {
      return ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    }
    guard run.limitPerIndex != nil, let completions = spec["completions"].int else { return nil }
    if let most = spec["maxFailedIndexes"].int, run.failedIndexes.count > most {
      return ("Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    }
    if run.failedIndexes.count > 0, run.failedIndexes.count + run.completed.count >= completions {
      // A success policy may still be met by those that succeeded.
      return successPolicy(run) ?? ("Failed", "FailedIndexes", "Job has failed indexes")
    }
    return nil
  }

  /// With restartPolicy OnFailure the containers' restarts count.
  private static func restarted(_ run: JobRun, _ limit: Int) -> Bool {
    guard run.spec["template"]["spec"]["restartPolicy"].string == "OnFailure" else { return false }
    var restarts = 0
    for pod in run.pods where pod.podPhase == "Running" || pod.podPhase == "Pending" {
      for list in ["containerStatuses", "initContainerStatuses"] {
        restarts += (pod["status"][list].array ?? []).reduce(0) { $0 + ($1["restartCount"].int ?? 0) }
      }
    }
    return limit == 0 ? restarts > 0 : restarts >= limit
  }

  private static func success(_ run: JobRun) -> (String, String, String)? {
    if let met = successPolicy(run) { return met }
    let isComplete: Bool
    if let completions = run.spec["completions"].int {
      isComplete = run.succeeded >= completions
    } else {
      isComplete = run.succeeded > 0 && run.active.isEmpty
    }
    return isComplete ? ("Complete", "CompletionsReached", "Reached expected number of succeeded pods") : nil
  }

  private static func successPolicy(_ run: JobRun) -> (String, String, String)? {
    for (i, rule) in (run.spec["successPolicy"]["rules"].array ?? []).enumerated() {
      var matched = run.completed.values
      var needed = rule["succeededCount"].int
      if let text = rule["succeededIndexes"].string {
        let wanted = CompletionIndexes(text: text).values
        matched.formIntersection(wanted)
        if needed == nil { needed = wanted.count }
      }
      if let needed, matched.count >= needed { return ("Complete", "SuccessPolicy", "Matched rules at index \(i)") }
    }
    return nil
  }
}
