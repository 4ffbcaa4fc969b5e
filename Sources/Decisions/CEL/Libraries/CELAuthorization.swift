// The authorizer library: expressions ask whether somebody may do something.

/// One question to the authorizer.
package struct CELAuthorizationCheck: Sendable, Equatable {
  /// Nil: the user of the request.
  package var serviceAccount: ServiceAccount?
  /// A path outside of the API's resources; the fields below are empty then.
  package var path: String?
  package var group = ""
  package var resource = ""
  package var subresource = ""
  package var namespace = ""
  package var name = ""
  package var fieldSelector: String?
  package var labelSelector: String?
  package var verb = ""

  package init(group: String = "", resource: String = "", subresource: String = "", namespace: String = "", name: String = "") {
    self.group = group
    self.resource = resource
    self.subresource = subresource
    self.namespace = namespace
    self.name = name
  }

  package struct ServiceAccount: Sendable, Equatable {
    package let namespace: String
    package let name: String
  }
}

/// The authorizer's answer.
package struct CELAuthorizationDecision: Sendable, Equatable {
  package let isAllowed: Bool
  package let reason: String
  /// Why there is no answer.
  package let error: String?
  package init(isAllowed: Bool, reason: String = "", error: String? = nil) {
    self.isAllowed = isAllowed
    self.reason = reason
    self.error = error
  }
}

/// What the caller binds to the variable `authorizer`; expressions are evaluated without waiting, so it answers at once.
package struct CELAuthorizer: CELOpaque {
  package static let type = CELType.opaque("kubernetes.authorization.Authorizer")

  package enum Stage: String, Sendable {
    case authorizer = "kubernetes.authorization.Authorizer"
    case path = "kubernetes.authorization.PathCheck"
    case group = "kubernetes.authorization.GroupCheck"
    case resource = "kubernetes.authorization.ResourceCheck"
  }

  let stage: Stage
  let check: CELAuthorizationCheck
  let decide: @Sendable (CELAuthorizationCheck) -> CELAuthorizationDecision

  package init(decide: @escaping @Sendable (CELAuthorizationCheck) -> CELAuthorizationDecision) {
    self.init(.authorizer, CELAuthorizationCheck(), decide)
  }

  private init(
    _ stage: Stage, _ check: CELAuthorizationCheck, _ decide: @escaping @Sendable (CELAuthorizationCheck) -> CELAuthorizationDecision
  ) {
    self.stage = stage
    self.check = check
    self.decide = decide
  }

  package var typeName: String { stage.rawValue }
  package func isEqual(to other: any CELOpaque) -> Bool {
    (other as? CELAuthorizer).map { $0.stage == stage && $0.check == check } ?? false
  }

  /// A value for the variable `authorizer.requestResource`: the resource is known already.
  package func requestResource(_ check: CELAuthorizationCheck) -> CELAuthorizer { CELAuthorizer(.resource, check, decide) }

  func with(_ stage: Stage, _ change: (inout CELAuthorizationCheck) -> Void) -> CELAuthorizer {
    var check = check
    change(&check)
    return CELAuthorizer(stage, check, decide)
  }
}

private struct Decision: CELOpaque {
  let typeName = "kubernetes.authorization.Decision"
  let decision: CELAuthorizationDecision
  func isEqual(to other: any CELOpaque) -> Bool { (other as? Decision)?.decision == decision }
}

extension CELLibrary {
  /// What one question costs: it may look through many rules.
  private static let checkCost = CELCallCost.fixed(350_000)

  package static let authorization: CELLibrary = {
    var library = CELLibrary("authorizer")
    let authorizer = CELAuthorizer.type
    let path = CELType.opaque(CELAuthorizer.Stage.path.rawValue)
    let group = CELType.opaque(CELAuthorizer.Stage.group.rawValue)
    let resource = CELType.opaque(CELAuthorizer.Stage.resource.rawValue)
    let decision = CELType.opaque("kubernetes.authorization.Decision")
    for type in [authorizer, path, group, resource, decision] { library.types[type.runtimeName] = type }
    let steps: [(String, CELType, CELType, CELAuthorizer.Stage, @Sendable (inout CELAuthorizationCheck, String) -> Void)] = [
      ("path", authorizer, path, .path, { $0.path = $1 }),
      ("group", authorizer, group, .group, { $0.group = $1 }),
      ("resource", group, resource, .resource, { $0.resource = $1 }),
      ("subresource", resource, resource, .resource, { $0.subresource = $1 }),
      ("namespace", resource, resource, .resource, { $0.namespace = $1 }),
      ("name", resource, resource, .resource, { $0.name = $1 }),
      ("fieldSelector", resource, resource, .resource, { $0.fieldSelector = $1 }),
      ("labelSelector", resource, resource, .resource, { $0.labelSelector = $1 }),
    ]
    for (name, from, to, stage, change) in steps {
      library.member(name, "\(from.runtimeName)_\(name)", [from, .string], to) { a, _ throws(CELError) in
        let text = try a.string(1)
        return .opaque(try a.opaque(0, CELAuthorizer.self).with(stage) { change(&$0, text) })
      }
    }
    library.member("serviceAccount", "authorizer_serviceaccount", [authorizer, .string, .string], authorizer) { a, _ throws(CELError) in
      let (namespace, name) = (try a.string(1), try a.string(2))
      if namespace.isEmpty || name.isEmpty { throw CELError("service account namespace and name must not be empty") }
      return .opaque(
        try a.opaque(0, CELAuthorizer.self).with(.authorizer) { $0.serviceAccount = .init(namespace: namespace, name: name) })
    }
    for from in [path, resource] {
      library.member("check", "\(from.runtimeName)_check", [from, .string], decision, cost: checkCost) { a, _ throws(CELError) in
        let verb = try a.string(1)
        let question = try a.opaque(0, CELAuthorizer.self)
        var check = question.check
        check.verb = verb
        return .opaque(Decision(decision: question.decide(check)))
      }
    }
    let answers: [(String, CELType, @Sendable (CELAuthorizationDecision) -> CELValue)] = [
      ("allowed", .bool, { .bool($0.isAllowed) }), ("reason", .string, { .string($0.reason) }),
      ("errored", .bool, { .bool($0.error != nil) }), ("error", .string, { .string($0.error ?? "") }),
    ]
    for (name, type, answer) in answers {
      library.member(name, "decision_\(name)", [decision], type) { a, _ throws(CELError) in
        answer(try a.opaque(0, Decision.self).decision)
      }
    }
    return library
  }()

  // MARK: JSON patches

  package static let jsonPatch: CELLibrary = {
    var library = CELLibrary("jsonpatch")
    library.function("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", [.string], .string, cost: .traversal(of: 0, times: 1)) {
      a, _ throws(CELError) in
      let escaped = CELText.replace(try a.string(0), "~", with: "~0", max: -1)
      return .string(CELText.replace(escaped, "/", with: "~1", max: -1))
    }
    return library
  }()
}

/// The type `JSONPatch{op: ..., path: ..., from: ..., value: ...}` beside the types of another provider.
package struct CELJSONPatchTypes: CELTypeProvider {
  private let others: any CELTypeProvider
  package init(beside others: any CELTypeProvider = CELNoTypes()) { self.others = others }

  package func knowsType(_ name: String) -> Bool { name == "JSONPatch" || others.knowsType(name) }

  package func field(_ name: String, of type: String) -> CELField? {
    guard type == "JSONPatch" else { return others.field(name, of: type) }
    switch name {
    case "op", "path", "from": return CELField(type: .string, key: name)
    case "value": return CELField(type: .dyn, key: name)
    default: return nil
    }
  }
}
