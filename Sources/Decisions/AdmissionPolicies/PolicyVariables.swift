import CEL

/// The variables of a policy, in the order in which they are declared: each may name those before it.
struct PolicyVariables: Sendable {
  /// More than these are refused when a policy is written.
  static let countMax = 1_000

  private struct Entry: Sendable {
    let expression: PolicyExpression
    let position: Int
    /// The variables that the expression names.
    let needs: [String]
  }
  private var entries: [String: Entry] = [:]

  mutating func add(_ name: String, _ expression: PolicyExpression) {
    let prefix = "variables."
    let needs = (expression.program?.usedVariables ?? []).filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    entries[name] = Entry(expression: expression, position: entries.count, needs: needs)
  }

  subscript(_ name: String) -> PolicyExpression? { entries[name]?.expression }

  /// What must be computed for a variable, itself last: in this order no expression waits for another, however long the chain.
  func order(for name: String, known: (String) -> Bool) -> [String] {
    var found: Set<String> = []
    var open = [name]
    while let next = open.popLast() {
      guard !known(next), let entry = entries[next], found.insert(next).inserted else { continue }
      open += entry.needs
    }
    return found.sorted { (entries[$0]?.position ?? 0) < (entries[$1]?.position ?? 0) }
  }
}
