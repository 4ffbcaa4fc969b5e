import APIMachinery
import JSONCodec
import KubernetesAPI
import RevisionStore

/// metav1.DeleteOptions.
struct DeleteOptions: Sendable {
  var gracePeriodSeconds: Int?
  var uid: String?
  var resourceVersion: String?
  var propagationPolicy: String?
  /// The older way to say Orphan (true) or Background (false).
  var orphanDependents: Bool?
  var isDryRun = false
  let notes = AdmissionNotes()

  init() {}

  /// As admission webhooks see it.
  var json: JSON {
    var result: JSON = ["kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"]
    result["gracePeriodSeconds"] = gracePeriodSeconds.map { JSON($0) } ?? .null
    if uid != nil || resourceVersion != nil { result["preconditions"] = ["uid": JSON(uid), "resourceVersion": JSON(resourceVersion)] }
    result["propagationPolicy"] = JSON(propagationPolicy)
    if let orphanDependents { result["orphanDependents"] = .bool(orphanDependents) }
    if isDryRun { result["dryRun"] = ["All"] }
    return result
  }

  init(_ call: APICall, body: JSON) throws {
    gracePeriodSeconds = body["gracePeriodSeconds"].int ?? call.parameter("gracePeriodSeconds").flatMap { Int($0) }
    uid = body["preconditions"]["uid"].string
    resourceVersion = body["preconditions"]["resourceVersion"].string
    propagationPolicy = body["propagationPolicy"].string ?? call.parameter("propagationPolicy")
    orphanDependents = body["orphanDependents"].bool ?? (call.parameter("orphanDependents") == nil ? nil : call.flag("orphanDependents"))
    let dryRun = (body["dryRun"].array ?? []).compactMap(\.string) + call.parameters("dryRun")
    isDryRun = dryRun.contains("All")
    try check(dryRun: dryRun)
    if let grace = gracePeriodSeconds, grace < 0 { gracePeriodSeconds = 1 }
  }
}

/// What deleting an object comes to, given its present state.
enum DeletionStep: Equatable {
  /// It goes now.
  case remove
  /// It is marked and stays until its kubelet or its finalizers let it go.
  case mark(graceSeconds: Int)
  /// It is being deleted already and nothing changes.
  case wait

  /// Pods get time to stop where a kubelet has them; every other kind goes as soon as no finalizer holds it.
  static func decide(_ object: JSON, kind: String, graceAsked: Int?, isDefinition: Bool = false) -> DeletionStep {
    let metadata = ObjectMeta(object["metadata"])
    var grace = 0
    if kind == "Pod" {
      let pod = Pod(object)
      grace = graceAsked ?? pod.spec.terminationGracePeriodSeconds
      if pod.spec.nodeName.isEmpty || pod.isTerminal || pod.isMirror { grace = 0 }
    }
    let isHeld = !metadata.finalizers.isEmpty || (kind == "Namespace" && !(object["spec"]["finalizers"].array ?? []).isEmpty)
    // A definition waits for its objects.
    if isDefinition, metadata.deletionTimestamp == nil { return .mark(graceSeconds: 0) }
    guard metadata.deletionTimestamp != nil else { return grace > 0 || isHeld ? .mark(graceSeconds: grace) : .remove }
    // Kinds without a grace are asked again as often as one likes: their finalizers may have changed.
    guard kind == "Pod" else { return isHeld ? .wait : .remove }
    // A second request may shorten the time, never lengthen it.
    let current = metadata.deletionGracePeriodSeconds ?? 0
    if graceAsked == nil { return current == 0 && !isHeld ? .remove : .wait }
    if grace == 0 { return isHeld ? (current == 0 ? .wait : .mark(graceSeconds: 0)) : .remove }
    return grace < current ? .mark(graceSeconds: grace) : .wait
  }
}

extension Resources {
  /// Deletes an object or starts its deletion. Answers with the object, and whether it is gone.
  func delete(_ request: ResourceRequest, _ options: DeleteOptions, user: UserInfo) async throws -> (object: JSON, isGone: Bool) {
    let (resource, name) = (request.resource, request.name ?? "")
    var isAdmitted = false
    for _ in 0..<Self.conflictRetriesMax {
      let (present, value) = try await stored(request)
      var object = present
      try access.checkDelete(object, request, user)
      try checkPreconditions(options, object, resource, name)
      if !isAdmitted {
        try await admitDelete(request, options, object, user)
        isAdmitted = true
      }
      // A pod that is going keeps the policy it goes with.
      if resource.kind != "Pod" || present["metadata"]["deletionTimestamp"].isNull {
        let finalizers = ObjectMeta(present["metadata"]).finalizers
        let wanted = Cascading.finalizers(finalizers, options, resource)
        if wanted != finalizers { object["metadata"]["finalizers"] = wanted.isEmpty ? .null : JSON(wanted) }
      }
      var step = DeletionStep.decide(
        object, kind: resource.kind, graceAsked: options.gracePeriodSeconds,
        isDefinition: resource.isDefinition)
      if step == .wait, object["metadata"]["finalizers"] != present["metadata"]["finalizers"] { step = .mark(graceSeconds: 0) }
      do {
        switch step {
        case .wait: return (present, false)
        case .remove:
          if options.isDryRun { return (object, true) }
          var last = object
          if !last["metadata"]["deletionTimestamp"].isNull || resource.kind == "Pod" {
            last["metadata"]["deletionTimestamp"] = .string(Timestamp.now.rfc3339)
            last["metadata"]["deletionGracePeriodSeconds"] = 0
          }
          let stored = try await storable(last, resource)
          let revision = try await revoking(present, resource) {
            try await self.store.write(.delete(key: value.key, value: StoredForm.encode(stored), .revision(value.revision)))
          }
          last["metadata"]["resourceVersion"] = .string(String(revision))
          if resource.kind == "Service" { await ServiceAddresses.release(ServiceAddresses.held(last), self) }
          return (last, true)
        case .mark(let grace):
          let marked = mark(object, grace: grace, resource)
          if options.isDryRun { return (marked, false) }
          let stored = try await storable(marked, resource)
          let revision = try await revoking(present, resource) {
            try await self.store.write(.put(key: value.key, value: StoredForm.encode(stored), .revision(value.revision)))
          }
          var result = marked
          result["metadata"]["resourceVersion"] = .string(String(revision))
          return (result, false)
        }
      } catch let error as RevisionStoreError {
        switch error.code {
        case .conflict: continue
        case .notFound: throw APIFailure.notFound(resource, name)
        default: throw error
        }
      }
    }
    throw APIFailure.changed(resource, name)
  }

