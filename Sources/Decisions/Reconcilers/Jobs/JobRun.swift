import JSONCodec
import KubernetesAPI

/// One look at a job and its pods, and the writes that come of it.
struct JobRun {
  let job: JSON
  let pods: [JSON]
  let now: Timestamp
  var writes: [Write] = []
  var draft: StatusDraft
  /// Pods whose end is counted as soon as the status is written.
  var counted: [JSON] = []
  var uncounted: (succeeded: [String], failed: [String])
  var completed: CompletionIndexes
  var failedIndexes: CompletionIndexes
  var policyFailure: String?

  init(_ job: JSON, pods: [JSON], _ circumstances: Circumstances) {
    self.job = job
    self.pods = pods
    now = circumstances.now
    draft = StatusDraft(job)
    let waiting = job["status"]["uncountedTerminatedPods"]
    uncounted = (
      (waiting["succeeded"].array ?? []).compactMap(\.string), (waiting["failed"].array ?? []).compactMap(\.string)
    )
    let limit = job["spec"]["completions"].int ?? .max
    completed = CompletionIndexes(text: job["status"]["completedIndexes"].string ?? "", below: limit)
    failedIndexes = CompletionIndexes(text: job["status"]["failedIndexes"].string ?? "", below: limit)
  }

  var spec: JSON { job["spec"] }
  var isIndexed: Bool { spec["completionMode"].string == "Indexed" }
  var limitPerIndex: Int? { isIndexed ? spec["backoffLimitPerIndex"].int : nil }
  var isSuspended: Bool { spec["suspend"].bool == true }
  var onlyReplacesFailed: Bool { spec["podReplacementPolicy"].string == "Failed" || !spec["podFailurePolicy"].isNull }
  var active: [JSON] { pods.filter(\.isActivePod) }
  var terminating: Int { pods.count { $0.isBeingDeleted && !$0.hasEnded } }
  var succeeded: Int { isIndexed ? completed.count : (draft["succeeded"].int ?? 0) + uncounted.succeeded.count }
  var failed: Int { (draft["failed"].int ?? 0) + uncounted.failed.count }
  var finishing: (type: String, reason: String, message: String)?

  func index(_ pod: JSON) -> Int? { pod["metadata"]["annotations"][JobReconciler.indexAnnotation].string.flatMap { Int($0) } }
  func failures(_ pod: JSON) -> Int { pod["metadata"]["annotations"][JobReconciler.failuresAnnotation].string.flatMap { Int($0) } ?? 0 }

  mutating func run() {
    settleCounts()
    countEnded()
    noteStart()
    finishing = JobEnd(self).reason
    var changes: [Write] = []
    if finishing != nil {
      changes = stopAll()
    } else if !job.isBeingDeleted {
      changes = manage()
    }
    report(isFinal: false)
    // The counts are safe now: the pods may go.
    writes += counted.filter(mayGo).map(JobReconciler.release)
    writes += changes
  }

  /// Moves pods whose finalizer is off from the waiting lists into the counts.
  private mutating func settleCounts() {
    let held = Set(pods.filter { $0.meta.finalizers.contains(JobReconciler.finalizer) }.map(\.uid))
    let gone = (uncounted.succeeded.filter { !held.contains($0) }.count, uncounted.failed.filter { !held.contains($0) }.count)
    if !isIndexed { draft.count("succeeded", (draft["succeeded"].int ?? 0) + gone.0) }
    draft.count("failed", (draft["failed"].int ?? 0) + gone.1)
    uncounted.succeeded.removeAll { !held.contains($0) }
    uncounted.failed.removeAll { !held.contains($0) }
  }

  private func isFailed(_ pod: JSON) -> Bool {
    if pod.podPhase == "Failed" { return true }
    guard pod.isBeingDeleted, pod.podPhase != "Succeeded" else { return false }
    // What fails or is given up does not wait for its pods; a suspended job's pods did nothing wrong.
    return !onlyReplacesFailed && !isSuspended
  }

