import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers

/// Deletes what has lost its owners, of every kind that there is.
final class GarbageCollector: Sendable {
  /// Objects that are looked at at once.
  static let workers = 20

  struct Item: Hashable, Sendable {
    let kind: Kind
    let name: ObjectName
  }

  private let client: KubernetesClient
  private let caches: SharedCaches
  private let kinds: KindDirectory
  private let queue: WorkQueue<Item>
  private let log: Logger

  init(client: KubernetesClient, caches: SharedCaches, kinds: KindDirectory, time: TimeSource, log: Logger) {
    self.client = client
    self.caches = caches
    self.kinds = kinds
    queue = WorkQueue(time: time)
    self.log = log
  }

  /// Runs until the task is cancelled.
  func run() async {
    let builtIn = kinds.builtIn
    // All lists at once.
    let all = builtIn.map { caches[$0] }
    for cache in all { await cache.waitUntilSynced() }
    guard !Task.isCancelled else { return }
    for kind in builtIn { follow(kind) }
    await withTaskCancellationHandler {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.kinds.followDefinitions { self.follow($0) } }
        for _ in 0..<Self.workers {
          group.addTask {
            while let item = await self.queue.next() {
              await self.work(item)
              self.queue.done(item)
            }
          }
        }
      }
    } onCancel: {
      queue.close()
    }
  }

  private func follow(_ kind: Kind) {
    caches[kind].observe { [weak self] old, new in self?.noticed(kind, old, new) }
  }

  private func noticed(_ kind: Kind, _ old: JSON?, _ new: JSON?) {
    if let new {
      if let old, old["metadata"]["ownerReferences"] != new["metadata"]["ownerReferences"] { wakeOwners(of: old) }
      guard GarbageCollection.concerns(new) else { return }
      // A status change of something that nobody deletes is no news.
      if let old, old["metadata"]["ownerReferences"] == new["metadata"]["ownerReferences"],
        old["metadata"]["deletionTimestamp"] == new["metadata"]["deletionTimestamp"],
        old["metadata"]["finalizers"] == new["metadata"]["finalizers"]
      {
        return
      }
      queue.add(Item(kind: kind, name: new.objectName))
      if GarbageCollection.waits(new) { for dependent in dependents(of: new.uid) { queue.add(dependent.item) } }
    } else if let old {
      for dependent in dependents(of: old.uid) { queue.add(dependent.item) }
      wakeOwners(of: old)
    }
  }

  /// Owners that wait for a dependent that has gone or let go.
  private func wakeOwners(of dependent: JSON) {
    for reference in dependent.meta.ownerReferences {
      guard let (item, owner) = cachedOwner(reference, of: dependent), GarbageCollection.waits(owner) else { continue }
      queue.add(item)
    }
  }

  private func dependents(of uid: String) -> [(item: Item, object: JSON)] {
    kinds.all.flatMap { kind in
      (caches.existing(kind)?.objects(index: SharedCaches.Index.owner, uid) ?? []).map { (Item(kind: kind, name: $0.objectName), $0) }
    }
  }

  /// Asked of the server: a dependent that a watch has not told of yet would lose its owner and be collected.
  private func listedDependents(of owner: JSON) async throws -> [(item: Item, object: JSON)] {
    let namespace = owner.objectName.namespace
    var found: [(item: Item, object: JSON)] = []
    // What is in a namespace owns nothing outside of it.
    for kind in kinds.all where namespace.isEmpty || kind.isNamespaced {
      do {
        let objects = try await client.list(kind.path(kind.isNamespaced ? namespace : "")).items
        found += objects.filter { $0.meta.ownerReferences.contains { $0["uid"].string == owner.uid } }.map {
          (Item(kind: kind, name: $0.objectName), $0)
        }
      } catch let error as APIStatusError where error.isNotFound {
        // A custom kind that goes at this moment.
      }
    }
    return found
  }

  /// Where a reference points; nil for kinds that are not known.
  private func place(_ reference: JSON, of dependent: JSON) -> Item? {
    guard let kind = kinds.kind(apiVersion: reference["apiVersion"].string ?? "", reference["kind"].string ?? "") else { return nil }
    let namespace = dependent.objectName.namespace
    // A cluster-wide object cannot have an owner in a namespace.
    if kind.isNamespaced, namespace.isEmpty { return nil }
    return Item(kind: kind, name: ObjectName(kind.isNamespaced ? namespace : "", reference["name"].string ?? ""))
  }

  private func cachedOwner(_ reference: JSON, of dependent: JSON) -> (Item, JSON)? {
    guard let item = place(reference, of: dependent), let owner = caches.existing(item.kind)?.object(item.name.namespace, item.name.name),
      owner.uid == reference["uid"].string
    else { return nil }
    return (item, owner)
  }

  private func state(_ reference: JSON, of dependent: JSON) async throws -> GarbageCollection.OwnerState {
    if let (_, owner) = cachedOwner(reference, of: dependent) { return GarbageCollection.waits(owner) ? .waiting : .solid }
    guard let item = place(reference, of: dependent) else { return .solid }
    do {
      // The watch of the owner's kind may be behind that of the dependent's.
      let owner = try await client.get(item.kind.path(item.name.namespace), name: item.name.name)
      guard owner.uid == reference["uid"].string else { return .missing }
      return GarbageCollection.waits(owner) ? .waiting : .solid
    } catch let error as APIStatusError where error.isNotFound {
      return .missing
    }
  }

  private func work(_ item: Item) async {
    guard let cached = caches.existing(item.kind)?.object(item.name.namespace, item.name.name) else { return queue.forget(item) }
    do {
      let found = dependents(of: cached.uid)
      let actions = try await GarbageCollection.actions(for: cached, dependents: found.map(\.object)) { try await state($0, of: cached) }
      for action in actions { try await perform(action, item, cached, found) }
      queue.forget(item)
    } catch let error as APIStatusError where error.isNotFound {
      caches.existing(item.kind)?.remove(ObjectCache.Key(item.name.namespace, item.name.name), uid: cached.uid)
    } catch {
      log.debug("garbage collection of \(item.kind) \(item.name): \(error)")
      queue.retry(item)
    }
  }

  private func perform(_ action: GarbageCollection.Action, _ item: Item, _ object: JSON, _ dependents: [(item: Item, object: JSON)])
    async throws
  {
    switch action {
    case .release(let uids):
      try await setOwners(item, object, object.meta.ownerReferences.filter { !uids.contains($0["uid"].string ?? "") })
    case .unblock:
      let references = object.meta.ownerReferences.map { reference -> JSON in
        var reference = reference
        reference["blockOwnerDeletion"] = false
        return reference
      }
      try await setOwners(item, object, references)
    case .delete(let propagation):
      let answer = try await client.delete(
        item.kind.path(item.name.namespace), name: item.name.name, uid: object.uid, propagation: propagation)
      if answer["kind"].string == "Status" {
        caches.existing(item.kind)?.remove(ObjectCache.Key(item.name.namespace, item.name.name), uid: object.uid)
      } else {
        caches.existing(item.kind)?.put(answer)
      }
    case .removeFinalizer(let finalizer): try await removeFinalizer(finalizer, item, object)
    case .visitDependents: for dependent in dependents { queue.add(dependent.item) }
    case .orphanDependents:
      for dependent in try await listedDependents(of: object) {
        do {
          try await setOwners(
            dependent.item, dependent.object, dependent.object.meta.ownerReferences.filter { $0["uid"].string != object.uid })
        } catch let error as APIStatusError where error.isNotFound {}
      }
      try await removeFinalizer(GarbageCollection.orphan, item, object)
    }
  }

  /// Only in the state that was looked at: another writer's references are not lost.
  private func setOwners(_ item: Item, _ object: JSON, _ references: [JSON]) async throws {
    try await patch(item, object, ["ownerReferences": .array(references)])
  }

  private func removeFinalizer(_ finalizer: String, _ item: Item, _ object: JSON) async throws {
    try await patch(item, object, ["finalizers": JSON(object.meta.finalizers.filter { $0 != finalizer })])
  }

  private func patch(_ item: Item, _ object: JSON, _ metadata: JSON) async throws {
    var metadata = metadata
    metadata["uid"] = .string(object.uid)
    metadata["resourceVersion"] = object["metadata"]["resourceVersion"]
    let answer = try await client.patch(item.kind.path(item.name.namespace), name: item.name.name, type: .merge, ["metadata": metadata])
    if answer.isGone {
      caches.existing(item.kind)?.remove(ObjectCache.Key(item.name.namespace, item.name.name), uid: object.uid, last: answer)
    } else {
      caches.existing(item.kind)?.put(answer)
    }
  }
}

extension JSON {
  /// The answer to a write that took away the last thing that held a deleted object.
  var isGone: Bool {
    !self["metadata"]["deletionTimestamp"].isNull && meta.finalizers.isEmpty && (meta.deletionGracePeriodSeconds ?? 0) == 0
      && self["kind"].string != "Namespace"
  }
}