  /// With its Node a machine loses its rights; once, however often the deletion is asked for.
  // Unlike upstream: certificates that were signed for a node until it was deleted are refused; it joins again with a token.
  private func revoking(_ object: JSON, _ resource: ResourceInfo, _ write: () async throws -> Revision) async throws -> Revision {
    guard resource.kind == "Node", resource.group.isEmpty, object["metadata"]["deletionTimestamp"].isNull else { return try await write() }
    let metadata = ObjectMeta(object["metadata"])
    return try await revocations.deleting(metadata.name, uid: metadata.uid, write)
  }

  private func admitDelete(_ request: ResourceRequest, _ options: DeleteOptions, _ object: JSON, _ user: UserInfo) async throws {
    var context = WriteContext(user: user, manager: "")
    context.isDryRun = options.isDryRun
    context.options = options.json
    let attempt = try await attempt(.delete, request, name: request.name ?? "", context, old: object, nil)
    try await admit(attempt, nil, context)
    options.notes.add(context.notes.take())
  }

  private func mark(_ object: JSON, grace: Int, _ resource: ResourceInfo) -> JSON {
    let kind = resource.kind
    var marked = object
    let isFirst = object["metadata"]["deletionTimestamp"].isNull
    if isFirst || kind == "Pod" {
      marked["metadata"]["deletionTimestamp"] = .string(Timestamp.now.advanced(bySeconds: Double(grace)).rfc3339)
    }
    marked["metadata"]["deletionGracePeriodSeconds"] = JSON(grace)
    if kind == "Namespace" { marked["status"]["phase"] = "Terminating" }
    if resource.isDefinition {
      let finalizers = (object["metadata"]["finalizers"].array ?? []).filter { $0.string != JSON.definitionCleanupFinalizer }
      marked["metadata"]["finalizers"] = .array(finalizers + [.string(JSON.definitionCleanupFinalizer)])
      marked["status"] = definitionStatus(marked, deletion: .pending, now: .now)
    }
    if isFirst, let generation = object["metadata"]["generation"].int { marked["metadata"]["generation"] = JSON(generation + 1) }
    return marked
  }

  private func checkPreconditions(_ options: DeleteOptions, _ object: JSON, _ resource: ResourceInfo, _ name: String) throws {
    let place = resource.group.isEmpty ? resource.kind : "\(resource.kind).\(resource.group)"
    func refuse(_ what: String, _ asked: String, _ found: String, _ why: String) -> APIFailure {
      APIFailure(
        409, "Conflict",
        "Operation cannot be fulfilled on \(place) \"\(name)\": the \(what) in the precondition (\(asked)) does not match the \(what) in record"
          + " (\(found)). The object might have been \(why)",
        details: ["name": .string(name), "group": JSON(resource.group.isEmpty ? nil : resource.group), "kind": .string(resource.kind)])
    }
    let found = ObjectMeta(object["metadata"])
    if let uid = options.uid, uid != found.uid { throw refuse("UID", uid, found.uid, "deleted and then recreated") }
    let present = object["metadata"]["resourceVersion"].string ?? ""
    if let version = options.resourceVersion, version != present { throw refuse("ResourceVersion", version, present, "modified") }
  }

  /// Deletes what a selection matches; one that is gone in the meantime counts as deleted.
  func deleteCollection(_ call: APICall, _ request: ResourceRequest, _ options: DeleteOptions) async throws -> ListPage {
    let page = try await list(call, request)
    for item in page.items {
      var one = request
      let parts = item.key.split(separator: "/")
      one.name = parts.last.map(String.init)
      if request.resource.isNamespaced, parts.count >= 2 { one.namespace = String(parts[parts.count - 2]) }
      do {
        _ = try await delete(one, options, user: call.user)
      } catch let failure as APIFailure where failure.code == 404 {}
    }
    return page
  }
}

extension ResourceInfo {
  var isDefinition: Bool { group == "apiextensions.k8s.io" && kind == "CustomResourceDefinition" }
}
