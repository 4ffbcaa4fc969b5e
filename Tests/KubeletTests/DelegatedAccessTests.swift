import JSONCodec
import KubernetesClient
import Logging
import NIOHTTP1
import Testing

@testable import Kubelet

/// The kubelet's questions to the real API server about its callers.
@Suite struct DelegatedAccessTests {
  private func withAccess(_ body: (Cluster, DelegatedAccess) async throws -> Void) async throws {
    let cluster = try await Cluster()
    let node = KubernetesClient(transport: cluster.server.transport(user: "system:node:node-1", groups: ["system:nodes"]))
    let access = DelegatedAccess(client: node, nodeName: "node-1", log: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
    do {
      try await body(cluster, access)
    } catch {
      await cluster.close()
      throw error
    }
    await cluster.close()
  }

  private func token(_ cluster: Cluster, audiences: JSON = .null) async throws -> String {
    let answer = try await cluster.client.create(
      .serviceAccounts("default"), ["spec": ["audiences": audiences]], name: "default", subresource: "token")
    return try #require(answer["status"]["token"].string)
  }

  @Test func tokensAreReviewed() async throws {
    try await withAccess { cluster, access in
      let caller = await access.caller(token: try await token(cluster))
      #expect(caller?.user == "system:serviceaccount:default:default" && caller?.groups.contains("system:serviceaccounts") == true)
      #expect(await access.caller(token: "nonsense") == nil)
      #expect(await access.caller(token: try await token(cluster, audiences: ["elsewhere"])) == nil)
    }
  }

  @Test func rolesDecide() async throws {
    try await withAccess { cluster, access in
      let group = "rbac.authorization.k8s.io"
      let caller = PeerIdentity(user: "prometheus", groups: ["system:authenticated"])
      let metrics = KubeletAccess(method: .GET, path: "/metrics")
      #expect(await !access.allows(PeerIdentity(user: "other", groups: []), metrics))
      _ = try await cluster.client.create(
        ResourcePath(group: group, "clusterroles"),
        ["metadata": ["name": "scrape"], "rules": [["verbs": ["get"], "apiGroups": [""], "resources": ["nodes/metrics"]]]])
      _ = try await cluster.client.create(
        ResourcePath(group: group, "clusterrolebindings"),
        [
          "metadata": ["name": "scrape"], "subjects": [["kind": "User", "apiGroup": .string(group), "name": "prometheus"]],
          "roleRef": ["apiGroup": .string(group), "kind": "ClusterRole", "name": "scrape"],
        ])
      #expect(await access.allows(caller, metrics))
      #expect(await !access.allows(caller, KubeletAccess(method: .POST, path: "/exec/default/p/c")))
      #expect(await !access.allows(caller, KubeletAccess(method: .POST, path: "/metrics")))
    }
  }

  @Test func administratorsGetInWithoutTheAPIServer() async throws {
    try await withAccess { cluster, access in
      try await cluster.store.close()
      #expect(await access.allows(PeerIdentity(user: "a", groups: ["system:masters"]), KubeletAccess(method: .GET, path: "/pods")))
      #expect(await !access.allows(PeerIdentity(user: "u", groups: []), KubeletAccess(method: .GET, path: "/pods")))
    }
  }
}
