import APIMachinery
import AdmissionPolicies
import JSONCodec
import RevisionStore

/// Says in the status of each validating policy what is doubtful about its expressions, given the kinds that it is about.
struct PolicyChecker {
  let resources: Resources
  let policies: LiveCollection

  func check() async {
    guard let all = try? await policies.all().objects else { return }
    for policy in all where policy["status"]["observedGeneration"] != policy["metadata"]["generation"] { await check(policy) }
  }

  private func check(_ policy: JSON) async {
    guard let name = policy["metadata"]["name"].string,
      let revision = policy["metadata"]["resourceVersion"].string.flatMap({ Revision($0) })
    else { return }
    var checked = policy
    checked["status"]["observedGeneration"] = policy["metadata"]["generation"]
    let warnings = expressionWarnings(policy, registry: resources.registry)
    checked["status"]["typeChecking"] = warnings.isEmpty ? .object(JSONObject()) : ["expressionWarnings": .array(warnings)]
    do {
      try await resources.store.write(.put(key: policies.prefix + name, value: StoredForm.encode(checked), .revision(revision)))
    } catch {
      // Whoever was faster is the next news.
      resources.log.debug("the status of policy \(name) was not written: \(error)")
    }
  }
}
