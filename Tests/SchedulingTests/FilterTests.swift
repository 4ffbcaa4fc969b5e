import JSONCodec
import KubernetesAPI
import Testing

@testable import Scheduling

private let helpless = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."

@Suite struct NodeFilterTests {
  @Test func noNodes() { #expect(Cluster([]).answer(pod()) == "no nodes available to schedule pods") }

  @Test func reasonsAreCountedAndSorted() {
    let cluster = Cluster(
      [
        node("a", pods: 1), node("b") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoSchedule"]] }, node("c", cpu: "2"),
      ],
      [pod("x", on: "a"), pod("y", cpu: "1500m", on: "c")])
    #expect(
      cluster.answer(pod(cpu: "1200m"))
        == "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
    )
  }

  @Test(arguments: [
    (#"[{"operator":"Exists"}]"#, true), (#"[{"key":"k","operator":"Exists"}]"#, true), (#"[{"key":"k","value":"v"}]"#, true),
    (#"[{"key":"k","value":"w"}]"#, false), (#"[{"key":"k","value":"v","effect":"NoExecute"}]"#, false), ("[]", false),
  ])
  func tolerations(_ tolerations: String, _ fits: Bool) {
    let cluster = Cluster([node("a") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoSchedule"]] }])
    #expect(cluster.feasible(pod(spec: ["tolerations": parsed(tolerations)])) == (fits ? ["a"] : []))
  }

  /// Nobody here allocates devices; without them the pod would run as if it had some.
  @Test func podsThatWantDevicesWait() {
    let cluster = Cluster([node("a")])
    let claims: JSON = [["name": "gpu", "resourceClaimName": "c"]]
    #expect(
      cluster.answer(pod(spec: ["resourceClaims": claims])) == "0/1 nodes are available: cannot allocate all claims. \(helpless)")
  }

  @Test func cordonedNodes() {
    let cluster = Cluster([node("a") { $0["spec"]["unschedulable"] = true }])
    #expect(cluster.answer(pod()) == "0/1 nodes are available: 1 node(s) were unschedulable. \(helpless)")
    #expect(cluster.answer(pod(spec: ["tolerations": [["key": "node.kubernetes.io/unschedulable", "operator": "Exists"]]])) == "a")
  }

  @Test(arguments: [
    (#"{"key":"disk","operator":"In","values":["ssd","nvme"]}"#, ["a"]),
    (#"{"key":"disk","operator":"NotIn","values":["ssd"]}"#, ["b", "c"]),
    (#"{"key":"disk","operator":"Exists"}"#, ["a", "b"]), (#"{"key":"disk","operator":"DoesNotExist"}"#, ["c"]),
    (#"{"key":"cores","operator":"Gt","values":["4"]}"#, ["b"]), (#"{"key":"cores","operator":"Lt","values":["5"]}"#, ["a"]),
    (#"{"key":"cores","operator":"Gt","values":["x"]}"#, []),
  ])
  func nodeAffinityOperators(_ expression: String, _ expected: [String]) {
    let cluster = Cluster([
      node("a", labels: ["disk": "ssd", "cores": "4"]), node("b", labels: ["disk": "hdd", "cores": "8"]), node("c", labels: ["cores": "x"]),
    ])
    #expect(cluster.feasible(pod(spec: required(#"[{"matchExpressions":[\#(expression)]}]"#))) == Set(expected))
  }

  private func required(_ terms: String) -> JSON {
    parsed(#"{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":\#(terms)}}}}"#)
  }

  @Test func termsOfNodeAffinity() {
    let cluster = Cluster([node("a", labels: ["x": "1"]), node("b", labels: ["x": "2"]), node("c")])
    let either =
      #"[{"matchExpressions":[{"key":"x","operator":"In","values":["1"]}]},{"matchFields":[{"key":"metadata.name","operator":"In","values":["c"]}]}]"#
    #expect(cluster.feasible(pod(spec: required(either))) == ["a", "c"])
    #expect(cluster.feasible(pod(spec: required("[{}]"))).isEmpty)
    #expect(cluster.feasible(pod(spec: ["nodeSelector": ["x": "2"]])) == ["b"])
  }

  @Test func podsThatNameTheirNode() {
    let cluster = Cluster([node("a"), node("b"), node("c", labels: ["x": "1"])])
    let named = #"[{"matchFields":[{"key":"metadata.name","operator":"In","values":["b"]}]}]"#
    #expect(cluster.answer(pod(spec: required(named))) == "b")
    let missing = #"[{"matchFields":[{"key":"metadata.name","operator":"In","values":["z"]}]}]"#
    #expect(
      cluster.answer(pod(spec: required(missing)))
        == "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    let both =
      #"[{"matchExpressions":[{"key":"x","operator":"Exists"}],"matchFields":[{"key":"metadata.name","operator":"In","values":["b"]}]}]"#
    #expect(
      cluster.answer(pod(spec: required(both))).hasPrefix(
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."))
  }

  @Test func hostPorts() {
    func wanting(_ name: String, _ address: String, _ port: Int, transport: String = "TCP", on node: String? = nil) -> JSON {
      pod(
        name, on: node,
        spec: [
          "containers": [
            [
              "name": "c",
              "ports": [["containerPort": 80, "hostPort": JSON(port), "hostIP": .string(address), "protocol": .string(transport)]],
            ]
          ]
        ])
    }
    let cluster = Cluster([node("a")], [wanting("x", "127.0.0.1", 80, on: "a")])
    #expect(cluster.feasible(wanting("y", "127.0.0.2", 80)) == ["a"])
    #expect(cluster.feasible(wanting("y", "127.0.0.1", 80, transport: "UDP")) == ["a"])
    #expect(cluster.feasible(wanting("y", "127.0.0.1", 81)) == ["a"])
    #expect(cluster.feasible(wanting("y", "127.0.0.1", 80)).isEmpty)
    #expect(cluster.feasible(wanting("y", "0.0.0.0", 80)).isEmpty)
    #expect(
      cluster.answer(wanting("y", "", 80)).hasPrefix(
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."))
    cluster.remove(uid: "uid-default-x")
    #expect(cluster.feasible(wanting("y", "", 80)) == ["a"])
  }

  @Test func resources() {
    let cluster = Cluster([
      node("a", cpu: "2") {
        $0["status"]["allocatable"]["example.com/gpu"] = "2"
        $0["status"]["allocatable"]["ephemeral-storage"] = "1Gi"
      }
    ])
    func asking(_ requests: JSON) -> JSON { pod(spec: ["containers": [["name": "c", "resources": ["requests": requests]]]]) }
    #expect(cluster.answer(asking(["example.com/gpu": 2, "ephemeral-storage": "1Gi", "cpu": "2", "memory": "1Gi"])) == "a")
    #expect(
      cluster.answer(asking(["example.com/gpu": 3, "ephemeral-storage": "2Gi", "memory": "2Gi"]))
        == "0/1 nodes are available: 1 Insufficient ephemeral-storage, 1 Insufficient example.com/gpu, 1 Insufficient memory. \(helpless)")
    #expect(cluster.answer(asking(["example.com/fpga": 1])).hasPrefix("0/1 nodes are available: 1 Insufficient example.com/fpga."))
  }

  @Test func whatPodsTake() {
    let cluster = Cluster([node("a")])
    cluster.add(pod("x", cpu: "600m", on: "a"))
    #expect(cluster.feasible(pod(cpu: "500m")).isEmpty)
    cluster.remove(uid: "uid-default-x")
    #expect(cluster.feasible(pod(cpu: "500m")) == ["a"])
    cluster.put(node: NodeFacts(node("a", cpu: "400m")))
    #expect(cluster.feasible(pod(cpu: "500m")).isEmpty)
    cluster.remove(node: "a")
    #expect(cluster.answer(pod()) == "no nodes available to schedule pods")
  }

  /// Pods that are seen before their node count as soon as it comes.
  @Test func podsBeforeNodes() {
    let cluster = Cluster([], [pod("x", cpu: "600m", on: "a")])
    cluster.put(node: NodeFacts(node("a")))
    #expect(cluster.feasible(pod(cpu: "500m")).isEmpty)
  }
}

@Suite struct RequestTests {
  @Test func initContainersAndSidecars() {
    let spec = parsed(
      #"""
      {"initContainers":[
         {"name":"side","restartPolicy":"Always","resources":{"requests":{"cpu":"100m"}}},
         {"name":"init","resources":{"requests":{"cpu":"1"}}}],
       "containers":[{"name":"c","resources":{"requests":{"cpu":"300m","memory":"1Mi"}}}],
       "overhead":{"cpu":"10m"}}
      """#)
    // The init container runs beside the sidecar: 1100m, more than the 400m of the running pod.
    #expect(PodRequests.of(spec).cpu == 1110)
    #expect(PodRequests.of(spec).memory == 1 << 20)
  }

  @Test func podLevelResourcesReplaceTheSum() {
    let spec = parsed(
      #"{"containers":[{"resources":{"requests":{"cpu":"1","memory":"1Gi"}}}],"resources":{"requests":{"cpu":"300m"}},"overhead":{"cpu":"5m"}}"#
    )
    #expect(PodRequests.of(spec).cpu == 305)
    #expect(PodRequests.of(spec).memory == 1 << 30)
  }

  @Test func scoresAssumeSomething() {
    let amounts = PodRequests.of(parsed(#"{"containers":[{},{"resources":{"requests":{"cpu":"0"}}}]}"#), assuming: true)
    #expect(amounts.cpu == 100)
    #expect(amounts.memory == 400 << 20)
  }

  @Test func aResizeUnderWayCountsTheLarger() {
    var json = pod(cpu: "200m", on: "a")
    json["status"]["containerStatuses"] = [["name": "c", "resources": ["requests": ["cpu": "500m"]]]]
    #expect(PodRequests.ofBound(json).cpu == 500)
    json["spec"]["containers"] = [["name": "c", "resources": ["requests": ["cpu": "1000"]]]]
    json["status"]["conditions"] = [["type": "PodResizePending", "reason": "Deferred"]]
    #expect(PodRequests.ofBound(json).cpu == 1_000_000)
    json["status"]["conditions"] = [["type": "PodResizePending", "reason": "Infeasible"]]
    #expect(PodRequests.ofBound(json).cpu == 500, "what can never be granted is not taken")
  }
}

@Suite struct SpreadFilterTests {
  private let zones = [
    node("a1", labels: ["zone": "a"]), node("a2", labels: ["zone": "a"]), node("b1", labels: ["zone": "b"]), node("c1"),
  ]

  private func spread(_ extra: String = "", maxSkew: Int = 1) -> JSON {
    parsed(
      #"{"topologySpreadConstraints":[{"maxSkew":\#(maxSkew),"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"x"}}\#(extra)}]}"#
    )
  }

  private func existing(_ counts: [String: Int], namespace: String = "default") -> [JSON] {
    counts.flatMap { name, count in (0..<count).map { pod("\(name)-\($0)", labels: ["app": "x"], namespace: namespace, on: name) } }
  }

  @Test func skew() {
    let cluster = Cluster(zones, existing(["a1": 1]))
    let wanting = pod(labels: ["app": "x"], spec: spread())
    #expect(cluster.feasible(wanting) == ["b1"])
    #expect(cluster.feasible(pod(labels: ["app": "x"], spec: spread(maxSkew: 2))) == ["a1", "a2", "b1"])
    // A pod that its own selector does not mean adds nothing.
    #expect(cluster.feasible(pod(spec: spread())) == ["a1", "a2", "b1"])
    #expect(
      Cluster([zones[3]]).answer(wanting).hasPrefix(
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."))
  }

  @Test func otherNamespacesAndLeavingPodsDoNotCount() {
    #expect(
      Cluster(zones, existing(["a1": 2], namespace: "other")).feasible(pod(labels: ["app": "x"], spec: spread())) == ["a1", "a2", "b1"])
    let leaving = existing(["a1": 1]).map { pod -> JSON in
      var pod = pod
      pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
      return pod
    }
    #expect(Cluster(zones, leaving).feasible(pod(labels: ["app": "x"], spec: spread())) == ["a1", "a2", "b1"])
  }

  @Test func minDomains() {
    let cluster = Cluster(zones, existing(["a1": 1, "b1": 1]))
    #expect(cluster.feasible(pod(labels: ["app": "x"], spec: spread(#","minDomains":2"#))) == ["a1", "a2", "b1"])
    #expect(cluster.feasible(pod(labels: ["app": "x"], spec: spread(#","minDomains":3"#))).isEmpty)
  }

  @Test func policies() {
    let nodes = [
      node("a1", labels: ["zone": "a", "pool": "x"]), node("b1", labels: ["zone": "b"]),
      node("c1", labels: ["zone": "c", "pool": "x"]) { $0["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]] },
    ]
    let cluster = Cluster(nodes, existing(["a1": 1]))
    func wanting(_ extra: String) -> JSON {
      var json = pod(labels: ["app": "x"], spec: spread(extra))
      json["spec"]["nodeSelector"] = ["pool": "x"]
      return json
    }
    // Zone c counts although the pod cannot go there; zone b only where node affinity is ignored.
    #expect(cluster.feasible(wanting("")).isEmpty)
    #expect(cluster.feasible(wanting(#","nodeTaintsPolicy":"Honor""#)) == ["a1"])
    #expect(cluster.feasible(wanting(#","nodeTaintsPolicy":"Honor","nodeAffinityPolicy":"Ignore""#)).isEmpty)
  }

  @Test func matchLabelKeys() {
    let old = existing(["a1": 1]).map { pod -> JSON in
      var pod = pod
      pod["metadata"]["labels"]["hash"] = "old"
      return pod
    }
    let cluster = Cluster(zones, old)
    #expect(
      cluster.feasible(pod(labels: ["app": "x", "hash": "new"], spec: spread(#","matchLabelKeys":["hash"]"#))) == ["a1", "a2", "b1"])
    #expect(cluster.feasible(pod(labels: ["app": "x", "hash": "old"], spec: spread(#","matchLabelKeys":["hash"]"#))) == ["b1"])
  }

  @Test func aNodeThatChangesItsZone() {
    let cluster = Cluster(zones, existing(["a1": 1]))
    let wanting = pod(labels: ["app": "x"], spec: spread())
    #expect(cluster.feasible(wanting) == ["b1"])
    cluster.put(node: NodeFacts(node("a1", labels: ["zone": "b"])))
    #expect(cluster.feasible(wanting) == ["a2"])
  }
}

@Suite struct PodAffinityFilterTests {
  private let zones = [node("a1", labels: ["zone": "a"]), node("a2", labels: ["zone": "a"]), node("b1", labels: ["zone": "b"]), node("c1")]

  private func term(_ kind: String, _ app: String, key: String = "zone", extra: String = "") -> JSON {
    parsed(
      #"{"affinity":{"\#(kind)":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"\#(key)","labelSelector":{"matchLabels":{"app":"\#(app)"}}\#(extra)}]}}}"#
    )
  }

  @Test func affinity() {
    let cluster = Cluster(zones, [pod("x", labels: ["app": "db"], on: "a1")])
    #expect(cluster.feasible(pod(spec: term("podAffinity", "db"))) == ["a1", "a2"])
    #expect(
      cluster.answer(pod(spec: term("podAffinity", "no")))
        == "0/4 nodes are available: 4 node(s) didn't match pod affinity rules. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    )
  }

  /// A pod that would be near itself may come first, where the topology is known.
  @Test func firstOfItsKind() {
    let cluster = Cluster(zones)
    #expect(cluster.feasible(pod(labels: ["app": "db"], spec: term("podAffinity", "db"))) == ["a1", "a2", "b1"])
    cluster.add(pod("x", labels: ["app": "db"], on: "b1"))
    #expect(cluster.feasible(pod(labels: ["app": "db"], spec: term("podAffinity", "db"))) == ["b1"])
  }

  @Test func antiAffinityOfBothSides() {
    let cluster = Cluster(zones, [pod("x", labels: ["app": "db"], on: "a1", spec: term("podAntiAffinity", "web"))])
    #expect(cluster.feasible(pod(spec: term("podAntiAffinity", "db"))) == ["b1", "c1"])
    #expect(cluster.feasible(pod(labels: ["app": "web"])) == ["b1", "c1"])
    #expect(cluster.feasible(pod(labels: ["app": "web"], namespace: "other")) == ["a1", "a2", "b1", "c1"])
    cluster.remove(uid: "uid-default-x")
    #expect(cluster.feasible(pod(labels: ["app": "web"])) == ["a1", "a2", "b1", "c1"])
    let messages = Cluster(
      [node("a", labels: ["zone": "a"]), node("b", labels: ["zone": "b"])],
      [pod("x", labels: ["app": "db"], on: "a"), pod("y", on: "b", spec: term("podAntiAffinity", "web"))])
    #expect(
      messages.answer(pod(labels: ["app": "web"], spec: term("podAntiAffinity", "db"))).hasPrefix(
        "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) didn't satisfy existing pods anti-affinity rules."
      ))
  }

  @Test func namespaces() {
    let cluster = Cluster(zones, [pod("x", labels: ["app": "db"], namespace: "data", on: "a1")])
    cluster.facts.namespaces = ["data": ["team": "one"], "default": [:]]
    #expect(cluster.feasible(pod(spec: term("podAffinity", "db"))).isEmpty)
    #expect(cluster.feasible(pod(spec: term("podAffinity", "db", extra: #","namespaces":["data"]"#))) == ["a1", "a2"])
    #expect(cluster.feasible(pod(spec: term("podAffinity", "db", extra: #","namespaceSelector":{}"#))) == ["a1", "a2"])
    #expect(
      cluster.feasible(pod(spec: term("podAffinity", "db", extra: #","namespaceSelector":{"matchLabels":{"team":"one"}}"#))) == [
        "a1", "a2",
      ])
    #expect(cluster.feasible(pod(spec: term("podAffinity", "db", extra: #","namespaceSelector":{"matchLabels":{"team":"two"}}"#))).isEmpty)
  }

  @Test func namespaceLabelsThatChange() {
    let core = SchedulingCore()
    core.apply(.namespaces, .synced([["metadata": ["name": "data", "labels": ["team": "one"]]]]), now: t0)
    for entry in zones { core.apply(.nodes, .changed(entry), now: t0) }
    core.apply(.pods, .changed(pod("x", labels: ["app": "db"], namespace: "data", on: "a1")), now: t0)
    let wanting = pod(spec: term("podAffinity", "db", extra: #","namespaceSelector":{"matchLabels":{"team":"one"}}"#))
    #expect(core.cluster.feasible(wanting) == ["a1", "a2"])
    core.apply(.namespaces, .changed(["metadata": ["name": "data", "labels": ["team": "two"]]]), now: t0)
    #expect(core.cluster.feasible(wanting).isEmpty)
  }

  @Test func matchLabelKeys() {
    let cluster = Cluster(zones, [pod("x", labels: ["app": "db", "hash": "1"], on: "a1")])
    let keys = #","matchLabelKeys":["hash"]"#
    #expect(cluster.feasible(pod(labels: ["app": "db", "hash": "1"], spec: term("podAntiAffinity", "db", extra: keys))) == ["b1", "c1"])
    #expect(cluster.feasible(pod(labels: ["app": "db", "hash": "2"], spec: term("podAntiAffinity", "db", extra: keys))).count == 4)
    let others = #","mismatchLabelKeys":["hash"]"#
    #expect(cluster.feasible(pod(labels: ["app": "db", "hash": "2"], spec: term("podAntiAffinity", "db", extra: others))) == ["b1", "c1"])
  }
}
