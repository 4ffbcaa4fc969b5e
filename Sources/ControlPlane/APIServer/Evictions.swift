import APIMachinery
import JSONCodec
import KubernetesAPI

// Unlike upstream: a budget whose controller reports a failed sync refuses with the words of an exhausted one.

/// Whether a pod may be evicted, as its PodDisruptionBudget says.
///
/// Source: Kubernetes' documentation "API-initiated Eviction" and policy/v1's PodDisruptionBudgetStatus.
enum Eviction {
  /// Evictions that the disruption controller has not seen yet, at most.
  static let disruptedPodsMax = 2_000
  /// Seconds after which a budget should have been looked at by its controller.
  static let lagSeconds = 10

  enum Verdict: Equatable {
    /// `isPinned`: only in the state that was looked at, since a pod that becomes ready would be guarded.
    case delete(isPinned: Bool)
    /// The budget of this name has to spare one first.
    case charge(String)
    case severalBudgets
  }

  /// `budgets` are those of the pod's namespace.
  static func verdict(_ pod: JSON, budgets: [JSON]) -> Verdict {
    let view = Pod(pod)
    // It serves nobody: whatever disruption there is has happened.
    if view.isTerminal || !pod["metadata"]["deletionTimestamp"].isNull { return .delete(isPinned: false) }
    if view.phase == "Pending" { return .delete(isPinned: true) }
    let own = budgets.filter { budget in
      guard !budget["spec"]["selector"].isNull, let selector = LabelSelector(json: budget["spec"]["selector"]) else { return false }
      return selector.matches(view.metadata.labels)
    }
    guard let budget = own.first else { return .delete(isPinned: false) }
    guard own.count == 1 else { return .severalBudgets }
    let isReady = (pod["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
    if !isReady {
      let (current, desired) = (budget["status"]["currentHealthy"].int ?? 0, budget["status"]["desiredHealthy"].int ?? 0)
      let isAlwaysAllowed = budget["spec"]["unhealthyPodEvictionPolicy"].string == "AlwaysAllow"
      if isAlwaysAllowed || (current >= desired && desired > 0) { return .delete(isPinned: true) }
    }
    return .charge(budget["metadata"]["name"].string ?? "")
  }

  /// The budget with one disruption fewer; throws where it has none to spare.
  static func charged(_ budget: JSON, pod: String, now: Timestamp) throws -> JSON {
    let name = budget["metadata"]["name"].string ?? ""
    var status = budget["status"]
    if (status["observedGeneration"].int ?? 0) < (budget["metadata"]["generation"].int ?? 0) { throw lagging(name) }
    let allowed = status["disruptionsAllowed"].int ?? 0
    if allowed < 0 { throw forbidden(name, "pdb disruptions allowed is negative") }
    if status["disruptedPods"].object?.count ?? 0 > disruptedPodsMax {
      throw forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    }
    guard allowed > 0 else {
      throw refusal(
        "The disruption budget \(name) needs \(status["desiredHealthy"].int ?? 0) healthy pods and has \(status["currentHealthy"].int ?? 0) currently"
      )
    }
    status["disruptionsAllowed"] = JSON(allowed - 1)
    status["disruptedPods"][pod] = .string(now.rfc3339)
    if allowed == 1 { status["conditions"] = exhausted(status["conditions"], budget, now) }
    var result = budget
    result["status"] = status
    return result
  }

  private static func exhausted(_ conditions: JSON, _ budget: JSON, _ now: Timestamp) -> JSON {
    let others = (conditions.array ?? []).filter { $0["type"].string != "DisruptionAllowed" }
    return .array(
      others + [
        [
          "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
          "observedGeneration": budget["metadata"]["generation"], "lastTransitionTime": .string(now.rfc3339),
        ]
      ])
  }

  static func lagging(_ name: String) -> APIFailure {
    var failure = refusal("The disruption budget \(name) is still being processed by the server.")
    failure.details["retryAfterSeconds"] = JSON(lagSeconds)
    return failure
  }

  private static func refusal(_ why: String) -> APIFailure {
    APIFailure(
      429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.",
      details: ["causes": [["reason": "DisruptionBudget", "message": .string(why)]]])
  }

  private static func forbidden(_ name: String, _ why: String) -> APIFailure {
    APIFailure(
      403, "Forbidden", "poddisruptionbudget.policy \"\(name)\" is forbidden: \(why)",
      details: ["name": .string(name), "group": "policy", "kind": "poddisruptionbudget"])
  }

  /// The pod with the reason why it goes.
  static func marked(_ pod: JSON, now: Timestamp) -> JSON {
    var conditions = pod["status"]["conditions"].array ?? []
    let present = conditions.first { $0["type"].string == "DisruptionTarget" }
    let since = present?["status"].string == "True" ? present?["lastTransitionTime"] ?? .null : .string(now.rfc3339)
    conditions.removeAll { $0["type"].string == "DisruptionTarget" }
    conditions.append([
      "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
      "lastProbeTime": .null, "lastTransitionTime": since, "observedGeneration": pod["metadata"]["generation"],
    ])
    var result = pod
    result["status"]["conditions"] = .array(conditions)
    return result
  }
}

extension APIServer {
  /// An eviction is a delete that a PodDisruptionBudget may refuse, and that it is charged for.
  func evict(_ call: APICall, _ request: ResourceRequest, _ warnings: inout Warnings) async throws -> APIResult {
    let body = try call.decodedBody(registry).object
    if let name = body["metadata"]["name"].string, !name.isEmpty, name != request.name {
      throw APIFailure.badRequest("name in URL does not match name in Eviction object")
    }
    let options = try DeleteOptions(call, body: body["deleteOptions"])
    defer { warnings.texts += options.notes.take() }
    try await admitEviction(call, request, body, options)
    for attempt in 0..<Resources.conflictRetriesMax {
      let pod = try await resources.stored(request).object
      try access.checkDelete(pod, request, call.user, isEviction: true)
      var pinned = options
      let verdict = Eviction.verdict(
        pod, budgets: try await resources.all("poddisruptionbudgets", group: "policy", namespace: request.namespace))
      switch verdict {
      case .delete(let isPinned):
        if isPinned, pinned.resourceVersion == nil { pinned.resourceVersion = pod["metadata"]["resourceVersion"].string }
      case .severalBudgets:
        throw APIFailure(500, "", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
      case .charge(let budget): try await charge(budget, request, options)
      }
      do {
        try await evictNow(request, pinned, call.user)
        return .object(
          ["kind": "Status", "apiVersion": "v1", "metadata": .object(JSONObject()), "status": "Success", "code": 201], status: 201)
      } catch let failure as APIFailure
        where failure.code == 409 && options.resourceVersion == nil && options.uid == nil && attempt + 1 < Resources.conflictRetriesMax
      {
        // The pod changed meanwhile: what a budget was charged stays, which lets fewer go and never more.
        if case .delete(isPinned: true) = verdict { continue }
        throw failure
      }
    }
    throw APIFailure.changed(request.resource, request.name ?? "")
  }

  private func admitEviction(_ call: APICall, _ request: ResourceRequest, _ body: JSON, _ options: DeleteOptions) async throws {
    var context = WriteContext(user: call.user, manager: "", subresource: "eviction")
    context.isDryRun = options.isDryRun
    context.options = ["kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"]
    var eviction = body
    eviction["kind"] = "Eviction"
    eviction["apiVersion"] = "policy/v1"
    eviction["metadata"]["name"] = JSON(request.name)
    eviction["metadata"]["namespace"] = JSON(request.namespace)
    let attempt = try await resources.attempt(.create, request, name: request.name ?? "", context, old: nil, eviction)
    try await resources.admit(attempt, eviction, context)
    options.notes.add(context.notes.take())
  }

  private func charge(_ name: String, _ request: ResourceRequest, _ options: DeleteOptions) async throws {
    let budgets = resources.resource("poddisruptionbudgets", group: "policy")
    let target = ResourceRequest(resource: budgets, namespace: request.namespace, name: name)
    var context = WriteContext(user: .controlPlane, manager: "kube-apiserver", subresource: "status")
    context.isDryRun = options.isDryRun
    let now = context.now
    do {
      _ = try await resources.update(target, context) { try Eviction.charged($0, pod: request.name ?? "", now: now) }
    } catch let failure as APIFailure where failure.code == 404 {
      // The budget went away, and its guard with it.
    }
  }

  private func evictNow(_ request: ResourceRequest, _ options: DeleteOptions, _ user: UserInfo) async throws {
    var options = options
    if !options.isDryRun {
      let context = WriteContext(user: .controlPlane, manager: "kube-apiserver", subresource: "status")
      let now = context.now
      let asked = (uid: options.uid, version: options.resourceVersion)
      var target = request
      target.subresource = nil
      let pod = try await resources.update(target, context) { pod in
        if let uid = asked.uid, uid != pod["metadata"]["uid"].string {
          throw APIFailure.conflict(request.resource, request.name ?? "", "the pod is another one than that of the precondition")
        }
        var marked = Eviction.marked(pod, now: now)
        if let version = asked.version { marked["metadata"]["resourceVersion"] = .string(version) }
        return marked
      }
      if options.resourceVersion != nil { options.resourceVersion = pod["metadata"]["resourceVersion"].string }
    }
    _ = try await resources.delete(request, options, user: user)
  }
}
