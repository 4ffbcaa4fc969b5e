import JSONCodec
import KubernetesAPI

/// What a namespace that is being emptied still holds, and how its status tells of it.
struct NamespaceContents: Equatable, Sendable {
  /// By resource, such as `pods` or `deployments.apps`: how many there are.
  private(set) var counts: [String: Int] = [:]
  /// By finalizer: how many objects it holds.
  private(set) var finalizers: [String: Int] = [:]
  /// What could not be listed or deleted, and why.
  var failures: [String] = []

  var isNothing: Bool { counts.isEmpty && failures.isEmpty }

  mutating func add(_ resource: String, finalizers: [String]) {
    counts[resource, default: 0] += 1
    for finalizer in finalizers { self.finalizers[finalizer, default: 0] += 1 }
  }

  /// The namespace's conditions as they are to be; nil where they are so already.
  static func conditions(of namespace: JSON, _ contents: NamespaceContents, now: Timestamp) -> JSON? {
    let old = namespace["status"]["conditions"].array ?? []
    var conditions = old
    for (type, problem, reasons, fine) in contents.report {
      var condition: JSON = [
        "type": .string(type), "status": problem == nil ? "False" : "True", "reason": .string(problem == nil ? reasons.fine : reasons.bad),
        "message": .string(problem ?? fine),
      ]
      let place = conditions.firstIndex { $0["type"].string == type }
      let since = place.map { conditions[$0] }
      let isSame = since?["status"] == condition["status"]
      condition["lastTransitionTime"] = isSame ? since?["lastTransitionTime"] ?? .null : .string(now.rfc3339)
      if let place { conditions[place] = condition } else { conditions.append(condition) }
    }
    return conditions == old ? nil : .array(conditions)
  }

  /// Each condition: its type, what is wrong, the reasons, and what is said when all is well.
  private var report: [(type: String, problem: String?, reasons: (bad: String, fine: String), fine: String)] {
    let list = { (counts: [String: Int], text: (String, Int) -> String) in
      counts.sorted { $0.key < $1.key }.map(text).joined(separator: ", ")
    }
    return [
      (
        "NamespaceDeletionDiscoveryFailure", nil, ("DiscoveryFailed", "ResourcesDiscovered"), "All resources successfully discovered"
      ),
      (
        "NamespaceDeletionGroupVersionParsingFailure", nil, ("GroupVersionParsingFailed", "ParsedGroupVersions"),
        "All legacy kube types successfully parsed"
      ),
      (
        "NamespaceDeletionContentFailure",
        failures.isEmpty
          ? nil : "Failed to delete all resource types, \(failures.count) remaining: \(failures.sorted().joined(separator: ", "))",
        ("ContentDeletionFailed", "ContentDeleted"), "All content successfully deleted, may be waiting on finalization"
      ),
      (
        "NamespaceContentRemaining",
        counts.isEmpty
          ? nil : "Some resources are remaining: " + list(counts) { "\($0)\($0.contains(".") ? "" : ".") has \($1) resource instances" },
        ("SomeResourcesRemain", "ContentRemoved"), "All content successfully removed"
      ),
      (
        "NamespaceFinalizersRemaining",
        finalizers.isEmpty
          ? nil : "Some content in the namespace has finalizers remaining: " + list(finalizers) { "\($0) in \($1) resource instances" },
        ("SomeFinalizersRemain", "ContentHasNoFinalizers"), "All content-preserving finalizers finished"
      ),
    ]
  }
}
