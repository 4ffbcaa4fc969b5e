import CEL
import JSONCodec

/// What validating and mutating policies have in common, compiled once for each version of the policy.
package struct PolicyBasis: Sendable {
  package let name: String
  /// False: `failurePolicy: Ignore`.
  package let failsClosed: Bool
  package let conditions: MatchConditions
  let variables: PolicyVariables
  let environment: @Sendable () -> PolicyEnvironment

  init(_ policy: JSON, hasPatches: Bool, timeZoneFile: @escaping @Sendable (String) -> [UInt8]?) {
    let spec = policy["spec"]
    name = policy["metadata"]["name"].string ?? ""
    failsClosed = spec["failurePolicy"].string != "Ignore"
    var environment = PolicyEnvironment(
      parameters: spec["paramKind"].isNull ? nil : .dyn, hasPatches: hasPatches, timeZoneFile: timeZoneFile)
    conditions = MatchConditions(spec["matchConditions"], environment)
    var variables = PolicyVariables()
    for variable in spec["variables"].array ?? [] {
      let name = variable["name"].string ?? ""
      let expression = environment.compile(variable["expression"].string ?? "")
      variables.add(name, expression)
      // One that does not compile is an error where it is used.
      environment.declare(variable: name, expression.resultType)
    }
    self.variables = variables
    let whole = environment
    self.environment = { whole }
  }
}

/// A ValidatingAdmissionPolicy, compiled.
package struct ValidatingPolicy: Sendable {
  /// Bytes of a computed message and of an audit annotation.
  static let messageBytesMax = 5 * 1024
  static let annotationBytesMax = 10 * 1024

  /// One thing that a policy has against a request.
  package struct Refusal: Sendable, Equatable {
    package let message: String
    /// `Invalid`, `Forbidden`, `Unauthorized`, `RequestEntityTooLarge`.
    package let reason: String
    /// The position in `spec.validations`; nil for what is wrong with the policy.
    package let index: Int?
  }

  package struct Findings: Sendable, Equatable {
    package var refusals: [Refusal] = []
    /// By the key as it stands in the policy.
    package var annotations: [(key: String, value: String)] = []
    package static func == (a: Self, b: Self) -> Bool {
      a.refusals == b.refusals && a.annotations.elementsEqual(b.annotations) { $0 == $1 }
    }
  }

  private struct Check: Sendable {
    let expression: PolicyExpression
    let messageExpression: PolicyExpression?
    let message: String
    let reason: String
  }

  package let basis: PolicyBasis
  private let checks: [Check]
  private let annotations: [(key: String, expression: PolicyExpression)]

  package init(_ policy: JSON, timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }) {
    basis = PolicyBasis(policy, hasPatches: false, timeZoneFile: timeZoneFile)
    let environment = basis.environment()
    checks = (policy["spec"]["validations"].array ?? []).map { validation in
      let computed = validation["messageExpression"].string ?? ""
      return Check(
        expression: environment.compile(validation["expression"].string ?? "", .bool),
        messageExpression: computed.trimmed.isEmpty ? nil : environment.compile(computed, .string),
        message: (validation["message"].string ?? "").trimmed, reason: validation["reason"].string ?? "Invalid")
    }
    annotations = (policy["spec"]["auditAnnotations"].array ?? []).map {
      ($0["key"].string ?? "", environment.compile($0["valueExpression"].string ?? "", .string, .null))
    }
  }

  /// What the policy says about a request that it concerns. Nothing where its conditions do not hold.
  package func judge(_ input: PolicyInput) -> Findings {
    var findings = Findings()
    func failed(_ message: String, _ index: Int? = nil) {
      if basis.failsClosed { findings.refusals.append(Refusal(message: message, reason: "Invalid", index: index)) }
    }
    switch basis.conditions.judge(input) {
    case .hold: break
    case .fail: return findings
    case .cannotTell(let why):
      failed(why)
      return findings
    }
    let scope = PolicyScope(input, variables: basis.variables)
    for (i, check) in checks.enumerated() {
      do {
        if case .bool(true) = try scope.evaluate(check.expression) { continue }
        findings.refusals.append(Refusal(message: try message(check, scope), reason: check.reason, index: i))
      } catch let error as PolicyScope.Failure {
        failed(error.message, i)
        if error.isOutOfBudget { return findings }
      } catch {}
    }
    for (key, expression) in annotations {
      do {
        guard case .string(let text) = try scope.evaluate(expression) else { continue }
        let trimmed = text.trimmed
        if !trimmed.isEmpty { findings.annotations.append((key, Self.prefix(trimmed, bytes: Self.annotationBytesMax))) }
      } catch {
        failed(error.message)
        if error.isOutOfBudget { return findings }
      }
    }
    return findings
  }

  private static func prefix(_ text: String, bytes: Int) -> String {
    var left = bytes
    return String(
      text.prefix { character in
        left -= character.utf8.count
        return left >= 0
      })
  }

  private func message(_ check: Check, _ scope: PolicyScope) throws -> String {
    let plain = check.message.isEmpty ? "failed expression: \(check.expression.text.trimmed)" : check.message
    guard let expression = check.messageExpression else { return plain }
    do {
      guard case .string(let text) = try scope.evaluate(expression) else { return plain }
      let trimmed = text.trimmed
      return trimmed.isEmpty || trimmed.hasLineBreaks || trimmed.utf8.count > Self.messageBytesMax ? plain : trimmed
    } catch  where error.isOutOfBudget {
      throw PolicyScope.Failure(message: "failed messageExpression: \(error.message)", isOutOfBudget: true)
    } catch {
      return plain
    }
  }
}