  /// Notes the pods that have ended and still have their finalizer.
  private mutating func countEnded() {
    let limit = spec["completions"].int ?? .max
    for pod in pods where pod.meta.finalizers.contains(JobReconciler.finalizer) {
      let index = index(pod)
      if pod.podPhase == "Succeeded" {
        counted.append(pod)
        if isIndexed {
          if let index, index < limit { completed.insert(index) }
        } else if !uncounted.succeeded.contains(pod.uid) {
          uncounted.succeeded.append(pod.uid)
        }
      } else if isFailed(pod) {
        counted.append(pod)
        countFailure(pod, index)
      } else if pod.isBeingDeleted, isSuspended {
        counted.append(pod)
      }
    }
    failedIndexes = CompletionIndexes(failedIndexes.values.subtracting(completed.values))
  }

  private mutating func countFailure(_ pod: JSON, _ index: Int?) {
    if isIndexed, index == nil || index! >= spec["completions"].int ?? .max { return }
    let verdict = pod.podPhase == "Failed" ? PodFailureVerdict(pod, policy: spec["podFailurePolicy"]) : .count
    if case .failJob(let message) = verdict, policyFailure == nil { policyFailure = message }
    if verdict != .ignore, !uncounted.failed.contains(pod.uid) { uncounted.failed.append(pod.uid) }
    guard let limit = limitPerIndex, let index else { return }
    if verdict == .failIndex || (verdict != .ignore && failures(pod) + 1 > limit) { failedIndexes.insert(index) }
  }

  /// The last failed pod of an index stays until it is replaced: its successor counts on from it.
  private func mayGo(_ pod: JSON) -> Bool {
    guard limitPerIndex != nil, finishing == nil, !isSuspended, let index = index(pod), pod.podPhase != "Succeeded",
      !completed.contains(index), !failedIndexes.contains(index), !pod.isBeingDeleted
    else { return true }
    return pods.contains { self.index($0) == index && $0.uid != pod.uid && failures($0) > failures(pod) }
      || pods.contains { self.index($0) == index && $0.isActivePod }
  }

  private mutating func noteStart() {
    let condition = draft.condition("Suspended")
    if isSuspended {
      if condition?["status"].string != "True" {
        draft.set(condition: "Suspended", true, "JobSuspended", "Job suspended", now: now)
        writes.append(.event(.job, job, "Suspended", "Job suspended"))
      }
      draft["startTime"] = .null
      return
    }
    if condition?["status"].string == "True" {
      draft.set(condition: "Suspended", false, "JobResumed", "Job resumed", now: now)
      writes.append(.event(.job, job, "Resumed", "Job resumed"))
    }
    if draft["startTime"].isNull, !job.isBeingDeleted { draft["startTime"] = .string(now.rfc3339) }
  }

  /// Deletes what still runs of a job that is over, and declares it finished when nothing does.
  private mutating func stopAll() -> [Write] {
    guard let finishing else { return [] }
    let interim = finishing.type == "Complete" ? "SuccessCriteriaMet" : "FailureTarget"
    draft.set(condition: interim, true, finishing.reason, finishing.message, now: now)
    let isQuiet = active.isEmpty && terminating == 0
    guard isQuiet, uncounted.succeeded.isEmpty, uncounted.failed.isEmpty, counted.isEmpty else {
      return active.map { .delete(.pod, $0.objectName, uid: $0.uid, Write.Deletion(), .deleted("pod", for: job, .job)) }
    }
    draft.set(condition: finishing.type, true, finishing.reason, finishing.message, now: now)
    if finishing.type == "Complete" {
      draft["completionTime"] = .string(now.rfc3339)
      return [.event(.job, job, "Completed", "Job completed")]
    }
    return [.warning(.job, job, finishing.reason, finishing.message)]
  }

  private mutating func report(isFinal: Bool) {
    draft.count("active", active.count)
    draft.number("ready", active.count(where: \.isReadyPod))
    draft.number("terminating", terminating)
    if isIndexed {
      draft.count("succeeded", completed.count)
      draft["completedIndexes"] = JSON(completed.count == 0 ? nil : completed.text)
      if limitPerIndex != nil { draft["failedIndexes"] = .string(failedIndexes.text) }
    }
    draft["uncountedTerminatedPods"] = [
      "succeeded": uncounted.succeeded.isEmpty ? .null : JSON(uncounted.succeeded),
      "failed": uncounted.failed.isEmpty ? .null : JSON(uncounted.failed),
    ]
    writes += draft.write(.job, job, exact: ["ready", "terminating"])
  }
}
