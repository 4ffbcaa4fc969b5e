import APIMachinery
import AdmissionPolicies
import JSONCodec
import KubernetesAPI

/// Runs the policies that people have written: mutating ones before mutating webhooks, validating ones before validating webhooks.
struct PolicyAdmission: Sendable {
  let validating: LiveCollection
  let validatingBindings: LiveCollection
  let mutating: LiveCollection
  let mutatingBindings: LiveCollection
  let asking: PolicyQuestions
  private let validatingPolicies = CompiledOnce<ValidatingPolicy>()
  private let mutatingPolicies = CompiledOnce<MutatingPolicy>()

  init(
    validating: LiveCollection, validatingBindings: LiveCollection, mutating: LiveCollection, mutatingBindings: LiveCollection,
    asking: PolicyQuestions
  ) {
    self.validating = validating
    self.validatingBindings = validatingBindings
    self.mutating = mutating
    self.mutatingBindings = mutatingBindings
    self.asking = asking
  }

  /// Follows policies and bindings, and says in their status what is doubtful about them, until the task is cancelled.
  func run(_ resources: Resources) async {
    await withDiscardingTaskGroup { group in
      for collection in [validatingBindings, mutating, mutatingBindings] { group.addTask { await collection.run() } }
      group.addTask { await validating.run { await PolicyChecker(resources: resources, policies: validating).check() } }
    }
  }

  // MARK: which policies

  /// A policy together with a binding and a parameter, and the version of the kind in which it looks at objects.
  private struct Invocation {
    let policy: JSON
    let binding: JSON
    let version: String
    let parameters: [JSON?]
    /// Why it cannot be used.
    let problem: String?

    var policyName: String { policy["metadata"]["name"].string ?? "" }
    var bindingName: String { binding["metadata"]["name"].string ?? "" }
    var failsClosed: Bool { policy["spec"]["failurePolicy"].string != "Ignore" }
    /// Names what the policy says: its spec changes together with its generation.
    var key: String {
      let metadata = policy["metadata"]
      return "\(metadata["uid"].string ?? "")/\(metadata["generation"].int ?? 0)"
    }
  }

  private func invocations(
    _ policies: LiveCollection, _ bindings: LiveCollection, _ object: JSON?, _ attempt: AdmissionAttempt, _ resources: Resources
  ) async throws -> [Invocation] {
    guard !attempt.isExempt else { return [] }
    let all = try await policies.all().objects
    guard !all.isEmpty else { return [] }
    let bound = try await bindings.all().objects
    guard !bound.isEmpty else { return [] }
    let registry = resources.registry
    var found: [Invocation] = []
    for policy in all {
      let own = bound.filter { $0["spec"]["policyName"] == policy["metadata"]["name"] }
      guard !own.isEmpty, let version = PolicyMatch(policy["spec"]["matchConstraints"])?.version(attempt, object, registry) else {
        continue
      }
      for binding in own {
        let match = binding["spec"]["matchResources"]
        if !match.isNull, PolicyMatch(match)?.version(attempt, object, registry) == nil { continue }
        var parameters: [JSON?] = []
        var problem: String?
        do {
          parameters = try await PolicyParameters(resources: resources).find(policy, binding, attempt)
        } catch let failure as PolicyParameters.Failure {
          problem = failure.message
        }
        found.append(Invocation(policy: policy, binding: binding, version: version, parameters: parameters, problem: problem))
      }
    }
    if !found.isEmpty { await resources.access.index.ready() }
    return found
  }

  // MARK: validating

  func validate(_ object: JSON?, _ attempt: AdmissionAttempt, _ resources: Resources, _ notes: AdmissionNotes) async throws {
    var denial: (message: String, reason: String)?
    var audit = PolicyAudit()
    for invocation in try await invocations(validating, validatingBindings, object, attempt, resources) {
      func deny(_ message: String, _ reason: String) {
        let text =
          "ValidatingAdmissionPolicy '\(invocation.policyName)' with binding '\(invocation.bindingName)' denied request: \(message)"
        if denial == nil { denial = (text, reason) }
      }
      if let problem = invocation.problem {
        if invocation.failsClosed { deny(problem, "Invalid") }
        continue
      }
      guard !invocation.parameters.isEmpty else { continue }
      let policy = validatingPolicies.value(invocation.key) { ValidatingPolicy(invocation.policy, timeZoneFile: TimeZones.file) }
      let resource = attempt.request.resource
      let shown = try await shown(object, invocation.version, resource, resources)
      let old = try await self.shown(attempt.old, invocation.version, resource, resources)
      let actions = (invocation.binding["spec"]["validationActions"].array ?? []).compactMap(\.string)
      for parameter in invocation.parameters {
        let input = asking.input(attempt, object: shown, old: old, version: invocation.version, parameters: parameter)
        let findings = policy.judge(input)
        for (key, value) in findings.annotations { audit.add("\(invocation.policyName)/\(key)", value) }
        for refusal in findings.refusals {
          if actions.contains("Deny") { deny(refusal.message, refusal.reason) }
          if actions.contains("Warn") {
            notes.add([
              "Validation failed for ValidatingAdmissionPolicy '\(invocation.policyName)' with binding '\(invocation.bindingName)': \(refusal.message)"
            ])
          }
          if actions.contains("Audit") {
            audit.failed(refusal, policy: invocation.policyName, binding: invocation.bindingName, actions: actions)
          }
        }
      }
    }
    audit.write()
    guard let denial else { return }
    throw Self.refusal(attempt, denial.message, denial.reason)
  }

