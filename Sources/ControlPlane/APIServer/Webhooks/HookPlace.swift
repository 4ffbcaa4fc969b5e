import JSONCodec

/// Which call of a request's webhooks one is, and what the audit log says about it.
///
/// Source: upstream's annotations `[patch.|failed-open.](mutation|validation).webhook.admission.k8s.io/round_<n>_index_<n>`.
struct HookPlace: Sendable {
  /// 1 for those that are called once more.
  let round: Int
  let index: Int

  private func key(_ prefix: String, _ hook: AdmissionHook) -> String {
    "\(prefix)\(hook.isMutating ? "mutation" : "validation").webhook.admission.k8s.io/round_\(round)_index_\(index)"
  }

  /// The contents of a patch stand only where the contents of requests do.
  func note(_ hook: AdmissionHook, mutated: Bool, patch: JSON = .null) {
    guard let trail = AuditTrail.current else { return }
    var said: JSON = ["configuration": .string(hook.configuration), "webhook": .string(hook.name)]
    if mutated, !patch.isNull {
      var whole = said
      whole["patch"] = patch
      whole["patchType"] = "JSONPatch"
      trail.annotate("patch.webhook.admission.k8s.io/round_\(round)_index_\(index)", whole.text(), from: .request)
    }
    said["mutated"] = .bool(mutated)
    trail.annotate(key("", hook), said.text())
  }

  func noteFailedOpen(_ hook: AdmissionHook) { AuditTrail.current?.annotate(key("failed-open.", hook), hook.name) }
}
