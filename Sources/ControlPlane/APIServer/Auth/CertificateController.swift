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
  let revocations: NodeRevocations
  let servingRules: ServingRules
  /// Seconds that a certificate lives where its request does not ask for less.
  let secondsMax: Int
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
      if let why = revoked(object, request) {
        return try await add("Failed", "NodeDeleted", why, to: object, name, subresource: "status")
      }
      if types.contains("Approved") {
        try await sign(object, name, request, signer)
      } else if signer == .kubeletClient {
        try await approve(object, name, request)
      } else if signer == .kubeletServing {
        try await approveServing(object, name, request)
      }
    } catch let error as APIStatusError where error.isNotFound || error.code == 409 {
      // Another change came first; it is an event of its own.
    } catch {
      log.warning("certificate request \(name): \(error)")
    }
  }

  /// Why a node that was deleted after it asked gets nothing; nil where it was not. Who asks by token joins anew.
  private func revoked(_ object: JSON, _ request: CertificateRequest) -> String? {
    guard object["spec"]["username"].string == request.commonName, let node = request.nodeName, let at = revocations.revoked(node),
      let asked = object["metadata"]["creationTimestamp"].timestamp, asked.secondsSinceEpoch <= at
    else { return nil }
    return "node \(node) was deleted; it has to join again with a token"
  }

  /// A node gets a certificate for its name and for addresses that are nobody else's.
  // Unlike upstream: requests to kubernetes.io/kubelet-serving for nothing but that need no person's approval.
  private func approveServing(_ object: JSON, _ name: String, _ request: CertificateRequest) async throws {
    let user = object["spec"]["username"].string ?? ""
    guard request.refusal(.kubeletServing, usages: Self.usages(object), username: user) == nil else { return }
    let nodes = try await client.list(.nodes).items
    if let why = servingRules.objection(request, nodes: nodes) {
      return log.warning("certificate request \(name) of \(user) waits for a person, as \(why)")
    }
    try await add(
      "Approved", "AutoApproved", "Auto approving kubelet serving certificate for the node's own name and addresses.", to: object, name,
      subresource: "approval")
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
    // A certificate of the second in which its node was deleted counts as one from before.
    while let node = request.nodeName, revocations.covers(node, signed: .now) { try await Task.sleep(for: .milliseconds(100)) }
    let pem = try authority.sign(
      request, usages: usages, expirationSeconds: object["spec"]["expirationSeconds"].int, secondsMax: secondsMax)
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
