import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

/// A core with what it said, on a clock that the test moves.
private final class Played {
  let core: SchedulingCore
  var now = t0
  init(_ nodes: [JSON] = [node("a")], profiles: [Profile] = [Profile()]) {
    core = SchedulingCore(profiles: profiles)
    core.apply(.nodes, .synced(nodes), now: now)
  }

  func pods(_ change: SchedulingCore.Change) { core.apply(.pods, change, now: now) }
  func pass(_ seconds: Double) { now = now.advanced(bySeconds: seconds) }

  /// `p>a` for bindings, `p!` for refusals, until there is nothing to do now.
  func said() -> [String] {
    var said: [String] = []
    while let outcome = core.next(now: now) {
      switch outcome {
      case .bind(let pod, let node, _, _): said.append("\(pod.name)>\(node)")
      case .refuse(let refusal): said.append("\(refusal.pod.name)!" + refusal.victims.map { "-\($0.name)" }.joined())
      }
    }
    return said
  }

  func refusal() -> PodRefusal? {
    guard case .refuse(let refusal)? = core.next(now: now) else { return nil }
    return refusal
  }
}

@Suite struct CoreTests {
  @Test func decidedPodsCountBeforeTheServerKnows() {
    let played = Played()
    played.pods(.synced([pod("p", cpu: "600m"), pod("q", cpu: "600m")]))
    #expect(played.said() == ["p>a", "q!"])
  }

  @Test func aRefusedBindingIsTriedAgain() {
    let played = Played()
    played.pods(.changed(pod("p", cpu: "600m")))
    #expect(played.said() == ["p>a"])
    played.core.bindingFailed("uid-default-p", now: played.now)
    #expect(played.said().isEmpty)
    played.pass(1)
    #expect(played.said() == ["p>a"])
    // Where the watch has told meanwhile that the pod is bound, nothing is tried again.
    played.pods(.changed(pod("p", cpu: "600m", on: "a")))
    played.core.bindingFailed("uid-default-p", now: played.now)
    played.pass(60)
    #expect(played.said().isEmpty)
    #expect(played.core.cluster.feasible(pod("q", cpu: "600m")).isEmpty)
  }

  @Test func onlyWhatHelpsWakesPods() {
    let played = Played([node("a"), node("b", labels: ["disk": "hdd"])])
    played.pods(
      .synced([
        pod("x", cpu: "1", on: "a"), pod("y", cpu: "1", on: "b"), pod("p", cpu: "500m") { $0["spec"]["nodeSelector"] = ["disk": "ssd"] },
      ]))
    #expect(played.said() == ["p!"])
    played.pass(20)
    // Room on a node that it does not select.
    played.pods(.deleted(pod("x", cpu: "1", on: "a")))
    #expect(played.said().isEmpty)
    // A heartbeat, and labels without room.
    played.core.apply(
      .nodes, .changed(node("b", labels: ["disk": "hdd"]) { $0["status"]["conditions"] = [["type": "Ready"]] }), now: played.now)
    played.core.apply(.nodes, .changed(node("b", labels: ["disk": "ssd"])), now: played.now)
    #expect(played.said().isEmpty)
    played.pods(.deleted(pod("y", cpu: "1", on: "b")))
    #expect(played.said() == ["p>b"])
  }

  @Test func aNewNodeWakesPods() {
    let played = Played([])
    played.pods(.changed(pod("p")))
    #expect(played.refusal()?.message == "no nodes available to schedule pods")
    played.pass(5)
    played.core.apply(.nodes, .changed(node("a")), now: played.now)
    #expect(played.said() == ["p>a"])
  }

  @Test func podsThatAreWaitedForWakeOthers() {
    let near = parsed(
      #"{"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"db"}}}]}}}"#
    )
    let played = Played()
    played.pods(.changed(pod("p", spec: near)))
    #expect(played.said() == ["p!"])
    played.pass(5)
    played.pods(.changed(pod("other", on: "a")))
    #expect(played.said().isEmpty)
    played.pods(.changed(pod("db", labels: ["app": "db"], on: "a")))
    #expect(played.said() == ["p>a"])
  }

