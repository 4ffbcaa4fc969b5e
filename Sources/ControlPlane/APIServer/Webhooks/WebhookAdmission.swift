import APIMachinery
import JSONCodec
import KubernetesAPI

/// Runs the webhooks that a write concerns: the mutating ones one after the other, the validating ones side by side.
struct WebhookAdmission: Sendable {
  let mutating: LiveCollection
  let validating: LiveCollection
  let caller: WebhookCaller
  let conditions: HookConditions

  /// What calls have to say beside their verdict.
  struct Notes: Sendable {
    var warnings: [String] = []
  }

  private func versions(_ attempt: AdmissionAttempt, _ hook: AdmissionHook, _ registry: SchemaRegistry) -> [String] {
    let resource = attempt.request.resource
    guard hook.matchesEquivalents else { return [resource.version] }
    let others = registry.resources.filter { $0.group == resource.group && $0.plural == resource.plural && $0.version != resource.version }
    return [resource.version] + others.map(\.version)
  }

  /// Whether a hook is to be called, and in which version; throws where its conditions cannot be judged.
  private func call(
    _ hook: AdmissionHook, _ attempt: AdmissionAttempt, _ object: JSON?, _ registry: SchemaRegistry
  ) throws -> String? {
    guard let version = attempt.version(matching: hook.rules, equivalents: versions(attempt, hook, registry)),
      attempt.matches(namespaces: hook.namespaces, object), attempt.matches(objects: hook.objects, object)
    else { return nil }
    if !hook.conditions.isEmpty {
      switch conditions.judge(hook, attempt, object) {
      case .hold: break
      case .fail: return nil
      case .cannotTell(let why):
        if hook.failure == .ignore { return nil }
        throw APIFailure.forbidden(attempt.request.resource, attempt.name, why)
      }
    }
    if attempt.isDryRun, hook.hasSideEffects {
      throw APIFailure.badRequest("admission webhook \"\(hook.name)\" does not support dry run")
    }
    return version
  }

  // MARK: mutating

  /// The object as the mutating webhooks leave it. `normalize` makes a patched object whole again: pruned and defaulted.
  func mutate(
    _ object: JSON?, _ attempt: AdmissionAttempt, _ resources: Resources, _ notes: inout Notes, normalize: (JSON) throws -> JSON
  ) async throws -> JSON? {
    guard !attempt.isExempt else { return object }
    let configurations = try await mutating.all().objects
    guard !configurations.isEmpty else { return object }
    let hooks = AdmissionHook.all(configurations, isMutating: true)
    var current = object
    var changedBy: [Int] = []
    for (i, hook) in hooks.enumerated() {
      let next = try await mutated(current, hook, attempt, resources, &notes, HookPlace(round: 0, index: i), normalize)
      if next != current { changedBy.append(i) }
      current = next
    }
    // Those that ask for it see once more what the later ones changed.
    guard let last = changedBy.last else { return current }
    for (i, hook) in hooks.enumerated() where hook.reinvokes && i < last {
      current = try await mutated(current, hook, attempt, resources, &notes, HookPlace(round: 1, index: i), normalize)
    }
    return current
  }

  private func mutated(
    _ object: JSON?, _ hook: AdmissionHook, _ attempt: AdmissionAttempt, _ resources: Resources, _ notes: inout Notes, _ place: HookPlace,
    _ normalize: (JSON) throws -> JSON
  ) async throws -> JSON? {
    guard let version = try call(hook, attempt, object, resources.registry) else { return object }
    guard let response = try await answer(hook, attempt, object, version, resources, &notes, place) else { return object }
    guard let patch = response["patch"].string, let object else {
      place.note(hook, mutated: false)
      return object
    }
    do {
      guard response["patchType"].string == "JSONPatch" else {
        throw WebhookCaller.Failure(description: "webhook returned response.patch but not response.patchType")
      }
      guard let bytes = Base64.decode(patch) else { throw WebhookCaller.Failure(description: "response.patch is no base64") }
      let shown = try await resources.converted(object, to: version, attempt.request.resource)
      let operations = try JSON.parse(bytes)
      let patched = try jsonPatch(original: shown, patch: operations)
      let whole = try normalize(try await resources.converted(patched, to: attempt.request.resource.version, attempt.request.resource))
      place.note(hook, mutated: whole != object, patch: operations)
      return whole
    } catch {
      return try failed(hook, error, object, place)
    }
  }

