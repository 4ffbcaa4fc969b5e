import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

@Suite struct ScoreTests {
  @Test func theEmptierNodeWins() {
    #expect(Cluster([node("a"), node("b")], [pod("x", cpu: "600m", on: "a")]).answer(pod(cpu: "200m")) == "b")
  }

  @Test func equalNodesTakeTurns() {
    let cluster = Cluster((0..<4).map { node("n\($0)", cpu: "64", memory: "256Gi") })
    var seen: Set<String> = []
    for index in 0..<4 {
      let name = cluster.answer(pod("p\(index)"))
      seen.insert(name)
    }
    #expect(seen.count == 4)
  }

  @Test func discouragingTaints() {
    let tainted = node("a", cpu: "8") { $0["spec"]["taints"] = [["key": "k", "effect": "PreferNoSchedule"]] }
    let cluster = Cluster([tainted, node("b")])
    #expect(cluster.answer(pod(cpu: "100m")) == "b")
    #expect(cluster.answer(pod(cpu: "100m") { $0["spec"]["tolerations"] = [["key": "k", "operator": "Exists"]] }) == "a")
  }

  @Test func preferredNodes() {
    let wish = parsed(
      #"{"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"preference":{"matchExpressions":[{"key":"disk","operator":"Exists"}]}}]}}}"#
    )
    #expect(Cluster([node("a", labels: ["disk": "ssd"]), node("b", cpu: "4", memory: "4Gi")]).answer(pod(spec: wish)) == "a")
  }

  @Test func imagesThatAreThere() {
    let holding = node("a") { $0["status"]["images"] = [["names": ["big:1"], "sizeBytes": 2_000_000_000]] }
    let cluster = Cluster([node("b"), holding, node("c")])
    #expect(cluster.answer(pod(spec: ["containers": [["name": "c", "image": "big:1"]]])) == "a")
  }

  @Test func podsOfAServiceSpread() {
    let core = SchedulingCore()
    core.apply(.nodes, .synced([node("a", cpu: "64", memory: "256Gi"), node("b", cpu: "8", memory: "32Gi")]), now: t0)
    core.apply(.services, .changed(["metadata": ["name": "s", "namespace": "default"], "spec": ["selector": ["app": "x"]]]), now: t0)
    core.apply(.pods, .changed(pod("x1", labels: ["app": "x"], on: "a")), now: t0)
    #expect(core.cluster.answer(pod(labels: ["app": "x"])) == "b")
    #expect(core.cluster.answer(pod(labels: ["app": "y"])) == "a")
    core.apply(.services, .deleted(["metadata": ["name": "s", "namespace": "default"]]), now: t0)
    #expect(core.cluster.answer(pod(labels: ["app": "x"])) == "a")
  }

  @Test func podsOfAReplicaSetSpread() {
    let core = SchedulingCore()
    core.apply(.nodes, .synced([node("a", cpu: "64", memory: "256Gi"), node("b", cpu: "8", memory: "32Gi")]), now: t0)
    core.apply(
      .replicaSets, .changed(["metadata": ["name": "rs", "namespace": "default"], "spec": ["selector": ["matchLabels": ["app": "x"]]]]),
      now: t0)
    core.apply(.pods, .changed(pod("x1", labels: ["app": "x"], on: "a")), now: t0)
    let owned = pod(labels: ["app": "x"]) {
      $0["metadata"]["ownerReferences"] = [["kind": "ReplicaSet", "name": "rs", "controller": true]]
    }
    #expect(core.cluster.answer(owned) == "b")
  }

  @Test func formulas() {
    let cluster = Cluster([node("a", cpu: "1", memory: "1000Mi")])
    let shape = cluster.record(pod(spec: ["containers": [["resources": ["requests": ["cpu": "500m", "memory": "300Mi"]]]]])).shape
    let entry = cluster.nodes[0]
    // (50 + 70) / 2, and 1 - |0.5 - 0.3| / 2 of 100.
    #expect(Cluster.fitScore(shape, entry, entry.facts!, SchedulingPlan(Profile())) == 60)
    #expect(Cluster.balanceScore(shape, entry, entry.facts!, SchedulingPlan(Profile())) == 90)
    #expect(Cluster.balanceScore(cluster.record(pod()).shape, entry, entry.facts!, SchedulingPlan(Profile())) == 0)
  }
}

