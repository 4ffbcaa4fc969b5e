import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// Follows CustomResourceDefinitions: says which names they have, takes their kinds into the server and out of it, and deletes
/// their objects before they go.
struct DefinitionController: Sendable {
  /// Milliseconds between two looks at objects that are still going.
  static let drainPause = 200

  let resources: Resources
  let hooks: CustomResourceHooks
  let definitions: LiveCollection

  init(resources: Resources, hooks: CustomResourceHooks) {
    self.resources = resources
    self.hooks = hooks
    definitions = LiveCollection(
      store: resources.store, prefix: "/registry/apiextensions.k8s.io/customresourcedefinitions/", log: resources.log)
  }

  /// Takes the definitions that are stored into the server, so that the first request finds their kinds.
  func load() async throws { install(try await definitions.all().objects) }

  func run() async {
    let draining = Draining()
    await withDiscardingTaskGroup { group in
      let (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
      group.addTask {
        await definitions.run { continuation.yield() }
        continuation.finish()
      }
      for await _ in news {
        guard let all = try? await definitions.all().objects else { continue }
        // First the kinds, then the word that they are there: who reads Established finds them served.
        install(all.map { settled($0, all) })
        for definition in all {
          let name = definition["metadata"]["name"].string ?? ""
          await write(definition, settled(definition, all))
          if !definition["metadata"]["deletionTimestamp"].isNull {
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

  private func install(_ all: [JSON]) { resources.catalog.replace(resources.registry.adding(all, hooks: hooks)) }

  private func settled(_ definition: JSON, _ all: [JSON]) -> JSON {
    var result = definition
    result["status"] = definitionStatus(definition, others: all, now: .now)
    return result
  }

  private func write(_ definition: JSON, _ wanted: JSON) async {
    guard wanted["status"] != definition["status"] else { return }
    let name = definition["metadata"]["name"].string ?? ""
    guard let revision = definition["metadata"]["resourceVersion"].string.flatMap({ Revision($0) }) else { return }
    do {
      try await resources.store.write(.put(key: definitions.prefix + name, value: StoredForm.encode(wanted), .revision(revision)))
    } catch {
      // Whoever was faster is the next news.
      resources.log.debug("the status of definition \(name) was not written: \(error)")
    }
  }

  // MARK: the end

  /// Deletes the objects of a definition that is to go, and then lets it go.
  private func drain(_ name: String) async {
    while !Task.isCancelled {
      do {
        guard let stored = try await resources.store.get(definitions.prefix + name, at: nil) else { return }
        var definition = try StoredForm.decode(stored.value, revision: stored.revision)
        let finalizers = (definition["metadata"]["finalizers"].array ?? []).compactMap(\.string)
        guard !definition["metadata"]["deletionTimestamp"].isNull, finalizers.contains(JSON.definitionCleanupFinalizer) else { return }
        if try await isEmptied(definition) {
          definition["metadata"]["finalizers"] = JSON(finalizers.filter { $0 != JSON.definitionCleanupFinalizer })
          definition["status"] = definitionStatus(definition, deletion: .completed, now: .now)
          let bytes = StoredForm.encode(definition)
          let isLast = finalizers.count == 1
          try await resources.store.write(
            isLast
              ? .delete(key: stored.key, value: bytes, .revision(stored.revision))
              : .put(key: stored.key, value: bytes, .revision(stored.revision)))
          return
        }
        await write(
          definition,
          {
            var d = definition; d["status"] = definitionStatus(definition, deletion: .inProgress, now: .now); return d
          }())
      } catch {
        resources.log.debug("the objects of definition \(name) are not gone yet: \(error)")
      }
      try? await Task.sleep(for: .milliseconds(Self.drainPause))
    }
  }

  private func isEmptied(_ definition: JSON) async throws -> Bool {
    let (group, plural) = (definition["spec"]["group"].string ?? "", definition["spec"]["names"]["plural"].string ?? "")
    let prefix = "/registry/\(group)/\(plural)/"
    let page = try await resources.store.list(prefix: prefix)
    guard !page.items.isEmpty else { return true }
    guard let info = resources.registry.customResources.first(where: { $0.group == group && $0.plural == plural }) else {
      // It never was served in a version that is known: what lies there belongs to nobody.
      for item in page.items { try await resources.store.write(.delete(key: item.key, value: item.value, .none)) }
      return true
    }
    for item in page.items {
      let parts = item.key.dropFirst(prefix.count).split(separator: "/").map(String.init)
      let request = ResourceRequest(
        resource: info, namespace: parts.count > 1 ? parts[0] : nil, name: parts.last, subresource: nil)
      do {
        _ = try await resources.delete(request, DeleteOptions(), user: .controlPlane)
      } catch let failure as APIFailure where failure.code == 404 {}
    }
    return try await resources.store.list(prefix: prefix, after: nil, limit: 1, at: nil).items.isEmpty
  }
}
