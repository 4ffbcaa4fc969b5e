import JSONCodec
import KubernetesAPI
import PodLifecycle
import Testing

/// One row of the decision table.
struct ActionCase: CustomTestStringConvertible, Sendable {
  let name: String
  let pod: Pod
  let observed: PodObservation
  var now = 10.0
  let expected: [PodAction]
  var testDescription: String { name }
}

@Suite struct PodActionsTests {
  static let init2 = [container("first"), container("second")]
  static let sidecar = container("proxy", ["restartPolicy": "Always"])

  static let starting: [ActionCase] = [
    ActionCase(
      name: "a new pod gets volumes, sandbox and image side by side", pod: makePod(), observed: PodObservation(),
      expected: [.prepareVolumes, .createSandbox(attempt: 0), .pullImage(container: "app")]),
    ActionCase(
      name: "nothing starts before the sandbox stands", pod: makePod(),
      observed: standing().with { $0.sandbox = .creating }, expected: []),
    ActionCase(
      name: "nothing starts before the volumes stand", pod: makePod(),
      observed: standing().with { $0.volumes = .preparing }, expected: []),
    ActionCase(
      name: "then the container starts", pod: makePod(), observed: standing(), expected: [.startContainer(name: "app", attempt: 0)]),
    ActionCase(
      name: "containers start one after the other, images come side by side", pod: makePod([container("a"), container("b")]),
      observed: standing([:]), expected: [.pullImage(container: "a"), .pullImage(container: "b")]),
    ActionCase(
      name: "the second waits for the first", pod: makePod([container("a"), container("b")]),
      observed: standing(["a": .fresh.with { $0.operation = .starting }, "b": .fresh]), expected: []),
    ActionCase(
      name: "the second does not wait for one whose image cannot be pulled", pod: makePod([container("a"), container("b")]),
      observed: standing([
        "a": ContainerObservation().with { $0.wait = ContainerWait(reason: "ErrImagePull", retryAt: at(20)) }, "b": .fresh,
      ]),
      expected: [.startContainer(name: "b", attempt: 0), .wake(at: at(20))]),
    ActionCase(
      name: "a failed sandbox is tried again when it is time", pod: makePod(),
      observed: standing().with { $0.sandbox = .failed(attempt: 0, retryAt: at(11)) }, expected: [.wake(at: at(11))]),
    ActionCase(
      name: "now", pod: makePod(), observed: standing().with { $0.sandbox = .failed(attempt: 0, retryAt: at(10)) },
      expected: [.createSandbox(attempt: 1)]),
    ActionCase(
      name: "failed volumes wait", pod: makePod(), observed: standing().with { $0.volumes = .failed(retryAt: at(12)) },
      expected: [.wake(at: at(12))]),
    ActionCase(
      name: "an image with an invalid name waits for the pod to change", pod: makePod(),
      observed: standing(["app": ContainerObservation().with { $0.wait = ContainerWait(reason: "InvalidImageName") }]), expected: []),
    ActionCase(name: "a running pod needs nothing", pod: makePod(), observed: standing(["app": .running()]), expected: []),
  ]

