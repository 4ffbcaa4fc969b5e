import JSONCodec
import KubernetesAPI
import Testing

@testable import Reconcilers

private let now = Timestamp(rfc3339: "2026-11-23T10:00:00Z")!

private func pod(_ name: String, request: String = "100m", phase: String = "Running", ready: Bool = true, age: Double = 3600) -> JSON {
  let start = now.advanced(bySeconds: -age).rfc3339
  return [
    "metadata": ["name": .string(name)], "spec": ["containers": [["name": "c", "resources": ["requests": ["cpu": .string(request)]]]]],
    "status": [
      "phase": .string(phase), "startTime": .string(start),
      "conditions": [["type": "Ready", "status": ready ? "True" : "False", "lastTransitionTime": .string(start)]],
    ],
  ]
}

private func use(_ name: String, _ milli: Int64) -> PodUsage { PodUsage(pod: name, milli: milli, at: now, windowSeconds: 30) }

private func autoscaler(_ target: Int, max: Int = 10, behavior: JSON = .null) -> JSON {
  [
    "metadata": ["name": "h"],
    "spec": [
      "minReplicas": 1, "maxReplicas": JSON(max), "behavior": behavior,
      "metrics": [
        ["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": JSON(target)]]]
      ],
    ],
  ]
}

private func scale(_ replicas: Int) -> JSON { ["spec": ["replicas": JSON(replicas)], "status": ["replicas": JSON(replicas)]] }

@Suite struct AutoscalerTests {
  /// The example that this project began with: 70 % wanted, 220 % measured.
  @Test func threeMorePods() {
    var round = AutoscalerRound(autoscaler(70), history: AutoscalerHistory(), now: now)
    round.decide(scale: scale(1), pods: [pod("a")], readings: [.usage([use("a", 220)])])
    #expect(round.rescale?.replicas == 4)
    guard case .update(_, let written, let subresource)? = round.writes.last else {
      Issue.record("no status")
      return
    }
    #expect(subresource == "status" && written["status"]["desiredReplicas"].int == 4)
    #expect(written["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"].int == 220)
    #expect(written.condition("ScalingActive")?["reason"].string == "ValidMetricFound")
    #expect(written.condition("AbleToScale")?["reason"].string == "SucceededRescale")
  }

  private func wanted(_ pods: [JSON], _ used: [Int64?], target: Int = 50) -> Int? {
    let usage = zip(pods, used).compactMap { pod, milli in milli.map { use(pod.objectName.name, $0) } }
    return AutoscalerMath(isCPU: true, now: now).replicas(
      present: pods.count, pods: pods, usage: usage,
      request: { $0["spec"]["containers"][0]["resources"]["requests"]["cpu"].quantity?.milliValue },
      targetUtilization: target, targetAverage: nil)?.replicas
  }

  @Test func countsCarefully() {
    #expect(wanted([pod("a"), pod("b")], [53, 53]) == 2, "within the tolerance")
    #expect(wanted([pod("a"), pod("b")], [100, 100]) == 4)
    #expect(wanted([pod("a"), pod("b")], [10, 10]) == 1)
    #expect(wanted([pod("a"), pod("b")], [100, nil]) == 2, "what is unknown counts as idle when growing")
    #expect(wanted([pod("a"), pod("b"), pod("c")], [10, 10, nil]) == 3, "and as busy when shrinking")
    #expect(wanted([pod("a"), pod("b", ready: false, age: 10)], [100, 100]) == 2, "a starting pod's cpu does not count")
    #expect(wanted([pod("a")], [nil]) == nil)
  }

  @Test func staysWithinItsBounds() {
    var history = AutoscalerHistory()
    let behavior = AutoscalerBehavior(autoscaler(50, max: 6)["spec"], now: now)
    let up = behavior.limited(20, present: 5, &history)
    #expect(up.replicas == 6 && up.reason == "TooManyReplicas" && up.isLimited)
    history = AutoscalerHistory()
    let fast = AutoscalerBehavior(autoscaler(50, max: 100)["spec"], now: now).limited(90, present: 10, &history)
    #expect(fast.replicas == 20 && fast.reason == "ScaleUpLimit", "twice the size, or four more, in 15 s")
  }

  @Test func goesDownOnlyWhenItWasLowForLong() {
    var history = AutoscalerHistory()
    let spec = autoscaler(50)["spec"]
    func at(_ seconds: Double, _ wanted: Int, present: Int) -> Int {
      AutoscalerBehavior(spec, now: now.advanced(bySeconds: seconds)).limited(wanted, present: present, &history).replicas
    }
    #expect(at(0, 8, present: 8) == 8)
    #expect(at(15, 2, present: 8) == 8)
    #expect(at(200, 4, present: 8) == 8)
    #expect(at(301, 2, present: 8) == 4, "the highest of the last five minutes")
  }

  @Test func policiesLimitThePace() {
    let spec = autoscaler(
      50, max: 100,
      behavior: [
        "scaleUp": ["policies": [["type": "Pods", "value": 2, "periodSeconds": 60]]],
        "scaleDown": ["stabilizationWindowSeconds": 0, "selectPolicy": "Disabled"],
      ])["spec"]
    var history = AutoscalerHistory()
    #expect(AutoscalerBehavior(spec, now: now).limited(50, present: 10, &history).replicas == 12)
    history.changes.append((now, 2))
    #expect(AutoscalerBehavior(spec, now: now.advanced(bySeconds: 30)).limited(50, present: 12, &history).replicas == 12)
    #expect(AutoscalerBehavior(spec, now: now.advanced(bySeconds: 61)).limited(50, present: 12, &history).replicas == 14)
    #expect(AutoscalerBehavior(spec, now: now).limited(1, present: 12, &history).replicas == 12)
  }

