import APIMachinery
import Authorization
import JSONCodec
import KubernetesAPI

/// What the certificates API adds to its objects and refuses (kubernetes: CertificateApproval, CertificateSigning,
/// CertificateSubjectRestriction, and NodeRestriction's word about requests).
struct CertificateAdmission: Sendable {
  let access: AccessControl

  private static let lifeSecondsMin = 600
  private static let decisions: Set<String> = ["Approved", "Denied"]

  /// The requester is who asks now, whatever the object says.
  func admitCreate(_ object: inout JSON, _ resource: ResourceInfo, _ user: UserInfo) throws {
    object["spec"]["username"] = .string(user.name)
    object["spec"]["uid"] = JSON(user.uid.isEmpty ? nil : user.uid)
    object["spec"]["groups"] = JSON(user.groups)
    object["spec"]["extra"] = user.json["extra"]
    object["status"] = .object(JSONObject())
    let name = object["metadata"]["name"].string ?? ""
    let spec = object["spec"]
    func invalid(_ field: String, _ why: String, _ reason: String = "FieldValueInvalid") -> APIFailure {
      APIServer.invalid(resource, name, "spec.\(field)", reason, why)
    }
    let parsed: CertificateRequest
    do {
      parsed = try CertificateRequest(base64: spec["request"].string ?? "")
    } catch let error as CertificateRequest.Malformed {
      throw invalid("request", "Invalid value: \(spec["request"].text()): \(error.message)")
    } catch {
      throw invalid("request", "Invalid value: \(spec["request"].text()): \(error)")
    }
    if spec["usages"].isEmpty { throw invalid("usages", "Required value: usages is required", "FieldValueRequired") }
    let signer = spec["signerName"].string ?? ""
    if signer.isEmpty { throw invalid("signerName", "Required value", "FieldValueRequired") }
    let parts = signer.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].contains("."), !parts[1].isEmpty else {
      throw invalid(
        "signerName", "Invalid value: \"\(signer)\": must be a fully qualified domain and path of the form \"example.com/signer-name\"")
    }
    if signer == "kubernetes.io/legacy-unknown" {
      throw invalid("signerName", "Invalid value: \"\(signer)\": the legacy signerName is not allowed via this API version")
    }
    if let seconds = spec["expirationSeconds"].int, seconds < Self.lifeSecondsMin {
      throw invalid(
        "expirationSeconds", "Invalid value: \(seconds): may not specify a duration less than 600 seconds (10 minutes)")
    }
    if let why = restriction(parsed, signer, user) { throw APIFailure.forbidden(resource, name, why) }
  }

  private func restriction(_ request: CertificateRequest, _ signer: String, _ user: UserInfo) -> String? {
    if signer == CertificateRequest.Signer.client.rawValue, request.organizations.contains("system:masters") {
      return "use of \(signer) signer with system:masters group is not allowed"
    }
    guard let node = user.nodeName, !user.isAdministrator else { return nil }
    let own = "system:node:\(node)"
    let isOfNode = signer == CertificateRequest.Signer.kubeletClient.rawValue || signer == CertificateRequest.Signer.kubeletServing.rawValue
    return isOfNode && request.commonName != own ? "can only create a node CSR with CN=\(own)" : nil
  }

  /// The request never changes; each subresource changes its part of the status, and takes a permission on the signer.
  func admitUpdate(_ object: inout JSON, old: JSON, _ resource: ResourceInfo, _ context: WriteContext) async throws {
    object["spec"] = old["spec"]
    let name = object["metadata"]["name"].string ?? ""
    let signer = old["spec"]["signerName"].string ?? ""
    func conditions(_ object: JSON, _ isDecision: Bool) -> [JSON] {
      (object["status"]["conditions"].array ?? []).filter { Self.decisions.contains($0["type"].string ?? "") == isDecision }
    }
    switch context.subresource {
    case "approval":
      guard await may("approve", signer, context.user) else {
        throw APIFailure.forbidden(resource, name, "user not permitted to approve requests with signerName \"\(signer)\"")
      }
      let asked = object["status"]["conditions"].array ?? []
      object["status"] = old["status"]
      object["status"]["conditions"] = asked.isEmpty ? .null : .array(asked)
      try checkDecision(conditions(object, true), old: conditions(old, true), resource, name)
    case "status":
      // Approved and Denied are for the other subresource; here they stay as they are.
      let kept = conditions(old, true) + conditions(object, false)
      object["status"]["conditions"] = kept.isEmpty ? .null : .array(kept)
      let isSigned = object["status"]["certificate"] != old["status"]["certificate"]
      let hasFailed = conditions(object, false) != conditions(old, false)
      guard isSigned || hasFailed else { break }
      guard await may("sign", signer, context.user) else {
        throw APIFailure.forbidden(resource, name, "user not permitted to sign requests with signerName \"\(signer)\"")
      }
    default: object["status"] = old["status"]
    }
    stamp(&object, old: old, now: context.now)
  }

  /// Who writes the status of a pod's request signs for its signer.
  func checkPodCertificateStatus(_ object: JSON, old: JSON, _ resource: ResourceInfo, _ user: UserInfo) async throws {
    let (new, before) = (object["status"], old["status"])
    guard new != before, !(new.isEmpty && before.isEmpty) else { return }
    let signer = old["spec"]["signerName"].string ?? ""
    guard await may("sign", signer, user) else {
      throw APIServer.invalid(
        resource, object["metadata"]["name"].string ?? "", "spec.signerName", "FieldValueForbidden",
        "Forbidden: User \"\(user.name)\" is not permitted to \"sign\" requests for signerName \"\(signer)\"")
    }
  }

  private func may(_ verb: String, _ signer: String, _ user: UserInfo) async -> Bool {
    // A permission is for one signer, or for all of its domain.
    let domain = signer.split(separator: "/").first.map { "\($0)/*" } ?? ""
    for name in [signer, domain] {
      let request = AccessRequest(verb, group: "certificates.k8s.io", version: "*", resource: "signers", name: name)
      if await access.allows(user, request) { return true }
    }
    return false
  }

  private func checkDecision(_ new: [JSON], old: [JSON], _ resource: ResourceInfo, _ name: String) throws {
    func types(_ list: [JSON]) -> Set<String> { Set(list.compactMap { $0["type"].string }) }
    if types(new).count > 1 {
      throw APIServer.invalid(
        resource, name, "status.conditions", "FieldValueInvalid",
        "Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive")
    }
    if let gone = types(old).subtracting(types(new)).first {
      throw APIServer.invalid(
        resource, name, "status.conditions", "FieldValueForbidden", "Forbidden: updates may not remove a condition of type \"\(gone)\"")
    }
    for (index, condition) in new.enumerated() where condition["status"].string != "True" {
      throw APIServer.invalid(
        resource, name, "status.conditions[\(index)].status", "FieldValueNotSupported",
        "Unsupported value: \(condition["status"].text()): supported values: \"True\"")
    }
  }

  private func stamp(_ object: inout JSON, old: JSON, now: Timestamp) {
    guard var conditions = object["status"]["conditions"].array else { return }
    let before = old["status"]["conditions"].array ?? []
    for index in conditions.indices {
      if conditions[index]["lastUpdateTime"].isNull { conditions[index]["lastUpdateTime"] = .string(now.rfc3339) }
      guard conditions[index]["lastTransitionTime"].isNull else { continue }
      let same = before.first { $0["type"] == conditions[index]["type"] && $0["status"] == conditions[index]["status"] }
      conditions[index]["lastTransitionTime"] = same.map { $0["lastTransitionTime"] } ?? .string(now.rfc3339)
    }
    object["status"]["conditions"] = .array(conditions)
  }
}
