import JSONCodec
import KubernetesAPI
import Testing

@testable import APIServer

private func pod(_ phase: String = "Running", ready: Bool = true) -> JSON {
  [
    "metadata": ["name": "p", "namespace": "default", "labels": ["app": "web"], "generation": 3],
    "status": ["phase": .string(phase), "conditions": [["type": "Ready", "status": ready ? "True" : "False"]]],
  ]
}

private func budget(
  _ name: String = "b", app: String = "web", allowed: Int = 1, current: Int = 2, desired: Int = 1, policy: String? = nil,
  generation: (Int, observed: Int) = (1, 1)
) -> JSON {
  [
    "metadata": ["name": .string(name), "generation": JSON(generation.0)],
    "spec": ["selector": ["matchLabels": ["app": .string(app)]], "unhealthyPodEvictionPolicy": JSON(policy)],
    "status": [
      "observedGeneration": JSON(generation.observed), "disruptionsAllowed": JSON(allowed), "currentHealthy": JSON(current),
      "desiredHealthy": JSON(desired),
    ],
  ]
}

@Suite struct EvictionTests {
  @Test func whoMayGoWithoutABudget() {
    #expect(Eviction.verdict(pod(), budgets: []) == .delete(isPinned: false))
    #expect(Eviction.verdict(pod(), budgets: [budget(app: "db")]) == .delete(isPinned: false))
    for phase in ["Succeeded", "Failed"] {
      #expect(Eviction.verdict(pod(phase), budgets: [budget(allowed: 0)]) == .delete(isPinned: false))
    }
    #expect(Eviction.verdict(pod("Pending"), budgets: [budget(allowed: 0)]) == .delete(isPinned: true))
    var going = pod()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    #expect(Eviction.verdict(going, budgets: [budget(), budget("c")]) == .delete(isPinned: false))
  }

  @Test func guardedPods() {
    #expect(Eviction.verdict(pod(), budgets: [budget("x", app: "db"), budget()]) == .charge("b"))
    #expect(Eviction.verdict(pod(), budgets: [budget(), budget("c")]) == .severalBudgets)
    var everything = budget()
    everything["spec"]["selector"] = .object(JSONObject())
    #expect(Eviction.verdict(pod(), budgets: [everything]) == .charge("b"))
    // No selector selects nothing.
    everything["spec"]["selector"] = .null
    #expect(Eviction.verdict(pod(), budgets: [everything]) == .delete(isPinned: false))
  }

  @Test func unhealthyPods() {
    let sick = pod(ready: false)
    #expect(Eviction.verdict(sick, budgets: [budget(allowed: 0, current: 2, desired: 2)]) == .delete(isPinned: true))
    #expect(Eviction.verdict(sick, budgets: [budget(allowed: 0, current: 1, desired: 2)]) == .charge("b"))
    #expect(Eviction.verdict(sick, budgets: [budget(allowed: 0, current: 0, desired: 0)]) == .charge("b"))
    #expect(Eviction.verdict(sick, budgets: [budget(current: 0, desired: 2, policy: "AlwaysAllow")]) == .delete(isPinned: true))
    #expect(Eviction.verdict(sick, budgets: [budget(current: 0, desired: 2, policy: "IfHealthyBudget")]) == .charge("b"))
  }

  @Test func aChargedBudget() throws {
    let now = Timestamp(rfc3339: "2026-01-02T03:04:05Z")!
    let charged = try Eviction.charged(budget(allowed: 2), pod: "p", now: now)
    #expect(charged["status"]["disruptionsAllowed"] == 1)
    #expect(charged["status"]["disruptedPods"] == ["p": "2026-01-02T03:04:05Z"])
    #expect(charged["status"]["conditions"].isNull)
    let last = try Eviction.charged(budget(allowed: 1), pod: "p", now: now)
    #expect(last["status"]["disruptionsAllowed"] == 0)
    #expect(last["status"]["conditions"].array?.first?["reason"] == "InsufficientPods")
  }

  @Test func refusals() {
    func failure(_ budget: JSON) -> APIFailure? {
      #expect(throws: APIFailure.self) { try Eviction.charged(budget, pod: "p", now: .now) }
    }
    let exhausted = failure(budget(allowed: 0, current: 2, desired: 2))
    #expect(exhausted?.code == 429 && exhausted?.reason == "TooManyRequests")
    #expect(exhausted?.message == "Cannot evict pod as it would violate the pod's disruption budget.")
    #expect(
      exhausted?.details["causes"] == [
        ["reason": "DisruptionBudget", "message": "The disruption budget b needs 2 healthy pods and has 2 currently"]
      ])
    #expect(exhausted?.retryAfterSeconds == nil)
    let lagging = failure(budget(generation: (2, 1)))
    #expect(lagging?.code == 429 && lagging?.retryAfterSeconds == 10)
    #expect(lagging?.details["causes"][0]["reason"] == "DisruptionBudget")
    #expect(failure(budget(allowed: -1))?.code == 403)
    var crowded = budget(allowed: 5)
    for index in 0...Eviction.disruptedPodsMax { crowded["status"]["disruptedPods"]["p\(index)"] = "2026-01-01T00:00:00Z" }
    #expect(failure(crowded)?.code == 403)
  }
}

