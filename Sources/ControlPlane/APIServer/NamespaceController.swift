import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization

/// Furnishes each namespace with its default service account and the cluster's CA certificate, and empties and removes
/// namespaces that are deleted.
struct NamespaceController: Sendable {
  /// Milliseconds between two looks at a namespace whose last objects are still going.
  static let drainPause = 200
  /// The pause doubles up to this: a finalizer may hold an object for long.
  static let drainPauseMax = 5_000

  let client: KubernetesClient
  let server: APIServer

  func run() async {
    let draining = Draining()
    await withDiscardingTaskGroup { group in
      for await event in client.reflect(.namespaces, log: server.log) {
        let namespaces: [JSON] =
          switch event {
          case .synced(let all): all
          case .changed(let one): [one]
          case .deleted: []
          }
        for namespace in namespaces {
          let name = namespace["metadata"]["name"].string ?? ""
          if namespace["metadata"]["deletionTimestamp"].isNull {
            group.addTask { await furnish(name) }
          } else {
            group.addTask {
              guard draining.begin(name) else { return }
              await drain(name)
              draining.end(name)
            }
          }
        }
      }
    }
  }

  /// Creates what a namespace must have; what is there already stays.
  func furnish(_ name: String) async {
    do {
      try await APIServer.ensure(
        client, .serviceAccounts(name), ["kind": "ServiceAccount", "apiVersion": "v1", "metadata": ["name": "default"]])
      try await APIServer.ensure(
        client, .configMaps(name),
        [
          "kind": "ConfigMap", "apiVersion": "v1",
          "metadata": [
            "name": "kube-root-ca.crt",
            "annotations": [
              "kubernetes.io/description":
                "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc."
            ],
          ],
          "data": ["ca.crt": .string(server.configuration.authorityPEM)],
        ])
    } catch let error as APIStatusError where error.isNotFound || error.code == 403 {
      // The namespace went away in the meantime.
    } catch {
      server.log.warning("namespace \(name) is not furnished: \(error)")
    }
  }

  /// Deletes everything in a namespace and then its finalizer.
  private func drain(_ name: String) async {
    var pause = Self.drainPause
    while !Task.isCancelled {
      do {
        var namespace = try await client.get(.namespaces, name: name)
        guard !namespace["metadata"]["deletionTimestamp"].isNull else { return }
        let content = await empty(name)
        if content.isGone {
          namespace["spec"]["finalizers"] = .array([])
          try await client.update(.namespaces, name: name, subresource: "finalize", namespace)
          return
        }
        try await tell(content, &namespace)
      } catch let error as APIStatusError where error.isNotFound {
        return
      } catch {
        server.log.warning("namespace \(name) is not emptied yet: \(error)")
      }
      try? await Task.sleep(for: .milliseconds(pause))
      pause = min(pause * 2, Self.drainPauseMax)
    }
  }

  /// Deletes what is there: pods first, and nothing else before the last of them is gone, so that what protects or feeds a pod outlives
  /// it.
  private func empty(_ namespace: String) async -> NamespaceContent {
    var content = NamespaceContent()
    await empty(server.resources.resource("pods"), namespace, &content)
    guard content.remaining.isEmpty, content.failures.isEmpty else { return content }
    for resource in server.registry.resources
    where resource.isNamespaced && resource.isServed && resource.verbs.contains("delete") && resource.group == resource.storageGroup {
      await empty(resource, namespace, &content)
    }
    return content
  }

  private func empty(_ resource: ResourceInfo, _ namespace: String, _ content: inout NamespaceContent) async {
    let path = ResourcePath(group: resource.group, version: resource.version, resource.plural, namespace: namespace)
    do {
      for item in try await client.list(path).items {
        content.note(item, resource)
        if !item["metadata"]["deletionTimestamp"].isNull { continue }
        do {
          try await client.delete(path, name: item["metadata"]["name"].string ?? "", propagation: "Background")
        } catch let error as APIStatusError where error.isNotFound {
        }
      }
    } catch let error as APIStatusError where error.isNotFound {
      // A custom kind that goes at this moment.
    } catch {
      content.failures.append("\(error)")
      server.log.warning("\(resource.plural) of namespace \(namespace) are not deleted yet: \(error)")
    }
  }

