import APIMachinery
import Authorization
import JSONCodec

/// Who writes a policy or a binding must be able to read the parameters that it names: expressions show what is in them.
struct ParameterAccess {
  let resources: Resources

  func check(_ object: JSON, _ attempt: AdmissionAttempt) async throws {
    let resource = attempt.request.resource
    guard resource.group == "admissionregistration.k8s.io", attempt.request.subresource == nil else { return }
    let error: FieldError?
    switch resource.kind {
    case "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy": error = await policyError(object, attempt)
    case "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding": error = try await bindingError(object, attempt)
    default: error = nil
    }
    guard let error else { return }
    let status = invalidStatus([error], resource: resource, name: attempt.name)
    throw APIFailure(422, "Invalid", status["message"].string ?? "", details: status["details"])
  }

  private func policyError(_ policy: JSON, _ attempt: AdmissionAttempt) async -> FieldError? {
    let kind = policy["spec"]["paramKind"]
    guard !kind.isNull, kind != attempt.old?["spec"]["paramKind"] else { return nil }
    // A kind that is not there yet could be any.
    let request =
      PolicyParameters.resource(kind, resources.registry).map {
        AccessRequest("get", group: $0.group, version: $0.version, resource: $0.plural)
      } ?? AccessRequest("get", group: "*", version: "*", resource: "*")
    if await resources.access.allows(attempt.user, request) { return nil }
    return FieldError(
      path: "spec.paramKind", reason: .forbidden,
      message: "Forbidden: user \(attempt.user.name) must have \"get\" permission on all objects of the referenced paramKind "
        + "(kind=\(kind["kind"].string ?? ""), apiVersion=\(kind["apiVersion"].string ?? ""))")
  }

  private func bindingError(_ binding: JSON, _ attempt: AdmissionAttempt) async throws -> FieldError? {
    let reference = binding["spec"]["paramRef"]
    guard !reference.isNull, binding["spec"] != attempt.old?["spec"] else { return nil }
    let group = attempt.request.resource.group
    let plural = attempt.request.resource.kind.hasPrefix("Mutating") ? "mutatingadmissionpolicies" : "validatingadmissionpolicies"
    let key = "/registry/\(group)/\(plural)/\(binding["spec"]["policyName"].string ?? "")"
    var request = AccessRequest("get", group: "*", version: "*", resource: "*")
    if let stored = try await resources.store.get(key, at: nil) {
      let kind = try resources.decoded.object(stored)["spec"]["paramKind"]
      if kind.isNull { return nil }
      if let resource = PolicyParameters.resource(kind, resources.registry) {
        request = AccessRequest("get", group: resource.group, version: resource.version, resource: resource.plural)
      }
    }
    request.name = reference["name"].string ?? ""
    request.namespace = reference["namespace"].string ?? ""
    if await resources.access.allows(attempt.user, request) { return nil }
    return FieldError(
      path: "spec.paramRef", reason: .forbidden,
      message: "Forbidden: user \(attempt.user.name) does not have \"get\" permission on the object referenced by paramRef")
  }
}
