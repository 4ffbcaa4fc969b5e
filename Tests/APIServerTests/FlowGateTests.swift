import FlowControl
import HTTPServing
import JSONCodec
import KubernetesAPI
import KubernetesClient
import NIOHTTP1
import Synchronization
import Testing

@testable import APIServer

private func asks(_ user: String) -> FlowRequest {
  FlowRequest(user: user, groups: ["system:authenticated"], verb: "get", path: "/x")
}

@Suite(.timeLimit(.minutes(1))) struct FlowGateTests {
  /// Takes all seats that the default level can get.
  private func fill(_ gate: FlowGate, _ user: String) async throws -> [FlowGate.Pass] {
    var passes: [FlowGate.Pass] = []
    // The gate does not say that it is full; it lets the next one wait. So seats are counted beforehand.
    while gate.load(of: "global-default").waiting == 0 {
      let entering = Task { try await gate.enter(asks(user)) }
      let before = gate.load(of: "global-default").running
      while gate.load(of: "global-default").running == before, gate.load(of: "global-default").waiting == 0 { await Task.yield() }
      if gate.load(of: "global-default").waiting > 0 {
        entering.cancel()
        _ = try? await entering.value
        break
      }
      passes.append(try await entering.value)
    }
    return passes
  }

  @Test func whoWaitsGetsTheNextSeat() async throws {
    let gate = FlowGate(seats: 30)
    let passes = try await fill(gate, "elephant")
    #expect(!passes.isEmpty)
    let entering = Task { try await gate.enter(asks("mouse")) }
    while gate.load(of: "global-default").waiting == 0 { await Task.yield() }
    gate.leave(passes[0])
    let pass = try await entering.value
    #expect(pass.schema.name == "global-default" && pass.level.name == "global-default")
    gate.leave(pass)
    for one in passes.dropFirst() { gate.leave(one) }
    #expect(gate.load(of: "global-default").seats == 0)
    #expect(
      gate.metrics.contains(
        "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"global-default\",priority_level=\"global-default\"}"))
  }

  @Test func whoHasWaitedLongEnoughIsTold() async throws {
    let gate = FlowGate(seats: 30, patience: 0.05)
    let passes = try await fill(gate, "elephant")
    let refusal = await #expect(throws: FlowGate.Refusal.self) { _ = try await gate.enter(asks("mouse")) }
    #expect(refusal?.why == .timeOut && refusal?.failure.code == 429 && refusal?.failure.retryAfterSeconds == 1)
    #expect(gate.load(of: "global-default").waiting == 0)
    for one in passes { gate.leave(one) }
  }

  @Test func whoGoesAwayWaitsNoMore() async throws {
    let gate = FlowGate(seats: 30)
    let passes = try await fill(gate, "elephant")
    let entering = Task { try await gate.enter(asks("mouse")) }
    while gate.load(of: "global-default").waiting == 0 { await Task.yield() }
    entering.cancel()
    await #expect(throws: CancellationError.self) { _ = try await entering.value }
    #expect(gate.load(of: "global-default").waiting == 0)
    for one in passes { gate.leave(one) }
  }

  /// A thousand loops of one user, and another one with a single request at a time.
  @Test func oneClientInALoopDoesNotStarveAnother() async throws {
    let gate = FlowGate(seats: 30)
    final class Shared: Sendable {
      let stop = Mutex(false)
      let elephants = Mutex(0)
    }
    let shared = Shared()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<200 {
        group.addTask {
          while !shared.stop.withLock({ $0 }) {
            guard let pass = try? await gate.enter(asks("elephant")) else { continue }
            try await Task.sleep(for: .milliseconds(2))
            gate.leave(pass)
            shared.elephants.withLock { $0 += 1 }
          }
        }
      }
      while gate.load(of: "global-default").waiting < 50 { try await Task.sleep(for: .milliseconds(1)) }
      let before = shared.elephants.withLock { $0 }
      for _ in 0..<20 {
        let pass = try await gate.enter(asks("mouse"))
        gate.leave(pass)
      }
      let passed = shared.elephants.withLock { $0 } - before
      shared.stop.withLock { $0 = true }
      try await group.waitForAll()
      // Each of its twenty turns came after a few of the other's, not after the two hundred that waited.
      #expect(passed < 20 * 60, "\(passed) of the elephant's")
    }
    #expect(gate.load(of: "global-default").seats == 0)
  }
}

@Suite struct FlowAPITests {
  private static let base = "/apis/flowcontrol.apiserver.k8s.io/v1"

