import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

/// Small numbers in an order that a seed decides (SplitMix64).
struct Dice: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func roll(_ sides: Int) -> Int { Int.random(in: 0..<sides, using: &self) }
  mutating func chance(_ percent: Int) -> Bool { roll(100) < percent }
  mutating func pick<T>(_ choices: [T]) -> T { choices[roll(choices.count)] }
}

/// Clusters and pods with a bit of everything.
private struct Generator {
  var dice: Dice
  private var pods = 0

  init(_ seed: UInt64) { dice = Dice(state: seed) }

  mutating func node(_ index: Int) -> JSON {
    let name = "n\(index)"
    var json: JSON = [
      "metadata": ["name": .string(name), "labels": ["kubernetes.io/hostname": .string(name)]],
      "status": [
        "allocatable": ["cpu": JSON(1 + dice.roll(4)), "memory": .string("\(1 + dice.roll(4))Gi"), "pods": JSON(3 + dice.roll(6))]
      ],
    ]
    if dice.chance(80) { json["metadata"]["labels"]["topology.kubernetes.io/zone"] = .string(dice.pick(["a", "b", "c"])) }
    if dice.chance(50) { json["metadata"]["labels"]["disk"] = .string(dice.pick(["ssd", "hdd"])) }
    if dice.chance(30) { json["status"]["allocatable"]["example.com/gpu"] = JSON(dice.roll(3)) }
    if dice.chance(8) { json["spec"]["unschedulable"] = true }
    if dice.chance(25) {
      json["spec"]["taints"] = [
        [
          "key": .string(dice.pick(["k", "l"])), "value": "v",
          "effect": .string(dice.pick(["NoSchedule", "PreferNoSchedule", "NoExecute"])),
        ]
      ]
    }
    if dice.chance(30) {
      json["status"]["images"] = [["names": ["img:latest"], "sizeBytes": JSON(300_000_000 + dice.roll(4) * 400_000_000)]]
    }
    return json
  }

  private mutating func selector() -> JSON {
    dice.chance(70)
      ? ["matchLabels": ["app": .string(dice.pick(["x", "y"]))]]
      : ["matchExpressions": [["key": "tier", "operator": .string(dice.pick(["Exists", "DoesNotExist"]))]]]
  }

  private mutating func term() -> JSON {
    var term: JSON = [
      "topologyKey": .string(dice.pick(["kubernetes.io/hostname", "topology.kubernetes.io/zone"])), "labelSelector": selector(),
    ]
    if dice.chance(15) { term["namespaces"] = ["one", "two"] }
    if dice.chance(15) { term["namespaceSelector"] = dice.chance(50) ? JSON.object(JSONObject()) : ["matchLabels": ["team": "red"]] }
    return term
  }

  mutating func pod() -> JSON {
    pods += 1
    var json: JSON = [
      "metadata": [
        "name": .string("p\(pods)"), "namespace": .string(dice.pick(["one", "one", "two"])), "uid": .string("u\(pods)"), "labels": [:],
      ],
      "spec": ["containers": [["name": "c"]]],
    ]
    if dice.chance(80) { json["metadata"]["labels"]["app"] = .string(dice.pick(["x", "y", "z"])) }
    if dice.chance(30) { json["metadata"]["labels"]["tier"] = "t" }
    var container: JSON = ["name": "c", "image": .string(dice.pick(["img", "other"]))]
    if dice.chance(60) { container["resources"]["requests"]["cpu"] = .string("\(100 * (1 + dice.roll(10)))m") }
    if dice.chance(50) { container["resources"]["requests"]["memory"] = .string("\(64 * (1 + dice.roll(10)))Mi") }
    if dice.chance(10) { container["resources"]["requests"]["example.com/gpu"] = 1 }
    if dice.chance(15) {
      container["ports"] = [
        ["containerPort": 80, "hostPort": JSON(80 + dice.roll(2)), "hostIP": .string(dice.pick(["0.0.0.0", "127.0.0.1", "127.0.0.2"]))]
      ]
    }
    json["spec"]["containers"] = [container]
    if dice.chance(20) { json["spec"]["nodeSelector"] = ["disk": .string(dice.pick(["ssd", "hdd"]))] }
    if dice.chance(40) {
      json["spec"]["tolerations"] = [dice.chance(50) ? ["operator": "Exists"] : ["key": "k", "value": "v", "operator": "Equal"]]
    }
    addAffinity(&json)
    if dice.chance(35) { addSpread(&json) }
    return json
  }

