import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

/// What making room for a pod would take.
private func preemption(_ cluster: Cluster, _ pod: JSON) -> Preemption? {
  guard case .refuse(let refusal) = cluster.decide(cluster.record(pod), SchedulingPlan(Profile())) else { return nil }
  return refusal.preemption
}

private func victims(_ cluster: Cluster, _ pod: JSON) -> [String] { preemption(cluster, pod)?.victims.map(\.pod.name) ?? [] }

private func running(_ name: String, cpu: String, priority: Int = 0, since: Int = 0, labels: Labels = [:], on node: String) -> JSON {
  pod(name, cpu: cpu, labels: labels, priority: priority, on: node) {
    $0["status"]["startTime"] = .string(t0.advanced(bySeconds: Double(since)).rfc3339)
  }
}

@Suite struct PreemptionTests {
  @Test func theLeastImportantMakesRoom() {
    let cluster = Cluster(
      [node("a")], [running("low", cpu: "500m", priority: 1, on: "a"), running("mid", cpu: "500m", priority: 5, on: "a")])
    #expect(victims(cluster, pod(cpu: "500m", priority: 10)) == ["low"])
    #expect(victims(cluster, pod(cpu: "600m", priority: 10)) == ["mid", "low"])
    #expect(victims(cluster, pod(cpu: "600m", priority: 5)).isEmpty)
    #expect(preemption(cluster, pod(cpu: "500m", priority: 10))?.node == "a")
  }

  @Test func equalPriorityIsSafe() {
    let cluster = Cluster([node("a")], [running("x", cpu: "1", priority: 10, on: "a")])
    #expect(
      cluster.answer(pod(cpu: "500m", priority: 10))
        == "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
  }

  @Test func whereItIsNotHelpful() {
    let cluster = Cluster(
      [node("a"), node("b") { $0["spec"]["unschedulable"] = true }],
      [running("x", cpu: "1", priority: 1, on: "a"), running("y", cpu: "1", priority: 1, on: "b")])
    #expect(
      cluster.answer(pod(cpu: "2", priority: 10))
        == "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    #expect(preemption(cluster, pod(cpu: "1", priority: 10))?.node == "a")
  }

  @Test func never() {
    let cluster = Cluster([node("a")], [running("x", cpu: "1", on: "a")])
    let answer = cluster.answer(
      pod(cpu: "1", priority: 10, spec: ["preemptionPolicy": "Never"]) {
        $0["spec"]["containers"] = [["resources": ["requests": ["cpu": "1"]]]]
      })
    #expect(answer == "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.")
  }

  @Test func pausedProfilesDoNotPreempt() {
    var profile = Profile()
    profile.preempts = false
    let cluster = Cluster([node("a")], [running("x", cpu: "1", on: "a")])
    #expect(cluster.answer(pod(cpu: "1", priority: 10), profile) == "0/1 nodes are available: 1 Insufficient cpu.")
  }

  @Test func criteriaOfNodes() {
    // The lowest of the highest priorities.
    let lowest = Cluster(
      [node("a"), node("b")],
      [
        running("x", cpu: "1", priority: 3, on: "a"), running("y1", cpu: "500m", priority: 2, on: "b"),
        running("y2", cpu: "500m", priority: 2, on: "b"),
      ])
    #expect(preemption(lowest, pod(cpu: "1", priority: 10))?.node == "b")
    // Then the lowest sum of priorities: here the fewer pods.
    let sum = Cluster(
      [node("a"), node("b")],
      [
        running("x1", cpu: "500m", priority: 2, on: "a"), running("x2", cpu: "500m", priority: 1, on: "a"),
        running("y", cpu: "1", priority: 2, on: "b"),
      ])
    #expect(victims(sum, pod(cpu: "1", priority: 10)) == ["y"])
    // Then the pods that started last.
    let late = Cluster(
      [node("a"), node("b")], [running("x", cpu: "1", since: 10, on: "a"), running("y", cpu: "1", since: 20, on: "b")])
    #expect(victims(late, pod(cpu: "1", priority: 10)) == ["y"])
  }

