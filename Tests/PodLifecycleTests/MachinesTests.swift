import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

@Suite struct BackoffTests {
  @Test func crashesDoubleUpToFiveMinutes() {
    var backoff = CrashBackoff()
    #expect(backoff.retryAt(finishedAt: at(1), now: at(1)) == nil)
    var time = 1.0
    var pauses: [Double] = []
    for _ in 0..<8 {
      backoff.restarted(at: at(time), lastFinishedAt: at(time))
      let end = time + 1
      let retry = backoff.retryAt(finishedAt: at(end), now: at(end))!
      pauses.append(retry.seconds(since: at(end)))
      time = end + pauses.last!
    }
    #expect(pauses == [10, 20, 40, 80, 160, 300, 300, 300])
  }

  @Test func aLongRunForgets() {
    var backoff = CrashBackoff()
    backoff.restarted(at: at(0), lastFinishedAt: at(0))
    backoff.restarted(at: at(20), lastFinishedAt: at(1))
    #expect(backoff.seconds == 20)
    #expect(backoff.retryAt(finishedAt: at(620), now: at(620)) == nil)
    backoff.restarted(at: at(620), lastFinishedAt: at(620))
    #expect(backoff.seconds == 10)
  }

  @Test(arguments: [(1, 10.0), (2, 20), (3, 40), (9, 300)]) func aNewAgentAssumesAChain(restarts: Int, seconds: Double) {
    #expect(CrashBackoff(restarts: restarts, lastStartedAt: t0).seconds == seconds)
    #expect(CrashBackoff(restarts: 0, lastStartedAt: t0).seconds == nil)
  }

  @Test func imagePulls() {
    var backoff = RetryBackoff.imagePull
    let pauses = (0..<7).map { _ in backoff.failed(at: t0).seconds(since: t0) }
    #expect(pauses == [10, 20, 40, 80, 160, 300, 300])
    backoff.succeeded()
    #expect(backoff.failed(at: t0) == at(10))
  }