  @Test func gatedPods() {
    let played = Played()
    let gated = pod("p") { $0["spec"]["schedulingGates"] = [["name": "g"]] }
    played.pods(.changed(gated))
    let refusal = played.refusal()
    #expect(refusal?.reason == "SchedulingGated")
    #expect(refusal?.message == "Scheduling is blocked due to non-empty scheduling gates")
    var told = gated
    told["status"]["conditions"] = [
      ["type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": .string(refusal!.message)]
    ]
    played.pods(.changed(told))
    #expect(played.said().isEmpty)
    played.pods(.changed(pod("p")))
    #expect(played.said() == ["p>a"])
  }

  @Test func othersPodsAreLeftAlone() {
    let played = Played()
    played.pods(.changed(pod("p", spec: ["schedulerName": "mine"])))
    #expect(played.said().isEmpty)
    var second = Profile()
    second.schedulerName = "mine"
    let both = Played(profiles: [Profile(), second])
    both.pods(.changed(pod("p", spec: ["schedulerName": "mine"])))
    #expect(both.said() == ["p>a"])
  }

  @Test func preemptionFromStartToEnd() {
    let played = Played()
    let low = pod("low", cpu: "1", priority: 1, on: "a")
    played.pods(.changed(low))
    played.pods(.changed(pod("high", cpu: "1", priority: 10)))
    let refusal = played.refusal()
    #expect(refusal?.victims.map(\.name) == ["low"])
    #expect(refusal?.nominatedNode == "a")
    // While the victim goes, nobody takes the place, and nothing is preempted twice.
    var leaving = low
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    played.pods(.changed(leaving))
    played.pods(.changed(pod("late", cpu: "1", priority: 5)))
    played.pass(3)
    #expect(played.said().allSatisfy { !$0.contains(">") && !$0.contains("-") })
    played.pods(.deleted(leaving))
    played.pass(20)
    // The one that came late is not even tried: the room is another's.
    #expect(played.said() == ["high>a"])
    played.pods(.deleted(pod("high", cpu: "1", priority: 10, on: "a")))
    #expect(played.said() == ["late>a"])
  }

  @Test func aRelistTellsWhatHasGone() {
    let played = Played()
    played.pods(.synced([pod("x", cpu: "1", on: "a"), pod("p", cpu: "1")]))
    #expect(played.said() == ["p!"])
    played.pass(5)
    played.pods(.synced([pod("p", cpu: "1")]))
    #expect(played.said() == ["p>a"])
    played.core.apply(.nodes, .synced([]), now: played.now)
    #expect(played.core.cluster.nodeCount == 0)
  }

  @Test func finishedPodsTakeNothing() {
    let played = Played()
    played.pods(.changed(pod("x", cpu: "1", on: "a")))
    played.pods(.changed(pod("x", cpu: "1", on: "a") { $0["status"]["phase"] = "Succeeded" }))
    played.pods(.changed(pod("p", cpu: "1")))
    #expect(played.said() == ["p>a"])
  }

  @Test func theSameRefusalIsNoNews() {
    let played = Played()
    played.pods(.changed(pod("p", cpu: "2")))
    let first = played.refusal()
    #expect(first?.isNews == true)
    played.pass(400)
    #expect(played.refusal()?.isNews == false)
  }
}

@Suite struct VolumeTests {
  private func core(_ nodes: [JSON], claims: [JSON], volumes: [JSON] = [], classes: [JSON] = [], csiNodes: [JSON] = []) -> SchedulingCore {
    let core = SchedulingCore()
    core.apply(.nodes, .synced(nodes), now: t0)
    core.apply(.persistentVolumeClaims, .synced(claims), now: t0)
    core.apply(.persistentVolumes, .synced(volumes), now: t0)
    core.apply(.storageClasses, .synced(classes), now: t0)
    core.apply(.csiNodes, .synced(csiNodes), now: t0)
    return core
  }

  private func using(_ claim: String, name: String = "p", on node: String? = nil) -> JSON {
    pod(name, on: node, spec: ["volumes": [["name": "v", "persistentVolumeClaim": ["claimName": .string(claim)]]]]) {
      $0["spec"]["containers"] = [["name": "c"]]
    }
  }