  static let initContainers: [ActionCase] = [
    ActionCase(
      name: "only the first init container", pod: makePod(initial: init2), observed: standing([:]),
      expected: [.pullImage(container: "first")]),
    ActionCase(
      name: "the second after the first", pod: makePod(initial: init2), observed: standing(["first": .exited(0), "second": .fresh]),
      expected: [.startContainer(name: "second", attempt: 0)]),
    ActionCase(
      name: "the app after the second", pod: makePod(initial: init2),
      observed: standing(["first": .exited(0), "second": .exited(0), "app": .fresh]),
      expected: [.startContainer(name: "app", attempt: 0)]),
    ActionCase(
      name: "a failed one at once, the first time", pod: makePod(initial: init2), observed: standing(["first": .exited(1)]),
      expected: [.startContainer(name: "first", attempt: 1)]),
    ActionCase(
      name: "Never: the pod has failed", pod: makePod(initial: init2, restartPolicy: "Never"), observed: standing(["first": .exited(1)]),
      expected: [.terminate(cause: .finished, graceSeconds: 30)]),
    ActionCase(
      name: "not again for a running app", pod: makePod(initial: init2), observed: standing(["first": .exited(1), "app": .running()]),
      expected: []),
    ActionCase(
      name: "again in a new sandbox", pod: makePod(initial: init2),
      observed: standing(["first": .exited(0, sandbox: 0), "second": .exited(0, sandbox: 0), "app": .exited(137, sandbox: 0)])
        .with { $0.sandbox = .ready(attempt: 1) },
      expected: [.startContainer(name: "first", attempt: 1)]),
    ActionCase(
      name: "a sidecar before the app", pod: makePod(initial: [sidecar]), observed: standing(["proxy": .fresh, "app": .fresh]),
      expected: [.startContainer(name: "proxy", attempt: 0)]),
    ActionCase(
      name: "the app waits for the sidecar's startup probe", pod: makePod(initial: [sidecar]),
      observed: standing(["proxy": .running(isStarted: false), "app": .fresh]), expected: []),
    ActionCase(
      name: "and comes after it", pod: makePod(initial: [sidecar]), observed: standing(["proxy": .running(), "app": .fresh]),
      expected: [.startContainer(name: "app", attempt: 0)]),
    ActionCase(
      name: "a sidecar that ends starts again, whatever its exit code", pod: makePod(initial: [sidecar], restartPolicy: "Never"),
      observed: standing(["proxy": .exited(0), "app": .running()]), expected: [.startContainer(name: "proxy", attempt: 1)]),
  ]

  static let restarts: [ActionCase] = [
    ActionCase(
      name: "Always: the first restart at once", pod: makePod(), observed: standing(["app": .exited(0)]),
      expected: [.startContainer(name: "app", attempt: 1)]),
    ActionCase(
      name: "the second after 10 s", pod: makePod(),
      observed: standing(["app": .exited(1, at: 9, attempt: 1).with { $0.crash = CrashBackoff(restarts: 1, lastStartedAt: t0) }]),
      expected: [.wake(at: at(19))]),
    ActionCase(
      name: "OnFailure: restarts what failed", pod: makePod(restartPolicy: "OnFailure"), observed: standing(["app": .exited(3)]),
      expected: [.startContainer(name: "app", attempt: 1)]),
    ActionCase(
      name: "OnFailure: done when it succeeds", pod: makePod(restartPolicy: "OnFailure"), observed: standing(["app": .exited(0)]),
      expected: [.terminate(cause: .finished, graceSeconds: 30)]),
    ActionCase(
      name: "Never: waits for the others", pod: makePod([container("a"), container("b")], restartPolicy: "Never"),
      observed: standing(["a": .exited(1), "b": .running()]), expected: []),
    ActionCase(
      name: "a container's own policy goes before the pod's",
      pod: makePod([container("app", ["restartPolicy": "Always"])], restartPolicy: "Never"),
      observed: standing(["app": .exited(1)]), expected: [.startContainer(name: "app", attempt: 1)]),
    ActionCase(
      name: "another image: killed with the pod's grace", pod: makePod([container("app", ["image": "busybox:2"])]),
      observed: standing(["app": .running()]),
      expected: [.killContainer(name: "app", reason: .definitionChanged, deadline: at(40))]),
    ActionCase(
      name: "liveness: killed with the probe's own grace",
      pod: makePod([container("app", ["livenessProbe": ["terminationGracePeriodSeconds": 3]])]),
      observed: standing(["app": .running().with { $0.condemned = .livenessProbeFailed }]),
      expected: [.killContainer(name: "app", reason: .livenessProbeFailed, deadline: at(13))]),
    ActionCase(
      name: "a dead sandbox goes first", pod: makePod(), observed: standing(["app": .exited(137)]).with { $0.sandbox = .dead(attempt: 0) },
      expected: [.removeSandbox]),
    ActionCase(
      name: "ephemeral containers start in a running pod and never again", pod: makePod(ephemeral: [container("debug"), container("old")]),
      observed: standing(["app": .running(), "debug": .fresh, "old": .exited(1)]),
      expected: [.startContainer(name: "debug", attempt: 0)]),
  ]

