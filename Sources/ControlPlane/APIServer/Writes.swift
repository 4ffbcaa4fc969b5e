import APIMachinery
import AdmissionPolicies
import JSONCodec
import KubernetesAPI
import RevisionStore

/// How a change came about, which decides what it may touch and who owns its fields.
struct WriteContext: Sendable {
  var user: UserInfo
  var manager: String
  var subresource: String?
  var isDryRun = false
  var now = Timestamp.now
  /// False for server-side apply, which keeps managedFields itself.
  var tracksOwnership = true
  /// CreateOptions, UpdateOptions or PatchOptions, as webhooks see them.
  var options = JSON.object(JSONObject())
  /// What admission has to say to the client beside its verdict.
  let notes = AdmissionNotes()

  init(_ call: APICall, subresource: String? = nil) throws {
    user = call.user
    manager = call.fieldManager
    self.subresource = subresource
    for value in call.parameters("dryRun") {
      guard value == "All" else {
        throw APIFailure(
          422, "Invalid", "Options.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"\(value)\": supported values: \"All\"")
      }
      isDryRun = true
    }
    let kind = ["POST": "CreateOptions", "PUT": "UpdateOptions"][call.method] ?? "PatchOptions"
    options = ["kind": .string(kind), "apiVersion": "meta.k8s.io/v1"]
    if isDryRun { options["dryRun"] = ["All"] }
    for name in ["fieldManager", "fieldValidation"] { options[name] = JSON(call.parameter(name)) }
    if call.flag("force") { options["force"] = true }
  }

  init(user: UserInfo, manager: String, subresource: String? = nil) {
    self.user = user
    self.manager = manager
    self.subresource = subresource
  }
}

extension Resources {
  /// Kinds whose generation counts the changes of their spec.
  private static let withoutGeneration: Set<String> = [
    "Service", "Node", "Namespace", "ConfigMap", "Secret", "ServiceAccount", "Event", "Endpoints", "Lease", "PersistentVolume",
    "PersistentVolumeClaim", "ResourceQuota", "LimitRange",
  ]

  private func hasGeneration(_ resource: ResourceInfo) -> Bool {
    !Self.withoutGeneration.contains(resource.kind) && resource.type.field("spec") != nil
  }

  private static let suffixAlphabet = Array("bcdfghjklmnpqrstvwxz2456789")
  static func randomSuffix() -> String {
    // One question to the kernel, not one for each letter: 64 bits are many more than five letters of 27 use.
    var bits = UInt64.random(in: .min ... .max)
    return String(
      (0..<5).map { _ in
        defer { bits /= UInt64(suffixAlphabet.count) }
        return suffixAlphabet[Int(bits % UInt64(suffixAlphabet.count))]
      })
  }

  // MARK: create

  func create(_ request: ResourceRequest, _ body: JSON, _ context: WriteContext) async throws -> JSON {
    let resource = request.resource
    if resource.custom?.isTerminating == true {
      throw APIFailure.methodNotAllowed("create not allowed while custom resource definition is terminating")
    }
    var object = body
    object["metadata"]["managedFields"] = context.tracksOwnership ? .null : object["metadata"]["managedFields"]
    if let namespace = request.namespace { object["metadata"]["namespace"] = .string(namespace) }
    let base = object["metadata"]["generateName"].string ?? ""
    let isGenerated = (object["metadata"]["name"].string ?? "").isEmpty && !base.isEmpty
    prepareForCreate(&object, resource, context)
    for attempt in 0..<8 {
      if isGenerated { object["metadata"]["name"] = .string(String(base.prefix(58)) + Self.randomSuffix()) }
      object["metadata"]["uid"] = .string(UUIDs.random())
      do {
        return try await insert(object, request, context)
      } catch let failure as APIFailure {
        guard isGenerated, failure.reason == "AlreadyExists", attempt < 7 else { throw failure }
      }
    }
    throw APIFailure.internalError("no free name was found")
  }

