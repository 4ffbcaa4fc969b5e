import JSONCodec
import Kubelet
import KubernetesAPI
import KubernetesClient
import Testing

@Suite(.serialized) struct RuntimeClassTests {
  private func makeClass(_ cluster: Cluster, _ name: String, _ handler: String) async throws {
    _ = try await cluster.client.create(
      ResourcePath(group: "node.k8s.io", "runtimeclasses"),
      ["apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": ["name": .string(name)], "handler": .string(handler)])
  }

  @Test func theNodesOwnRuntimeHasAName() async throws {
    try await withKubelet { cluster in
      try await makeClass(cluster, "own", "swiftlet")
      try await cluster.create(cluster.pod("web", ["runtimeClassName": "own"]))
      try await cluster.waitReady("web")
      let node = try await cluster.client.get(.nodes, name: "node-1")
      #expect((node["status"]["runtimeHandlers"].array ?? []).compactMap { $0["name"].string } == ["", "swiftlet"])
    }
  }

  @Test func aRuntimeThatIsNotHereIsTold() async throws {
    try await withKubelet { cluster in
      try await makeClass(cluster, "other", "kata")
      let pod = try await cluster.create(cluster.pod("web", ["runtimeClassName": "other"]))
      try await eventually("told") {
        let events = try await cluster.client.list(.events("default")).items
        return events.contains {
          $0["reason"] == "FailedCreatePodSandBox"
            && $0["message"]
              == "Failed to create pod sandbox: failed to get sandbox runtime: no runtime for \"kata\" is configured"
        }
      }
      #expect(cluster.runtime.sandboxes[pod.uid] == nil)
    }
  }

  @Test func theStorageNodeIsThere() async throws {
    try await withKubelet { cluster in
      try await eventually("CSINode") {
        let found = try? await cluster.client.get(ResourcePath(group: "storage.k8s.io", "csinodes"), name: "node-1")
        return found?["spec"]["drivers"].array?.isEmpty == true && found?["metadata"]["ownerReferences"][0]["kind"] == "Node"
      }
    }
  }
}
