import JSONCodec
import KubernetesAPI

extension Rollout {
  /// Characters that a set's list of former revisions may have.
  static let historyCharactersMax = 2_000

  private static let annotationsNotCopied: Set<String> = [
    "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision", "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas", "deprecated.deployment.rollback.to",
  ]

  /// Sees to it that the set of the present template is there (where `creating`) and carries the newest revision.
  /// False where the rest has to wait for the next round.
  mutating func reviseCurrent(creating: Bool) -> Bool {
    let revision = (old.map(\.revision).max() ?? 0) + 1
    if var set = current {
      let changed = annotated(set.json, revision: revision, isNew: false)
      if changed != set.json {
        writes.append(.update(.replicaSet, changed))
        return false
      }
      setRevision(set.revision)
      if deadline != nil, draft.condition("Progressing") == nil {
        draft.set(
          condition: "Progressing", true, "FoundNewReplicaSet", "Found new replica set \"\(set.name)\"", now: now, updateTime: true)
      }
      set.json = changed
      current = set
      return true
    }
    return creating ? createSet(revision) : true
  }

  private mutating func setRevision(_ revision: Int) {
    guard deployment.revision != revision else { return }
    let annotation = Rollable.prefix + "revision"
    deployment.json["metadata"]["annotations"][annotation] = .string(String(revision))
    writes.append(
      .patch(
        .deployment, deployment.json.objectName, uid: deployment.json.uid,
        ["metadata": ["uid": .string(deployment.json.uid), "annotations": [annotation: .string(String(revision))]]]))
  }

  private func annotated(_ set: JSON, revision: Int, isNew: Bool) -> JSON {
    var set = set
    for (key, value) in deployment.json["metadata"]["annotations"].object ?? JSONObject() where !Self.annotationsNotCopied.contains(key) {
      set["metadata"]["annotations"][key] = value
    }
    let before = Rollable(set)
    if before.revision < revision {
      set["metadata"]["annotations"][Rollable.prefix + "revision"] = .string(String(revision))
      if let former = before.annotation("revision") {
        var history = (before.annotation("revision-history") ?? "").split(separator: ",").map(String.init) + [former]
        while history.joined(separator: ",").count > Self.historyCharactersMax { history.removeFirst() }
        set["metadata"]["annotations"][Rollable.prefix + "revision-history"] = .string(history.joined(separator: ","))
      }
    }
    if isNew {
      set["metadata"]["annotations"][Rollable.prefix + "desired-replicas"] = .string(String(replicas))
      set["metadata"]["annotations"][Rollable.prefix + "max-replicas"] = .string(String(replicas + fence.surge))
    } else if set["spec"]["minReadySeconds"].int ?? 0 != deployment.json["spec"]["minReadySeconds"].int ?? 0 {
      set["spec"]["minReadySeconds"] = JSON(deployment.json["spec"]["minReadySeconds"].int ?? 0)
    }
    return set
  }

  private mutating func createSet(_ revision: Int) -> Bool {
    let collisions = draft["collisionCount"].int ?? 0
    let template = Self.withoutHash(deployment.json["spec"]["template"])
    let hash = Templates.hash(template, collisions: collisions)
    let setName = "\(deployment.name)-\(hash)"
    if isNameTaken(setName) {
      draft.number("collisionCount", collisions + 1)
      reportSize()
      return false
    }
    var labeled = template
    labeled["metadata"]["labels"]["pod-template-hash"] = .string(hash)
    var selector = deployment.json["spec"]["selector"]
    selector["matchLabels"]["pod-template-hash"] = .string(hash)
    let size = sizeOfCurrent(0, total: old.reduce(0) { $0 + $1.replicas })
    var set: JSON = [
      "apiVersion": "apps/v1", "kind": "ReplicaSet",
      "metadata": [
        "name": .string(setName), "namespace": deployment.json["metadata"]["namespace"], "labels": labeled["metadata"]["labels"],
        "ownerReferences": [controllerReference(deployment.json, .deployment)],
      ],
      "spec": ["replicas": JSON(size), "selector": selector, "template": labeled],
    ]
    set["spec"]["minReadySeconds"] = deployment.json["spec"]["minReadySeconds"]
    set = annotated(set, revision: revision, isNew: true)
    if let failure, failure.operation == .create, failure.kind == .replicaSet, failure.name == setName {
      draft.set(
        condition: "Progressing", false, "ReplicaSetCreateError", "Failed to create new replica set \"\(setName)\": \(failure.message)",
        now: now, updateTime: true)
    }
    writes.append(.create(.replicaSet, set))
    if size > 0 {
      writes.append(
        .event(.deployment, deployment.json, "ScalingReplicaSet", "Scaled up replica set \(setName) from 0 to \(size)"))
    }
    setRevision(revision)
    if failure == nil, deadline != nil {
      draft.set(
        condition: "Progressing", true, "NewReplicaSetCreated", "Created new replica set \"\(setName)\"", now: now, updateTime: true)
    }
    reportSize()
    return false
  }

  /// True where another object has the name that the hash gives: another hash is needed.
  private func isNameTaken(_ setName: String) -> Bool {
    guard let failure, failure.operation == .create, failure.kind == .replicaSet, failure.name == setName, failure.reason == "AlreadyExists"
    else { return false }
    let namespace = deployment.json["metadata"]["namespace"].string ?? ""
    return cluster.object(.replicaSet, namespace, setName) != nil
  }

  /// Deletes the oldest sets without pods beyond the limit of the history.
  mutating func dropHistory() {
    guard let limit = deployment.json["spec"]["revisionHistoryLimit"].int, limit < Int(Int32.max) else { return }
    let sets = old.filter { !$0.json.isBeingDeleted }.sorted { $0.revision < $1.revision }
    guard sets.count > limit else { return }
    for set in sets.prefix(sets.count - limit) {
      guard set.count("replicas") == 0, set.replicas == 0, set.json.meta.generation <= set.count("observedGeneration") else { continue }
      writes.append(.delete(.replicaSet, set.json.objectName, uid: set.json.uid))
    }
  }
}
