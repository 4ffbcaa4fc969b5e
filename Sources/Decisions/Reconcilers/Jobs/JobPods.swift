import JSONCodec
import KubernetesAPI

extension JobRun {
  /// Pods to create or delete so that as many run as the job asks for.
  mutating func manage() -> [Write] {
    remindOfDeadline()
    let active = active
    if isSuspended { return deletions(active) }
    let parallelism = spec["parallelism"].int ?? 1
    var wanted: Int
    if let completions = spec["completions"].int {
      wanted = min(parallelism, completions - succeeded - failedIndexes.count)
    } else {
      wanted = succeeded > 0 ? active.count : parallelism
    }
    wanted = max(0, min(wanted, parallelism))
    var surplus: [JSON] = []
    var kept = active
    if isIndexed { (kept, surplus) = withoutDuplicates(active) }
    if kept.count > wanted {
      let victims = VictimOrder(now: now, family: []).sorted(kept).prefix(kept.count - wanted)
      return deletions(surplus + victims)
    }
    let missing = min(wanted - kept.count - (onlyReplacesFailed ? terminating : 0), JobReconciler.burstMax)
    guard missing > 0 else { return deletions(surplus) }
    return deletions(surplus) + (isIndexed ? indexedPods(missing, kept) : plainPods(missing))
  }

  private func deletions(_ pods: [JSON]) -> [Write] {
    pods.prefix(JobReconciler.burstMax).map { .delete(.pod, $0.objectName, uid: $0.uid, Write.Deletion(), .deleted("pod", for: job, .job)) }
  }

  private mutating func remindOfDeadline() {
    guard let deadline = spec["activeDeadlineSeconds"].int, !isSuspended, let start = draft["startTime"].timestamp else { return }
    writes.append(.requeue(after: max(0.1, Double(deadline) - now.seconds(since: start))))
  }

  /// One pod for each index that still needs one; the rest is too much.
  private func withoutDuplicates(_ active: [JSON]) -> (kept: [JSON], surplus: [JSON]) {
    let limit = spec["completions"].int ?? .max
    var seen: Set<Int> = []
    let order = active.sorted { ($0.created, $0.uid) < ($1.created, $1.uid) }
    let parts = order.partitioned { pod in
      guard let index = index(pod), index < limit, !completed.contains(index), !failedIndexes.contains(index) else { return false }
      return seen.insert(index).inserted
    }
    return (parts.first, parts.second)
  }

  /// When the pod ended, as nearly as it tells.
  private func ended(_ pod: JSON) -> Timestamp {
    let finished = (pod["status"]["containerStatuses"].array ?? []).compactMap { $0["state"]["terminated"]["finishedAt"].timestamp }.max()
    return finished ?? pod.condition("Ready")?["lastTransitionTime"].timestamp ?? pod["metadata"]["deletionTimestamp"].timestamp
      ?? pod.created
  }

  private func pause(afterFailures failures: Int) -> Double {
    min(JobReconciler.backoffMax, JobReconciler.backoffFirst * Double(UInt64(1) << UInt64(min(max(failures - 1, 0), 30))))
  }

  /// Seconds to wait before another pod is made, for failures after the last success.
  private func waiting(_ pods: [JSON]) -> Double {
    let lastSuccess = pods.filter { $0.podPhase == "Succeeded" }.map(ended).max()
    let failures = pods.filter { pod in
      guard pod.podPhase == "Failed" else { return false }
      return lastSuccess.map { ended(pod) > $0 } ?? true
    }
    guard let last = failures.map(ended).max() else { return 0 }
    return pause(afterFailures: failures.count) - now.seconds(since: last)
  }

  private mutating func plainPods(_ count: Int) -> [Write] {
    let wait = waiting(pods)
    if wait > 0 {
      writes.append(.requeue(after: wait))
      return []
    }
    return Array(repeating: creation(template()), count: count)
  }

  private func template() -> JSON {
    var pod = Templates.pod(spec["template"], of: job, .job)
    pod["metadata"]["finalizers"] = JSON(pod.meta.finalizers.filter { $0 != JobReconciler.finalizer } + [JobReconciler.finalizer])
    return pod
  }

  private func creation(_ pod: JSON) -> Write { .create(.pod, pod, .created("pod", for: job, .job)) }

  private mutating func indexedPods(_ count: Int, _ active: [JSON]) -> [Write] {
    let completions = spec["completions"].int ?? 0
    let taken = Set(active.compactMap(index))
    // A pod that is still going holds its index where only failed pods are replaced.
    let going = onlyReplacesFailed ? Set(pods.filter { $0.isBeingDeleted && !$0.hasEnded }.compactMap(index)) : []
    var result: [Write] = []
    var soonest: Double?
    let wholeWait = limitPerIndex == nil ? waiting(pods) : 0
    for index in 0..<completions where result.count < count {
      if completed.contains(index) || failedIndexes.contains(index) || taken.contains(index) || going.contains(index) { continue }
      let former = pods.filter { self.index($0) == index && !$0.isActivePod }
      let wait = limitPerIndex == nil ? wholeWait : waiting(ofIndex: former)
      if wait > 0 {
        soonest = min(soonest ?? wait, wait)
        continue
      }
      result.append(creation(pod(index, former)))
    }
    if let soonest { writes.append(.requeue(after: soonest)) }
    return result
  }

  private func waiting(ofIndex former: [JSON]) -> Double {
    guard let last = former.max(by: { failures($0) < failures($1) }), last.podPhase == "Failed" else { return 0 }
    return pause(afterFailures: failures(last) + 1) - now.seconds(since: ended(last))
  }

  private func pod(_ index: Int, _ former: [JSON]) -> JSON {
    var pod = template()
    let name = job["metadata"]["name"].string ?? ""
    pod["metadata"]["generateName"] = .string("\(name)-\(index)-")
    pod["metadata"]["annotations"][JobReconciler.indexAnnotation] = .string(String(index))
    pod["metadata"]["labels"][JobReconciler.indexAnnotation] = .string(String(index))
    pod["spec"]["hostname"] = .string("\(name)-\(index)")
    if limitPerIndex != nil {
      let last = former.max { failures($0) < failures($1) }
      let isIgnored = last.map { $0.podPhase == "Failed" && PodFailureVerdict($0, policy: spec["podFailurePolicy"]) == .ignore } ?? false
      let ignored = last?["metadata"]["annotations"][JobReconciler.ignoredAnnotation].string.flatMap { Int($0) } ?? 0
      pod["metadata"]["annotations"][JobReconciler.failuresAnnotation] = .string(
        String(last.map { failures($0) + (isIgnored ? 0 : 1) } ?? 0))
      if ignored > 0 || isIgnored {
        pod["metadata"]["annotations"][JobReconciler.ignoredAnnotation] = .string(String(ignored + (isIgnored ? 1 : 0)))
      }
    }
    for list in ["containers", "initContainers"] {
      guard let containers = pod["spec"][list].array else { continue }
      pod["spec"][list] = .array(containers.map(withIndex))
    }
    return pod
  }

  private func withIndex(_ container: JSON) -> JSON {
    let environment = container["env"].array ?? []
    guard !environment.contains(where: { $0["name"].string == "JOB_COMPLETION_INDEX" }) else { return container }
    var container = container
    container["env"] = .array(
      environment + [
        [
          "name": "JOB_COMPLETION_INDEX",
          "valueFrom": ["fieldRef": ["fieldPath": .string("metadata.labels['\(JobReconciler.indexAnnotation)']")]],
        ]
      ])
    return container
  }
}
