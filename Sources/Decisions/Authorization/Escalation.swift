/// Nobody grants what he does not hold (unless he may `escalate` or `bind`, which the caller asks beforehand).
package enum Escalation {
  /// The granted rules that no held rule covers, one verb, group, resource and name each. Empty: nothing is gained.
  package static func missing(held: [PolicyRule], granted: [PolicyRule]) -> [PolicyRule] {
    var missing: [PolicyRule] = []
    for rule in granted where !held.contains(where: { $0.covers(rule) }) {
      for single in rule.single where !held.contains(where: { $0.covers(single) }) { missing.append(single) }
    }
    return missing
  }

  /// Why a grant is refused; nil where it is not.
  package static func refusal(_ user: UserInfo, held: [PolicyRule], granted: [PolicyRule]) -> String? {
    let missing = missing(held: held, granted: granted)
    guard !missing.isEmpty else { return nil }
    let lines = Set(compact(missing).map(\.text)).sorted().joined(separator: "\n")
    return
      "user \(quoted(user.name)) (groups=\(quotedList(user.groups))) is attempting to grant RBAC permissions not currently held:\n\(lines)"
  }

  /// Rules for one resource with their verbs put together, so that the message stays short.
  static func compact(_ rules: [PolicyRule]) -> [PolicyRule] {
    var result: [PolicyRule] = []
    var position: [PolicyRule: Int] = [:]
    for rule in rules {
      var key = rule
      key.verbs = []
      if rule.paths.isEmpty, let at = position[key] {
        for verb in rule.verbs where !result[at].verbs.contains(verb) { result[at].verbs.append(verb) }
      } else {
        position[key] = result.count
        result.append(rule)
      }
    }
    return result
  }

  private static func quoted(_ text: String) -> String { String(quotedList([text]).dropFirst().dropLast()) }
}
