import JSONCodec
import KubernetesClient
import Logging
import Synchronization

/// Asks the API server who a token belongs to (TokenReview) and what a caller may do here (SubjectAccessReview), and
/// remembers the answers for a while (kubernetes: "Kubelet authentication/authorization", webhook mode).
package final class DelegatedAccess: Sendable {
  /// Seconds that answers are remembered, as upstream's kubelet does by default.
  static let tokenSeconds = 120.0
  static let allowedSeconds = 300.0
  static let deniedSeconds = 30.0
  /// Answers of each kind that are remembered at most; then all are forgotten.
  static let answersMax = 1_024

  private struct Question: Hashable {
    let user: String
    let groups: [String]
    let verb: String
    let subresource: String
  }

  private struct Answer<Value: Sendable>: Sendable {
    let value: Value
    let until: ContinuousClock.Instant
  }

  private struct State {
    var callers: [String: Answer<PeerIdentity>] = [:]
    var permissions: [Question: Answer<Bool>] = [:]
  }

  private let client: KubernetesClient
  private let nodeName: String
  private let log: Logger
  private let state = Mutex(State())

  package init(client: KubernetesClient, nodeName: String, log: Logger) {
    self.client = client
    self.nodeName = nodeName
    self.log = log
  }

  /// The bearer of a token; nil where the API server knows none, or does not answer. Refusals are not remembered: a
  /// stranger's tokens would only fill the memory.
  package func caller(token: String) async -> PeerIdentity? {
    let now = ContinuousClock.now
    if let known = state.withLock({ $0.callers[token] }), known.until > now { return known.value }
    do {
      let review = try await client.create(
        ResourcePath(group: "authentication.k8s.io", "tokenreviews"),
        ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": ["token": .string(token)]])
      let status = review["status"]
      guard status["authenticated"].bool == true, let user = status["user"]["username"].string, !user.isEmpty else { return nil }
      let caller = PeerIdentity(user: user, groups: (status["user"]["groups"].array ?? []).compactMap(\.string))
      state.withLock { state in
        if state.callers.count >= Self.answersMax { state.callers = [:] }
        state.callers[token] = Answer(value: caller, until: now + .seconds(Self.tokenSeconds))
      }
      return caller
    } catch {
      log.warning("a caller's token could not be reviewed: \(error)")
      return nil
    }
  }

  /// Whether the caller may do this here. Administrators may without a question, so that a node whose API server is
  /// away can still be looked at.
  package func allows(_ caller: PeerIdentity, _ access: KubeletAccess) async -> Bool {
    if caller.groups.contains("system:masters") { return true }
    for subresource in access.subresources {
      let question = Question(user: caller.user, groups: caller.groups, verb: access.verb, subresource: subresource)
      if await allows(question) { return true }
    }
    return false
  }

  private func allows(_ question: Question) async -> Bool {
    let now = ContinuousClock.now
    if let known = state.withLock({ $0.permissions[question] }), known.until > now { return known.value }
    do {
      let review = try await client.create(
        ResourcePath(group: "authorization.k8s.io", "subjectaccessreviews"),
        [
          "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
          "spec": [
            "user": .string(question.user), "groups": JSON(question.groups),
            "resourceAttributes": [
              "verb": .string(question.verb), "version": "v1", "resource": "nodes", "subresource": .string(question.subresource),
              "name": .string(nodeName),
            ],
          ],
        ])
      let isAllowed = review["status"]["allowed"].bool == true
      state.withLock { state in
        if state.permissions.count >= Self.answersMax { state.permissions = [:] }
        let seconds = isAllowed ? Self.allowedSeconds : Self.deniedSeconds
        state.permissions[question] = Answer(value: isAllowed, until: now + .seconds(seconds))
      }
      return isAllowed
    } catch {
      log.warning("the API server did not say whether \(question.user) may \(question.verb) nodes/\(question.subresource): \(error)")
      return false
    }
  }

  package var authorizer: KubeletAuthorizer { { caller, access in await self.allows(caller, access) } }
  package var authenticator: KubeletAuthenticator { { token in await self.caller(token: token) } }
}
