import JSONCodec
import KubernetesAPI

/// The ControllerRevisions of a StatefulSet or DaemonSet: each template that it had, under a growing number.
struct Revisions {
  static let hashLabel = "controller.kubernetes.io/hash"

  let owner: JSON
  let kind: Kind
  /// By their numbers, the oldest first.
  private(set) var all: [JSON]
  /// The revision of the present template, as it is or as it will be.
  private(set) var update: JSON = .null
  private(set) var writes: [Write] = []
  /// Names that were taken by strangers.
  private(set) var collisions: Int

  static func name(_ revision: JSON) -> String { revision["metadata"]["name"].string ?? "" }
  static func hash(_ revision: JSON) -> String { revision["metadata"]["labels"][hashLabel].string ?? "" }
  static func number(_ revision: JSON) -> Int { revision["revision"].int ?? 0 }

  init(of owner: JSON, _ kind: Kind, claims: Claims, in cluster: any ClusterReader, _ failure: WriteFailure?) {
    self.owner = owner
    self.kind = kind
    writes = claims.writes
    all = claims.members.sorted { (Self.number($0), $0.created, Self.name($0)) < (Self.number($1), $1.created, Self.name($1)) }
    collisions = owner["status"]["collisionCount"].int ?? 0
    let data = Self.data(owner)
    let next = Self.number(all.last ?? .null) + 1
    if let equal = all.last(where: { $0["data"] == data }) {
      update = equal
      // Going back to a former template makes it the newest.
      if Self.name(equal) != Self.name(all.last!) {
        update["revision"] = JSON(next)
        writes.append(.update(.controllerRevision, update))
      }
      return
    }
    let namespace = owner["metadata"]["namespace"].string ?? ""
    if let failure, failure.kind == .controllerRevision, failure.reason == "AlreadyExists",
      cluster.object(.controllerRevision, namespace, failure.name) != nil
    {
      collisions += 1
    }
    update = made(data, number: next)
    writes.append(.create(.controllerRevision, update))
  }

  /// What a revision remembers: a patch that puts the template back.
  static func data(_ owner: JSON) -> JSON {
    var template = owner["spec"]["template"]
    template["$patch"] = "replace"
    return ["spec": ["template": template]]
  }

  static func template(_ revision: JSON) -> JSON {
    var template = revision["data"]["spec"]["template"]
    template["$patch"] = .null
    return template
  }

  private func made(_ data: JSON, number: Int) -> JSON {
    let hash = Templates.hash(data, collisions: collisions)
    var labels = owner["spec"]["template"]["metadata"]["labels"]
    labels[Self.hashLabel] = .string(hash)
    if kind == .daemonSet { labels["controller-revision-hash"] = .string(hash) }
    return [
      "apiVersion": "apps/v1", "kind": "ControllerRevision",
      "metadata": [
        "name": .string("\(owner["metadata"]["name"].string ?? "")-\(hash)"), "namespace": owner["metadata"]["namespace"], "labels": labels,
        "annotations": owner["metadata"]["annotations"], "ownerReferences": [controllerReference(owner, kind)],
      ],
      "data": data, "revision": JSON(number),
    ]
  }

  func named(_ name: String) -> JSON? { Self.name(update) == name ? update : all.first { Self.name($0) == name } }

  /// Deletes the oldest revisions that nothing uses beyond the limit of the history.
  func truncated(live: (JSON) -> Bool) -> [Write] {
    let limit = owner["spec"]["revisionHistoryLimit"].int ?? 10
    let unused = all.filter { Self.name($0) != Self.name(update) && !live($0) }
    return unused.prefix(max(0, unused.count - limit)).map { .delete(.controllerRevision, $0.objectName, uid: $0.uid) }
  }
}
