import JSONCodec
import KubernetesAPI

/// One look at a HorizontalPodAutoscaler, its target and its metrics: the size that the target gets, and the status.
package struct AutoscalerRound: Sendable {
  /// What the metrics API told for a metric of the spec.
  package enum Reading: Sendable {
    case usage([PodUsage])
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
    guard let wanted = proposal(present, pods, readings) else { return draft.number("desiredReplicas", present) }
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
  private mutating func proposal(_ present: Int, _ pods: [JSON], _ readings: [Reading]) -> (replicas: Int, metric: String)? {
    var best: (replicas: Int, metric: String)?
    var current: [JSON] = []
    var problem: (reason: String, message: String)?
    for (metric, reading) in zip(autoscaler["spec"]["metrics"].array ?? [], readings) {
      let source = metric["type"].string == "ContainerResource" ? metric["containerResource"] : metric["resource"]
      let resource = source["name"].string ?? ""
      let reason = metric["type"].string == "ContainerResource" ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric"
      guard case .usage(let usage) = reading else {
        if case .failed(let message) = reading {
          problem = (["Resource", "ContainerResource"].contains(metric["type"].string) ? reason : "InvalidMetricSourceType", message)
        }
        continue
      }
      let target = source["target"]
      let tolerance = (
        autoscaler["spec"]["behavior"]["scaleUp"]["tolerance"].quantity.map { Double($0.milliValue) / 1000 } ?? AutoscalerMath.tolerance,
        autoscaler["spec"]["behavior"]["scaleDown"]["tolerance"].quantity.map { Double($0.milliValue) / 1000 } ?? AutoscalerMath.tolerance
      )
      let math = AutoscalerMath(isCPU: resource == "cpu", now: now, tolerance: tolerance)
      let container = source["container"].string
      let counted = math.replicas(
        present: present, pods: pods, usage: usage, request: { Self.request($0, resource, container) },
        targetUtilization: target["averageUtilization"].int, targetAverage: target["averageValue"].quantity?.milliValue)
      guard let counted else {
        problem = (reason, "did not receive metrics for targeted pods (pods might be unready), or a pod has no request for \(resource)")
        continue
      }
      let value = Quantity(milli: counted.average).text
      var status: JSON = ["name": .string(resource), "container": JSON(container), "current": ["averageValue": .string(value)]]
      if target["averageUtilization"].int != nil { status["current"]["averageUtilization"] = JSON(Int(counted.current)) }
      current.append(["type": metric["type"], container == nil ? "resource" : "containerResource": status])
      if best == nil || counted.replicas > best!.replicas {
        best = (counted.replicas, "\(resource) resource utilization (percentage of request)")
      }
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
