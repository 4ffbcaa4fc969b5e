import APIMachinery
import Authorization
import HTTPServing
import JSONCodec
import KubernetesAPI
import NIOCore
import NIOHTTP1
import Synchronization

/// What one request leaves in the audit log (audit.k8s.io/v1 Event): an event for each stage that its policy wants.
final class AuditTrail: Sendable {
  private struct State {
    var verdict = AuditPolicy.Verdict.nothing
    /// What every event of the request has.
    var event: JSON
    var requestObject = JSON.null
    var responseObject = JSON.null
    /// An answer that is a Status and no failure.
    var answeredStatus = JSON.null
    var failure: APIFailure?
  }

  private let log: AuditLog
  private let state: Mutex<State>
  let id: String

  init(_ log: AuditLog, _ request: ServedRequest) {
    self.log = log
    id = request.headers.first(name: "audit-id").flatMap { $0.isEmpty ? nil : $0 } ?? UUIDs.random()
    let event: JSON = [
      "kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": .string(id), "requestURI": .string(request.uri),
      "verb": .string(request.method.rawValue.lowercased()), "user": .object(JSONObject()),
      "sourceIPs": JSON(Self.sources(request)), "userAgent": JSON(request.headers.first(name: "user-agent").map(Self.shortened)),
      "requestReceivedTimestamp": .string(Timestamp.now.rfc3339Micro),
    ]
    state = Mutex(State(event: event))
  }

  /// Where a request came from: the addresses that proxies tell, then the one that is connected, which nobody can make up. What is no
  /// address is left out.
  static func sources(_ request: ServedRequest) -> [String] {
    func isAddress(_ text: String) -> Bool { (try? SocketAddress(ipAddress: text, port: 0)) != nil }
    var sources = request.headers[canonicalForm: "x-forwarded-for"].map { $0.filter { $0 != " " } }.filter(isAddress)
    if let real = request.headers.first(name: "x-real-ip")?.filter({ $0 != " " }), isAddress(real), !sources.contains(real) {
      sources.append(real)
    }
    let remote = request.remoteAddress
    let address = (remote.lastIndex(of: ":").map { String(remote[..<$0]) } ?? remote).filter { $0 != "[" && $0 != "]" }
    if !address.isEmpty, sources.last != address { sources.append(address) }
    return sources
  }

  /// Characters of a user agent that are kept.
  private static let agentMax = 1_024

  private static func shortened(_ agent: String) -> String {
    agent.utf8.count > agentMax ? String(agent.prefix(agentMax)) + "...TRUNCATED" : agent
  }

  /// The request is understood: who asks for what.
  func begin(_ identity: RequestIdentity?, _ request: AccessRequest, _ decision: AccessDecision?, _ body: () -> JSON) {
    let user = identity?.real ?? UserInfo(name: "", groups: [])
    let verdict = log.policy.verdict(user, request)
    guard verdict.level > .none else { return }
    let object = verdict.level >= .request ? body() : .null
    state.withLock { state in
      state.verdict = verdict
      state.requestObject = object
      state.event["level"] = .string(verdict.level.text)
      state.event["verb"] = .string(request.verb)
      state.event["user"] = user.json
      if let identity, identity.user != identity.real { state.event["impersonatedUser"] = identity.user.json }
      if let decision {
        state.event["annotations"] = [
          "authorization.k8s.io/decision": .string(decision.isAllowed ? "allow" : "forbid"),
          "authorization.k8s.io/reason": .string(decision.reason),
        ]
      }
      guard request.path == nil else { return }
      func text(_ value: String) -> JSON { JSON(value.isEmpty ? nil : value) }
      state.event["objectRef"] = [
        "resource": .string(request.resource), "namespace": text(request.namespace), "name": text(request.name),
        "apiGroup": text(request.group), "apiVersion": text(request.version), "subresource": text(request.subresource),
      ]
    }
    emit(.requestReceived, code: nil)
  }

  /// Of the request that the present task answers; nil where nothing is written down.
  @TaskLocal static var current: AuditTrail?