  private func insert(_ candidate: JSON, _ request: ResourceRequest, _ context: WriteContext) async throws -> JSON {
    let resource = request.resource
    var object = candidate
    applyDefaults(&object, resource: resource)
    // Before admission: nobody owns what the server adds, so that a later apply does not take it away.
    if context.tracksOwnership {
      updateManagedFields(
        old: nil, new: &object, manager: context.manager, subresource: nil, type: resource.type,
        apiVersion: resource.apiVersion, now: context.now)
    }
    let attempt = try await attempt(.create, request, name: object["metadata"]["name"].string ?? "", context, old: nil, object)
    try await runBuiltIn(&object, attempt, context)
    applyDefaults(&object, resource: resource)
    Self.setQuality(&object, resource)
    try await runMutating(&object, attempt, context)
    Self.setQuality(&object, resource)
    let taken = try await takeAddresses(&object, old: nil, resource, context)
    do {
      return try await insertAdmitted(object, request, context, attempt)
    } catch {
      await ServiceAddresses.release(taken, self)
      throw error
    }
  }

  /// A Service's addresses and ports, which are taken before it is written.
  private func takeAddresses(_ object: inout JSON, old: JSON?, _ resource: ResourceInfo, _ context: WriteContext) async throws -> Set<
    String
  > {
    guard resource.kind == "Service", context.subresource == nil else { return [] }
    return try await ServiceAddresses.assign(&object, old: old, isDryRun: context.isDryRun, self)
  }

  private func insertAdmitted(
    _ candidate: JSON, _ request: ResourceRequest, _ context: WriteContext, _ attempt: AdmissionAttempt
  ) async throws -> JSON {
    let (resource, object) = (request.resource, candidate)
    try check(object, old: nil, resource, subresource: nil)
    try await runValidating(object, attempt, context)
    let name = object["metadata"]["name"].string ?? ""
    if context.isDryRun {
      if try await store.get(request.key(name), at: nil) != nil { throw APIFailure.alreadyExists(resource, name) }
      try await withinQuota(object, attempt, context) {}
      return try await presented(try await storable(object, resource), as: resource)
    }
    let storable = try await storable(object, resource)
    do {
      let revision = try await withinQuota(object, attempt, context) {
        try await store.write(.put(key: request.key(name), value: StoredForm.encode(storable), .absent))
      }
      return try await presented(written(storable, revision), as: resource)
    } catch let error as RevisionStoreError {
      guard case .conflict = error.code else { throw error }
      throw APIFailure.alreadyExists(resource, name)
    }
  }

  private func written(_ object: JSON, _ revision: Revision) -> JSON {
    var object = object
    object["metadata"]["resourceVersion"] = .string(String(revision))
    decoded.remember(object, at: revision)
    return object
  }

  /// The class that a new pod's resources put it in; admission may have changed them.
  private static func setQuality(_ object: inout JSON, _ resource: ResourceInfo) {
    guard resource.kind == "Pod", resource.group.isEmpty else { return }
    object["status"]["qosClass"] = .string(Pod(object).qosClass.rawValue)
  }

