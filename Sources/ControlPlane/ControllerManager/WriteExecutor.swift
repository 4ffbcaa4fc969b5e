import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import Reconcilers

/// What came of a round's writes.
enum WriteOutcome: Sendable {
  case done
  /// Somebody else was faster: decide again.
  case conflict
  case failed(WriteFailure)
}

/// Does what reconcilers decided, and puts the answers into the caches.
struct WriteExecutor: Sendable {
  /// Creations or deletions under way at once; the first batches are smaller, so that what fails fails early.
  static let batchMax = 64

  let client: KubernetesClient
  let caches: SharedCaches
  let events: EventSink
  let time: TimeSource
  let component: String

  /// Does the writes in their order, neighbours that are alike at once. The requests to come back are in `requeue`.
  func perform(_ writes: [Write], requeue: inout Double?) async -> WriteOutcome {
    var versions: [String: Versions] = [:]
    var at = 0
    var batch = 1
    while at < writes.count {
      if let end = runEnd(writes, at) {
        let slice = Array(writes[at..<min(end, at + batch)])
        switch await together(slice) {
        case .done: break
        case let other: return other
        }
        at += slice.count
        batch = at == end ? 1 : min(batch * 2, Self.batchMax)
        continue
      }
      switch writes[at] {
      case .requeue(let seconds): requeue = min(requeue ?? seconds, seconds)
      case .event(let kind, let object, let type, let reason, let message): tell(kind, object, type, reason, message)
      default:
        switch await one(writes[at], &versions) {
        case .done: break
        case let other: return other
        }
      }
      at += 1
    }
    return .done
  }

  /// The versions that an object had before and after this round's own write.
  private struct Versions {
    var seen: Set<String>
    var now: String
  }

  /// Where a run of creations or of deletions ends that begins here; nil where none begins.
  private func runEnd(_ writes: [Write], _ start: Int) -> Int? {
    func sort(_ write: Write) -> Int {
      switch write {
      case .create: 1
      case .delete: 2
      default: 0
      }
    }
    let first = sort(writes[start])
    guard first > 0 else { return nil }
    return writes[start...].firstIndex { sort($0) != first } ?? writes.count
  }

  private func together(_ writes: [Write]) async -> WriteOutcome {
    var none: [String: Versions] = [:]
    if writes.count == 1 { return await one(writes[0], &none) }
    return await withTaskGroup(of: WriteOutcome.self) { group in
      for write in writes {
        group.addTask {
          var none: [String: Versions] = [:]
          return await one(write, &none)
        }
      }
      var result = WriteOutcome.done
      for await outcome in group {
        switch (result, outcome) {
        case (.failed, _), (_, .done): break
        default: result = outcome
        }
      }
      return result
    }
  }

  private func one(_ write: Write, _ versions: inout [String: Versions]) async -> WriteOutcome {
    do {
      switch write {
      case .create(let kind, let object, let announcement):
        let path = kind.path(object["metadata"]["namespace"].string ?? "")
        let created = try await client.create(path, object)
        caches.existing(kind)?.put(created)
        announce(announcement, created["metadata"]["name"].string ?? "")
      case .update(let kind, var object, let subresource):
        let name = object.objectName
        let version = object["metadata"]["resourceVersion"].string ?? ""
        if let own = versions[object.uid], own.seen.contains(version) { object["metadata"]["resourceVersion"] = .string(own.now) }
        let answer = try await client.update(kind.path(name.namespace), name: name.name, subresource: subresource, object)
        note(answer, kind, subresource, from: version, &versions)
      case .patch(let kind, let name, let uid, var body, let subresource):
        let version = body["metadata"]["resourceVersion"].string ?? caches.existing(kind)?.object(name.namespace, name.name)?.version ?? ""
        if let own = versions[uid], own.seen.contains(version), !body["metadata"]["resourceVersion"].isNull {
          body["metadata"]["resourceVersion"] = .string(own.now)
        }
        let answer = try await client.patch(kind.path(name.namespace), name: name.name, subresource: subresource, type: .merge, body)
        note(answer, kind, subresource, from: version, &versions)
      case .delete(let kind, let name, let uid, let deletion, let announcement):
        try await delete(kind, name, uid, deletion)
        announce(announcement, name.name)
      case .event, .requeue: break
      }
      return .done
    } catch let error as APIStatusError {
      return outcome(of: write, error)
    } catch {
      return .failed(failure(of: write, code: 0, reason: "", message: "\(error)"))
    }
  }

