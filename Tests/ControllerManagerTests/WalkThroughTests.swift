import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers
import Testing

@testable import ControllerManager

@Suite struct WalkThroughTests {
  /// Create, expose, scale, roll out, roll back, on the real API server.
  @Test func aDeploymentBehindAService() async throws {
    try await TestCluster.with { cluster in
      try await withKubelets(cluster) {
        try await cluster.create(
          .deployment,
          [
            "metadata": ["name": "web"],
            "spec": ["replicas": 2, "selector": ["matchLabels": ["app": "web"]], "template": container()],
          ])
        try await cluster.create(
          .service, ["metadata": ["name": "web"], "spec": ["selector": ["app": "web"], "ports": [["port": 8080, "targetPort": "http"]]]])
        try await cluster.eventually("two ready") { try await cluster.get(.deployment, "web")["status"]["readyReplicas"].int == 2 }
        try await cluster.eventually("two endpoints") {
          let slices = try await cluster.all(.endpointSlice).filter {
            $0["metadata"]["labels"]["kubernetes.io/service-name"].string == "web"
          }
          return slices.count == 1 && slices[0]["endpoints"].array?.count == 2 && slices[0]["ports"][0]["port"].int == 80
            && slices[0]["endpoints"].array!.allSatisfy { $0["conditions"]["ready"].bool == true }
        }
        try await cluster.eventually("two addresses") {
          try await cluster.get(.endpoints, "web")["subsets"][0]["addresses"].array?.count == 2
        }
        try await cluster.patch(.deployment, "web", ["spec": ["replicas": 5]])
        try await cluster.eventually("five ready") { try await cluster.get(.deployment, "web")["status"]["readyReplicas"].int == 5 }
        try await cluster.patch(.deployment, "web", ["spec": ["template": container("nginx:2")]])
        try await cluster.eventually("all new") {
          let status = try await cluster.get(.deployment, "web")["status"]
          let pods = try await cluster.all(.pod)
          return status["updatedReplicas"].int == 5 && pods.count == 5 && status["observedGeneration"].int == 3
            && pods.allSatisfy { $0["spec"]["containers"][0]["image"].string == "nginx:2" }
        }
        try await cluster.patch(.deployment, "web", ["spec": ["template": container("nginx:1")]])
        try await cluster.eventually("rolled back") {
          let pods = try await cluster.all(.pod)
          return pods.count == 5 && pods.allSatisfy { $0["spec"]["containers"][0]["image"].string == "nginx:1" }
        }
        #expect(try await cluster.all(.replicaSet).count == 2)
        let events = try await cluster.all(Kind("", "v1", "Event", "events"))
        #expect(
          events.contains { $0["reason"].string == "ScalingReplicaSet" } && events.contains { $0["reason"].string == "SuccessfulCreate" })
      }
    }
  }

  @Test func handwrittenEndpointsAreMirrored() async throws {
    try await TestCluster.with { cluster in
      try await cluster.create(.service, ["metadata": ["name": "db"], "spec": ["ports": [["port": 5432]]]])
      try await cluster.create(
        .endpoints, ["metadata": ["name": "db"], "subsets": [["addresses": [["ip": "10.1.2.3"]], "ports": [["port": 5432]]]]])
      func slices() async throws -> [JSON] {
        try await cluster.all(.endpointSlice).filter {
          $0["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].string == "endpointslicemirroring-controller.k8s.io"
        }
      }
      try await cluster.eventually("mirrored") { try await slices().first?["endpoints"][0]["addresses"][0].string == "10.1.2.3" }
      try await cluster.patch(.endpoints, "db", ["subsets": [["addresses": [["ip": "10.1.2.4"]], "ports": [["port": 5432]]]]])
      try await cluster.eventually("updated") { try await slices().first?["endpoints"][0]["addresses"][0].string == "10.1.2.4" }
      try await cluster.client.delete(Kind.endpoints.path("default"), name: "db")
      try await cluster.eventually("gone") { try await slices().isEmpty }
    }
  }

  @Test func twoManagersDoNotLeadAtOnce() async throws {
    try await TestCluster.with([]) { cluster in
      let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      var times = LeaderElection.Times()
      (times.lease, times.renewal, times.attempt) = (1, 0.1, 0.05)
      let leading = Counter()
      func elect(_ identity: String) -> Task<Void, Never> {
        let election = LeaderElection(client: cluster.client, name: "test", identity: identity, times: times, log: log)
        return Task {
          await election.run {
            leading.enter(identity)
            try? await Task.sleep(for: .seconds(60))
            leading.leave(identity)
          }
        }
      }
      let first = elect("a")
      try await cluster.eventually("a leads") { leading.names == ["a"] }
      let second = elect("b")
      try await Task.sleep(for: .milliseconds(300))
      #expect(leading.names == ["a"])
      first.cancel()
      try await cluster.eventually("b leads") { leading.names == ["b"] }
      second.cancel()
      await second.value
      #expect(leading.most == 1)
    }
  }
}
