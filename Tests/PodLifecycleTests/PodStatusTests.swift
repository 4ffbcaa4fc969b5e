import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

struct PhaseCase: CustomTestStringConvertible, Sendable {
  let name: String
  let pod: Pod
  let observed: PodObservation
  let expected: PodPhase
  var testDescription: String { name }
}

@Suite struct PodPhaseTests {
  static let two = [container("a"), container("b")]
  static let initial = [container("init")]
  static let sidecar = [container("proxy", ["restartPolicy": "Always"])]

  static let cases: [PhaseCase] = [
    PhaseCase(name: "nothing yet", pod: makePod(), observed: PodObservation(), expected: .pending),
    PhaseCase(name: "one of two started", pod: makePod(two), observed: standing(["a": .running()]), expected: .pending),
    PhaseCase(name: "both started", pod: makePod(two), observed: standing(["a": .running(), "b": .running()]), expected: .running),
    PhaseCase(name: "init runs", pod: makePod(initial: initial), observed: standing(["init": .running()]), expected: .pending),
    PhaseCase(
      name: "init fails, will be retried", pod: makePod(initial: initial), observed: standing(["init": .exited(1)]), expected: .pending),
    PhaseCase(
      name: "init fails for good", pod: makePod(initial: initial, restartPolicy: "Never"), observed: standing(["init": .exited(1)]),
      expected: .failed),
    PhaseCase(name: "Always: between two runs", pod: makePod(), observed: standing(["app": .exited(0)]), expected: .running),
    PhaseCase(
      name: "OnFailure: all succeeded", pod: makePod(two, restartPolicy: "OnFailure"),
      observed: standing(["a": .exited(0), "b": .exited(0)]), expected: .succeeded),
    PhaseCase(
      name: "OnFailure: one failed, will restart", pod: makePod(two, restartPolicy: "OnFailure"),
      observed: standing(["a": .exited(0), "b": .exited(1)]), expected: .running),
    PhaseCase(
      name: "Never: one failed", pod: makePod(two, restartPolicy: "Never"), observed: standing(["a": .exited(0), "b": .exited(1)]),
      expected: .failed),
    PhaseCase(
      name: "Never: one still runs", pod: makePod(two, restartPolicy: "Never"), observed: standing(["a": .exited(1), "b": .running()]),
      expected: .running),
    PhaseCase(
      name: "the end waits for the sidecar", pod: makePod(initial: sidecar, restartPolicy: "Never", status: ["phase": "Running"]),
      observed: standing(["proxy": .running(), "app": .exited(0)]), expected: .running),
    PhaseCase(
      name: "and comes with it", pod: makePod(initial: sidecar, restartPolicy: "Never", status: ["phase": "Running"]),
      observed: standing(["proxy": .exited(143), "app": .exited(0)]), expected: .succeeded),
    PhaseCase(
      name: "past the deadline, still running", pod: makePod(status: ["phase": "Running"]),
      observed: standing(["app": .running()]).ending(at: 40, cause: .deadlineExceeded), expected: .running),
    PhaseCase(
      name: "past the deadline, stopped", pod: makePod(status: ["phase": "Running"]),
      observed: standing(["app": .exited(0)]).ending(at: 40, cause: .deadlineExceeded), expected: .failed),
    PhaseCase(
      name: "deleted, exit codes all zero", pod: makePod(),
      observed: standing(["app": .exited(0)]).with { $0.termination = .terminated(cause: .deleted) }, expected: .succeeded),
    PhaseCase(
      name: "deleted, killed", pod: makePod(),
      observed: standing(["app": .exited(137)]).with { $0.termination = .terminated(cause: .deleted) }, expected: .failed),
    PhaseCase(
      name: "deleted before it started", pod: makePod(), observed: PodObservation().with { $0.termination = .terminated(cause: .deleted) },
      expected: .failed),
    PhaseCase(
      name: "rejected", pod: makePod(),
      observed: PodObservation().with { $0.termination = .terminated(cause: .rejected(reason: "NodePorts", message: "taken")) },
      expected: .failed),
    PhaseCase(
      name: "a terminal phase stays", pod: makePod(status: ["phase": "Succeeded"]), observed: PodObservation(), expected: .succeeded),
  ]