  private func note(_ answer: JSON, _ kind: Kind, _ subresource: String?, from version: String, _ versions: inout [String: Versions]) {
    guard subresource != "scale", let now = answer.version else { return }
    if answer.isGone {
      caches.existing(kind)?.remove(ObjectCache.Key(answer.objectName.namespace, answer.objectName.name), uid: answer.uid, last: answer)
    } else {
      caches.existing(kind)?.put(answer)
    }
    var own = versions[answer.uid] ?? Versions(seen: [], now: now)
    own.seen.formUnion([version, own.now])
    own.now = now
    versions[answer.uid] = own
  }

  private func delete(_ kind: Kind, _ name: ObjectName, _ uid: String, _ deletion: Write.Deletion) async throws {
    do {
      let answer = try await client.delete(
        kind.path(name.namespace), name: name.name, gracePeriodSeconds: deletion.graceSeconds, uid: uid,
        resourceVersion: deletion.resourceVersion, propagation: deletion.propagation)
      if answer["kind"].string == "Status" {
        caches.existing(kind)?.remove(ObjectCache.Key(name.namespace, name.name), uid: uid)
      } else {
        caches.existing(kind)?.put(answer)
      }
    } catch let error as APIStatusError where error.isNotFound {
      caches.existing(kind)?.remove(ObjectCache.Key(name.namespace, name.name), uid: uid)
    }
  }

  private func outcome(of write: Write, _ error: APIStatusError) -> WriteOutcome {
    switch write {
    // The object went away, or changed, since it was looked at; the watch will tell.
    case .update where error.isNotFound || error.isConflict, .patch where error.isNotFound || error.isConflict,
      .delete where error.isConflict:
      return .conflict
    default: return .failed(failure(of: write, code: error.code, reason: error.reason, message: error.message))
    }
  }

  private func failure(of write: Write, code: Int, reason: String, message: String) -> WriteFailure {
    func made(_ operation: WriteFailure.Operation, _ kind: Kind, _ name: String) -> WriteFailure {
      WriteFailure(operation: operation, kind: kind, name: name, code: code, reason: reason, message: message)
    }
    switch write {
    case .create(let kind, let object, let announcement):
      if let announcement, reason != "NamespaceTerminating" {
        tell(announcement.aboutKind, announcement.object, "Warning", announcement.failureReason, announcement.failureText + message)
      }
      return made(.create, kind, object["metadata"]["name"].string ?? "")
    case .delete(let kind, let name, _, _, let announcement):
      if let announcement {
        tell(announcement.aboutKind, announcement.object, "Warning", announcement.failureReason, announcement.failureText + message)
      }
      return made(.delete, kind, name.name)
    case .update(let kind, let object, _): return made(.update, kind, object.objectName.name)
    case .patch(let kind, let name, _, _, _): return made(.update, kind, name.name)
    case .event(let kind, let object, _, _, _): return made(.update, kind, object.objectName.name)
    case .requeue: return made(.update, .pod, "")
    }
  }

  private func announce(_ announcement: Write.Announcement?, _ name: String) {
    guard let announcement else { return }
    tell(announcement.aboutKind, announcement.object, "Normal", announcement.successReason, announcement.successText + name)
  }

  private func tell(_ kind: Kind, _ object: JSON, _ type: String, _ reason: String, _ message: String) {
    events.tell(
      EventSink.News(component: component, kind: kind, object: object, type: type, reason: reason, message: message, at: time.now()))
  }
}

extension JSON {
  fileprivate var version: String? { self["metadata"]["resourceVersion"].string }
}
