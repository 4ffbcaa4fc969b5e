import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

/// A node with one core and 1 GiB, changed as a test needs it.
private func node(_ name: String, cpu: String = "1", memory: String = "1Gi", pods: Int = 10, _ change: (inout JSON) -> Void = { _ in })
  -> NodeState
{
  var json: JSON = [
    "metadata": ["name": .string(name), "labels": ["kubernetes.io/hostname": .string(name)]],
    "status": ["allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": JSON(pods)]],
  ]
  change(&json)
  return NodeState(node: Node(json))
}

private func pod(_ spec: JSON = ["containers": [["name": "c"]]]) -> Pod { Pod(["metadata": ["name": "p"], "spec": spec]) }

private func asking(cpu: String) -> Pod { pod(["containers": [["name": "c", "resources": ["requests": ["cpu": .string(cpu)]]]]]) }

@Suite struct ScheduleDecisionTests {
  @Test func noNodes() { #expect(scheduleDecision(for: pod(), on: []) == .unschedulable(message: "no nodes available to schedule pods")) }

  @Test func theEmptierNodeWins() {
    var busy = node("a")
    busy.add(asking(cpu: "600m"))
    #expect(scheduleDecision(for: asking(cpu: "200m"), on: [busy, node("b")]) == .bind(node: "b"))
  }

  @Test func equalNodesByName() { #expect(scheduleDecision(for: pod(), on: [node("b"), node("a")]) == .bind(node: "a")) }

  @Test func whatDoesNotFitIsToldByReason() {
    var full = node("a", pods: 1)
    full.add(pod())
    let tainted = node("b") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoSchedule"]] }
    #expect(
      scheduleDecision(for: asking(cpu: "2"), on: [full, tainted, node("c")])
        == .unschedulable(
          message: "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu."))
  }

  @Test(arguments: [
    (#"[{"operator":"Exists"}]"#, true), (#"[{"key":"k","operator":"Exists"}]"#, true), (#"[{"key":"k","value":"v"}]"#, true),
    (#"[{"key":"k","value":"w"}]"#, false), (#"[{"key":"k","value":"v","effect":"NoExecute"}]"#, false), ("[]", false),
  ])
  func tolerations(_ tolerations: String, _ fits: Bool) throws {
    let tainted = node("a") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoSchedule"]] }
    let tolerant = pod(["containers": [["name": "c"]], "tolerations": try .parse(tolerations)])
    #expect((scheduleDecision(for: tolerant, on: [tainted]) == .bind(node: "a")) == fits)
  }

  @Test func selectorsAndAffinity() throws {
    let ssd = node("a") { $0["metadata"]["labels"]["disk"] = "ssd" }
    let selecting = pod(["containers": [["name": "c"]], "nodeSelector": ["disk": "ssd"]])
    #expect(scheduleDecision(for: selecting, on: [node("b"), ssd]) == .bind(node: "a"))
    let affine = pod(
      try .parse(
        #"{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["b"]}]}]}}}}"#
      ))
    #expect(scheduleDecision(for: affine, on: [node("b"), ssd]) == .bind(node: "b"))
    #expect(
      scheduleDecision(for: selecting, on: [node("b")])
        == .unschedulable(message: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."))
  }

  @Test func hostPortsClash() {
    let wanting = pod(["containers": [["name": "c", "ports": [["containerPort": 80, "hostPort": 80]]]]])
    var taken = node("a")
    taken.add(wanting)
    #expect(scheduleDecision(for: wanting, on: [taken, node("b")]) == .bind(node: "b"))
    #expect(!HostPorts.clash(["TCP/127.0.0.1/80"], ["TCP/127.0.0.2/80", "UDP/127.0.0.1/80"]))
    #expect(HostPorts.clash(["TCP/127.0.0.1/80"], ["TCP/0.0.0.0/80"]))
  }

  @Test func cordonedNodesTakeNothing() {
    let cordoned = node("a") { $0["spec"]["unschedulable"] = true }
    #expect(
      scheduleDecision(for: pod(), on: [cordoned]) == .unschedulable(message: "0/1 nodes are available: 1 node(s) were unschedulable."))
  }
}

@Suite struct ResourceRequestTests {
  @Test func initContainersAndSidecars() throws {
    let spec = PodSpec(
      try .parse(
        #"""
        {"initContainers":[
           {"name":"side","restartPolicy":"Always","resources":{"requests":{"cpu":"100m"}}},
           {"name":"init","resources":{"requests":{"cpu":"1"}}}],
         "containers":[{"name":"c","resources":{"requests":{"cpu":"300m","memory":"1Mi"}}}],
         "overhead":{"cpu":"10m"}}
        """#))
    let requests = ResourceAmounts.requests(of: spec)
    // The init container runs beside the sidecar: 1100m, more than the 400m of the running pod.
    #expect(requests["cpu"] == 1110)
    #expect(requests["memory"] == 1 << 20)
  }
}
