import APIMachinery
import AdmissionPolicies
import Authorization
import CEL
import JSONCodec

/// Turns a write into what expressions see of it.
struct PolicyQuestions: Sendable {
  let access: AccessControl

  /// - `version`: that of the kind in which `object` and `old` are shown.
  func input(_ attempt: AdmissionAttempt, object: JSON?, old: JSON?, version: String, parameters: JSON? = nil) -> PolicyInput {
    let resource = attempt.request.resource
    let request = attempt.review(uid: "", object: nil, old: nil, version: version)["request"]
    return PolicyInput(
      object: object, old: old, request: request, namespace: attempt.namespace.isNull ? nil : attempt.namespace, parameters: parameters,
      authorizer: authorizer(attempt.user),
      requestResource: CELAuthorizationCheck(
        group: resource.group, resource: resource.plural, subresource: attempt.request.subresource ?? "",
        namespace: attempt.request.namespace ?? "", name: attempt.name))
  }

  /// Answers from what is known of the roles; expressions cannot wait.
  private func authorizer(_ user: UserInfo) -> CELAuthorizer {
    let index = access.index
    return CELAuthorizer { check in
      var asking = user
      if let account = check.serviceAccount {
        asking = UserInfo(
          name: UserInfo.serviceAccount(account.namespace, account.name),
          groups: ["system:serviceaccounts", "system:serviceaccounts:\(account.namespace)", UserInfo.authenticated])
      }
      if asking.isAdministrator { return CELAuthorizationDecision(isAllowed: true) }
      let request =
        if let path = check.path {
          AccessRequest(check.verb, path: path)
        } else {
          AccessRequest(
            check.verb, group: check.group, version: "*", resource: check.resource, subresource: check.subresource,
            namespace: check.namespace, name: check.name)
        }
      let decision = index.decide(asking, request)
      return CELAuthorizationDecision(isAllowed: decision.isAllowed, reason: decision.reason)
    }
  }
}

/// Judges the matchConditions of webhooks, which are compiled once for each text.
struct HookConditions: Sendable {
  let asking: PolicyQuestions
  private let compiled = CompiledOnce<MatchConditions>()

  init(asking: PolicyQuestions) { self.asking = asking }

  func judge(_ hook: AdmissionHook, _ attempt: AdmissionAttempt, _ object: JSON?) -> MatchConditions.Verdict {
    let conditions = compiled.value(hook.conditions.text()) { MatchConditions(ofWebhook: hook.conditions, timeZoneFile: TimeZones.file) }
    return conditions.judge(asking.input(attempt, object: object, old: attempt.old, version: attempt.request.resource.version))
  }
}
