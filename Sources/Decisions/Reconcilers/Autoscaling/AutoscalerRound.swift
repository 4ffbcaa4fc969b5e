import JSONCodec
import KubernetesAPI

/// One look at a HorizontalPodAutoscaler, its target and its metrics: the size that the target gets, and the status.
package struct AutoscalerRound: Sendable {
  /// What the metrics API told for a metric of the spec.
  package enum Reading: Sendable {
    /// What each pod uses, or each pod's own metric.
    case usage([PodUsage])
    /// One number for all of it, in thousandths.
    case value(milli: Int64)
    case failed(String)
  }

  let autoscaler: JSON
  let now: Timestamp
  private var draft: StatusDraft
  package private(set) var history: AutoscalerHistory
  /// The size that the target is given; nil: it keeps its own.
  package private(set) var rescale: (replicas: Int, reason: String)?
  private var events: [Write] = []

  package init(_ autoscaler: JSON, history: AutoscalerHistory, now: Timestamp) {
    self.autoscaler = autoscaler
    self.now = now
    self.history = history
    draft = StatusDraft(autoscaler)
    draft.number("observedGeneration", autoscaler.meta.generation)
  }

  package var writes: [Write] { events + draft.write(.autoscaler, autoscaler) }

  private mutating func set(_ type: String, _ status: Bool, _ reason: String, _ message: String) {
    draft.set(condition: type, status, reason, message, now: now, refreshes: true)
  }

  /// The target could not be read.
  package mutating func failed(target message: String) {
    set("AbleToScale", false, "FailedGetScale", "the HPA controller was unable to get the target's current scale: \(message)")
    events.append(.warning(.autoscaler, autoscaler, "FailedGetScale", message))
  }

  /// The target could not be given its size.
  package mutating func failed(rescale message: String) {
    set("AbleToScale", false, "FailedUpdateScale", "the HPA controller was unable to update the target scale: \(message)")
    events = [.warning(.autoscaler, autoscaler, "FailedRescale", message)]
    draft["desiredReplicas"] = draft["currentReplicas"]
  }

  /// `readings` are the metrics of the spec in their order; `pods` are those of the target.
  package mutating func decide(scale: JSON, pods: [JSON], readings: [Reading]) {
    let present = scale["spec"]["replicas"].int ?? 0
    let spec = autoscaler["spec"]
    set("AbleToScale", true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
    draft.count("currentReplicas", scale["status"]["replicas"].int ?? 0)
    let (least, most) = (spec["minReplicas"].int ?? 1, spec["maxReplicas"].int ?? 1)
    if present == 0, least != 0 {
      set("ScalingActive", false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
      return draft.number("desiredReplicas", 0)
    }
    if present > most || present < least {
      return apply(
        present > most ? most : least, present,
        present > most ? "Current number of replicas above Spec.MaxReplicas" : "Current number of replicas below Spec.MinReplicas")
    }
    guard let wanted = proposal(scale, pods, readings) else { return draft.number("desiredReplicas", present) }
    let limited = AutoscalerBehavior(spec, now: now).limited(wanted.replicas, present: present, &history)
    set("ScalingLimited", limited.isLimited, limited.reason, limited.message)
    apply(limited.replicas, present, limited.replicas > present ? "\(wanted.metric) above target" : "All metrics below target")
  }

  private mutating func apply(_ replicas: Int, _ present: Int, _ reason: String) {
    draft.number("desiredReplicas", replicas)
    guard replicas != present else {
      return set("AbleToScale", true, "ReadyForNewScale", "recommended size matches current size")
    }
    rescale = (replicas, reason)
    history.changes.append((now, replicas - present))
    draft["lastScaleTime"] = .string(now.rfc3339)
    set("AbleToScale", true, "SucceededRescale", "the HPA controller was able to update the target scale to \(replicas)")
    events.append(.event(.autoscaler, autoscaler, "SuccessfulRescale", "New size: \(replicas); reason: \(reason)"))
  }

  /// The highest size that any metric asks for. A metric that is missing forbids to go down.
  private mutating func proposal(_ scale: JSON, _ pods: [JSON], _ readings: [Reading]) -> (replicas: Int, metric: String)? {
    let present = scale["spec"]["replicas"].int ?? 0
    var best: (replicas: Int, metric: String)?
    var current: [JSON] = []
    var problem: (reason: String, message: String)?
    for (json, reading) in zip(autoscaler["spec"]["metrics"].array ?? [], readings) {
      guard let metric = AutoscalerMetric(json) else {
        problem = ("InvalidMetricSourceType", "unknown metric source type \"\(json["type"].string ?? "")\"")
        continue
      }
      let answer: (replicas: Int, current: JSON)?
      switch reading {
      case .failed(let message):
        problem = (metric.failureReason, message)
        continue
      case .usage(let usage): answer = counted(metric, usage, present, pods)
      case .value(let milli): answer = measured(metric, milli, scale, pods)
      }
      guard let answer else {
        let reason =
          metric.isResource
          ? "did not receive metrics for targeted pods (pods might be unready), or a pod has no request for \(metric.name)"
          : "unable to get metric \(metric.name): no value for any pod"
        problem = (metric.failureReason, reason)
        continue
      }
      current.append(metric.status(current: answer.current))
      if best == nil || answer.replicas > best!.replicas { best = (answer.replicas, metric.title) }
    }
    draft["currentMetrics"] = current.isEmpty ? .null : .array(current)
    if let problem, best == nil || best!.replicas < present {
      set("ScalingActive", false, problem.reason, "the HPA was unable to compute the replica count: \(problem.message)")
      events.append(.warning(.autoscaler, autoscaler, problem.reason, problem.message))
      return nil
    }
    if let best {
      set("ScalingActive", true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from \(best.metric)")
    }
    return best
  }

  private func math(isCPU: Bool) -> AutoscalerMath {
    let behavior = autoscaler["spec"]["behavior"]
    let tolerances = ["scaleUp", "scaleDown"].map { direction in
      behavior[direction]["tolerance"].quantity.map { Double($0.milliValue) / 1000 } ?? AutoscalerMath.tolerance
    }
    return AutoscalerMath(isCPU: isCPU, now: now, tolerance: (tolerances[0], tolerances[1]))
  }

  /// From what each pod uses; nil where no pod can be counted.
  private func counted(_ metric: AutoscalerMetric, _ usage: [PodUsage], _ present: Int, _ pods: [JSON]) -> (replicas: Int, current: JSON)? {
    let utilization = metric.isResource ? metric.target["averageUtilization"].int : nil
    let counted = math(isCPU: metric.isResource && metric.name == "cpu").replicas(
      present: present, pods: pods, usage: usage, request: { Self.request($0, metric.name, metric.container) },
      targetUtilization: utilization, targetAverage: metric.targetAverage)
    return counted.map { counted in
      var current: JSON = ["averageValue": .string(Quantity(milli: counted.average).text)]
      if utilization != nil { current["averageUtilization"] = JSON(Int(counted.current)) }
      return (counted.replicas, current)
    }
  }

  /// From one number: for all pods together, or for each its share.
  private func measured(_ metric: AutoscalerMetric, _ milli: Int64, _ scale: JSON, _ pods: [JSON]) -> (replicas: Int, current: JSON)? {
    let math = math(isCPU: false)
    if let target = metric.targetAverage, metric.source == .external || metric.targetValue == nil {
      let replicas = scale["status"]["replicas"].int ?? 0
      let share = replicas > 0 ? Int64((Double(milli) / Double(replicas)).rounded(.up)) : 0
      return (math.replicas(sharing: milli, among: replicas, target: target), ["averageValue": .string(Quantity(milli: share).text)])
    }
    guard let target = metric.targetValue else { return nil }
    let replicas = math.replicas(
      value: milli, target: target, present: scale["spec"]["replicas"].int ?? 0,
      ready: pods.count { $0.podPhase == "Running" && $0.isReadyPod })
    return (replicas, ["value": .string(Quantity(milli: milli).text)])
  }

  /// What a pod's containers, or one of them, request in thousandths; nil where one does not.
  private static func request(_ pod: JSON, _ resource: String, _ container: String?) -> Int64? {
    var total: Int64 = 0
    for json in pod["spec"]["containers"].array ?? [] where container == nil || json["name"].string == container {
      guard let request = json["resources"]["requests"][resource].quantity else { return nil }
      total += request.milliValue
    }
    return total
  }
}