  @Test(arguments: cases) func phase(_ row: PhaseCase) {
    #expect(podPhase(of: row.pod, observed: row.observed) == row.expected)
  }
}

@Suite struct PodStatusTests {
  func condition(_ status: JSON, _ type: String) -> JSON { status["conditions"].array!.first { $0["type"].string == type }! }

  @Test func aRunningPod() {
    let status = podStatus(of: makePod(), observed: standing(["app": .running(since: 2)]), now: at(3))
    #expect(status["phase"] == "Running")
    #expect(status["observedGeneration"] == 3)
    #expect(status["podIP"] == "10.244.0.5")
    #expect(status["podIPs"] == [["ip": "10.244.0.5"]])
    #expect(status["hostIPs"] == [["ip": "192.168.1.2"]])
    #expect(status["qosClass"] == "BestEffort")
    #expect(status["startTime"].string == t0.rfc3339)
    let types = status["conditions"].array!.map { $0["type"].string! }
    #expect(types == ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"])
    #expect(status["conditions"].array!.allSatisfy { $0["status"] == "True" && $0["observedGeneration"] == 3 })
    let container = status["containerStatuses"][0]
    #expect(container["state"] == ["running": ["startedAt": .string(at(2).rfc3339)]])
    #expect(container["lastState"] == .object(JSONObject()))
    #expect(container["ready"] == true)
    #expect(container["started"] == true)
    #expect(container["restartCount"] == 0)
    #expect(container["containerID"] == "swiftlet://c0")
    #expect(container["imageID"] == "sha256:1")
    #expect(container["resources"] == .object(JSONObject()))
  }

  @Test func waitingForTheFirstInitContainer() {
    let pod = makePod([container("b"), container("a")], initial: [container("init1"), container("init2")])
    let status = podStatus(of: pod, observed: standing([:]), now: at(1))
    #expect(status["initContainerStatuses"].array!.map { $0["name"].string! } == ["init1", "init2"])
    #expect(status["containerStatuses"].array!.map { $0["name"].string! } == ["a", "b"])
    for list in ["initContainerStatuses", "containerStatuses"] {
      for item in status[list].array! { #expect(item["state"] == ["waiting": ["reason": "PodInitializing"]]) }
    }
    let initialized = condition(status, "Initialized")
    #expect(initialized["status"] == "False")
    #expect(initialized["reason"] == "ContainersNotInitialized")
    #expect(initialized["message"] == "containers with incomplete status: [init1 init2]")
    #expect(condition(status, "Ready")["message"] == "containers with unready status: [b a]")
    #expect(condition(status, "ContainersReady")["reason"] == "ContainersNotReady")
  }

  @Test func withoutInitContainersItSaysContainerCreating() {
    let status = podStatus(of: makePod(), observed: PodObservation(), now: t0)
    #expect(status["containerStatuses"][0]["state"] == ["waiting": ["reason": "ContainerCreating"]])
    #expect(status["containerStatuses"][0]["started"] == false)
    #expect(condition(status, "PodReadyToStartContainers")["status"] == "False")
  }

  @Test func crashLoop() {
    var seen = ContainerObservation.exited(1, at: 5, attempt: 2)
    seen.crash = CrashBackoff(restarts: 2, lastStartedAt: at(4))
    let status = podStatus(of: makePod(), observed: standing(["app": seen]), now: at(6))
    let container = status["containerStatuses"][0]
    #expect(
      container["state"]["waiting"] == [
        "reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container=app pod=web_default(u-1)",
      ])
    #expect(container["lastState"]["terminated"]["exitCode"] == 1)
    #expect(container["lastState"]["terminated"]["reason"] == "Error")
    #expect(container["restartCount"] == 2)
    #expect(status["phase"] == "Running")
  }

