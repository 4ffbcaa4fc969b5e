import Authorization
import JSONCodec
import KubernetesClient

extension APIServer {
  /// Creates the default roles and bindings, and gives back what those that are there have lost.
  func reconcileDefaultRoles() async throws {
    let client = KubernetesClient(transport: LocalTransport(server: self, user: .controlPlane))
    // All at once: the store writes them in few commits.
    try await withThrowingTaskGroup(of: Void.self) { group in
      for wanted in DefaultRoles.all { group.addTask { try await Self.reconcile(wanted, client) } }
      try await group.waitForAll()
    }
    try await aggregateRoles(client)
  }

  private static func reconcile(_ wanted: DefaultObject, _ client: KubernetesClient) async throws {
    let path = ResourcePath(group: "rbac.authorization.k8s.io", version: "v1", wanted.plural, namespace: wanted.namespace)
    do {
      let present = try await client.get(path, name: wanted.name)
      if let repaired = DefaultRoles.repaired(present, wanted) { try await client.update(path, name: wanted.name, repaired) }
    } catch let error as APIStatusError where error.isNotFound {
      try await client.create(path, wanted.object)
    }
  }

  /// Writes the gathered rules into aggregated ClusterRoles until none is stale.
  private func aggregateRoles(_ client: KubernetesClient) async throws {
    await access.index.ready()
    // One gathers from another that gathers: each round settles one level.
    for _ in 0..<Self.aggregationLevelsMax {
      await access.index.catchUp()
      let stale = access.index.staleAggregations()
      if stale.isEmpty { return }
      let path = ResourcePath(group: "rbac.authorization.k8s.io", version: "v1", "clusterroles")
      for (name, rules) in stale {
        do {
          try await client.patch(path, name: name, ["rules": .array(rules.map(\.json))])
        } catch let error as APIStatusError where error.isNotFound {
        }
      }
    }
    log.warning("ClusterRoles gather from each other in a circle, or more than \(Self.aggregationLevelsMax) levels deep")
  }

  /// admin gathers edit, which gathers view: three levels are usual.
  private static let aggregationLevelsMax = 16

  /// Keeps aggregated ClusterRoles equal to what they gather.
  func runRoleAggregation() async {
    let client = KubernetesClient(transport: LocalTransport(server: self, user: .controlPlane))
    for await _ in access.index.roleChanges() {
      while !Task.isCancelled {
        do {
          try await aggregateRoles(client)
          break
        } catch {
          log.warning("ClusterRoles are not aggregated, another attempt follows: \(error)")
          try? await Task.sleep(for: .milliseconds(Self.aggregationPause))
        }
      }
    }
  }

  /// Milliseconds until another attempt after a failed one.
  private static let aggregationPause = 500
}