  private func prepareForCreate(_ object: inout JSON, _ resource: ResourceInfo, _ context: WriteContext) {
    var metadata = object["metadata"]
    metadata["creationTimestamp"] = .string(context.now.rfc3339)
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation"] {
      metadata[field] = .null
    }
    if hasGeneration(resource) { metadata["generation"] = 1 }
    object["metadata"] = metadata
    if let custom = resource.custom { return custom.prepareForCreate(&object) }
    switch resource.kind {
    case "Node": break  // a kubelet registers with its status
    case "Pod": object["status"] = ["phase": "Pending", "qosClass": .string(Pod(object).qosClass.rawValue)]
    case "Namespace":
      object["status"] = ["phase": "Active"]
      object["spec"] = ["finalizers": ["kubernetes"]]
      object["metadata"]["labels"]["kubernetes.io/metadata.name"] = object["metadata"]["name"]
    case "PersistentVolume", "PersistentVolumeClaim": object["status"] = ["phase": "Pending"]
    case "DaemonSet":
      object["status"] = .object(JSONObject())
      TemplateGeneration.prepareForCreate(&object)
    default:
      if resource.subresources.contains(where: { $0.name == "status" }) {
        object["status"] = resource.type.field("status") == nil ? .null : .object(JSONObject())
      }
    }
  }

  /// Throws the 422 that names everything wrong with an object.
  private func check(_ object: JSON, old: JSON?, _ resource: ResourceInfo, subresource: String?) throws {
    var errors = validate(object, old: old, resource: resource, subresource: subresource)
    if errors.isEmpty, subresource == nil {
      errors = expressionProblems(object, old: old, resource: resource, timeZoneFile: TimeZones.file)
    }
    if errors.isEmpty, resource.kind == "PodCertificateRequest" {
      errors = PodCertificates.problems(object, old: old, subresource: subresource, now: .now)
    }
    guard !errors.isEmpty else { return }
    let status = invalidStatus(errors, resource: resource, name: object["metadata"]["name"].string ?? "")
    throw APIFailure(422, "Invalid", status["message"].string ?? "", details: status["details"])
  }

  // MARK: update

  /// Changes an object by a function of its present state; tried again when another writer was faster, unless the
  /// change itself names a version.
  func update(
    _ request: ResourceRequest, _ context: WriteContext, _ change: (JSON) throws -> JSON
  ) async throws -> JSON {
    let name = request.name ?? ""
    for attempt in 0..<Self.conflictRetriesMax {
      let (old, value) = try await stored(request)
      let changed = try change(old)
      let asked = changed["metadata"]["resourceVersion"].string ?? ""
      let isPinned = !asked.isEmpty && asked != old["metadata"]["resourceVersion"].string
      if isPinned { throw APIFailure.changed(request.resource, name) }
      do {
        return try await replace(old, value, changed, request, context)
      } catch let error as RevisionStoreError {
        switch error.code {
        case .conflict where attempt + 1 < Self.conflictRetriesMax: continue
        case .conflict: throw APIFailure.changed(request.resource, name)
        case .notFound: throw APIFailure.notFound(request.resource, name)
        default: throw error
        }
      }
    }
    throw APIFailure.changed(request.resource, name)
  }

  private func replace(
    _ old: JSON, _ value: StoredValue, _ changed: JSON, _ request: ResourceRequest, _ context: WriteContext
  ) async throws -> JSON {
    let resource = request.resource
    var new = changed
    try keepServerFields(&new, old: old, request, context)
    if resource.kind == "Service", context.subresource == nil { ServiceType.dropStaleFields(&new, old: old) }
    if resource.kind == "DaemonSet" { TemplateGeneration.keep(&new, old: old) }
    applyDefaults(&new, resource: resource)
    if context.tracksOwnership {
      updateManagedFields(
        old: old, new: &new, manager: context.manager, subresource: context.subresource, type: resource.type,
        apiVersion: resource.apiVersion, now: context.now)
    }
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    var admitted = request
    admitted.subresource = context.subresource
    let attempt = try await attempt(.update, admitted, name: request.name ?? "", context, old: old, new)
    try await runBuiltIn(&new, attempt, context)
    applyDefaults(&new, resource: resource)
    try await runMutating(&new, attempt, context)
    let taken = try await takeAddresses(&new, old: old, resource, context)
    do {
      let written = try await replaceAdmitted(old, value, new, request, context, attempt)
      if resource.kind == "Service", !context.isDryRun {
        await ServiceAddresses.release(ServiceAddresses.held(old).subtracting(ServiceAddresses.held(written)), self)
      }
      return written
    } catch {
      await ServiceAddresses.release(taken, self)
      throw error
    }
  }

  private func replaceAdmitted(
    _ old: JSON, _ value: StoredValue, _ candidate: JSON, _ request: ResourceRequest, _ context: WriteContext,
    _ attempt: AdmissionAttempt
  ) async throws -> JSON {
    let resource = request.resource
    var new = candidate
    try check(new, old: old, resource, subresource: context.subresource)
    try await runValidating(new, attempt, context)
    // A binding names the node, which is no change of what the pod is to be.
    if resource.custom == nil, hasGeneration(resource), !["status", "binding"].contains(context.subresource), new["spec"] != old["spec"] {
      new["metadata"]["generation"] = JSON((old["metadata"]["generation"].int ?? 0) + 1)
      if resource.kind == "DaemonSet" { TemplateGeneration.count(&new, old: old) }
    }
    if Self.isUnchanged(new, old), try !isOfOldVersion(value, resource) { return old }
    if context.isDryRun {
      try await withinQuota(new, attempt, context) {}
      return try await presented(try await storable(new, resource), as: resource)
    }
    if Self.isReadyToGo(new, resource) {
      let revision = try await store.write(
        .delete(key: value.key, value: StoredForm.encode(try await storable(new, resource)), .revision(value.revision)))
      new["metadata"]["resourceVersion"] = .string(String(revision))
      if resource.kind == "Service" { await ServiceAddresses.release(ServiceAddresses.held(new), self) }
      return new
    }
    let written = try await storable(new, resource)
    let revision = try await withinQuota(new, attempt, context) {
      try await store.write(.put(key: value.key, value: StoredForm.encode(written), .revision(value.revision)))
    }
    return try await presented(self.written(written, revision), as: resource)
  }

  /// Whether an update took the last thing away that held a deleted object.
  private static func isReadyToGo(_ object: JSON, _ resource: ResourceInfo) -> Bool {
    let metadata = ObjectMeta(object["metadata"])
    guard metadata.deletionTimestamp != nil, metadata.finalizers.isEmpty else { return false }
    if resource.kind == "Namespace" { return (object["spec"]["finalizers"].array ?? []).isEmpty }
    return (metadata.deletionGracePeriodSeconds ?? 0) == 0
  }

  /// Stored in another version than the present one: a write that changes nothing is how people move it.
  private func isOfOldVersion(_ value: StoredValue, _ resource: ResourceInfo) throws -> Bool {
    guard let custom = resource.custom else { return false }
    return try decoded.object(value)["apiVersion"].string != "\(custom.group)/\(custom.storageVersion)"
  }

  /// Equal but for managedFields, which alone are no reason to write.
  private static func isUnchanged(_ new: JSON, _ old: JSON) -> Bool {
    var (a, b) = (new, old)
    if new["metadata"]["managedFields"].isEmpty || old["metadata"]["managedFields"].isEmpty
      || a["metadata"]["managedFields"] == b["metadata"]["managedFields"]
    {
      a["metadata"]["managedFields"] = .null
      b["metadata"]["managedFields"] = .null
    }
    return a == b
  }

  /// What a writer cannot change stays; a status write changes the status, any other write everything but the status.
  private func keepServerFields(_ new: inout JSON, old: JSON, _ request: ResourceRequest, _ context: WriteContext) throws {
    let resource = request.resource
    let uid = new["metadata"]["uid"].string ?? ""
    if !uid.isEmpty, uid != old["metadata"]["uid"].string {
      throw APIFailure.conflict(
        resource, request.name ?? "",
        "Precondition failed: UID in precondition: \(uid), UID in object meta: \(old["metadata"]["uid"].string ?? "")")
    }
    var metadata = new["metadata"]
    let kept = [
      "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink",
      "generateName",
    ]
    for field in kept { metadata[field] = old["metadata"][field] }
    if metadata["managedFields"].isNull { metadata["managedFields"] = old["metadata"]["managedFields"] }
    new["kind"] = old["kind"]
    new["apiVersion"] = old["apiVersion"]
    if let custom = resource.custom {
      new["metadata"] = metadata
      return custom.prepareForUpdate(&new, old: old, subresource: context.subresource)
    }
    let hasStatus = resource.subresources.contains { $0.name == "status" }
    switch context.subresource {
    case "status", "approval":
      var kept = old
      kept["status"] = new["status"]
      kept["metadata"] = Self.metadataOfStatusWrite(metadata, old: old["metadata"], resource.kind)
      new = kept
    case "finalize":
      let finalizers = new["spec"]["finalizers"]
      new = old
      new["metadata"] = metadata
      new["spec"]["finalizers"] = finalizers
    default:
      new["metadata"] = metadata
      // They stand for the namespace's content: only who has removed that may take them away.
      if resource.kind == "Namespace" { new["spec"]["finalizers"] = old["spec"]["finalizers"] }
      if hasStatus, !context.user.isControlPlane { new["status"] = old["status"] }
      // From now on there may be objects of another stored version.
      if resource.kind == "CustomResourceDefinition" { new["status"]["storedVersions"] = storedVersions(new) }
    }
  }

  /// Kinds whose metadata a status write leaves alone (upstream's status strategies, `ResetObjectMetaForStatus` and the like).
  private static let kindsWithMetadataApart: Set<String> = [
    "APIService", "CustomResourceDefinition", "FlowSchema", "PodCertificateRequest", "PriorityLevelConfiguration", "ResourceClaim",
    "StorageVersionMigration", "ValidatingAdmissionPolicy", "VolumeAttachment",
  ]

  /// Labels and annotations that come with a status are written as well, with upstream's exceptions.
  private static func metadataOfStatusWrite(_ new: JSON, old: JSON, _ kind: String) -> JSON {
    if kindsWithMetadataApart.contains(kind) {
      var kept = old
      kept["managedFields"] = new["managedFields"]
      return kept
    }
    var kept = new
    if kind == "Deployment" { kept["labels"] = old["labels"] }
    if kind == "Pod" {
      kept["ownerReferences"] = old["ownerReferences"]
      kept["finalizers"] = old["finalizers"]
    }
    return kept
  }
}
