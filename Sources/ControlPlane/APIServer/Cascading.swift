import APIMachinery
import JSONCodec
import KubernetesAPI

/// What a deletion does to the objects that the deleted one owns: it says so in the object's finalizers, and the garbage collector acts
/// on them.
///
/// Source: Kubernetes' documentation "Use Cascading Deletion in a Cluster" and DeleteOptions' fields.
enum Cascading {
  static let orphan = "orphan"
  static let foreground = "foregroundDeletion"
  static let policies = ["Foreground", "Background", "Orphan"]

  /// What upstream says to who deletes a Job without saying what is to become of its pods.
  static let jobWarning =
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    + "propagationPolicy=Orphan to suppress this warning"

  /// Kinds from the time before garbage collection keep their dependents where nothing else is asked.
  static func orphansByDefault(_ resource: ResourceInfo) -> Bool {
    (resource.group.isEmpty && resource.kind == "ReplicationController") || (resource.group == "batch" && resource.kind == "Job")
  }

  /// The finalizers of an object once its deletion has been asked for: the two that stand for a policy are set anew, others stay.
  static func finalizers(_ present: [String], _ options: DeleteOptions, _ resource: ResourceInfo) -> [String] {
    // Nothing depends on events, and there are many.
    guard resource.kind != "Event" else { return present }
    let wanted: String? =
      if let orphans = options.orphanDependents {
        orphans ? orphan : nil
      } else if let policy = options.propagationPolicy {
        ["Orphan": orphan, "Foreground": foreground][policy]
      } else {
        present.first { $0 == orphan || $0 == foreground } ?? (orphansByDefault(resource) ? orphan : nil)
      }
    guard Set(present.filter { $0 == orphan || $0 == foreground }) != Set([wanted].compactMap(\.self)) else { return present }
    return present.filter { $0 != orphan && $0 != foreground } + [wanted].compactMap(\.self)
  }
}

extension DeleteOptions {
  /// Neither of the two ways to name a policy was used.
  var hasNoPolicy: Bool { orphanDependents == nil && propagationPolicy == nil }

  /// Whether a deletion that goes on is answered with 202 instead of 200.
  var isAnsweredAccepted: Bool { orphanDependents == false || propagationPolicy == "Foreground" }

  /// Throws the 422 that names everything wrong with the options.
  func check(dryRun: [String]) throws {
    var causes: [JSON] = []
    func wrong(_ field: String, _ reason: String, _ message: String) {
      causes.append(["reason": .string(reason), "message": .string(message), "field": .string(field)])
    }
    if let policy = propagationPolicy {
      let quoted = JSON(policy).text()
      if orphanDependents != nil {
        wrong(
          "propagationPolicy", "FieldValueInvalid", "Invalid value: \(quoted): orphanDependents and deletionPropagation cannot be both set")
      }
      if !Cascading.policies.contains(policy) {
        let known = (Cascading.policies + ["nil"]).map { "\"\($0)\"" }.joined(separator: ", ")
        wrong("propagationPolicy", "FieldValueNotSupported", "Unsupported value: \(quoted): supported values: \(known)")
      }
    }
    if dryRun.contains(where: { $0 != "All" }) {
      let given = "[" + dryRun.map { JSON($0).text() }.joined(separator: ",") + "]"
      wrong("dryRun", "FieldValueNotSupported", "Unsupported value: \(given): supported values: \"All\"")
    }
    guard !causes.isEmpty else { return }
    let texts = causes.map { "\($0["field"].string ?? ""): \($0["message"].string ?? "")" }
    throw APIFailure(
      422, "Invalid",
      "DeleteOptions.meta.k8s.io \"\" is invalid: \(texts.count == 1 ? texts[0] : "[" + texts.joined(separator: ", ") + "]")",
      details: ["group": "meta.k8s.io", "kind": "DeleteOptions", "causes": .array(causes)])
  }
}
