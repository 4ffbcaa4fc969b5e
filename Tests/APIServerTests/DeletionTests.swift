import JSONCodec
import Testing

@testable import APIServer

/// A pod on a node, changed as a test needs it.
private func pod(_ change: (inout JSON) -> Void = { _ in }) -> JSON {
  var pod: JSON = [
    "metadata": ["name": "p"], "spec": ["nodeName": "n", "terminationGracePeriodSeconds": 30], "status": ["phase": "Running"],
  ]
  change(&pod)
  return pod
}

private func marked(_ grace: Int) -> (inout JSON) -> Void {
  {
    $0["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"; $0["metadata"]["deletionGracePeriodSeconds"] = JSON(grace)
  }
}

@Suite struct DeletionTests {
  @Test func aRunningPodGetsItsGrace() {
    #expect(DeletionStep.decide(pod(), kind: "Pod", graceAsked: nil) == .mark(graceSeconds: 30))
    #expect(DeletionStep.decide(pod(), kind: "Pod", graceAsked: 5) == .mark(graceSeconds: 5))
    #expect(DeletionStep.decide(pod(), kind: "Pod", graceAsked: 0) == .remove)
  }

  @Test func aPodThatRunsNowhereGoesAtOnce() {
    #expect(DeletionStep.decide(pod { $0["spec"]["nodeName"] = .null }, kind: "Pod", graceAsked: nil) == .remove)
    #expect(DeletionStep.decide(pod { $0["status"]["phase"] = "Succeeded" }, kind: "Pod", graceAsked: nil) == .remove)
  }

  @Test func theGraceMayShrinkAndNeverGrows() {
    #expect(DeletionStep.decide(pod(marked(30)), kind: "Pod", graceAsked: 10) == .mark(graceSeconds: 10))
    #expect(DeletionStep.decide(pod(marked(10)), kind: "Pod", graceAsked: 30) == .wait)
    #expect(DeletionStep.decide(pod(marked(30)), kind: "Pod", graceAsked: nil) == .wait)
    #expect(DeletionStep.decide(pod(marked(30)), kind: "Pod", graceAsked: 0) == .remove)
  }

  @Test func finalizersHold() {
    let held = pod { $0["metadata"]["finalizers"] = ["a/b"] }
    #expect(DeletionStep.decide(held, kind: "Pod", graceAsked: 0) == .mark(graceSeconds: 0))
    #expect(
      DeletionStep.decide(["metadata": ["name": "c", "finalizers": ["a/b"]]], kind: "ConfigMap", graceAsked: nil) == .mark(graceSeconds: 0))
    #expect(DeletionStep.decide(["metadata": ["name": "c"]], kind: "ConfigMap", graceAsked: nil) == .remove)
  }

  @Test func namespacesWaitForTheirContent() {
    let namespace: JSON = ["metadata": ["name": "n"], "spec": ["finalizers": ["kubernetes"]]]
    #expect(DeletionStep.decide(namespace, kind: "Namespace", graceAsked: nil) == .mark(graceSeconds: 0))
  }
}