  /// Says in the namespace's status what it waits for.
  private func tell(_ content: NamespaceContent, _ namespace: inout JSON) async throws {
    let conditions = content.conditions(previous: namespace["status"]["conditions"].array ?? [], now: .now)
    guard .array(conditions) != namespace["status"]["conditions"] else { return }
    namespace["status"]["conditions"] = .array(conditions)
    do {
      try await client.update(.namespaces, name: namespace["metadata"]["name"].string ?? "", subresource: "status", namespace)
    } catch let error as APIStatusError where error.isConflict {
      // Somebody else wrote; the next look says it.
    }
  }
}

/// What a namespace that goes still has.
struct NamespaceContent {
  /// Objects by resource, such as `pods.` or `deployments.apps`, as they were listed before the look's own deletions.
  private(set) var remaining: [String: Int] = [:]
  private(set) var finalizers: [String: Int] = [:]
  var failures: [String] = []

  var isGone: Bool { remaining.isEmpty && failures.isEmpty }

  mutating func note(_ object: JSON, _ resource: ResourceInfo) {
    remaining["\(resource.plural).\(resource.group)", default: 0] += 1
    for finalizer in object["metadata"]["finalizers"].array ?? [] { finalizers[finalizer.string ?? "", default: 0] += 1 }
  }

  /// The conditions of a namespace that is being deleted, with upstream's words.
  func conditions(previous: [JSON], now: Timestamp) -> [JSON] {
    func listed(_ counts: [String: Int], _ text: (String, Int) -> String) -> String {
      counts.sorted { $0.key < $1.key }.map(text).joined(separator: ", ")
    }
    let content: (Bool, String, String) =
      remaining.isEmpty
      ? (false, "ContentRemoved", "All content successfully removed")
      : (true, "SomeResourcesRemain", "Some resources are remaining: " + listed(remaining) { "\($0) has \($1) resource instances" })
    let held: (Bool, String, String) =
      finalizers.isEmpty
      ? (false, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
      : (
        true, "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: " + listed(finalizers) { "\($0) in \($1) resource instances" }
      )
    let failed: (Bool, String, String) =
      failures.isEmpty
      ? (false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization")
      : (true, "ContentDeletionFailed", "Failed to delete all resource types, \(failures.count) remaining: " + failures.joined(separator: ", "))
    let wanted: [(String, (Bool, String, String))] = [
      ("NamespaceDeletionDiscoveryFailure", (false, "ResourcesDiscovered", "All resources successfully discovered")),
      ("NamespaceDeletionGroupVersionParsingFailure", (false, "ParsedGroupVersions", "All legacy kube types successfully parsed")),
      ("NamespaceDeletionContentFailure", failed), ("NamespaceContentRemaining", content), ("NamespaceFinalizersRemaining", held),
    ]
    let own = Set(wanted.map(\.0))
    return previous.filter { !own.contains($0["type"].string ?? "") }
      + wanted.map { type, value in
        let status = value.0 ? "True" : "False"
        let before = previous.first { $0["type"].string == type && $0["status"].string == status }
        return [
          "type": .string(type), "status": .string(status),
          "lastTransitionTime": before?["lastTransitionTime"] ?? .string(now.rfc3339), "reason": .string(value.1),
          "message": .string(value.2),
        ]
      }
  }
}

/// What is being emptied, so that nothing is emptied twice at a time.
final class Draining: Sendable {
  private let names = Mutex<Set<String>>([])
  func begin(_ name: String) -> Bool { names.withLock { $0.insert(name).inserted } }
  func end(_ name: String) { names.withLock { _ = $0.remove(name) } }
}