  @Test(arguments: [(0, false, "Completed"), (1, false, "Error"), (137, true, "OOMKilled")])
  func terminatedReasons(code: Int, oom: Bool, reason: String) {
    var seen = ContainerObservation.exited(code)
    seen.run!.state = .exited(ContainerExit(code: code, isOutOfMemory: oom, finishedAt: at(5), message: "bye"))
    let status = podStatus(of: makePod(restartPolicy: "Never"), observed: standing(["app": seen]), now: at(6))
    let ended = status["containerStatuses"][0]["state"]["terminated"]
    #expect(ended["reason"].string == reason)
    #expect(ended["exitCode"].int == code)
    #expect(ended["message"] == "bye")
    #expect(ended["finishedAt"].string == at(5).rfc3339)
    #expect(status["containerStatuses"][0]["lastState"] == .object(JSONObject()))
  }

  @Test func finishedPodsAreNotReady() {
    let status = podStatus(
      of: makePod(initial: [container("i")], restartPolicy: "Never"), observed: standing(["i": .exited(0), "app": .exited(0)]), now: at(6))
    #expect(condition(status, "Ready")["reason"] == "PodCompleted")
    #expect(condition(status, "ContainersReady")["reason"] == "PodCompleted")
    #expect(condition(status, "Initialized")["reason"] == "PodCompleted")
    #expect(status["initContainerStatuses"][0]["ready"] == true)
    let failed = podStatus(of: makePod(restartPolicy: "Never"), observed: standing(["app": .exited(2)]), now: at(6))
    #expect(condition(failed, "Ready")["reason"] == "PodFailed")
  }

  @Test func readinessGates() {
    let gate: JSON = ["readinessGates": [["conditionType": "example.com/lb"], ["conditionType": "example.com/dns"]]]
    let other: JSON = ["type": "example.com/lb", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"]
    let pod = makePod(spec: gate, status: ["conditions": [other]])
    let status = podStatus(of: pod, observed: standing(["app": .running()]), now: at(1))
    #expect(status["conditions"][0] == other)
    let ready = condition(status, "Ready")
    #expect(ready["reason"] == "ReadinessGatesNotReady")
    #expect(
      ready["message"]
        == "the status of pod readiness gate \"example.com/lb\" is not \"True\", but False, corresponding condition of pod readiness gate \"example.com/dns\" does not exist."
    )
    #expect(condition(status, "ContainersReady")["status"] == "True")
  }

  @Test func probesDecideStartedAndReady() {
    let pod = makePod([container("app", ["readinessProbe": ["tcpSocket": ["port": 80]], "startupProbe": ["tcpSocket": ["port": 80]]])])
    func status(_ started: Bool, _ ready: Bool) -> JSON {
      podStatus(of: pod, observed: standing(["app": .running(isReady: ready, isStarted: started)]), now: at(1))["containerStatuses"][0]
    }
    #expect(status(false, true)["started"] == false)
    #expect(status(false, true)["ready"] == false)
    #expect(status(true, false)["started"] == true)
    #expect(status(true, false)["ready"] == false)
    #expect(status(true, true)["ready"] == true)
    let hooked = standing(["app": .running().with { $0.operation = .starting }])
    #expect(podStatus(of: makePod(), observed: hooked, now: at(1))["containerStatuses"][0]["ready"] == false)
  }

  @Test func transitionTimesMoveOnlyWithTheStatus() {
    var pod = makePod()
    pod.status = podStatus(of: pod, observed: standing(["app": .running(isReady: true)]), now: at(1))
    let later = podStatus(of: pod, observed: standing(["app": .exited(1)]), now: at(9))
    #expect(condition(later, "PodScheduled")["lastTransitionTime"].string == at(1).rfc3339)
    #expect(condition(later, "Ready")["lastTransitionTime"].string == at(9).rfc3339)
  }