  @Test func sayWhatIsMissing() {
    var round = AutoscalerRound(autoscaler(70), history: AutoscalerHistory(), now: now)
    round.decide(scale: scale(2), pods: [pod("a"), pod("b")], readings: [.failed("no metrics API")])
    #expect(round.rescale == nil)
    guard case .update(_, let written, _)? = round.writes.last else {
      Issue.record("no status")
      return
    }
    #expect(written.condition("ScalingActive")?["reason"].string == "FailedGetResourceMetric")
  }

  private func decided(_ metric: JSON, _ reading: AutoscalerRound.Reading, present: Int, ready: Int? = nil, least: Int = 1) -> (
    replicas: Int?, status: JSON
  ) {
    var object = autoscaler(50, max: 100)
    object["spec"]["metrics"] = [metric]
    object["spec"]["minReplicas"] = JSON(least)
    object["spec"]["behavior"] = [
      "scaleDown": ["stabilizationWindowSeconds": 0], "scaleUp": ["policies": [["type": "Pods", "value": 100, "periodSeconds": 15]]],
    ]
    var round = AutoscalerRound(object, history: AutoscalerHistory(), now: now)
    round.decide(scale: scale(present), pods: (0..<(ready ?? present)).map { pod("p\($0)") }, readings: [reading])
    guard case .update(_, let written, _)? = round.writes.last else { return (nil, .null) }
    return (round.rescale?.replicas, written["status"])
  }

  @Test func podsOwnMetricsAreAveraged() {
    let metric: JSON = [
      "type": "Pods", "pods": ["metric": ["name": "requests"], "target": ["type": "AverageValue", "averageValue": "10"]],
    ]
    let more = decided(metric, .usage([use("p0", 15_000), use("p1", 25_000)]), present: 2)
    #expect(more.replicas == 4)
    #expect(
      more.status["currentMetrics"][0] == ["type": "Pods", "pods": ["metric": ["name": "requests"], "current": ["averageValue": "20"]]])
    #expect(decided(metric, .usage([use("p0", 9_500), use("p1", 10_500)]), present: 2).replicas == nil, "as wanted")
    // A pod that says nothing counts as idle on the way up, and as it should be on the way down.
    #expect(decided(metric, .usage([use("p0", 15_000), use("p1", 25_000)]), present: 3).replicas == 4)
    #expect(decided(metric, .usage([use("p0", 2_000), use("p1", 2_000)]), present: 3).replicas == 2)
  }

  @Test func oneNumberForAllPods() {
    let described: JSON = ["apiVersion": "v1", "kind": "Service", "name": "web"]
    var metric: JSON = [
      "type": "Object",
      "object": ["describedObject": described, "metric": ["name": "hits"], "target": ["type": "Value", "value": "100"]],
    ]
    let more = decided(metric, .value(milli: 250_000), present: 2)
    #expect(more.replicas == 5)
    let told = more.status["currentMetrics"][0]["object"]
    #expect(told["describedObject"] == described && told["current"] == ["value": "250"])
    #expect(decided(metric, .value(milli: 250_000), present: 4, ready: 2).replicas == 5, "only pods that are ready carry it")
    #expect(decided(metric, .value(milli: 105_000), present: 2).replicas == nil)
    metric["object"]["target"] = ["type": "AverageValue", "averageValue": "100"]
    let shared = decided(metric, .value(milli: 250_000), present: 2)
    #expect(shared.replicas == 3)
    #expect(shared.status["currentMetrics"][0]["object"]["current"] == ["averageValue": "125"])
  }

  @Test func fromNothingByWhatWaitsOutside() {
    let metric: JSON = [
      "type": "External", "external": ["metric": ["name": "queue"], "target": ["type": "AverageValue", "averageValue": "30"]],
    ]
    #expect(decided(metric, .value(milli: 70_000), present: 0, least: 0).replicas == 3)
    #expect(decided(metric, .value(milli: 0), present: 2, least: 0).replicas == 0)
    #expect(decided(metric, .value(milli: 70_000), present: 0, least: 1).status.isNull == false)
    #expect(decided(metric, .value(milli: 70_000), present: 0, least: 1).replicas == nil, "somebody has switched it off")
    let failed = decided(metric, .failed("no adapter"), present: 2, least: 0)
    let active = failed.status["conditions"].array?.first { $0["type"].string == "ScalingActive" }
    #expect(failed.replicas == nil && active?["reason"].string == "FailedGetExternalMetric")
  }

  @Test func oneContainerDecides() {
    let metric: JSON = [
      "type": "ContainerResource",
      "containerResource": ["name": "cpu", "container": "c", "target": ["type": "Utilization", "averageUtilization": 50]],
    ]
    let more = decided(metric, .usage([use("p0", 100)]), present: 1)
    #expect(more.replicas == 2)
    #expect(
      more.status["currentMetrics"][0]["containerResource"]
        == ["name": "cpu", "container": "c", "current": ["averageUtilization": 100, "averageValue": "100m"]])
  }
}
