import JSONCodec
import KubernetesAPI

/// Moves a Deployment from one ReplicaSet to the next.
package struct DeploymentReconciler: Reconciler {
  package let name = "deployment-controller"
  package let watched: [Kind] = [.deployment, .replicaSet, .pod]
  package init() {}

  private func selector(_ deployment: JSON) -> LabelSelector? { LabelSelector(json: deployment["spec"]["selector"]) }

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    switch change.kind {
    case .deployment: return [change.name]
    case .replicaSet: return ownerKeys(of: change, .deployment, in: cluster, selector: selector)
    default:
      // Only what replaces all at once waits for pods to be gone.
      guard change.new == nil || change.object.hasEnded else { return [] }
      guard let setName = change.object.controllerName(.replicaSet), let set = cluster.object(.replicaSet, setName),
        let key = set.controllerName(.deployment), let deployment = cluster.object(.deployment, key),
        deployment["spec"]["strategy"]["type"].string == "Recreate"
      else { return [] }
      return [key]
    }
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let deployment = cluster.object(.deployment, key), let selector = selector(deployment) else { return [] }
    if selector.selectsEverything {
      return [
        .warning(
          .deployment, deployment, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
      ]
    }
    let claims = Claims(of: deployment, .deployment, .replicaSet, selector: selector, in: cluster)
    var rollout = Rollout(deployment, sets: claims.members, cluster: cluster, circumstances)
    rollout.writes = claims.writes
    rollout.run()
    return rollout.writes
  }
}

/// One look at a deployment and its sets, and the writes that come of it.
struct Rollout {
  var deployment: Rollable
  let cluster: any ClusterReader
  let now: Timestamp
  let failure: WriteFailure?
  var writes: [Write] = []
  /// The set with the deployment's present template.
  var current: Rollable?
  var old: [Rollable]
  /// The status as this round leaves it.
  var draft: StatusDraft

  init(_ deployment: JSON, sets: [JSON], cluster: any ClusterReader, _ circumstances: Circumstances) {
    self.deployment = Rollable(deployment)
    self.cluster = cluster
    now = circumstances.now
    failure = circumstances.failure
    draft = StatusDraft(deployment)
    let all = sets.map { Rollable($0) }.sorted { ($0.json.created, $0.name) < ($1.json.created, $1.name) }
    let template = Self.withoutHash(deployment["spec"]["template"]).sorted()
    current = all.first { Self.withoutHash($0.json["spec"]["template"]).sorted() == template }
    let uid = current?.json.uid
    old = all.filter { $0.json.uid != uid }
  }

  static func withoutHash(_ template: JSON) -> JSON {
    var template = template
    template["metadata"]["labels"]["pod-template-hash"] = .null
    if template["metadata"]["labels"].isEmpty { template["metadata"]["labels"] = .null }
    template["metadata"]["creationTimestamp"] = .null
    return template
  }

  var all: [Rollable] { (current.map { [$0] } ?? []) + old }
  var replicas: Int { deployment.replicas }
  var isRolling: Bool { deployment.json["spec"]["strategy"]["type"].string != "Recreate" }

  /// Pods above the wanted number, and pods below it, that a rolling update may have. Not both can be zero.
  var fence: (surge: Int, unavailable: Int) {
    guard isRolling else { return (0, 0) }
    let update = deployment.json["spec"]["strategy"]["rollingUpdate"]
    let surge = scaled(update["maxSurge"].isNull ? "25%" : update["maxSurge"], of: replicas, roundingUp: true) ?? 0
    let unavailable = scaled(update["maxUnavailable"].isNull ? "25%" : update["maxUnavailable"], of: replicas, roundingUp: false) ?? 0
    return (surge, min(surge == 0 && unavailable == 0 ? 1 : unavailable, replicas))
  }

  mutating func run() {
    if deployment.json.isBeingDeleted { return reportSize() }
    notePause()
    if deployment.json["spec"]["paused"].bool == true {
      guard reviseCurrent(creating: false) else { return }
      scaleInProportion()
      dropHistory()
      return reportSize()
    }
    let isResized = all.contains { $0.replicas > 0 && $0.annotated("desired-replicas").map { $0 != replicas } ?? false }
    if isResized {
      guard reviseCurrent(creating: false) else { return }
      scaleInProportion()
      return reportSize()
    }
    if isRolling { roll() } else { recreate() }
  }

  private mutating func notePause() {
    guard deadline != nil else { return }
    let condition = draft.condition("Progressing")
    if condition?["reason"].string == "ProgressDeadlineExceeded" { return }
    let isPaused = deployment.json["spec"]["paused"].bool == true
    let saysPaused = condition?["reason"].string == "DeploymentPaused"
    if isPaused, !saysPaused {
      draft.set(condition: "Progressing", nil, "DeploymentPaused", "Deployment is paused", now: now, updateTime: true)
    } else if !isPaused, saysPaused {
      draft.set(condition: "Progressing", nil, "DeploymentResumed", "Deployment is resumed", now: now, updateTime: true)
    }
  }

  private mutating func roll() {
    guard reviseCurrent(creating: true) else { return }
    if growCurrent() { return reportProgress() }
    if shrinkOld() { return reportProgress() }
    if isComplete(draftedStatus()) { dropHistory() }
    reportProgress()
  }

  private mutating func recreate() {
    guard reviseCurrent(creating: false) else { return }
    var isScaledDown = false
    for i in old.indices where old[i].replicas > 0 {
      isScaledDown = true
      old[i] = resized(old[i], to: 0)
    }
    if isScaledDown { return reportProgress() }
    let isAnyLeft = old.contains { set in cluster.controlled(.pod, by: set.json.uid).contains { !$0.hasEnded } }
    if isAnyLeft { return reportProgress() }
    if current == nil, !reviseCurrent(creating: true) { return }
    if let set = current, set.replicas != replicas { current = resized(set, to: replicas) }
    if isComplete(draftedStatus()) { dropHistory() }
    reportProgress()
  }
}

/// A deployment or a set with what rollouts ask of it.
struct Rollable {
  var json: JSON
  init(_ json: JSON) { self.json = json }

  static let prefix = "deployment.kubernetes.io/"
  var name: String { json["metadata"]["name"].string ?? "" }
  var replicas: Int { json["spec"]["replicas"].int ?? 1 }
  var available: Int { json["status"]["availableReplicas"].int ?? 0 }
  func count(_ field: String) -> Int { json["status"][field].int ?? 0 }
  func annotation(_ name: String) -> String? { json["metadata"]["annotations"][Self.prefix + name].string }
  func annotated(_ name: String) -> Int? { annotation(name).flatMap { Int($0) } }
  var revision: Int { annotated("revision") ?? 0 }
}