@Suite struct ConfigurationTests {
  private func profile(_ fields: String) throws -> Profile {
    try SchedulerConfiguration(
      parsed(#"{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration","profiles":[{\#(fields)}]}"#)
    ).profiles[0]
  }

  @Test func defaults() throws {
    let configuration = try SchedulerConfiguration(
      parsed(#"{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"KubeSchedulerConfiguration","leaderElection":{}}"#))
    #expect(configuration.profiles == [Profile()])
    #expect(configuration.ignored == ["leaderElection"])
    #expect(try profile(#""schedulerName":"mine""#).schedulerName == "mine")
  }

  @Test func pluginsAndWeights() throws {
    let mine = try profile(
      #""plugins":{"multiPoint":{"disabled":[{"name":"NodePorts"},{"name":"DefaultPreemption"}]},"score":{"disabled":[{"name":"*"}],"enabled":[{"name":"ImageLocality","weight":7}]}}"#
    )
    #expect(!mine.filters.contains(.nodePorts))
    #expect(!mine.preempts)
    #expect(mine.weights == [.imageLocality: 7])
    let wanting: JSON = ["containers": [["name": "c", "ports": [["containerPort": 80, "hostPort": 80]]]]]
    let cluster = Cluster([node("a")], [pod("x", on: "a", spec: wanting)])
    #expect(cluster.answer(pod(spec: wanting), mine) == "a")
  }

  @Test func addedAffinity() throws {
    let mine = try profile(
      #""pluginConfig":[{"name":"NodeAffinity","args":{"addedAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"pool","operator":"In","values":["x"]}]}]}}}}]"#
    )
    #expect(Cluster([node("a"), node("b", labels: ["pool": "x"])]).answer(pod(), mine) == "b")
  }

  @Test func mostAllocated() throws {
    let mine = try profile(
      #""pluginConfig":[{"name":"NodeResourcesFit","args":{"scoringStrategy":{"type":"MostAllocated","resources":[{"name":"cpu","weight":1}]}}}]"#
    )
    #expect(Cluster([node("a"), node("b")], [pod("x", cpu: "500m", on: "b")]).answer(pod(cpu: "100m"), mine) == "b")
  }

  @Test func defaultConstraints() throws {
    let mine = try profile(
      #""pluginConfig":[{"name":"PodTopologySpread","args":{"defaultingType":"List","defaultConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"DoNotSchedule"}]}}]"#
    )
    let cluster = Cluster([node("a"), node("b")], [pod("x", labels: ["app": "x"], on: "a")])
    cluster.facts.services = ["default": ["s": ["app": "x"]]]
    cluster.facts.spreadEpoch += 1
    #expect(cluster.feasible(pod(labels: ["app": "x"]), mine) == ["b"])
    #expect(cluster.feasible(pod(labels: ["app": "y"]), mine) == ["a", "b"])
  }

  @Test(arguments: [
    (#""plugins":{"score":{"enabled":[{"name":"Nothing"}]}}"#, "profiles[0].plugins.score.enabled[0].name: there is no plugin Nothing"),
    (
      #""pluginConfig":[{"name":"NodeResourcesFit","args":{"scoringStrategy":{"type":"Best"}}}]"#,
      "profiles[0].pluginConfig[0].args.scoringStrategy.type: wants LeastAllocated or MostAllocated"
    ),
  ])
  func mistakesAreNamed(_ fields: String, _ message: String) {
    let error = #expect(throws: SchedulerConfigurationError.self) { try profile(fields) }
    #expect(error?.description == message)
  }
}
