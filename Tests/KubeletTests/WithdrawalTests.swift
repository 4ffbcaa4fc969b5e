import Foundation
import JSONCodec
import Kubelet
import KubernetesAPI
import Synchronization
import Testing

/// Services that lead to all pods or to none, and let go of them as the test says.
final class FakeEndpoints: PodEndpoints {
  struct Behaviour: Sendable {
    var serves = false
    /// Nil: never.
    var seconds: Double? = 0
  }

  let behaviour = Mutex(Behaviour())
  let asked = Mutex<[(pod: String, isTold: Bool, at: Date)]>([])
  let done = Mutex<[Date]>([])

  func serves(_ pod: String) -> Bool { behaviour.withLock { $0.serves } }
  func withdraw(_ pod: String, isTold: Bool) async {
    asked.withLock { $0.append((pod, isTold, Date())) }
    let seconds = behaviour.withLock { $0.seconds }
    try? await Task.sleep(for: .seconds(seconds ?? 3_600))
    done.withLock { $0.append(Date()) }
  }
}

/// Services let go of a pod before its containers are told to stop.
@Suite(.serialized) struct WithdrawalTests {
  /// Seconds from the deletion to the stop signal.
  private func stopSeconds(_ cluster: Cluster, _ spec: JSON = [:], containers: [JSON]? = nil) async throws -> Double {
    try await cluster.create(cluster.pod("web", spec, containers: containers))
    try await cluster.waitReady("web")
    let began = Date()
    _ = try await cluster.client.delete(.pods("default"), name: "web")
    try await eventually("the stop signal") { cluster.runtime.journal.withLock { $0.contains { $0.hasPrefix("TERM") } } }
    let seconds = Date().timeIntervalSince(began)
    try await cluster.waitGone("web")
    return seconds
  }

  @Test func theSignalComesAfterServicesLetGo() async throws {
    try await withKubelet { cluster in
      cluster.endpoints.behaviour.withLock { $0 = .init(serves: true, seconds: 0.4) }
      let seconds = try await stopSeconds(cluster)
      #expect(seconds > 0.39)
      #expect(cluster.endpoints.asked.withLock { $0.map(\.isTold) } == [true])
    }
  }

  @Test func aBrokenProxyHoldsNothingUp() async throws {
    try await withKubelet { cluster in
      cluster.endpoints.behaviour.withLock { $0 = .init(serves: true, seconds: nil) }
      let seconds = try await stopSeconds(cluster, ["terminationGracePeriodSeconds": 3])
      #expect(seconds > 1.4 && seconds < 3, "half the grace, not \(seconds) s")
      #expect(cluster.endpoints.done.withLock { $0.count } == 1, "it was cancelled")
    }
  }

  @Test func withoutServicesNobodyIsAsked() async throws {
    try await withKubelet { cluster in
      cluster.endpoints.behaviour.withLock { $0 = .init(serves: false, seconds: nil) }
      _ = try await stopSeconds(cluster)
      #expect(cluster.endpoints.asked.withLock { $0.isEmpty })
    }
  }

  @Test func withoutGraceThereIsNoWait() async throws {
    try await withKubelet { cluster in
      cluster.endpoints.behaviour.withLock { $0 = .init(serves: true, seconds: nil) }
      try await cluster.create(cluster.pod("web"))
      try await cluster.waitReady("web")
      let began = Date()
      _ = try await cluster.client.delete(.pods("default"), name: "web", gracePeriodSeconds: 0)
      try await eventually("the end") { cluster.runtime.sandboxes.isEmpty }
      #expect(Date().timeIntervalSince(began) < 1.8)
    }
  }

  @Test func allContainersWaitForOneWithdrawal() async throws {
    try await withKubelet { cluster in
      cluster.endpoints.behaviour.withLock { $0 = .init(serves: true, seconds: 0.3) }
      let container = { (name: String) -> JSON in ["name": .string(name), "image": "busybox:1", "imagePullPolicy": "IfNotPresent"] }
      let seconds = try await stopSeconds(cluster, containers: [container("one"), container("two")])
      #expect(seconds > 0.29 && cluster.endpoints.asked.withLock { $0.count } == 1)
      #expect(cluster.runtime.journal.withLock { $0.filter { $0.hasPrefix("TERM") }.sorted() } == ["TERM one", "TERM two"])
    }
  }
}
