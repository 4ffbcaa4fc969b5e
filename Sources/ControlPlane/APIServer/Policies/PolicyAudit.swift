import AdmissionPolicies
import JSONCodec

/// What policies leave in the audit log.
struct PolicyAudit {
  private static let failureKey = "validation.policy.admission.k8s.io/validation_failure"

  private var annotations: [(key: String, values: [String])] = []
  private var failures: [JSON] = []

  /// The same key of several bindings or parameters has several values, each of them once.
  mutating func add(_ key: String, _ value: String) {
    if let i = annotations.firstIndex(where: { $0.key == key }) {
      if !annotations[i].values.contains(value) { annotations[i].values.append(value) }
    } else {
      annotations.append((key, [value]))
    }
  }

  mutating func failed(_ refusal: ValidatingPolicy.Refusal, policy: String, binding: String, actions: [String]) {
    failures.append([
      "message": .string(refusal.message), "policy": .string(policy), "binding": .string(binding),
      "expressionIndex": JSON(refusal.index ?? 0),
      "validationActions": JSON(actions),
    ])
  }

  func write() {
    guard let trail = AuditTrail.current else { return }
    for (key, values) in annotations { trail.annotate(key, values.joined(separator: ", ")) }
    if !failures.isEmpty { trail.annotate(Self.failureKey, JSON.array(failures).text()) }
  }
}