  @Test(arguments: [(10.0, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")]) func durations(seconds: Double, text: String) {
    #expect(goDuration(seconds: seconds) == text)
  }
}

@Suite struct TerminationTests {
  @Test func deadlinesShrinkAndNeverGrow() {
    var state = PodTermination.syncing
    #expect(state.request(.deleted, graceSeconds: 30, now: t0) == .begin(deadline: at(30)))
    #expect(state.request(.deleted, graceSeconds: 60, now: at(1)) == .none)
    #expect(state == .terminating(deadline: at(30), cause: .deleted))
    #expect(state.request(.deleted, graceSeconds: 5, now: at(2)) == .shorten(deadline: at(7)))
    #expect(state.request(.deleted, graceSeconds: 0, now: at(3)) == .shorten(deadline: at(3)))
    state.stopped()
    #expect(state == .terminated(cause: .deleted))
    #expect(state.request(.deleted, graceSeconds: 0, now: at(4)) == .none)
  }

  @Test func theFirstCauseStands() {
    var state = PodTermination.syncing
    _ = state.request(.evicted(reason: "Evicted", message: "low"), graceSeconds: 30, now: t0)
    _ = state.request(.deleted, graceSeconds: 1, now: at(1))
    #expect(state.cause == .evicted(reason: "Evicted", message: "low"))
  }

  @Test func killsWithoutGraceAreImmediate() {
    let (machine, action) = KillMachine.begin(hasHook: true, deadline: t0, now: t0)
    #expect(action == .sendKill)
    #expect(machine.state == .killed)
  }

  @Test func hookThenSignalThenKill() {
    var (machine, action) = KillMachine.begin(hasHook: true, deadline: at(30), now: t0)
    #expect(action == .runHook(deadline: at(30)))
    #expect(machine.hookFinished(now: at(4)) == .sendStopSignal(killAt: at(30)))
    #expect(machine.hookFinished(now: at(4)) == .none)
    #expect(machine.deadlinePassed(now: at(20)) == .rearm(at(30)))
    #expect(machine.deadlinePassed(now: at(30)) == .sendKill)
    #expect(machine.deadlinePassed(now: at(31)) == .none)
  }

  @Test func aHookThatTakesAllTheGraceLeavesTwoSeconds() {
    var (machine, _) = KillMachine.begin(hasHook: true, deadline: at(30), now: t0)
    #expect(machine.hookFinished(now: at(30)) == .sendStopSignal(killAt: at(32)))
  }

  @Test func shorten() {
    var (machine, _) = KillMachine.begin(hasHook: false, deadline: at(30), now: t0)
    #expect(machine.shorten(to: at(40), now: at(1)) == .none)
    #expect(machine.shorten(to: at(10), now: at(1)) == .rearm(at(10)))
    #expect(machine.shorten(to: at(2), now: at(2)) == .sendKill)
  }
}

@Suite struct ProbeMachineTests {
  func machine(_ kind: ProbeKind, _ spec: JSON = [:]) -> ProbeMachine { ProbeMachine(kind: kind, spec: ProbeSpec(spec), startedAt: t0) }

  @Test func defaults() {
    let spec = ProbeSpec(["exec": ["command": ["true"]], "timeoutSeconds": 0])
    #expect(spec.period == 10 && spec.timeout == 1 && spec.successThreshold == 1 && spec.failureThreshold == 3 && spec.initialDelay == 0)
  }

  @Test func livenessCondemnsAfterTheThreshold() {
    var probe = machine(.liveness, ["failureThreshold": 2, "initialDelaySeconds": 5, "periodSeconds": 3])
    #expect(probe.due(isStarted: true) == at(5))
    #expect(probe.due(isStarted: false) == nil)
    #expect(probe.record(.failure, at: at(5)) == .unchanged)
    #expect(probe.due(isStarted: true) == at(8))
    #expect(probe.record(.success, at: at(8)) == .unchanged)
    #expect(probe.record(.failure, at: at(11)) == .unchanged)
    #expect(probe.record(.unknown, at: at(14)) == .unchanged)
    #expect(probe.record(.failure, at: at(17)) == .condemns)
    #expect(probe.due(isStarted: true) == nil)
    #expect(probe.record(.failure, at: at(20)) == .unchanged)
  }

  @Test func readinessGoesBothWays() {
    var probe = machine(.readiness, ["failureThreshold": 2, "successThreshold": 2])
    #expect(!probe.isPassing)
    #expect(probe.record(.success, at: at(0)) == .unchanged)
    #expect(probe.record(.success, at: at(10)) == .passes)
    #expect(probe.record(.failure, at: at(20)) == .unchanged)
    #expect(probe.isPassing)
    #expect(probe.record(.failure, at: at(30)) == .fails)
    #expect(probe.record(.failure, at: at(40)) == .unchanged)
    #expect(probe.due(isStarted: true) == at(50))
  }

  @Test func startupPassesOnceAndIsOver() {
    var probe = machine(.startup, ["failureThreshold": 30])
    #expect(probe.due(isStarted: false) == t0)
    #expect(probe.record(.failure, at: at(0)) == .unchanged)
    #expect(probe.record(.success, at: at(10)) == .passes)
    #expect(probe.due(isStarted: true) == nil)
  }

  @Test func startupThatNeverPassesCondemns() {
    var probe = machine(.startup, ["failureThreshold": 1])
    #expect(probe.record(.failure, at: at(0)) == .condemns)
    #expect(!probe.isPassing)
  }

  @Test func aNewAgentTakesOverWhatHeld() {
    let ready = ProbeMachine(kind: .readiness, spec: ProbeSpec([:]), startedAt: t0, wasPassing: true)
    #expect(ready.isPassing)
    let started = ProbeMachine(kind: .startup, spec: ProbeSpec([:]), startedAt: t0, wasPassing: true)
    #expect(started.isPassing && started.due(isStarted: true) == nil)
  }
}

@Suite struct CgroupValuesTests {
  static let gigabyte: Int64 = 1 << 30

  @Test(arguments: [(Int64(0), Int64(2)), (1, 2), (2, 2), (100, 102), (1000, 1024), (500_000, 262_144)])
  func shares(milli: Int64, shares: Int64) { #expect(CgroupValues.shares(milliCPU: milli) == shares) }

  @Test(arguments: [(Int64(2), Int64(1)), (102, 4), (1024, 39), (262_144, 10_000)])
  func weights(shares: Int64, weight: Int64) { #expect(CgroupValues.weight(shares: shares) == weight) }

  @Test(arguments: [(Int64(0), Int64?.none), (5, 1000), (10, 1000), (100, 10_000), (2500, 250_000)])
  func quotas(milli: Int64, quota: Int64?) { #expect(CgroupValues.quota(milliCPU: milli) == quota) }

  @Test func aBurstableContainer() {
    let json = container("app", ["resources": ["requests": ["memory": "256Mi"], "limits": ["cpu": "500m", "memory": "512Mi"]]])
    let pod = makePod([json])
    let values = CgroupValues(container: Container(json), pod: pod, nodeMemoryBytes: Self.gigabyte)
    #expect(values.cpuQuotaMicros == 50_000)
    #expect(values.cpuWeight == CgroupValues.weight(shares: 512))
    #expect(values.memoryMax == 512 << 20)
    #expect(values.oomScoreAdj == 750)
  }

  @Test func scoresOfTheOtherClasses() {
    let best = makePod()
    #expect(CgroupValues.oomScoreAdj(container: best.spec.containers[0], pod: best, nodeMemoryBytes: Self.gigabyte) == 1000)
    let limits: JSON = ["resources": ["limits": ["cpu": "1", "memory": "1Gi"], "requests": ["cpu": "1", "memory": "1Gi"]]]
    let guaranteed = makePod([container("app", limits)])
    #expect(CgroupValues.oomScoreAdj(container: guaranteed.spec.containers[0], pod: guaranteed, nodeMemoryBytes: Self.gigabyte) == -997)
    let critical = makePod(spec: ["priority": 2_000_001_000])
    #expect(CgroupValues.oomScoreAdj(container: critical.spec.containers[0], pod: critical, nodeMemoryBytes: Self.gigabyte) == -997)
  }

  @Test func aPodIsLimitedOnlyWhereAllItsContainersAre() {
    let limited = container("a", ["resources": ["limits": ["cpu": "200m", "memory": "100Mi"]]])
    let both = CgroupValues(pod: makePod([limited, limited]), nodeMemoryBytes: Self.gigabyte)
    #expect(both.cpuQuotaMicros == 40_000)
    #expect(both.memoryMax == 200 << 20)
    let one = CgroupValues(pod: makePod([limited, container("b")]), nodeMemoryBytes: Self.gigabyte)
    #expect(one.cpuQuotaMicros == nil && one.memoryMax == nil)
    let initial = container("i", ["resources": ["limits": ["cpu": "1", "memory": "1Gi"]]])
    let withInit = CgroupValues(pod: makePod([limited], initial: [initial]), nodeMemoryBytes: Self.gigabyte)
    #expect(withInit.cpuQuotaMicros == 100_000)
    #expect(withInit.memoryMax == 1 << 30)
  }
}

@Suite struct StatusPatchTests {
  @Test func nothingChanged() {
    let status: JSON = ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]
    #expect(podStatusPatch(uid: "u", from: status, to: status) == nil)
    var withNull = status
    withNull["conditions"] = .array([.object(JSONObject([("type", "Ready"), ("lastProbeTime", .null), ("status", "True")]))])
    #expect(podStatusPatch(uid: "u", from: withNull, to: status) == nil)
  }

  @Test func onlyWhatChangedIsSent() {
    let old: JSON = [
      "phase": "Pending", "qosClass": "BestEffort", "message": "old",
      "conditions": [["type": "PodScheduled", "status": "True"], ["type": "Ready", "status": "False", "reason": "X"], ["type": "Gone"]],
    ]
    let new: JSON = [
      "phase": "Running", "qosClass": "BestEffort", "podIPs": [["ip": "1.2.3.4"]],
      "conditions": [["type": "Ready", "status": "True"], ["type": "PodScheduled", "status": "True"]],
    ]
    let patch = podStatusPatch(uid: "u", from: old, to: new)!
    #expect(patch["metadata"] == ["uid": "u"])
    let status = patch["status"]
    #expect(status["phase"] == "Running")
    #expect(status.object!["message"] == JSON.null)
    #expect(status["qosClass"].isNull)
    #expect(status["podIPs"] == [["ip": "1.2.3.4"]])
    #expect(status["$setElementOrder/conditions"] == [["type": "Ready"], ["type": "PodScheduled"]])
    let items = status["conditions"].array!
    #expect(items.count == 2)
    #expect(items[0].object!["reason"] == JSON.null)
    #expect(items[1] == ["$patch": "delete", "type": "Gone"])
  }
}