  @Test func deadlineExceeded() {
    let observed = standing(["app": .exited(143)]).with { $0.termination = .terminated(cause: .deadlineExceeded) }
    let status = podStatus(of: makePod(), observed: observed, now: at(70))
    #expect(status["phase"] == "Failed")
    #expect(status["reason"] == "DeadlineExceeded")
    #expect(status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143)
  }

  @Test func aRejectedPodSaysWhy() {
    let observed = PodObservation().with {
      $0.termination = .terminated(cause: .rejected(reason: "NodePorts", message: "Node didn't have enough free ports"))
    }
    let status = podStatus(of: makePod(), observed: observed, now: t0)
    #expect(status["reason"] == "NodePorts")
    #expect(status["message"] == "Pod was rejected: Node didn't have enough free ports")
    #expect(status["containerStatuses"].isNull && status["conditions"].isNull, "kubectl shows a waiting container's reason instead")
    let had = makePod(status: ["containerStatuses": [["name": "app"]]])
    #expect(!podStatus(of: had, observed: observed, now: t0)["containerStatuses"].isNull, "one that ran before keeps what it had")
  }

  @Test func longMessagesAreShared() {
    var seen = ContainerObservation.exited(0)
    seen.run!.state = .exited(ContainerExit(code: 0, finishedAt: at(1), message: String(repeating: "ä", count: 2048)))
    let names = ["a", "b", "c", "d", "e"]
    let observed = standing(Dictionary(uniqueKeysWithValues: names.map { ($0, seen) }))
    let status = podStatus(of: makePod(names.map { container($0) }, restartPolicy: "Never"), observed: observed, now: at(2))
    let sizes = status["containerStatuses"].array!.map { $0["state"]["terminated"]["message"].string!.utf8.count }
    #expect(sizes.reduce(0, +) <= 12 << 10)
    #expect(sizes.allSatisfy { $0 == 2456 })
  }

  @Test func fieldsOfOthersAreKept() {
    let pod = makePod(status: ["qosClass": "Burstable", "nominatedNodeName": "n", "resize": "Proposed"])
    let status = podStatus(of: pod, observed: PodObservation(), now: t0)
    #expect(status["qosClass"] == "Burstable")
    #expect(status["nominatedNodeName"] == "n")
  }
}

@Suite struct AdoptionTests {
  @Test func endedContainersKeepTheirExits() {
    var pod = makePod(restartPolicy: "Never")
    pod.status = podStatus(of: pod, observed: standing(["app": .exited(7, attempt: 4)]), now: at(6))
    var observed = PodObservation()
    observed.adopt(statusOf: pod, now: at(100))
    #expect(observed["app"].run?.exit?.code == 7)
    #expect(observed["app"].run?.attempt == 4)
    #expect(observed["app"].run?.id == "c4")
    #expect(
      podStatus(of: pod, observed: observed, now: at(100))["containerStatuses"][0]["state"] == pod.status["containerStatuses"][0]["state"])
  }

  @Test func runningOnesThatAreGoneHaveFailed() {
    var pod = makePod()
    pod.status = podStatus(of: pod, observed: standing(["app": .running(attempt: 1)]), now: at(6))
    var observed = PodObservation()
    observed.adopt(statusOf: pod, now: at(1000))
    #expect(observed["app"].run?.exit?.code == 137)
    #expect(observed["app"].run?.exit?.reason == "ContainerStatusUnknown")
    observed.sandbox = .ready(attempt: 0)
    observed.volumes = .ready
    observed["app"].image = .ready
    #expect(podActions(for: pod, observed: observed, now: at(1010)) == [.startContainer(name: "app", attempt: 2)])
  }

  @Test func restartCountsNeverGoDown() {
    let pod = makePod(status: [
      "containerStatuses": [["name": "app", "restartCount": 5, "state": ["running": ["startedAt": "2027-01-15T08:00:00Z"]]]]
    ])
    var observed = standing(["app": .running(attempt: 0)])
    observed.adopt(statusOf: pod, now: at(1))
    #expect(observed["app"].run?.attempt == 5)
    #expect(observed["app"].isRunning)
  }
}
