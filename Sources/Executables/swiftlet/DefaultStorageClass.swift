import JSONCodec
import KubernetesClient
import Logging

/// The class of volumes that claims get which name none: directories of the node. It is made once in a cluster's life, and not where
/// somebody made a class before: who deletes or changes it has decided.
struct DefaultStorageClass {
  static let name = "local-path"
  /// On the namespace kube-system: the class was made, or was not needed.
  static let mark = "swiftlet.io/default-storage-class"
  private static let path = ResourcePath(group: "storage.k8s.io", "storageclasses")

  let client: KubernetesClient

  func ensure() async throws {
    let system = try await client.get(.namespaces, name: "kube-system")
    guard system["metadata"]["annotations"][Self.mark].isNull else { return }
    if try await client.list(Self.path).items.isEmpty {
      do {
        try await client.create(Self.path, Self.object)
      } catch let error as APIStatusError where error.isAlreadyExists {
      }
    }
    try await client.patch(
      .namespaces, name: "kube-system", type: .merge, ["metadata": ["annotations": [Self.mark: .string(Self.name)]]])
  }

  private static let object: JSON = [
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
    "metadata": ["name": .string(name), "annotations": ["storageclass.kubernetes.io/is-default-class": "true"]],
    "provisioner": "swiftlet.io/local-path", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
  ]
}
