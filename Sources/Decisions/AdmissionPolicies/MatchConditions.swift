import CEL
import JSONCodec

/// The matchConditions of a webhook or a policy: all must hold for it to look at a request.
package struct MatchConditions: Sendable {
  package enum Verdict: Sendable, Equatable {
    case hold
    case fail
    /// None is false, and some cannot be told.
    case cannotTell(String)
  }

  private let expressions: [PolicyExpression]

  init(_ conditions: JSON, _ environment: PolicyEnvironment) {
    expressions = (conditions.array ?? []).map { environment.compile($0["expression"].string ?? "", .bool) }
  }

  /// Of a webhook.
  package init(ofWebhook conditions: JSON, timeZoneFile: @escaping @Sendable (String) -> [UInt8]? = { _ in nil }) {
    self.init(conditions, PolicyEnvironment(hasNamespace: false, timeZoneFile: timeZoneFile))
  }

  package func judge(_ input: PolicyInput) -> Verdict {
    guard !expressions.isEmpty else { return .hold }
    let scope = PolicyScope(input, budget: PolicyScope.conditionsBudget)
    var problems: [String] = []
    for expression in expressions {
      do {
        if case .bool(false) = try scope.evaluate(expression) { return .fail }
      } catch {
        problems.append(error.message)
        if error.isOutOfBudget { break }
      }
    }
    if problems.isEmpty { return .hold }
    return .cannotTell(problems.count == 1 ? problems[0] : "[\(problems.joined(separator: ", "))]")
  }
}
