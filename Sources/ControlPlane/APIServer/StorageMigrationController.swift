import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// Works through StorageVersionMigrations, one after the other in the order in which they were made: writes every object of a
/// resource anew that lies in another version than the present storage version. What lies right already is not written.
struct StorageMigrationController: Sendable {
  /// Objects that are read at once.
  private static let pageSize = 500
  /// How often an object is tried that could not be written for a reason that may pass, and the first pause in milliseconds; it doubles.
  private static let attemptsMax = 8
  private static let firstPause = 100
  /// Milliseconds between two looks for a resource that is about to be served, and seconds for which it is waited for.
  private static let lookPause = 100
  private static let patience = 60.0

  let resources: Resources
  let migrations: LiveCollection

  init(resources: Resources) {
    self.resources = resources
    migrations = LiveCollection(
      store: resources.store, prefix: "/registry/storagemigration.k8s.io/storageversionmigrations/", log: resources.log)
  }

  func run() async {
    let (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await migrations.run { continuation.yield() }
        continuation.finish()
      }
      for await _ in news {
        for migration in (try? await migrations.all().objects) ?? [] where !Self.hasEnded(migration) { await handle(migration) }
      }
    }
  }

  private static func hasEnded(_ migration: JSON) -> Bool { holds("Succeeded", migration) || holds("Failed", migration) }

  private static func holds(_ type: String, _ migration: JSON) -> Bool {
    migration["status"]["conditions"].list.contains { $0["type"].string == type && $0["status"] == "True" }
  }

  /// Why a migration cannot go on.
  private struct Failure: Error { let message: String }

  private func handle(_ known: JSON) async {
    let name = known["metadata"]["name"].string ?? ""
    do {
      // News are behind what this controller itself wrote.
      let migration = try await resources.stored(request(name)).object
      guard !Self.hasEnded(migration), migration["metadata"]["deletionTimestamp"].isNull else { return }
      let asked = migration["spec"]["resource"]
      do {
        let resource = try await resource(asked["group"].string ?? "", asked["resource"].string ?? "")
        let revision = String(try await resources.store.currentRevision())
        try await setStatus(name, "Running", "MigrationRunning", "The migration is running", revision: revision)
        let definition = try await beginDefinition(resource, name)
        let count = try await migrate(resource, name)
        try await endDefinition(resource, generation: definition)
        try await setStatus(name, "Succeeded", "StorageVersionMigrationSucceeded", "\(count) objects were written anew")
      } catch let failure as Failure {
        try await setStatus(name, "Failed", "StorageVersionMigrationFailed", failure.message)
      }
    } catch is CancellationError {
    } catch let failure as APIFailure where failure.code == 404 {
      // The migration was deleted meanwhile.
    } catch {
      resources.log.warning("storage version migration \(name): \(error)")
    }
  }

  private func request(_ name: String) -> ResourceRequest {
    let resource = resources.resource("storageversionmigrations", group: "storagemigration.k8s.io", version: "v1beta1")
    return ResourceRequest(resource: resource, namespace: nil, name: name, subresource: nil)
  }

  private var context: WriteContext { WriteContext(user: .controlPlane, manager: "storage-version-migrator-controller") }

  private func setStatus(_ name: String, _ type: String, _ reason: String, _ message: String, revision: String? = nil) async throws {
    var context = context
    context.subresource = "status"
    let time = context.now.rfc3339
    _ = try await resources.update(request(name), context) { old in
      var new = old
      if let revision, new["status"]["resourceVersion"].isEmpty { new["status"]["resourceVersion"] = .string(revision) }
      var conditions = new["status"]["conditions"].list.filter { $0["type"] != "Running" && $0["type"].string != type }
      conditions.append([
        "type": .string(type), "status": "True", "lastTransitionTime": .string(time), "reason": .string(reason),
        "message": .string(message),
      ])
      new["status"]["conditions"] = .array(conditions)
      return new
    }
  }

  // MARK: the resource

  /// The resource as this server serves it. A definition that was just written is waited for: its storage version has to be the one
  /// that writes use.
  private func resource(_ group: String, _ plural: String) async throws -> ResourceInfo {
    let end = ContinuousClock.now + .seconds(Self.patience)
    while true {
      let definition = try await definition(plural, group)
      let served = resources.registry.resources.filter { $0.group == group && $0.plural == plural && $0.isServed }
      let storage = definition.map { Self.storageVersion($0) }
      let found = served.first { $0.version == $0.storageVersion } ?? served.first
      if let found, found.verbs.contains("update"), found.custom == nil || found.storageVersion == storage { return found }
      guard definition != nil, ContinuousClock.now < end else {
        throw Failure(message: "resource not found: \(plural)\(group.isEmpty ? "" : "." + group) is none whose objects this server stores")
      }
      try await Task.sleep(for: .milliseconds(Self.lookPause))
    }
  }

  private static func storageVersion(_ definition: JSON) -> String {
    definition["spec"]["versions"].list.first { $0["storage"] == true }?["name"].string ?? ""
  }

  private var definitions: ResourceInfo { resources.resource("customresourcedefinitions", group: "apiextensions.k8s.io") }

  private func definition(_ plural: String, _ group: String) async throws -> JSON? {
    let request = ResourceRequest(resource: definitions, namespace: nil, name: "\(plural).\(group)", subresource: nil)
    do {
      return try await resources.stored(request).object
    } catch let failure as APIFailure where failure.code == 404 {
      return nil
    }
  }

  /// Says at the definition that it is being migrated; its generation then, nil for built-in kinds.
  private func beginDefinition(_ resource: ResourceInfo, _ name: String) async throws -> Int? {
    try await changeDefinition(resource) { definition in
      Self.set("True", "MigrationRunning", "Migration \(name) is running", &definition, context.now)
    }
  }

  /// From now on all objects lie in the storage version, unless the definition was changed meanwhile.
  // Unlike upstream: a storage version migration that failed takes no version out of status.storedVersions, as objects may still lie in it.
  private func endDefinition(_ resource: ResourceInfo, generation: Int?) async throws {
    _ = try await changeDefinition(resource) { definition in
      let isSame = definition["metadata"]["generation"].int == generation
      if isSame { definition["status"]["storedVersions"] = [.string(Self.storageVersion(definition))] }
      let rest =
        isSame ? " and the stored versions have been updated" : ", but the definition was changed and may have more stored versions"
      Self.set("False", "MigrationSucceeded", "The migration has succeeded\(rest)", &definition, context.now)
    }
  }

  private func changeDefinition(_ resource: ResourceInfo, _ change: (inout JSON) -> Void) async throws -> Int? {
    guard resource.custom != nil else { return nil }
    var context = context
    context.subresource = "status"
    let request = ResourceRequest(
      resource: definitions, namespace: nil, name: "\(resource.plural).\(resource.group)", subresource: nil)
    do {
      return try await resources.update(request, context) { old in
        var new = old
        change(&new)
        return new
      }["metadata"]["generation"].int
    } catch let failure as APIFailure where failure.code == 404 {
      throw Failure(message: "resource not found: the definition was deleted")
    }
  }

  private static func set(_ status: String, _ reason: String, _ message: String, _ definition: inout JSON, _ now: Timestamp) {
    let conditions = definition["status"]["conditions"].list
    let before = conditions.first { $0["type"] == "StorageMigrating" } ?? .null
    var condition: JSON = ["type": "StorageMigrating", "status": .string(status), "reason": .string(reason), "message": .string(message)]
    condition["lastTransitionTime"] = before["status"].string == status ? before["lastTransitionTime"] : .string(now.rfc3339)
    condition["observedGeneration"] = definition["metadata"]["generation"]
    definition["status"]["conditions"] = .array(conditions.filter { $0["type"] != "StorageMigrating" } + [condition])
  }

  // MARK: objects

  /// How many objects were written.
  private func migrate(_ resource: ResourceInfo, _ migration: String) async throws -> Int {
    let prefix = ResourceRequest.prefix(resource, namespace: nil)
    let wanted = resource.storageGroup.isEmpty ? resource.storageVersion : "\(resource.storageGroup)/\(resource.storageVersion)"
    var (count, after): (Int, String?) = (0, nil)
    while true {
      let page = try await resources.store.list(prefix: prefix, after: after, limit: Self.pageSize, at: nil)
      for item in page.items {
        try Task.checkCancellation()
        guard try resources.decoded.object(item)["apiVersion"].string != wanted else { continue }
        let parts = item.key.dropFirst(prefix.count).split(separator: "/").map(String.init)
        let request = ResourceRequest(
          resource: resource, namespace: parts.count > 1 ? parts[0] : nil, name: parts.last, subresource: nil)
        if try await rewrite(request) { count += 1 }
      }
      guard page.more, let last = page.items.last else { return count }
      after = last.key
      // Whoever deletes a migration ends it.
      _ = try await resources.stored(self.request(migration))
    }
  }

  /// Whether the object was there to be written. Who writes it at the same time migrates it too.
  private func rewrite(_ request: ResourceRequest) async throws -> Bool {
    var pause = Self.firstPause
    for attempt in 1...Self.attemptsMax {
      do {
        _ = try await resources.update(request, context) { $0 }
        return true
      } catch let failure as APIFailure where failure.code == 404 || failure.code == 409 {
        return false
      } catch let failure as APIFailure {
        let mayPass = failure.code >= 500 || failure.code == 429
        guard mayPass, attempt < Self.attemptsMax else {
          let place = (request.namespace.map { $0 + "/" } ?? "") + (request.name ?? "")
          throw Failure(message: "\(place) cannot be written: \(failure.message)")
        }
      }
      try await Task.sleep(for: .milliseconds(pause))
      pause *= 2
    }
    return false
  }
}

extension JSON {
  /// The elements of a list; none where it is something else.
  var list: [JSON] { array ?? [] }
}