  private func claim(_ name: String, volume: String? = nil, storageClass: String = "wait", mode: String = "ReadWriteOnce") -> JSON {
    var json: JSON = [
      "metadata": ["name": .string(name), "namespace": "default", "uid": .string("claim-\(name)"), "annotations": [:]],
      "spec": [
        "accessModes": [.string(mode)], "storageClassName": .string(storageClass), "resources": ["requests": ["storage": "1Gi"]],
        "volumeName": JSON(volume),
      ],
    ]
    if volume != nil { json["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = "yes" }
    return json
  }

  private func volume(
    _ name: String, size: String = "1Gi", node: String? = nil, labels: Labels = [:], _ change: (inout JSON) -> Void = { _ in }
  ) -> JSON {
    var json: JSON = [
      "metadata": ["name": .string(name), "labels": JSON(labels)],
      "spec": ["capacity": ["storage": .string(size)], "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"], "storageClassName": "wait"],
      "status": ["phase": "Available"],
    ]
    if let node {
      json["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = [
        ["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": [.string(node)]]]]
      ]
    }
    change(&json)
    return json
  }

  private let waiting: JSON = [
    "metadata": ["name": "wait"], "volumeBindingMode": "WaitForFirstConsumer", "provisioner": "kubernetes.io/no-provisioner",
  ]
  private let making: JSON = ["metadata": ["name": "wait"], "volumeBindingMode": "WaitForFirstConsumer", "provisioner": "maker"]

  private func message(_ core: SchedulingCore, _ pod: JSON) -> String { core.cluster.answer(pod).components(". preemption")[0] }

  @Test func claimsThatRefuseAllNodes() {
    let immediate: JSON = ["metadata": ["name": "now"], "provisioner": "maker"]
    let lost = claim("lost", volume: "gone").with { $0["status"]["phase"] = "Lost" }
    let leaving = claim("leaving", volume: "v").with { $0["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
    let core = core([node("a")], claims: [claim("i", storageClass: "now"), lost, leaving], classes: [immediate])
    #expect(
      core.cluster.answer(using("none"))
        == "0/1 nodes are available: persistentvolumeclaim \"none\" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    #expect(message(core, using("i")) == "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims")
    #expect(
      message(core, using("lost"))
        == "0/1 nodes are available: persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"gone\"")
    #expect(message(core, using("leaving")) == "0/1 nodes are available: persistentvolumeclaim \"leaving\" is being deleted")
    let ephemeral = pod(spec: ["volumes": [["name": "v", "ephemeral": ["volumeClaimTemplate": [:]]]]])
    #expect(
      message(core, ephemeral)
        == "0/1 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-v\"")
  }

  @Test func boundVolumesSayWhere() {
    let core = core(
      [node("a"), node("b")], claims: [claim("c", volume: "v"), claim("d", volume: "none")], volumes: [volume("v", node: "b")])
    #expect(core.cluster.feasible(using("c")) == ["b"])
    #expect(
      message(core, using("d"))
        == "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
  }

  @Test func zones() {
    let core = core(
      [node("a", labels: ["topology.kubernetes.io/zone": "z1"]), node("b", labels: ["topology.kubernetes.io/zone": "z2"]), node("c")],
      claims: [claim("c", volume: "v")], volumes: [volume("v", labels: ["topology.kubernetes.io/zone": "z2__z3"])])
    #expect(core.cluster.feasible(using("c")) == ["b", "c"])
  }

  @Test func theSmallestFreeVolumeOnTheNode() {
    let core = core(
      [node("a"), node("b")], claims: [claim("c")],
      volumes: [volume("big", size: "5Gi", node: "a"), volume("small", size: "2Gi", node: "a"), volume("tiny", size: "1Mi", node: "b")],
      classes: [waiting])
    core.apply(.pods, .changed(using("c")), now: t0)
    guard case .bind(_, let node, let steps, _)? = core.next(now: t0) else {
      Issue.record("the pod is placed")
      return
    }
    #expect(node == "a")
    #expect(steps == [.reserve(volume: "small", claim: "default/c", claimUID: "claim-c")])
    // It is taken for others now.
    core.apply(.persistentVolumeClaims, .changed(claim("d")), now: t0)
    core.apply(.pods, .changed(using("d", name: "q")), now: t0)
    guard case .bind(_, _, let others, _)? = core.next(now: t0) else {
      Issue.record("the second pod is placed")
      return
    }
    #expect(others == [.reserve(volume: "big", claim: "default/d", claimUID: "claim-d")])
    #expect(!core.areBound(["default/c"]))
    core.apply(.persistentVolumeClaims, .changed(claim("c", volume: "small")), now: t0)
    #expect(core.areBound(["default/c"]))
  }

  @Test func provisioning() {
    let limited = making.with {
      $0["allowedTopologies"] = [["matchLabelExpressions": [["key": "zone", "values": ["z"]]]]]
    }
    let nodes = [node("a"), node("b", labels: ["zone": "z"])]
    let core = core(nodes, claims: [claim("c")], classes: [limited])
    core.apply(.pods, .changed(using("c")), now: t0)
    guard case .bind(_, let node, let steps, _)? = core.next(now: t0) else {
      Issue.record("the pod is placed")
      return
    }
    #expect(node == "b")
    #expect(steps == [.provision(claim: "default/c", claimUID: "claim-c")])
    let chosen = claim("c").with { $0["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = "a" }
    #expect(self.core(nodes, claims: [chosen], classes: [making]).cluster.feasible(using("c")) == ["a"])
    let none = self.core(nodes, claims: [claim("c")], classes: [waiting])
    #expect(message(none, using("c")) == "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind")
  }

  @Test func oneePodOnly() {
    let core = core([node("a"), node("b")], claims: [claim("c", volume: "v", mode: "ReadWriteOncePod")], volumes: [volume("v")])
    core.apply(.pods, .changed(using("c", name: "x", on: "a")), now: t0)
    #expect(
      message(core, using("c"))
        == "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")
    let important = using("c").with { $0["spec"]["priority"] = 10 }
    core.apply(.pods, .changed(important), now: t0)
    guard case .refuse(let refusal)? = core.next(now: t0) else {
      Issue.record("the pod waits")
      return
    }
    #expect(refusal.victims.map(\.name) == ["x"])
    #expect(refusal.nominatedNode == "a")
  }

  @Test func driverLimits() {
    func driven(_ name: String) -> JSON {
      volume(name) { $0["spec"]["csi"] = ["driver": "d", "volumeHandle": .string("h-\(name)")] }
    }
    let core = core(
      [node("a")], claims: ["c1", "c2", "c3"].map { claim($0, volume: "v-\($0)") }, volumes: ["v-c1", "v-c2", "v-c3"].map(driven),
      csiNodes: [["metadata": ["name": "a"], "spec": ["drivers": [["name": "d", "allocatable": ["count": 2]]]]]])
    core.apply(.pods, .changed(using("c1", name: "x", on: "a")), now: t0)
    #expect(core.cluster.feasible(using("c2")) == ["a"])
    core.apply(.pods, .changed(using("c2", name: "y", on: "a")), now: t0)
    #expect(message(core, using("c3")) == "0/1 nodes are available: 1 node(s) exceed max volume count")
    // A volume that is there already takes no further place.
    #expect(core.cluster.feasible(using("c1")) == ["a"])
  }

  @Test func aClaimThatComesWakesItsPod() {
    let core = core([node("a")], claims: [], volumes: [volume("v")])
    core.apply(.pods, .changed(using("c")), now: t0)
    guard case .refuse? = core.next(now: t0) else {
      Issue.record("the pod waits")
      return
    }
    let later = t0.advanced(bySeconds: 5)
    core.apply(.persistentVolumeClaims, .changed(claim("other", volume: "v")), now: later)
    #expect(core.nextTurn != Timestamp(nanosecondsSinceEpoch: 0))
    core.apply(.persistentVolumeClaims, .changed(claim("c", volume: "v")), now: later)
    guard case .bind? = core.next(now: later) else {
      Issue.record("the pod is placed")
      return
    }
  }
}

extension JSON {
  fileprivate func with(_ change: (inout JSON) -> Void) -> JSON {
    var json = self
    change(&json)
    return json
  }
}

extension String {
  fileprivate func components(_ separator: String) -> [String] {
    guard let range = firstRange(of: separator) else { return [self] }
    return [String(self[..<range.lowerBound]), String(self[range.upperBound...])]
  }
}