  /// What admission wants to have written down beside the request, from a level on.
  func annotate(_ key: String, _ value: String, from level: AuditPolicy.Level = .metadata) {
    state.withLock { state in
      if state.verdict.level >= level, state.event["annotations"][key].isNull { state.event["annotations"][key] = .string(value) }
    }
  }

  /// The object that a client sent: which one it means, as it says itself.
  func note(requestObject object: JSON) {
    state.withLock { state in
      guard state.verdict.level > .none, !state.event["objectRef"].isNull else { return }
      for field in ["namespace", "name"] where state.event["objectRef"][field].isNull && !object["metadata"][field].isEmpty {
        state.event["objectRef"][field] = object["metadata"][field]
      }
      for field in ["uid", "resourceVersion"] where !object["metadata"][field].isEmpty {
        state.event["objectRef"][field] = object["metadata"][field]
      }
    }
  }

  /// The answer's object goes into the log, so it must be there as a whole.
  var keepsAnswer: Bool { state.withLock { $0.verdict.level == .requestResponse } }

  func note(_ result: APIResult) {
    state.withLock { state in
      guard state.verdict.level > .none, case .object(let object, _) = result else {
        if case .document(let bytes) = result, state.verdict.level == .requestResponse {
          state.responseObject = (try? JSON.parse(bytes)) ?? .null
        }
        return
      }
      if state.verdict.level == .requestResponse { state.responseObject = object }
      if object["kind"] == "Status", object["apiVersion"] == "v1" {
        state.answeredStatus = object
        return
      }
      // A create's object has its name only now.
      if state.event["objectRef"]["name"].isNull, !state.event["objectRef"].isNull {
        state.event["objectRef"]["name"] = object["metadata"]["name"]
      }
    }
  }

  func note(_ failure: APIFailure) { state.withLock { $0.failure = failure } }

  /// The answer as it goes out; a stream's end is a stage of its own.
  func finish(_ response: ServedResponse) -> ServedResponse {
    var response = response
    response.headers.replaceOrAdd(name: "Audit-Id", value: id)
    guard state.withLock({ $0.verdict.level > .none }) else { return response }
    let code = Int(response.status.code)
    if let takeOver = response.takeOver {
      emit(.responseStarted, code: code)
      response.takeOver = { channel in
        await takeOver(channel)
        self.emit(.responseComplete, code: code)
      }
    } else if case .stream(let stream) = response.body {
      emit(.responseStarted, code: code)
      response.body = .stream { writer in
        defer { self.emit(.responseComplete, code: code) }
        try await stream(writer)
      }
    } else {
      emit(.responseComplete, code: code)
    }
    return response
  }

  private func emit(_ stage: AuditPolicy.Stage, code: Int?) {
    let event = state.withLock { state -> JSON? in
      guard !state.verdict.omittedStages.contains(stage) else { return nil }
      var event = state.event
      event["stage"] = .string(stage.rawValue)
      event["stageTimestamp"] = .string(Timestamp.now.rfc3339Micro)
      guard let code else { return event }
      event["responseStatus"] = ["metadata": .object(JSONObject()), "code": JSON(code)]
      let status = state.failure?.status ?? state.answeredStatus
      for field in ["status", "message", "reason", "details"] where !status[field].isEmpty {
        event["responseStatus"][field] = status[field]
      }
      if stage == .responseComplete {
        event["requestObject"] = Self.shown(state.requestObject, state.verdict)
        event["responseObject"] = Self.shown(
          state.verdict.level == .requestResponse ? state.failure?.status ?? state.responseObject : .null, state.verdict)
      }
      return event
    }
    if let event { log.write(event) }
  }

  private static func shown(_ object: JSON, _ verdict: AuditPolicy.Verdict) -> JSON {
    guard verdict.omitsManagedFields, case .object = object else { return object }
    var object = object
    if !object["metadata"].isNull { object["metadata"]["managedFields"] = .null }
    if let items = object["items"].array { object["items"] = .array(items.map { shown($0, verdict) }) }
    return object
  }
}
