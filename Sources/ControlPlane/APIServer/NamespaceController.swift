import APIMachinery
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization

/// Furnishes each namespace with its default service account and the cluster's CA certificate, whoever takes them away or changes
/// them, and empties and removes namespaces that are deleted.
struct NamespaceController: Sendable {
  /// Milliseconds between two looks at a namespace whose last objects are still going.
  static let drainPause = 50
  /// The pause doubles up to this: a finalizer may hold an object for long.
  static let drainPauseMax = 1_000
  static let account = "default"
  static let authority = "kube-root-ca.crt"

  let client: KubernetesClient
  let server: APIServer

  func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await followNamespaces() }
      group.addTask { await keep(.serviceAccounts(), Self.account) }
      group.addTask { await keep(.configMaps(), Self.authority) }
    }
  }

  private func followNamespaces() async {
    let draining = Draining()
    await withDiscardingTaskGroup { group in
      for await event in client.reflect(.namespaces, log: server.log) {
        for namespace in event.present {
          let name = namespace["metadata"]["name"].string ?? ""
          if namespace["metadata"]["deletionTimestamp"].isNull {
            group.addTask { await furnish(name) }
          } else if namespace["spec"]["finalizers"].array?.contains("kubernetes") == true {
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

  /// Makes anew what somebody deleted, and mends what somebody changed.
  private func keep(_ path: ResourcePath, _ name: String) async {
    for await event in client.reflect(path, fieldSelector: "metadata.name=\(name)", log: server.log) {
      switch event {
      case .synced: break
      case .changed(let object):
        guard name == Self.authority, object["data"] != authorityData else { continue }
        await furnish(object["metadata"]["namespace"].string ?? "")
      case .deleted(let object): await furnish(object["metadata"]["namespace"].string ?? "")
      }
    }
  }

  private var authorityData: JSON { ["ca.crt": .string(server.configuration.authorityPEM)] }

  /// Creates what a namespace must have; of what is there only the certificate is mended.
  func furnish(_ name: String) async {
    do {
      try await APIServer.ensure(
        client, .serviceAccounts(name), ["kind": "ServiceAccount", "apiVersion": "v1", "metadata": ["name": .string(Self.account)]])
      let map: JSON = [
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": [
          "name": .string(Self.authority),
          "annotations": [
            "kubernetes.io/description":
              "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc."
          ],
        ],
        "data": authorityData,
      ]
      try await APIServer.ensure(client, .configMaps(name), map)
      var found = try await client.get(.configMaps(name), name: Self.authority)
      guard found["data"] != authorityData else { return }
      found["data"] = authorityData
      try await client.update(.configMaps(name), name: Self.authority, found)
    } catch let error as APIStatusError where error.isNotFound || error.isConflict || error.code == 403 {
      // The namespace went away in the meantime, or somebody else was at it: the next change brings us back.
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
        let remains = await emptied(name)
        if let changed = NamespaceContents.conditions(of: namespace, remains, now: .now) {
          namespace["status"]["conditions"] = changed
          namespace = try await client.update(.namespaces, name: name, subresource: "status", namespace)
        }
        if remains.isNothing {
          namespace["spec"]["finalizers"] = .array((namespace["spec"]["finalizers"].array ?? []).filter { $0 != "kubernetes" })
          try await client.update(.namespaces, name: name, subresource: "finalize", namespace)
          return
        }
      } catch let error as APIStatusError where error.isNotFound {
        return
      } catch let error as APIStatusError where error.isConflict {
        continue
      } catch {
        server.log.warning("namespace \(name) is not emptied yet: \(error)")
      }
      try? await Task.sleep(for: .milliseconds(pause))
      pause = min(pause * 2, Self.drainPauseMax)
    }
  }

  /// Deletes what there is, pods before anything that they may still use, and tells what remains.
  private func emptied(_ namespace: String) async -> NamespaceContents {
    var contents = NamespaceContents()
    let resources = server.registry.resources.filter {
      $0.isNamespaced && $0.isServed && $0.verbs.contains("delete") && $0.group == $0.storageGroup
    }
    for pods in [true, false] {
      for resource in resources where (resource.group.isEmpty && resource.plural == "pods") == pods {
        let path = ResourcePath(group: resource.group, version: resource.version, resource.plural, namespace: namespace)
        let name = resource.group.isEmpty ? resource.plural : "\(resource.plural).\(resource.group)"
        do {
          let items = try await client.list(path).items
          let live = items.filter { $0["metadata"]["deletionTimestamp"].isNull }
          for item in live { try await delete(path, item) }
          for item in live.isEmpty ? items : try await client.list(path).items {
            contents.add(name, finalizers: item["metadata"]["finalizers"].array?.compactMap(\.string) ?? [])
          }
        } catch let error as APIStatusError where error.isNotFound {
          // A custom kind whose definition has just gone.
        } catch {
          contents.failures.append("\(name): \(error)")
        }
      }
      if pods, !contents.isNothing { break }
    }
    return contents
  }

  private func delete(_ path: ResourcePath, _ item: JSON) async throws {
    do {
      try await client.delete(path, name: item["metadata"]["name"].string ?? "", propagation: "Background")
    } catch let error as APIStatusError where error.isNotFound {
    }
  }
}

extension ReflectorEvent {
  /// The objects that the event says are there.
  var present: [JSON] {
    switch self {
    case .synced(let all): all
    case .changed(let one): [one]
    case .deleted: []
    }
  }
}

/// What is being emptied, so that nothing is emptied twice at a time.
final class Draining: Sendable {
  private let names = Mutex<Set<String>>([])
  func begin(_ name: String) -> Bool { names.withLock { $0.insert(name).inserted } }
  func end(_ name: String) { names.withLock { _ = $0.remove(name) } }
}
