import JSONCodec
import KubernetesAPI
import Reconcilers
import Testing

@testable import ControllerManager

@Suite struct ScaleTests {
  /// The controllers' own part of a large deployment: all of its pods are made, none twice, however far behind the
  /// watches are.
  @Test func threeHundredReplicasAndNotOneMore() async throws {
    try await TestCluster.with { cluster in
      try await cluster.create(
        .deployment,
        ["metadata": ["name": "web"], "spec": ["replicas": 300, "selector": ["matchLabels": ["app": "web"]], "template": container()]])
      try await cluster.eventually("all made") { try await cluster.get(.deployment, "web")["status"]["replicas"].int == 300 }
      #expect(try await cluster.all(.pod).count == 300)
      try await cluster.patch(.deployment, "web", ["spec": ["replicas": 10]])
      try await cluster.eventually("fewer") { try await cluster.all(.pod).count == 10 }
    }
  }
}
