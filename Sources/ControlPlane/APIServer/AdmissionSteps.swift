import APIMachinery
import Admission
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
      operation: operation, request: request, name: name, user: context.user, isDryRun: context.isDryRun, options: context.options,
      old: old,
      namespace: namespace)
  }

  // MARK: built-in plug-ins

  private func attributes(_ attempt: AdmissionAttempt) -> AdmissionAttributes {
    let resource = attempt.request.resource
    let operation: AdmissionAttributes.Operation =
      switch attempt.operation {
      case .create: .create
      case .update: .update
      case .delete: .delete
      case .connect: .connect
      }
    return AdmissionAttributes(
      operation: operation, group: resource.group, resource: resource.plural, kind: resource.kind,
      subresource: attempt.request.subresource ?? "",
      namespace: attempt.request.namespace, user: AdmissionUser(name: attempt.user.name, groups: attempt.user.groups), old: attempt.old,
      nameSuffix: Self.randomSuffix())
  }

  /// Fetches what the plug-ins will ask.
  private func gathered(_ questions: Set<AdmissionFact>) async throws -> GatheredFacts {
    var facts = GatheredFacts()
    for question in questions { facts.answers[question] = try await answer(question) }
    return facts
  }

  private func answer(_ fact: AdmissionFact) async throws -> [JSON] {
    func one(_ plural: String, _ name: String, _ group: String = "", in namespace: String? = nil) async throws -> [JSON] {
      let key = ResourceRequest.prefix(resource(plural, group: group), namespace: namespace) + name
      return try await store.get(key, at: nil).map { [try decoded.object($0)] } ?? []
    }
    switch fact {
    case .namespace(let name): return try await one("namespaces", name)
    case .limitRanges(let namespace): return try await all("limitranges", namespace: namespace)
    case .pods(let namespace): return try await all("pods", namespace: namespace)
    case .serviceAccount(let namespace, let name): return try await one("serviceaccounts", name, in: namespace)
    case .priorityClass(let name): return try await one("priorityclasses", name, "scheduling.k8s.io")
    case .priorityClasses: return try await all("priorityclasses", group: "scheduling.k8s.io")
    case .runtimeClass(let name): return try await one("runtimeclasses", name, "node.k8s.io")
    case .storageClass(let name): return try await one("storageclasses", name, "storage.k8s.io")
    case .storageClasses: return try await all("storageclasses", group: "storage.k8s.io")
    case .ingressClasses: return try await all("ingressclasses", group: "networking.k8s.io")
    }
  }

  /// What the server fills in or refuses by itself.
  func runBuiltIn(_ object: inout JSON, _ attempt: AdmissionAttempt, _ context: WriteContext) async throws {
    if attempt.operation == .create || attempt.operation == .update {
      try await access.check(object, old: attempt.old, attempt.request, context, self)
      if attempt.request.resource.kind == "CertificateSigningRequest" {
        let certificates = CertificateAdmission(access: access)
        if let old = attempt.old {
          try await certificates.admitUpdate(&object, old: old, attempt.request.resource, context)
        } else {
          try certificates.admitCreate(&object, attempt.request.resource, context.user)
        }
      }
    }
    if attempt.request.resource.kind == "PodCertificateRequest", context.subresource == "status", let old = attempt.old {
      try await CertificateAdmission(access: access).checkPodCertificateStatus(object, old: old, attempt.request.resource, context.user)
    }
    let attributes = attributes(attempt)
    let facts = try await gathered(plugins.facts(for: object, attributes: attributes))
    do {
      try plugins.mutate(&object, attributes: attributes, cluster: facts)
    } catch {
      throw APIFailure(error)
    }
  }

  private func checkBuiltIn(_ object: JSON, _ attempt: AdmissionAttempt, _ context: WriteContext) async throws {
    let attributes = attributes(attempt)
    let facts = try await gathered(plugins.facts(for: object, attributes: attributes))
    do {
      let findings = try plugins.validate(object, attributes: attributes, cluster: facts)
      context.notes.add(findings.warnings)
      for (key, value) in findings.auditAnnotations { AuditTrail.current?.annotate(key, value) }
    } catch {
      for (key, value) in error.auditAnnotations { AuditTrail.current?.annotate(key, value) }
      throw APIFailure(error)
    }
  }

  /// Takes from the namespace's quotas what a write needs, after everything else has let it pass. `write` is the write itself.
  func withinQuota<Value>(
    _ object: JSON, _ attempt: AdmissionAttempt, _ context: WriteContext, _ write: () async throws -> Value
  ) async throws -> Value {
    let attributes = attributes(attempt)
    guard ResourceQuotas.concerns(attributes), let namespace = attempt.request.namespace else { return try await write() }
    return try await quotas.charging(object, attributes, namespace: namespace, isDryRun: context.isDryRun, self, write)
  }

  // MARK: what people add

  /// What may change the object: policies, then webhooks; the built-in plug-ins have done their part and look once more at what changed.
  func runMutating(_ object: inout JSON, _ attempt: AdmissionAttempt, _ context: WriteContext) async throws {
    let resource = attempt.request.resource
    var notes = WebhookAdmission.Notes()
    let before = object
    let normalize: (JSON) throws -> JSON = { patched in
      var whole = patched
      _ = try prune(&whole, type: resource.type)
      applyDefaults(&whole, resource: resource)
      return whole
    }
    var round = MutatingRound()
    object = try await policies.mutate(object, attempt, self, &round, normalize: normalize)
    let mutated = object
    var result = try await webhooks.mutate(object, attempt, self, &notes, normalize: normalize) ?? object
    context.notes.add(notes.warnings)
    if result != mutated { result = try await policies.mutateAgain(result, attempt, self, round, normalize: normalize) }
    guard result != before else { return }
    object = result
    try await runBuiltIn(&object, attempt, context)
    applyDefaults(&object, resource: resource)
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
    if let object {
      try await checkBuiltIn(object, attempt, context)
      try await ParameterAccess(resources: self).check(object, attempt)
    }
    try await policies.validate(object, attempt, self, context.notes)
    var notes = WebhookAdmission.Notes()
    try await webhooks.validate(object, attempt, self, &notes)
    context.notes.add(notes.warnings)
  }

  /// Deletes, which have no object to change, and connections, whose options may be changed: these are returned.
  @discardableResult
  func admit(_ attempt: AdmissionAttempt, _ object: JSON?, _ context: WriteContext) async throws -> JSON? {
    if attempt.operation == .delete, var old = attempt.old { try await runBuiltIn(&old, attempt, context) }
    var notes = WebhookAdmission.Notes()
    var round = MutatingRound()
    var admitted = object
    if let object { admitted = try await policies.mutate(object, attempt, self, &round) { $0 } }
    let before = admitted
    admitted = try await webhooks.mutate(admitted, attempt, self, &notes) { $0 }
    if let changed = admitted, changed != before { admitted = try await policies.mutateAgain(changed, attempt, self, round) { $0 } }
    try await policies.validate(admitted, attempt, self, context.notes)
    try await webhooks.validate(admitted, attempt, self, &notes)
    context.notes.add(notes.warnings)
    return admitted
  }
}

extension APIFailure {
  init(_ refusal: AdmissionRefusal) { self.init(refusal.code, refusal.reason, refusal.message, details: refusal.details) }
}
