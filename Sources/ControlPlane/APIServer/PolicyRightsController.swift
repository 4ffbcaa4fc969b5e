import JSONCodec
import KubernetesClient
import Logging

/// Lets nodes see all pods and namespaces as long as there are NetworkPolicies, which name them by their labels; before and after,
/// a node sees its own pods only.
struct PolicyRightsController: Sendable {
  static let binding = "swiftlet:network-policy-peers-of-nodes"
  private static let bindings = ResourcePath(group: "rbac.authorization.k8s.io", "clusterrolebindings")

  let client: KubernetesClient
  let log: Logger

  func run() async {
    var policies: Set<String> = []
    var isGranted: Bool?
    for await event in client.reflect(ResourcePath(group: "networking.k8s.io", "networkpolicies"), log: log) {
      switch event {
      case .synced(let list): policies = Set(list.map(Self.uid))
      case .changed(let policy): policies.insert(Self.uid(policy))
      case .deleted(let policy): policies.remove(Self.uid(policy))
      }
      let wanted = !policies.isEmpty
      guard isGranted != wanted else { continue }
      do {
        try await set(wanted)
        isGranted = wanted
      } catch {
        log.warning("nodes \(wanted ? "get no right" : "keep their right") to read the pods that network policies name: \(error)")
      }
    }
  }

  private static func uid(_ policy: JSON) -> String { policy["metadata"]["uid"].string ?? "" }

  private func set(_ isGranted: Bool) async throws {
    do {
      if isGranted {
        try await client.create(
          Self.bindings,
          [
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": ["name": .string(Self.binding)],
            "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "swiftlet:network-policy-peers"],
            "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"]],
          ])
      } else {
        try await client.delete(Self.bindings, name: Self.binding)
      }
    } catch let error as APIStatusError where error.isAlreadyExists || error.isNotFound {
    }
  }
}