  /// Where a hook cannot be asked, its failure policy decides.
  private func failed<Value>(_ hook: AdmissionHook, _ error: any Error, _ value: Value, _ place: HookPlace) throws -> Value {
    if hook.failure == .ignore {
      place.noteFailedOpen(hook)
      return value
    }
    throw APIFailure.internalError("failed calling webhook \"\(hook.name)\": \(error)")
  }

  // MARK: validating

  func validate(_ object: JSON?, _ attempt: AdmissionAttempt, _ resources: Resources, _ notes: inout Notes) async throws {
    guard !attempt.isExempt else { return }
    let configurations = try await validating.all().objects
    guard !configurations.isEmpty else { return }
    var called: [(AdmissionHook, String)] = []
    for hook in AdmissionHook.all(configurations, isMutating: false) {
      if let version = try call(hook, attempt, object, resources.registry) { called.append((hook, version)) }
    }
    guard !called.isEmpty else { return }
    let collected = try await withThrowingTaskGroup(of: (Int, Notes).self) { group in
      for (i, (hook, version)) in called.enumerated() {
        group.addTask {
          var notes = Notes()
          _ = try await answer(hook, attempt, object, version, resources, &notes, HookPlace(round: 0, index: i))
          return (i, notes)
        }
      }
      var all: [(Int, Notes)] = []
      for try await one in group { all.append(one) }
      return all.sorted { $0.0 < $1.0 }
    }
    for (_, one) in collected { notes.warnings += one.warnings }
  }

  // MARK: calling

  /// The response of a hook that lets the request pass; nil where it could not be asked and that is to be ignored.
  private func answer(
    _ hook: AdmissionHook, _ attempt: AdmissionAttempt, _ object: JSON?, _ version: String, _ resources: Resources, _ notes: inout Notes,
    _ place: HookPlace
  ) async throws -> JSON? {
    let uid = UUIDs.random()
    let response: JSON
    do {
      let resource = attempt.request.resource
      var shown: JSON?
      if let object { shown = try await resources.converted(object, to: version, resource) }
      var old: JSON?
      if let before = attempt.old { old = try await resources.converted(before, to: version, resource) }
      let review = attempt.review(uid: uid, object: shown, old: old, version: version)
      let answer = try await caller.post(review, to: hook.client, timeoutSeconds: hook.timeoutSeconds, resources)
      guard answer["kind"].string == "AdmissionReview", answer["apiVersion"].string == "admission.k8s.io/v1" else {
        throw WebhookCaller.Failure(
          description:
            "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got \(answer["apiVersion"].string ?? ""), Kind=\(answer["kind"].string ?? "")"
        )
      }
      response = answer["response"]
      guard !response.isNull else { throw WebhookCaller.Failure(description: "webhook response was absent") }
      guard response["uid"].string == uid else {
        throw WebhookCaller.Failure(
          description: "received invalid webhook response: expected response.uid=\"\(uid)\", got \"\(response["uid"].string ?? "")\"")
      }
    } catch {
      return try failed(hook, error, nil, place)
    }
    for (key, value) in response["auditAnnotations"].object ?? JSONObject() {
      AuditTrail.current?.annotate("\(hook.name)/\(key)", value.string ?? value.text())
    }
    notes.warnings += (response["warnings"].array ?? []).compactMap(\.string)
    guard response["allowed"].bool == true else { throw Self.denied(hook.name, response["status"]) }
    return response
  }

  /// The refusal that a client sees. Source: a denial never has a code below 400.
  static func denied(_ hook: String, _ status: JSON) -> APIFailure {
    let head = "admission webhook \"\(hook)\" denied the request"
    let reason = status["reason"].string ?? ""
    let message: String
    if let text = status["message"].string, !text.isEmpty {
      message = "\(head): \(text)"
    } else {
      message = reason.isEmpty ? "\(head) without explanation" : "\(head): \(reason)"
    }
    return APIFailure(max(400, status["code"].int ?? 0), reason, message, details: status["details"])
  }
}