  @Test func disruptionBudgets() {
    let nodes = [node("a"), node("b")]
    let pods = [
      running("x", cpu: "1", labels: ["app": "guarded"], on: "a"), running("y1", cpu: "500m", on: "b"), running("y2", cpu: "500m", on: "b"),
    ]
    func budget(_ allowed: Int) -> JSON {
      [
        "metadata": ["name": "pdb", "namespace": "default"], "spec": ["selector": ["matchLabels": ["app": "guarded"]]],
        "status": ["disruptionsAllowed": JSON(allowed)],
      ]
    }
    let cluster = Cluster(nodes, pods)
    cluster.facts.budgets = ["default": ["pdb": Budget(budget(0))]]
    #expect(victims(cluster, pod(cpu: "1", priority: 10)) == ["y1", "y2"])
    cluster.facts.budgets = ["default": ["pdb": Budget(budget(1))]]
    #expect(victims(cluster, pod(cpu: "1", priority: 10)) == ["x"])
    // Where there is no other way, a budget does not help.
    let alone = Cluster([nodes[0]], [pods[0]])
    alone.facts.budgets = ["default": ["pdb": Budget(budget(0))]]
    #expect(preemption(alone, pod(cpu: "1", priority: 10))?.violations == 1)
  }

  /// Of two equal pods on a node the one that a budget guards is spared.
  @Test func guardedPodsAreSparedFirst() {
    let cluster = Cluster(
      [node("a")],
      [running("guarded", cpu: "500m", labels: ["app": "guarded"], on: "a"), running("free", cpu: "500m", priority: 3, on: "a")])
    cluster.facts.budgets = [
      "default": ["pdb": Budget(["spec": ["selector": ["matchLabels": ["app": "guarded"]]], "status": ["disruptionsAllowed": 0]])]
    ]
    #expect(victims(cluster, pod(cpu: "500m", priority: 10)) == ["free"])
  }

  @Test func antiAffinityAndSpread() {
    let anti = parsed(
      #"{"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"db"}}}]}}}"#
    )
    let cluster = Cluster(
      [node("a")], [running("db", cpu: "100m", labels: ["app": "db"], on: "a"), running("other", cpu: "100m", on: "a")])
    #expect(victims(cluster, pod(priority: 10, spec: anti)) == ["db"])
    // The other side's terms, too.
    let owner = pod("owner", priority: 1, on: "a", spec: anti)
    let other = Cluster([node("a")], [owner, running("free", cpu: "100m", on: "a")])
    #expect(victims(other, pod(labels: ["app": "db"], priority: 10)) == ["owner"])
    let spread = parsed(
      #"{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"db"}}}]}"#
    )
    let full = Cluster(
      [node("a"), node("b", pods: 1)],
      [running("d1", cpu: "100m", labels: ["app": "db"], on: "a"), running("f", cpu: "100m", priority: 20, on: "b")])
    #expect(victims(full, pod(labels: ["app": "db"], priority: 10, spec: spread)) == ["d1"])
    // All is as it was before the question.
    #expect(full.feasible(pod(labels: ["app": "db"], priority: 10)) == ["a"])
    #expect(full.nodes[0].pods.map(\.reference.name) == ["d1"])
  }

  @Test func hostPorts() {
    let wanting: JSON = ["containers": [["name": "c", "ports": [["containerPort": 80, "hostPort": 80]]]]]
    let cluster = Cluster([node("a")], [pod("x", on: "a", spec: wanting), running("y", cpu: "100m", on: "a")])
    #expect(victims(cluster, pod(priority: 10, spec: wanting)) == ["x"])
  }

  /// A pod that waits for a node counts for it, for pods that are not more important.
  @Test func nominatedPodsKeepTheirPlace() {
    let cluster = Cluster([node("a")])
    cluster.nominate(cluster.record(pod("waiting", cpu: "800m", priority: 5)), 0)
    #expect(cluster.feasible(pod(cpu: "500m")).isEmpty)
    #expect(cluster.feasible(pod(cpu: "500m", priority: 5)).isEmpty)
    #expect(cluster.feasible(pod(cpu: "500m", priority: 6)) == ["a"])
    #expect(cluster.feasible(pod("waiting", cpu: "800m", priority: 5)) == ["a"])
    cluster.dropNomination(uid: "uid-default-waiting")
    #expect(cluster.feasible(pod(cpu: "500m")) == ["a"])
  }
}
