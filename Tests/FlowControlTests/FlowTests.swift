import JSONCodec
import Testing

@testable import FlowControl

private let everyone = ["system:authenticated"]

private func resource(
  _ user: String, _ groups: [String] = everyone, _ verb: String = "list", _ group: String = "", _ resource: String = "pods",
  _ namespace: String = "default"
) -> FlowRequest {
  FlowRequest(user: user, groups: groups, verb: verb, group: group, resource: resource, namespace: namespace)
}

private let defaults = FlowConfiguration(
  schemas: DefaultFlows.mandatorySchemas + DefaultFlows.suggestedSchemas,
  levels: DefaultFlows.mandatoryLevels + DefaultFlows.suggestedLevels)

@Suite struct FlowSchemaTests {
  struct Case: Sendable {
    let request: FlowRequest
    let schema: String
    let level: String
  }

  @Test(arguments: [
    Case(request: resource("root", ["system:masters", "system:authenticated"]), schema: "exempt", level: "exempt"),
    Case(request: FlowRequest(user: "x", groups: everyone, verb: "get", path: "/healthz"), schema: "probes", level: "exempt"),
    Case(
      request: FlowRequest(user: "system:anonymous", groups: ["system:unauthenticated"], verb: "get", path: "/livez"), schema: "probes",
      level: "exempt"),
    Case(
      request: FlowRequest(user: "x", groups: everyone, verb: "post", path: "/healthz"), schema: "global-default", level: "global-default"),
    Case(
      request: FlowRequest(user: "x", groups: everyone, verb: "get", path: "/metrics"), schema: "global-default", level: "global-default"),
    Case(
      request: resource("system:kube-scheduler", everyone, "update", "coordination.k8s.io", "leases", "kube-system"),
      schema: "system-leader-election", level: "leader-election"),
    Case(
      request: resource("system:kube-scheduler", everyone, "list", "coordination.k8s.io", "leases", "kube-system"),
      schema: "kube-scheduler", level: "workload-high"),
    Case(
      request: resource("system:kube-controller-manager", everyone, "create", "", "endpoints"), schema: "endpoint-controller",
      level: "workload-high"),
    Case(
      request: resource("system:serviceaccount:kube-system:operator", everyone, "update", "", "configmaps"),
      schema: "workload-leader-election", level: "leader-election"),
    Case(
      request: resource("system:serviceaccount:kube-system:operator", everyone, "list", "", "configmaps"),
      schema: "kube-system-service-accounts", level: "workload-high"),
    Case(
      request: resource("system:node:a", ["system:nodes"] + everyone, "patch", "", "nodes/status", ""), schema: "system-node-high",
      level: "node-high"),
    Case(
      request: resource("system:node:a", ["system:nodes"] + everyone, "update", "coordination.k8s.io", "leases", "kube-node-lease"),
      schema: "system-node-high", level: "node-high"),
    Case(request: resource("system:node:a", ["system:nodes"] + everyone), schema: "system-nodes", level: "system"),
    Case(
      request: resource("system:serviceaccount:a:b", ["system:serviceaccounts"] + everyone), schema: "service-accounts",
      level: "workload-low"),
    Case(request: resource("jane"), schema: "global-default", level: "global-default"),
    Case(request: resource("jane", everyone, "list", "", "nodes", ""), schema: "global-default", level: "global-default"),
    Case(request: resource("nobody", []), schema: "catch-all", level: "catch-all"),
  ])
  func theFirstThatMatches(_ one: Case) throws {
    // Nobody is outside of the two groups but in a test.
    guard one.schema != "catch-all" else { return #expect(defaults.schema(for: one.request) == nil) }
    let schema = try #require(defaults.schema(for: one.request))
    #expect(schema.name == one.schema && schema.level == one.level)
  }

  @Test func withoutAnyObjectTheMandatoryOnesHold() {
    let bare = FlowConfiguration(schemas: [], levels: [])
    #expect(bare.schema(for: resource("jane"))?.name == "catch-all")
    #expect(bare.schema(for: resource("root", ["system:masters"]))?.name == "exempt")
    #expect(Set(bare.levels.keys) == ["exempt", "catch-all"])
  }

  @Test func aSchemaWithoutItsLevelIsNone() {
    var lost = DefaultFlows.suggestedSchemas.last!
    lost["spec"]["priorityLevelConfiguration"]["name"] = "gone"
    #expect(FlowConfiguration(schemas: [lost], levels: []).schemas.map(\.name) == ["exempt", "catch-all"])
  }

  @Test func paths() {
    func schema(_ path: String) -> FlowSchema {
      FlowSchema([
        "metadata": ["name": "s"],
        "spec": [
          "rules": [
            [
              "subjects": [["kind": "User", "user": ["name": "*"]]],
              "nonResourceRules": [["verbs": ["get"], "nonResourceURLs": [.string(path)]]],
            ]
          ]
        ],
      ])
    }
    func asks(_ path: String) -> FlowRequest { FlowRequest(user: "u", groups: [], verb: "get", path: path) }
    #expect(schema("/a/*").matches(asks("/a/b")) && schema("/a/*").matches(asks("/a/b/c")) && !schema("/a/*").matches(asks("/ab")))
    #expect(schema("*").matches(asks("/x")) && schema("/a").matches(asks("/a")) && !schema("/a").matches(asks("/a/b")))
  }

  @Test func flows() {
    let byUser = defaults.schemas.first { $0.name == "service-accounts" }!
    #expect(byUser.flow(of: resource("u")) == "u")
    let byNamespace = defaults.schemas.first { $0.name == "kube-scheduler" }!
    #expect(byNamespace.flow(of: resource("u", everyone, "list", "", "pods", "ns")) == "ns")
    #expect(defaults.schemas.first { $0.name == "exempt" }!.flow(of: resource("u")) == "")
  }
}

@Suite struct SeatTests {
  /// Upstream's figures for 600 requests at a time, as its metric apiserver_flowcontrol_nominal_limit_seats shows them.
  @Test(arguments: [
    ("catch-all", 13, 13), ("global-default", 49, 24), ("leader-election", 25, 25), ("node-high", 98, 73), ("system", 74, 50),
    ("workload-high", 98, 49), ("workload-low", 245, 24),
  ])
  func sharesOfTheDefaults(_ name: String, _ nominal: Int, _ reserved: Int) throws {
    let seats = PriorityLevel.seats(Array(defaults.levels.values), total: 600)
    let own = try #require(seats[name])
    #expect(own.nominal == nominal)
    #expect(abs(own.reserved - reserved) <= 1)
    #expect(seats["exempt"] == nil)
  }
}

@Suite struct ShuffleShardingTests {
  @Test(arguments: [(1, 1), (8, 8), (16, 4), (64, 6), (64, 8), (128, 6), (512, 3)])
  func handsAreDistinctAndSpread(_ queues: Int, _ hand: Int) {
    var counts = Array(repeating: 0, count: queues)
    let flows = 4_000
    for flow in 0..<flows {
      let dealt = ShuffleSharding.deal(ShuffleSharding.hash("s", "user-\(flow)"), queues: queues, count: hand)
      #expect(dealt.count == min(hand, queues) && Set(dealt).count == dealt.count && dealt.allSatisfy { (0..<queues).contains($0) })
      for queue in dealt { counts[queue] += 1 }
    }
    let mean = Double(flows * hand) / Double(queues)
    // Six standard deviations.
    #expect(counts.allSatisfy { abs(Double($0) - mean) <= 6 * mean.squareRoot() + 1 })
  }

  @Test func theSameFlowGetsTheSameHand() {
    #expect(ShuffleSharding.hash("s", "u") == ShuffleSharding.hash("s", "u"))
    #expect(ShuffleSharding.hash("s", "u") != ShuffleSharding.hash("su", ""))
    #expect(ShuffleSharding.hash("a", "bc") != ShuffleSharding.hash("ab", "c"))
  }

  /// How often all queues of one flow are also those of another: with 128 queues and hands of 6 hardly ever.
  @Test func oneFloodRarelyCoversAnother() {
    let flood = Set(ShuffleSharding.deal(ShuffleSharding.hash("s", "elephant"), queues: 128, count: 6))
    let covered = (0..<10_000).count { mouse in
      flood.isSuperset(of: ShuffleSharding.deal(ShuffleSharding.hash("s", "mouse-\(mouse)"), queues: 128, count: 6))
    }
    #expect(covered == 0)
  }
}
