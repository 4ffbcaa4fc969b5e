import APIMachinery
import Authorization
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging

/// Approves what kubelets ask for themselves, and signs what has been approved for the signers of this cluster. Requests
/// to other signers are left alone.
struct CertificateController: Sendable {
  let client: KubernetesClient
  let authority: CertificateAuthority
  let access: AccessControl
  let log: Logger

  static let path = ResourcePath(group: "certificates.k8s.io", version: "v1", "certificatesigningrequests")

  func run() async {
    for await event in client.reflect(Self.path, log: log) {
      switch event {
      case .synced(let all): for object in all { await handle(object) }
      case .changed(let object): await handle(object)
      case .deleted: break
      }
    }
  }

  private func handle(_ object: JSON) async {
    let name = object["metadata"]["name"].string ?? ""
    do {
      guard let signer = CertificateRequest.Signer(rawValue: object["spec"]["signerName"].string ?? "") else { return }
      let types = Set((object["status"]["conditions"].array ?? []).compactMap { $0["type"].string })
      guard object["status"]["certificate"].isEmpty, types.isDisjoint(with: ["Denied", "Failed"]) else { return }
      let request = try CertificateRequest(base64: object["spec"]["request"].string ?? "")
      if types.contains("Approved") {
        try await sign(object, name, request, signer)
      } else if signer == .kubeletClient {
        try await approve(object, name, request)
      }
    } catch let error as APIStatusError where error.isNotFound || error.code == 409 {
      // Another change came first; it is an event of its own.
    } catch {
      log.warning("certificate request \(name): \(error)")
    }
  }

  private func approve(_ object: JSON, _ name: String, _ request: CertificateRequest) async throws {
    let spec = object["spec"]
    let user = UserInfo(
      name: spec["username"].string ?? "", groups: (spec["groups"].array ?? []).compactMap(\.string), uid: spec["uid"].string ?? "",
      extra: UserInfo.extra(spec["extra"]))
    guard let permission = request.automaticPermission(usages: Self.usages(object), username: user.name) else { return }
    let question = AccessRequest(
      "create", group: "certificates.k8s.io", version: "*", resource: "certificatesigningrequests", subresource: permission)
    guard await access.allows(user, question) else { return }
    let own = permission == "selfnodeclient" ? "self " : ""
    try await add(
      "Approved", "AutoApproved", "Auto approving \(own)kubelet client certificate after SubjectAccessReview.", to: object, name,
      subresource: "approval")
  }

  private func sign(_ object: JSON, _ name: String, _ request: CertificateRequest, _ signer: CertificateRequest.Signer) async throws {
    let usages = Self.usages(object)
    if let why = request.refusal(signer, usages: usages, username: object["spec"]["username"].string ?? "") {
      return try await add("Failed", "SignerValidationFailure", why, to: object, name, subresource: "status")
    }
    let pem = try authority.sign(request, usages: usages, expirationSeconds: object["spec"]["expirationSeconds"].int)
    var signed = object
    signed["status"]["certificate"] = .string(Base64.encode(Array(pem.utf8)))
    try await client.update(Self.path, name: name, subresource: "status", signed)
    log.info("signed the certificate of \(request.commonName) (\(name))")
  }

  private func add(
    _ type: String, _ reason: String, _ message: String, to object: JSON, _ name: String, subresource: String
  ) async throws {
    var changed = object
    let condition: JSON = ["type": .string(type), "status": "True", "reason": .string(reason), "message": .string(message)]
    changed["status"]["conditions"] = .array((object["status"]["conditions"].array ?? []) + [condition])
    try await client.update(Self.path, name: name, subresource: subresource, changed)
  }

  private static func usages(_ object: JSON) -> Set<String> { Set((object["spec"]["usages"].array ?? []).compactMap(\.string)) }
}