  private mutating func addAffinity(_ json: inout JSON) {
    let (hard, soft) = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution")
    if dice.chance(12) {
      json["spec"]["affinity"]["nodeAffinity"][hard]["nodeSelectorTerms"] = [
        [
          "matchExpressions": [
            ["key": "topology.kubernetes.io/zone", "operator": .string(dice.pick(["In", "NotIn"])), "values": ["a", "b"]]
          ]
        ],
        ["matchFields": [["key": "metadata.name", "operator": "In", "values": ["n1"]]]],
      ]
    }
    if dice.chance(15) {
      let term: JSON = ["matchExpressions": [["key": "disk", "operator": "In", "values": ["ssd"]]]]
      json["spec"]["affinity"]["nodeAffinity"][soft] = [
        ["weight": JSON(1 + dice.roll(50)), "preference": term],
        ["weight": 5, "preference": ["matchExpressions": [["key": "disk", "operator": "Exists"]]]],
      ]
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
      if dice.chance(12) { json["spec"]["affinity"][kind][hard] = dice.chance(70) ? [term()] : [term(), term()] }
      if dice.chance(15) { json["spec"]["affinity"][kind][soft] = [["weight": JSON(1 + dice.roll(100)), "podAffinityTerm": term()]] }
    }
  }

  private mutating func addSpread(_ json: inout JSON) {
    var constraints: [JSON] = []
    for key in ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] where dice.chance(60) {
      var constraint: JSON = [
        "maxSkew": JSON(1 + dice.roll(2)), "topologyKey": .string(key),
        "whenUnsatisfiable": .string(dice.pick(["DoNotSchedule", "ScheduleAnyway"])), "labelSelector": selector(),
      ]
      if dice.chance(20), constraint["whenUnsatisfiable"].string == "DoNotSchedule" { constraint["minDomains"] = JSON(1 + dice.roll(4)) }
      if dice.chance(20) { constraint["nodeAffinityPolicy"] = "Ignore" }
      // With ScheduleAnyway the reference does not look at taints.
      if dice.chance(20), constraint["whenUnsatisfiable"].string == "DoNotSchedule" { constraint["nodeTaintsPolicy"] = "Honor" }
      constraints.append(constraint)
    }
    if !constraints.isEmpty { json["spec"]["topologySpreadConstraints"] = .array(constraints) }
  }
}

@Suite struct RandomClusterTests {
  /// Clusters that change as they go: pods come by our decisions, go again, nodes change. Each decision is compared with the reference.
  @Test(arguments: 0..<120) func decisionsEqualTheReference(_ seed: Int) {
    var generator = Generator(UInt64(seed) &* 7919 &+ 1)
    let count = 1 + generator.dice.roll(12)
    var model = ReferenceModel(nodes: (0..<count).map { generator.node($0) }, pods: [])
    model.namespaces = ["one": ["team": "red"], "two": [:]]
    let core = SchedulingCore()
    let cluster = core.cluster
    for (name, labels) in model.namespaces {
      core.apply(.namespaces, .changed(["metadata": ["name": .string(name), "labels": labels]]), now: t0)
    }
    for node in model.nodes { cluster.put(node: NodeFacts(node)) }
    if generator.dice.chance(50) {
      model.services = [("one", ["app": "x"])]
      core.apply(.services, .changed(["metadata": ["name": "s", "namespace": "one"], "spec": ["selector": ["app": "x"]]]), now: t0)
    }
    for step in 0..<40 {
      var pod = generator.pod()
      let expected = model.feasible(pod)
      #expect(cluster.feasible(pod) == expected, "seed \(seed), step \(step): \(pod.text())")
      switch cluster.decide(cluster.record(pod), SchedulingPlan(Profile())) {
      case .place(let node, _):
        let scores = model.scores(pod)
        #expect(scores[node] == scores.values.max(), "seed \(seed), step \(step): \(node) of \(scores) for \(pod.text())")
        pod["spec"]["nodeName"] = .string(node)
        if generator.dice.chance(6) { pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
        model.pods.append(pod)
        cluster.add(pod)
      case .refuse(let refusal):
        #expect(expected.isEmpty)
        #expect(refusal.message.hasPrefix("0/\(model.nodes.count) nodes are available: "))
      }
      if generator.dice.chance(15), !model.pods.isEmpty {
        let gone = model.pods.remove(at: generator.dice.roll(model.pods.count))
        cluster.remove(uid: gone["metadata"]["uid"].string!)
      }
      if generator.dice.chance(10) {
        let index = generator.dice.roll(model.nodes.count)
        model.nodes[index] = generator.node(index)
        cluster.put(node: NodeFacts(model.nodes[index]))
      }
    }
  }
}