  static let deadline = makePod(spec: ["activeDeadlineSeconds": 60])
  static var deleted: Pod {
    var pod = makePod()
    pod.json["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    pod.json["metadata"]["deletionGracePeriodSeconds"] = 5
    return pod
  }

  static let ends: [ActionCase] = [
    ActionCase(name: "before the deadline", pod: deadline, observed: standing(["app": .running()]), expected: [.wake(at: at(60))]),
    ActionCase(
      name: "at the deadline", pod: deadline, observed: standing(["app": .running()]), now: 60,
      expected: [.terminate(cause: .deadlineExceeded, graceSeconds: 30)]),
    ActionCase(
      name: "a deletion", pod: deleted, observed: standing(["app": .running()]), expected: [.terminate(cause: .deleted, graceSeconds: 5)]),
    ActionCase(
      name: "stops what runs", pod: deleted, observed: standing(["app": .running()]).ending(at: 15),
      expected: [.killContainer(name: "app", reason: .podTerminates, deadline: at(15))]),
    ActionCase(
      name: "once", pod: deleted, observed: standing(["app": .running().with { $0.operation = .killing(deadline: at(15)) }]).ending(at: 15),
      expected: []),
    ActionCase(
      name: "sooner where the deadline came nearer", pod: deleted,
      observed: standing(["app": .running().with { $0.operation = .killing(deadline: at(15)) }]).ending(at: 11),
      expected: [.killContainer(name: "app", reason: .podTerminates, deadline: at(11))]),
    ActionCase(
      name: "a second deletion with less grace", pod: deleted,
      observed: standing(["app": .running().with { $0.operation = .killing(deadline: at(60)) }]).ending(at: 60),
      expected: [.terminate(cause: .deleted, graceSeconds: 5)]),
    ActionCase(
      name: "waits for a start that is under way", pod: deleted,
      observed: standing(["app": .fresh.with { $0.operation = .starting }]).ending(at: 15), expected: []),
    ActionCase(
      name: "a sidecar outlives the app", pod: makePod(initial: [sidecar]),
      observed: standing(["proxy": .running(), "app": .running()]).ending(at: 15),
      expected: [.killContainer(name: "app", reason: .podTerminates, deadline: at(15))]),
    ActionCase(
      name: "and goes then", pod: makePod(initial: [sidecar]), observed: standing(["proxy": .running(), "app": .exited(0)]).ending(at: 15),
      expected: [.killContainer(name: "proxy", reason: .podTerminates, deadline: at(15))]),
    ActionCase(
      name: "the last sidecar first", pod: makePod(initial: [sidecar, container("late", ["restartPolicy": "Always"])]),
      observed: standing(["proxy": .running(), "late": .running(), "app": .exited(0)]).ending(at: 15),
      expected: [.killContainer(name: "late", reason: .podTerminates, deadline: at(15))]),
    ActionCase(
      name: "then the sandbox", pod: deleted, observed: standing(["app": .exited(0)]).ending(at: 15), expected: [.removeSandbox]),
    ActionCase(
      name: "not twice", pod: deleted, observed: standing(["app": .exited(0)]).ending(at: 15).with { $0.sandbox = .removing }, expected: []),
    ActionCase(
      name: "then the end", pod: deleted,
      observed: standing(["app": .exited(0)]).ending(at: 15).with {
        $0.sandbox = .none; $0.volumes = .unprepared
      }, expected: [.finish]),
    ActionCase(
      name: "a pod that never started ends too", pod: deleted, observed: PodObservation().ending(at: 15), expected: [.finish]),
    ActionCase(
      name: "a pod that is terminal in the API is not run", pod: makePod(status: ["phase": "Failed"]), observed: PodObservation(),
      expected: [.terminate(cause: .finished, graceSeconds: 30)]),
    ActionCase(
      name: "a finished pod with a sidecar stops the sidecar", pod: makePod(initial: [sidecar], restartPolicy: "Never"),
      observed: standing(["proxy": .running(), "app": .exited(0)]), expected: [.terminate(cause: .finished, graceSeconds: 30)]),
  ]

  @Test(arguments: starting + initContainers + restarts + ends) func decides(_ row: ActionCase) {
    #expect(podActions(for: row.pod, observed: row.observed, now: at(row.now)) == row.expected)
  }
}

extension PodObservation {
  func with(_ change: (inout PodObservation) -> Void) -> PodObservation {
    var copy = self
    change(&copy)
    return copy
  }

  func ending(at seconds: Double, cause: TerminationCause = .deleted) -> PodObservation {
    with { $0.termination = .terminating(deadline: PodLifecycleTests.at(seconds), cause: cause) }
  }
}
