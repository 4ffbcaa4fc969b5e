import APIMachinery
import JSONCodec
import KubernetesAPI
import Synchronization

/// Warnings that admission collects for one request.
final class AdmissionNotes: Sendable {
  private let texts = Mutex<[String]>([])
  func add(_ more: [String]) { if !more.isEmpty { texts.withLock { $0 += more } } }
  func take() -> [String] {
    texts.withLock { texts in
      defer { texts = [] }
      return texts
    }
  }
}

extension Resources {
  /// A write as admission sees it.
  func attempt(
    _ operation: AdmissionOperation, _ request: ResourceRequest, name: String, _ context: WriteContext, old: JSON?, _ object: JSON?
  ) async throws -> AdmissionAttempt {
    var namespace = JSON.null
    if let inside = request.namespace {
      let resource = resource("namespaces")
      if let stored = try await store.get(ResourceRequest.prefix(resource, namespace: nil) + inside, at: nil) {
        namespace = try decoded.object(stored)
      }
    }
    return AdmissionAttempt(
      operation: operation, request: request, name: name, user: context.user, isDryRun: context.isDryRun, options: context.options, old: old,
      namespace: namespace)
  }

  /// What may change the object: policies, then webhooks. The server's own loops pass unseen, as the built-in plug-ins have done their part.
  func runMutating(_ object: inout JSON, _ attempt: AdmissionAttempt, _ context: WriteContext) async throws {
    let resource = attempt.request.resource
    var notes = WebhookAdmission.Notes()
    let before = object
    let result = try await webhooks.mutate(object, attempt, self, &notes) { patched in
      var whole = patched
      _ = try prune(&whole, type: resource.type)
      applyDefaults(&whole, resource: resource)
      return whole
    }
    context.notes.add(notes.warnings)
    guard let result, result != before else { return }
    object = result
    // Who the object is cannot be changed on the way.
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "managedFields"] {
      object["metadata"][field] = before["metadata"][field]
    }
    if context.tracksOwnership || attempt.operation == .update {
      updateManagedFields(
        old: before, new: &object, manager: context.manager, subresource: context.subresource, type: resource.type,
        apiVersion: resource.apiVersion, now: context.now)
    }
  }

  /// What may only refuse the object.
  func runValidating(_ object: JSON?, _ attempt: AdmissionAttempt, _ context: WriteContext) async throws {
    var notes = WebhookAdmission.Notes()
    try await webhooks.validate(object, attempt, self, &notes)
    context.notes.add(notes.warnings)
  }

  /// Deletes and connections: both kinds of webhooks see them, and neither has an object to change.
  func admit(_ attempt: AdmissionAttempt, _ object: JSON?, _ context: WriteContext) async throws {
    var notes = WebhookAdmission.Notes()
    _ = try await webhooks.mutate(object, attempt, self, &notes) { $0 }
    try await webhooks.validate(object, attempt, self, &notes)
    context.notes.add(notes.warnings)
  }

  /// An object in another version of its kind; built-in kinds of one group have one version each.
  func converted(_ object: JSON, to version: String, _ resource: ResourceInfo) async throws -> JSON { object }
}