  @Test func objectsHeadersAndChanges() async throws {
    try await withServer { server in
      let admin = try server.authority.client(user: "a", groups: ["system:masters"])
      let jane = try server.authority.client(user: "jane", groups: [])
      @Sendable func object(_ path: String) async throws -> JSON { try await server.ask(.GET, Self.base + path, certificate: admin).body }
      try await eventually("the default objects") {
        let schemas = try await object("/flowschemas")["items"].array?.count
        let levels = try await object("/prioritylevelconfigurations")["items"].array?.count
        return schemas == 13 && levels == 8
      }
      let exempt = try await object("/flowschemas/exempt")
      #expect(exempt["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] == "true")
      #expect(exempt["status"]["conditions"][0]["type"] == "Dangling" && exempt["status"]["conditions"][0]["status"] == "False")
      try await eventually("the gate knows them") {
        let answer = try await server.ask(.GET, "/version", certificate: jane)
        let schema = try await object("/flowschemas/global-default")["metadata"]["uid"].string
        let level = try await object("/prioritylevelconfigurations/global-default")["metadata"]["uid"].string
        return answer.headers.first(name: "x-kubernetes-pf-flowschema-uid") == schema
          && answer.headers.first(name: "x-kubernetes-pf-prioritylevel-uid") == level
      }
      // Errors tell it too.
      #expect(
        try await server.ask(.GET, "/api/v1/secrets", certificate: jane).headers.first(name: "x-kubernetes-pf-flowschema-uid")?.isEmpty
          == false)

      // A schema of one's own counts from now on, and says when it leads nowhere.
      let own: JSON = [
        "metadata": ["name": "own"],
        "spec": [
          "matchingPrecedence": 50, "priorityLevelConfiguration": ["name": "nowhere"], "distinguisherMethod": ["type": "ByUser"],
          "rules": [
            [
              "subjects": [["kind": "User", "user": ["name": "jane"]]],
              "nonResourceRules": [["verbs": ["*"], "nonResourceURLs": ["*"]]],
            ]
          ],
        ],
      ]
      let made = try await server.ask(.POST, Self.base + "/flowschemas", own, certificate: admin)
      #expect(made.code == 201)
      try await eventually("dangling") { try await object("/flowschemas/own")["status"]["conditions"][0]["status"] == "True" }
      let level: JSON = [
        "metadata": ["name": "nowhere"],
        "spec": ["type": "Limited", "limited": ["nominalConcurrencyShares": 5, "limitResponse": ["type": "Reject"]]],
      ]
      #expect(try await server.ask(.POST, Self.base + "/prioritylevelconfigurations", level, certificate: admin).code == 201)
      try await eventually("found") { try await object("/flowschemas/own")["status"]["conditions"][0]["status"] == "False" }
      let uid = made.body["metadata"]["uid"].string
      try await eventually("its requests") {
        try await server.ask(.GET, "/version", certificate: jane).headers.first(name: "x-kubernetes-pf-flowschema-uid") == uid
      }
      // Mandatory objects come back as they were.
      let client = server.admin
      let path = ResourcePath(group: "flowcontrol.apiserver.k8s.io", "flowschemas")
      _ = try await client.patch(path, name: "catch-all", type: .merge, ["spec": ["matchingPrecedence": 9_999]])
      try await eventually("as it was") { try await client.get(path, name: "catch-all")["spec"]["matchingPrecedence"] == 10_000 }
      try await client.delete(path, name: "probes")
      try await eventually("again") { (try? await client.get(path, name: "probes")) != nil }
    }
  }

  @Test func whoIsTurnedAwayIsToldWhenToTryAgain() async throws {
    // So few seats that the catch-all has one, and it rejects.
    try await withServer({ $0.requestsMax = 8 }) { server in
      let jane = try server.authority.client(user: "jane", groups: [])
      let level: JSON = [
        "metadata": ["name": "narrow"],
        "spec": [
          "type": "Limited", "limited": ["nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": ["type": "Reject"]],
        ],
      ]
      _ = try await server.admin.create(ResourcePath(group: "flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"), level)
      _ = try await server.admin.create(
        ResourcePath(group: "flowcontrol.apiserver.k8s.io", "flowschemas"),
        [
          "metadata": ["name": "narrow"],
          "spec": [
            "matchingPrecedence": 50, "priorityLevelConfiguration": ["name": "narrow"],
            "rules": [
              [
                "subjects": [["kind": "User", "user": ["name": "jane"]]],
                "nonResourceRules": [["verbs": ["*"], "nonResourceURLs": ["*"]]],
              ]
            ],
          ],
        ])
      let request = FlowRequest(user: "jane", groups: ["system:authenticated"], verb: "get", path: "/version")
      let held = Mutex<FlowGate.Pass?>(nil)
      let gate = server.server.flow
      try await eventually("the level") {
        let pass = try await gate.enter(request)
        if pass.level.name == "narrow" {
          held.withLock { $0 = pass }
          return true
        }
        gate.leave(pass)
        return false
      }
      let refused = try await server.ask(.GET, "/version", certificate: jane)
      #expect(refused.code == 429 && refused.headers.first(name: "retry-after") == "1")
      #expect(refused.message == "Too many requests, please try again later.")
      #expect(refused.headers.first(name: "x-kubernetes-pf-prioritylevel-uid")?.isEmpty == false)
      gate.leave(held.withLock { $0! })
      #expect(try await server.ask(.GET, "/version", certificate: jane).code == 200)
    }
  }
}
