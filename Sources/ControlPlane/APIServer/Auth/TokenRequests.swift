import APIMachinery
import Authorization
import JSONCodec
import KubernetesAPI
import RevisionStore

extension APIServer {
  /// Seconds that a token lives at least and at most.
  static let tokenSecondsMin = 600
  static let tokenSecondsMax = 1 << 32

  /// POST serviceaccounts/<name>/token.
  func tokenRequest(_ call: APICall, _ request: ResourceRequest) async throws -> APIResult {
    let account = try await resources.stored(request).object
    var body = try call.decodedBody(registry).object
    let now = Timestamp.now
    let seconds = body["spec"]["expirationSeconds"].int ?? 3600
    guard seconds >= Self.tokenSecondsMin else { throw Self.invalidSeconds(seconds, "may not specify a duration less than 10 minutes") }
    guard seconds <= Self.tokenSecondsMax else { throw Self.invalidSeconds(seconds, "may not specify a duration larger than 2^32 seconds") }
    let asked = (body["spec"]["audiences"].array ?? []).compactMap(\.string)
    let audiences = asked.isEmpty ? tokens.audiences : asked
    var claims = ServiceAccountTokens.Claims(
      namespace: request.namespace ?? "", account: request.name ?? "", accountUID: account["metadata"]["uid"].string ?? "",
      audiences: audiences, expires: Int(now.secondsSinceEpoch) + seconds, issued: Int(now.secondsSinceEpoch))
    try await bind(&claims, to: body["spec"]["boundObjectRef"], call, request, audiences: asked)
    body["kind"] = "TokenRequest"
    body["apiVersion"] = "authentication.k8s.io/v1"
    body["metadata"] = [
      "name": JSON(request.name), "namespace": JSON(request.namespace), "creationTimestamp": .string(now.rfc3339),
    ]
    body["spec"]["audiences"] = JSON(audiences)
    body["spec"]["expirationSeconds"] = JSON(seconds)
    body["status"] = [
      "token": .string(try tokens.token(claims)),
      "expirationTimestamp": .string(Timestamp(secondsSinceEpoch: now.secondsSinceEpoch + Int64(seconds)).rfc3339),
    ]
    return .object(body, status: 201)
  }

  private static func invalidSeconds(_ seconds: Int, _ why: String) -> APIFailure {
    let message = "Invalid value: \(seconds): \(why)"
    return APIFailure(
      422, "Invalid", "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: \(message)",
      details: [
        "group": "authentication.k8s.io", "kind": "TokenRequest",
        "causes": [["reason": "FieldValueInvalid", "message": .string(message), "field": "spec.expirationSeconds"]],
      ])
  }

  /// Ties the token to an object that must be there, and be this one.
  private func bind(
    _ claims: inout ServiceAccountTokens.Claims, to reference: JSON, _ call: APICall, _ request: ResourceRequest, audiences: [String]
  ) async throws {
    let account = request.name ?? ""
    func refuse(_ why: String) -> APIFailure { APIFailure.forbidden(request.resource, account, why) }
    guard let kind = reference["kind"].string, !reference.isEmpty else {
      if call.user.nodeName != nil, !call.user.isAdministrator { throw refuse("node requested token not bound to a pod") }
      return
    }
    guard ["Pod", "Secret", "Node"].contains(kind), ["", "v1"].contains(reference["apiVersion"].string ?? "") else {
      let group = (reference["apiVersion"].string ?? "").split(separator: "/").first.map(String.init) ?? ""
      throw APIFailure.badRequest("cannot bind token to object of type \(group), Kind=\(kind)")
    }
    var target = request
    target.resource = resources.resource(kind.lowercased() + "s")
    target.name = reference["name"].string ?? ""
    if kind == "Node" { target.namespace = nil }
    let object = try await resources.stored(target).object
    let uid = object["metadata"]["uid"].string ?? ""
    if let asked = reference["uid"].string, !asked.isEmpty, asked != uid {
      throw APIFailure.conflict(
        target.resource, target.name ?? "",
        "the UID in the bound object reference (\(asked)) does not match the UID in record. The object might have been deleted and then recreated"
      )
    }
    if kind == "Pod", object["spec"]["serviceAccountName"].string != account {
      throw APIFailure.badRequest("cannot bind token for serviceaccount \"\(account)\" to pod running with different serviceaccount name.")
    }
    if let node = call.user.nodeName, !call.user.isAdministrator {
      guard kind == "Pod" else { throw refuse("node requested token not bound to a pod") }
      guard let asked = reference["uid"].string, !asked.isEmpty else {
        throw refuse("node requested token with a pod binding without a uid")
      }
      guard object["spec"]["nodeName"].string == node else {
        throw refuse("node requested token bound to a pod scheduled on a different node")
      }
      for audience in audiences where !Self.mentions(audience, object, own: tokens.audiences) {
        throw refuse("audience \"\(audience)\" not found in pod spec volume")
      }
    }
    claims.bound = (kind.lowercased(), target.name ?? "", uid)
    if kind == "Pod", let node = object["spec"]["nodeName"].string, !node.isEmpty {
      let key = ResourceRequest.prefix(resources.resource("nodes"), namespace: nil) + node
      let stored = try await resources.store.get(key, at: nil)
      claims.node = (node, try stored.map { try resources.decoded.object($0)["metadata"]["uid"].string ?? "" } ?? "")
    }
  }

  /// Whether one of the pod's token volumes is for this audience; without a word, it is for this server.
  private static func mentions(_ audience: String, _ pod: JSON, own: [String]) -> Bool {
    (pod["spec"]["volumes"].array ?? []).contains { volume in
      (volume["projected"]["sources"].array ?? []).contains { source in
        let token = source["serviceAccountToken"]
        guard !token.isNull else { return false }
        let named = token["audience"].string ?? ""
        return named.isEmpty ? own.contains(audience) : named == audience
      }
    }
  }
}