  private func shown(_ object: JSON?, _ version: String, _ resource: ResourceInfo, _ resources: Resources) async throws -> JSON? {
    guard let object else { return nil }
    return version == resource.version ? object : try await resources.converted(object, to: version, resource)
  }

  /// The answer to who is refused: 422 unless the policy gives another reason.
  private static func refusal(_ attempt: AdmissionAttempt, _ message: String, _ reason: String) -> APIFailure {
    let codes = ["Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413]
    let forbidden = APIFailure.forbidden(attempt.request.resource, attempt.name, message)
    var details = forbidden.details
    details["causes"] = [["message": .string(message)]]
    return APIFailure(codes[reason] ?? 422, reason, forbidden.message, details: details)
  }

  // MARK: mutating

  func mutate(
    _ object: JSON, _ attempt: AdmissionAttempt, _ resources: Resources, _ round: inout MutatingRound, normalize: (JSON) throws -> JSON
  ) async throws -> JSON {
    var current = object
    var changedBy: [Int] = []
    var seen: [String] = []
    var failures: [String] = []
    let invocations = try await invocations(mutating, mutatingBindings, object, attempt, resources)
    for invocation in invocations {
      let next = try await mutated(current, invocation, attempt, resources, &failures, normalize)
      if next != current { changedBy.append(seen.count) }
      seen.append(invocation.policyName)
      current = next
    }
    // Those that ask for it see once more what the later ones changed.
    if let last = changedBy.last {
      for invocation in invocations.prefix(last) where invocation.policy["spec"]["reinvocationPolicy"].string == "IfNeeded" {
        current = try await mutated(current, invocation, attempt, resources, &failures, normalize)
      }
    }
    try Self.check(failures, attempt)
    round.seen = Set(seen)
    return current
  }

  /// After webhooks changed the object: the policies that ask for it see it once more.
  func mutateAgain(
    _ object: JSON, _ attempt: AdmissionAttempt, _ resources: Resources, _ round: MutatingRound, normalize: (JSON) throws -> JSON
  ) async throws -> JSON {
    guard !round.seen.isEmpty else { return object }
    var current = object
    var failures: [String] = []
    for invocation in try await invocations(mutating, mutatingBindings, object, attempt, resources)
    where round.seen.contains(invocation.policyName) && invocation.policy["spec"]["reinvocationPolicy"].string == "IfNeeded" {
      current = try await mutated(current, invocation, attempt, resources, &failures, normalize)
    }
    try Self.check(failures, attempt)
    return current
  }

  private func mutated(
    _ object: JSON, _ invocation: Invocation, _ attempt: AdmissionAttempt, _ resources: Resources, _ failures: inout [String],
    _ normalize: (JSON) throws -> JSON
  ) async throws -> JSON {
    func failed(_ message: String) -> String {
      "policy '\(invocation.policyName)' with binding '\(invocation.bindingName)' denied request: \(message)"
    }
    if let problem = invocation.problem {
      if invocation.failsClosed { failures.append(failed(problem)) }
      return object
    }
    let policy = mutatingPolicies.value(invocation.key) { MutatingPolicy(invocation.policy, timeZoneFile: TimeZones.file) }
    let resource = attempt.request.resource
    let isOwn = invocation.version == resource.version
    let other = isOwn ? nil : resources.registry.resource(group: resource.group, version: invocation.version, plural: resource.plural)
    let old = try await shown(attempt.old, invocation.version, resource, resources)
    var current = object
    for parameter in invocation.parameters {
      guard let shown = try await shown(current, invocation.version, resource, resources) else { continue }
      let input = asking.input(attempt, object: shown, old: old, version: invocation.version, parameters: parameter)
      do {
        guard try policy.concerns(input) else { continue }
      } catch {
        if invocation.failsClosed { failures.append(failed(error.message)) }
        continue
      }
      let (changed, problems) = policy.mutate(input, type: Self.type(attempt, other ?? resource), normalize: isOwn ? normalize : { $0 })
      if invocation.failsClosed { failures += problems.map(failed) }
      guard changed != shown else { continue }
      current = isOwn ? changed : try normalize(try await resources.converted(changed, to: resource.version, other ?? resource))
    }
    return current
  }

  /// Of what is changed: a connection's options are of a kind of their own.
  private static func type(_ attempt: AdmissionAttempt, _ resource: ResourceInfo) -> SchemaType {
    guard attempt.operation == .connect, let name = attempt.request.subresource else { return resource.type }
    return resource.subresources.first { $0.name == name }?.type ?? resource.type
  }

  private static func check(_ failures: [String], _ attempt: AdmissionAttempt) throws {
    guard let first = failures.first else { return }
    var details = APIFailure.forbidden(attempt.request.resource, attempt.name, "").details
    details["causes"] = .array(failures.map { ["message": .string($0)] })
    throw APIFailure(403, "Invalid", first, details: details)
  }
}

/// What a run of mutating policies leaves for the one after the webhooks.
struct MutatingRound: Sendable {
  /// Names of the policies that looked at the object.
  var seen: Set<String> = []
}
