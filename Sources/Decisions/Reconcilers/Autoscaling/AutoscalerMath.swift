import JSONCodec
import KubernetesAPI

/// What one pod uses, in thousandths of the resource's unit.
package struct PodUsage: Sendable {
  package let pod: String
  package let milli: Int64
  package let at: Timestamp
  package let windowSeconds: Double
  package init(pod: String, milli: Int64, at: Timestamp, windowSeconds: Double) {
    self.pod = pod
    self.milli = milli
    self.at = at
    self.windowSeconds = windowSeconds
  }
}

/// The arithmetic of horizontal autoscaling.
///
/// Source: Kubernetes' documentation "Horizontal Pod Autoscaling", section "Algorithm details".
package struct AutoscalerMath: Sendable {
  /// Ratios this near to 1 change nothing.
  static let tolerance = 0.1
  /// Seconds after a pod's start in which its cpu use counts only when it is ready.
  static let cpuInitialization = 300.0
  static let initialReadinessDelay = 30.0

  let isCPU: Bool
  let now: Timestamp
  let tolerance: (up: Double, down: Double)

  package init(isCPU: Bool, now: Timestamp, tolerance: (up: Double, down: Double)? = nil) {
    self.isCPU = isCPU
    self.now = now
    self.tolerance = tolerance ?? (Self.tolerance, Self.tolerance)
  }

  /// The wanted number of pods for a target in percent of the requests or in thousandths for each pod; nil where no
  /// pod can be counted. `current` is the utilization (or the average) now.
  package func replicas(
    present: Int, pods: [JSON], usage: [PodUsage], request: (JSON) -> Int64?, targetUtilization: Int?, targetAverage: Int64?
  ) -> (replicas: Int, current: Int64, average: Int64)? {
    let used = Dictionary(usage.map { ($0.pod, $0) }) { $1 }
    var ready: [(pod: JSON, milli: Int64)] = []
    var unready: [JSON] = []
    var missing: [JSON] = []
    for pod in pods where !pod.isBeingDeleted && pod.podPhase != "Failed" && pod.podPhase != "Succeeded" {
      guard let use = used[pod.objectName.name] else {
        missing.append(pod)
        continue
      }
      if pod.podPhase == "Pending" || (isCPU && isStillStarting(pod, use)) { unready.append(pod) } else { ready.append((pod, use.milli)) }
    }
    guard !ready.isEmpty else { return nil }
    func ratio(_ counted: [(pod: JSON, milli: Int64)]) -> (ratio: Double, current: Int64)? {
      let total = counted.reduce(Int64(0)) { $0 + $1.milli }
      if let targetAverage { return (Double(total) / Double(counted.count) / Double(targetAverage), total / Int64(counted.count)) }
      var requests: Int64 = 0
      for (pod, _) in counted {
        guard let request = request(pod) else { return nil }
        requests += request
      }
      guard requests > 0, let targetUtilization else { return nil }
      let utilization = total * 100 / requests
      return (Double(utilization) / Double(targetUtilization), utilization)
    }
    guard let first = ratio(ready) else { return nil }
    let average = ready.reduce(Int64(0)) { $0 + $1.milli } / Int64(ready.count)
    let grows = first.ratio > 1
    if unready.isEmpty || !grows, missing.isEmpty {
      return (isNearOne(first.ratio) ? present : Int((first.ratio * Double(ready.count)).rounded(.up)), first.current, average)
    }
    // What is not known is assumed to speak against the change.
    var counted = ready
    for pod in missing {
      let share = targetAverage ?? (request(pod) ?? 0) * Int64(targetUtilization ?? 0) / 100
      if first.ratio < 1 {
        counted.append((pod, targetAverage == nil ? max(share, request(pod) ?? 0) : share))
      } else if grows {
        counted.append((pod, 0))
      }
    }
    if grows { counted += unready.map { ($0, 0) } }
    guard let second = ratio(counted), !isNearOne(second.ratio), grows == (second.ratio > 1) else {
      return (present, first.current, average)
    }
    let wanted = Int((second.ratio * Double(counted.count)).rounded(.up))
    if grows ? wanted < present : wanted > present { return (present, first.current, average) }
    return (wanted, first.current, average)
  }

  /// The wanted number of pods where one number for all of them is to be as large as a target, both in thousandths.
  func replicas(value: Int64, target: Int64, present: Int, ready: Int) -> Int {
    let ratio = Double(value) / Double(target)
    guard present > 0 else { return Int(ratio.rounded(.up)) }
    return isNearOne(ratio) ? present : Int((ratio * Double(ready)).rounded(.up))
  }

  /// The wanted number of pods where each is to have a share of a number as large as a target, both in thousandths.
  func replicas(sharing value: Int64, among replicas: Int, target: Int64) -> Int {
    if replicas > 0, isNearOne(Double(value) / (Double(target) * Double(replicas))) { return replicas }
    return Int((Double(value) / Double(target)).rounded(.up))
  }

  package func isNearOne(_ ratio: Double) -> Bool { ratio >= 1 - tolerance.down && ratio <= 1 + tolerance.up }

  private func isStillStarting(_ pod: JSON, _ use: PodUsage) -> Bool {
    guard let start = pod["status"]["startTime"].timestamp, let condition = pod.condition("Ready") else { return true }
    let changed = condition["lastTransitionTime"].timestamp ?? start
    if now.seconds(since: start) < Self.cpuInitialization {
      return condition["status"].string == "False" || use.at < changed.advanced(bySeconds: use.windowSeconds)
    }
    return condition["status"].string == "False" && changed < start.advanced(bySeconds: Self.initialReadinessDelay)
  }
}