/// Through the server: what is written where.
@Suite struct EvictionCallTests {
  private static let pods = "/api/v1/namespaces/default/pods"
  private static let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"

  /// Running and ready pods of one label, on a node.
  private func makePods(_ count: Int, _ test: TestServer) async throws {
    for index in 0..<count {
      let made = try await test.call(
        "POST", Self.pods,
        [
          "metadata": ["name": .string("p\(index)"), "labels": ["app": "web"]],
          "spec": ["nodeName": "n", "containers": [["name": "c", "image": "i"]]],
        ])
      #expect(made.status == 201)
      let body: JSON = ["status": ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]]
      #expect(
        try await test.call("PATCH", Self.pods + "/p\(index)/status", contentType: "application/merge-patch+json", body).status == 200)
    }
  }

  private func makeBudget(_ name: String, allowed: Int, _ test: TestServer) async throws {
    let made = try await test.call(
      "POST", Self.budgets,
      ["metadata": ["name": .string(name)], "spec": ["minAvailable": 1, "selector": ["matchLabels": ["app": "web"]]]])
    #expect(made.status == 201)
    let status: JSON = [
      "status": ["observedGeneration": 1, "disruptionsAllowed": JSON(allowed), "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3]
    ]
    let written = try await test.call(
      "PATCH", Self.budgets + "/\(name)/status", contentType: "application/merge-patch+json", status)
    #expect(written.status == 200)
  }

  private func evict(_ name: String, _ test: TestServer, _ options: JSON = .null) async throws -> (status: Int, body: JSON) {
    try await test.call(
      "POST", Self.pods + "/\(name)/eviction",
      ["apiVersion": "policy/v1", "kind": "Eviction", "metadata": ["name": .string(name)], "deleteOptions": options])
  }

  @Test func theBudgetIsChargedAndThenRefuses() async throws {
    try await TestServer.with { test in
      try await makePods(3, test)
      try await makeBudget("b", allowed: 1, test)
      let dry = try await evict("p0", test, ["dryRun": ["All"]])
      #expect(dry.status == 201)
      #expect(try await test.call("GET", Self.budgets + "/b").body["status"]["disruptionsAllowed"] == 1)
      #expect(try await test.call("GET", Self.pods + "/p0").body["metadata"]["deletionTimestamp"].isNull)
      #expect(try await evict("p0", test).status == 201)
      let status = try await test.call("GET", Self.budgets + "/b").body["status"]
      #expect(status["disruptionsAllowed"] == 0 && status["disruptedPods"].object?.contains("p0") == true)
      let going = try await test.call("GET", Self.pods + "/p0").body
      #expect(!going["metadata"]["deletionTimestamp"].isNull)
      let target = going["status"]["conditions"].array?.first { $0["type"] == "DisruptionTarget" }
      #expect(target?["reason"] == "EvictionByEvictionAPI" && target?["status"] == "True")
      let refused = try await evict("p1", test)
      #expect(refused.status == 429 && refused.body["details"]["causes"][0]["reason"] == "DisruptionBudget")
      #expect(try await test.call("GET", Self.pods + "/p1").body["metadata"]["deletionTimestamp"].isNull)
      // A changed budget waits for its controller.
      let patch: JSON = ["spec": ["minAvailable": 0]]
      _ = try await test.call("PATCH", Self.budgets + "/b", contentType: "application/merge-patch+json", patch)
      #expect(try await evict("p1", test).body["details"]["causes"][0]["message"].string?.contains("still being processed") == true)
      #expect(try await evict("nobody", test).status == 404)
    }
  }

  @Test func severalBudgetsAreAnError() async throws {
    try await TestServer.with { test in
      try await makePods(1, test)
      try await makeBudget("a", allowed: 1, test)
      try await makeBudget("b", allowed: 1, test)
      let answer = try await evict("p0", test)
      #expect(answer.status == 500)
      #expect(
        answer.body["message"] == "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    }
  }

  /// However many ask at once, no more go than the budget has.
  @Test func concurrentEvictionsDoNotOvercommit() async throws {
    try await TestServer.with { test in
      try await makePods(8, test)
      try await makeBudget("b", allowed: 3, test)
      let done = try await withThrowingTaskGroup(of: Int.self) { group in
        for index in 0..<8 { group.addTask { try await evict("p\(index)", test).status } }
        return try await group.reduce(into: [Int]()) { $0.append($1) }
      }
      #expect(done.count { $0 == 201 } <= 3)
      #expect(done.count { $0 == 201 } >= 1)
      let pods = try await test.call("GET", Self.pods).body["items"].array ?? []
      #expect(pods.count { !$0["metadata"]["deletionTimestamp"].isNull } == done.count { $0 == 201 })
    }
  }
}
