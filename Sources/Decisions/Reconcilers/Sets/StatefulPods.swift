import JSONCodec
import KubernetesAPI

/// One look at a StatefulSet and its pods, and the writes that come of it.
struct StatefulPods {
  static let revisionLabel = "controller-revision-hash"

  let set: JSON
  let revisions: Revisions
  let cluster: any ClusterReader
  let now: Timestamp
  var writes: [Write] = []
  /// By ordinal; what is missing has no pod.
  private(set) var members: [Int: JSON] = [:]
  let currentName: String
  let updateName: String

  init(_ set: JSON, _ pods: [JSON], _ revisions: Revisions, cluster: any ClusterReader, now: Timestamp) {
    self.set = set
    self.revisions = revisions
    self.cluster = cluster
    self.now = now
    updateName = Revisions.name(revisions.update)
    let current = set["status"]["currentRevision"].string ?? ""
    currentName = revisions.named(current) == nil ? updateName : current
    for pod in pods { if let ordinal = Self.ordinal(pod, of: set) { members[ordinal] = pod } }
  }

  /// The number at the end of a pod's name, where it has the form that the set gives.
  static func ordinal(_ pod: JSON, of set: JSON) -> Int? {
    let prefix = set.objectName.name + "-"
    let name = pod.objectName.name
    guard name.hasPrefix(prefix), let number = Int(name.dropFirst(prefix.count)), String(number) == name.dropFirst(prefix.count) else {
      return nil
    }
    return number
  }

  var spec: JSON { self.set["spec"] }
  var start: Int { spec["ordinals"]["start"].int ?? 0 }
  var replicas: Int { spec["replicas"].int ?? 1 }
  var wanted: Range<Int> { start..<start + replicas }
  var isOrdered: Bool { spec["podManagementPolicy"].string != "Parallel" }
  var isRolling: Bool { spec["updateStrategy"]["type"].string != "OnDelete" }
  var partition: Int { spec["updateStrategy"]["rollingUpdate"]["partition"].int ?? 0 }
  var minReady: Int { spec["minReadySeconds"].int ?? 0 }

  func revision(_ pod: JSON) -> String { pod["metadata"]["labels"][Self.revisionLabel].string ?? "" }
  func isRunningAndReady(_ pod: JSON) -> Bool { pod.podPhase == "Running" && pod.isReadyPod }
  func isAvailable(_ pod: JSON) -> Bool { isRunningAndReady(pod) && pod.isAvailablePod(minReadySeconds: minReady, now: now) }
  func isHealthy(_ pod: JSON) -> Bool { isRunningAndReady(pod) && !pod.isBeingDeleted }

  mutating func manage() {
    adjustClaims()
    guard fill(), drain(), isRolling else { return }
    roll()
  }

  private mutating func event(_ reason: String, _ verb: String, _ pod: String) {
    writes.append(.event(.statefulSet, set, reason, "\(verb) Pod \(pod) in StatefulSet \(set.objectName.name) successful"))
  }

  private mutating func delete(_ pod: JSON) {
    writes.append(.delete(.pod, pod.objectName, uid: pod.uid))
    event("SuccessfulDelete", "delete", pod.objectName.name)
  }

  /// Sees to it that each ordinal has a pod that works. False where an ordered set has to wait.
  private mutating func fill() -> Bool {
    for ordinal in wanted {
      guard let pod = members[ordinal] else {
        writes += missingClaims(ordinal)
        let pod = made(ordinal)
        writes.append(.create(.pod, pod))
        event("SuccessfulCreate", "create", pod.objectName.name)
        if isOrdered { return false }
        continue
      }
      if pod.hasEnded {
        if !pod.isBeingDeleted {
          writes.append(
            .warning(
              .statefulSet, set, "RecreatingFailedPod", "StatefulSet \(set.objectName) is recreating failed Pod \(pod.objectName.name)"))
          writes.append(.delete(.pod, pod.objectName, uid: pod.uid))
        }
        if isOrdered { return false }
        continue
      }
      if pod.isBeingDeleted, isOrdered { return false }
      if pod.podPhase == "Pending", !pod.isBeingDeleted { writes += missingClaims(ordinal) }
      if isOrdered, !isAvailable(pod) {
        if let left = pod.secondsUntilAvailable(minReadySeconds: minReady, now: now) { writes.append(.requeue(after: left)) }
        return false
      }
      repairIdentity(pod, ordinal)
    }
    return true
  }

  /// Takes away the pods that are too many, the highest first. False where something is on its way still.
  private mutating func drain() -> Bool {
    let condemned = members.filter { !wanted.contains($0.key) }.sorted { $0.key > $1.key }
    let firstUnhealthy = members.filter { !isHealthy($0.value) }.min { $0.key < $1.key }?.key
    for (ordinal, pod) in condemned {
      if pod.isBeingDeleted {
        if isOrdered { return false }
        continue
      }
      if isOrdered, !isRunningAndReady(pod), firstUnhealthy != ordinal { return false }
      delete(pod)
      if isOrdered { return false }
    }
    return condemned.isEmpty || !isOrdered
  }

  /// How many pods an update may take away at a time: `maxUnavailable`, of the replicas, at least one.
  private var rollingMost: Int {
    max(1, scaled(spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"], of: replicas, roundingUp: false) ?? 1)
  }

  /// Replaces pods of an old revision, the highest first, while no more than `rollingMost` do not work.
  private mutating func roll() {
    guard rollingMost == 1 else { return rollSeveral() }
    for ordinal in wanted.reversed() where ordinal - start >= partition {
      guard let pod = members[ordinal] else { return }
      if revision(pod) != updateName, !pod.isBeingDeleted {
        delete(pod)
        return
      }
      guard isHealthy(pod), isAvailable(pod) else {
        if let left = pod.secondsUntilAvailable(minReadySeconds: minReady, now: now) { writes.append(.requeue(after: left)) }
        return
      }
    }
  }

  private mutating func rollSeveral() {
    var left = rollingMost - wanted.count { ordinal in members[ordinal].map { !isHealthy($0) || !isAvailable($0) } ?? true }
    for ordinal in wanted.reversed() where ordinal - start >= partition {
      guard let pod = members[ordinal], revision(pod) != updateName, !pod.isBeingDeleted else { continue }
      // One that does not work anyway costs nothing.
      let isWorking = isHealthy(pod) && isAvailable(pod)
      guard !isWorking || left > 0 else { continue }
      if isWorking { left -= 1 }
      delete(pod)
    }
    for ordinal in wanted {
      guard let pod = members[ordinal], let wait = pod.secondsUntilAvailable(minReadySeconds: minReady, now: now) else { continue }
      writes.append(.requeue(after: wait))
    }
  }

  // MARK: making pods

  private func made(_ ordinal: Int) -> JSON {
    let podName = "\(set.objectName.name)-\(ordinal)"
    let staysOld = isRolling && ordinal < start + partition
    let name = staysOld ? currentName : updateName
    let template = revisions.named(name).map(Revisions.template) ?? spec["template"]
    var pod = Templates.pod(template, of: set, .statefulSet, name: podName)
    pod["metadata"]["labels"][Self.revisionLabel] = .string(name)
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = .string(podName)
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = .string(String(ordinal))
    pod["spec"]["hostname"] = .string(podName)
    pod["spec"]["subdomain"] = spec["serviceName"].isEmpty ? .null : spec["serviceName"]
    let claims = (spec["volumeClaimTemplates"].array ?? []).map { $0["metadata"]["name"].string ?? "" }
    let others = (pod["spec"]["volumes"].array ?? []).filter { !claims.contains($0["name"].string ?? "") }
    let volumes = claims.map { claim -> JSON in
      ["name": .string(claim), "persistentVolumeClaim": ["claimName": .string(claimName(claim, ordinal))]]
    }
    if !(volumes + others).isEmpty { pod["spec"]["volumes"] = .array(volumes + others) }
    return pod
  }

  private mutating func repairIdentity(_ pod: JSON, _ ordinal: Int) {
    let name = pod.objectName.name
    guard pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"].string != name else { return }
    writes.append(
      .patch(.pod, pod.objectName, uid: pod.uid, ["metadata": ["labels": ["statefulset.kubernetes.io/pod-name": .string(name)]]]))
  }

  func claimName(_ template: String, _ ordinal: Int) -> String { "\(template)-\(set.objectName.name)-\(ordinal)" }

  // MARK: status

  mutating func report() {
    let pods = members.values.filter { !$0["status"]["phase"].isNull }
    let isRange = members.filter { wanted.contains($0.key) }.values
    var draft = StatusDraft(set)
    let ready = pods.filter(isRunningAndReady)
    let updated = pods.count { !$0.isBeingDeleted && revision($0) == updateName }
    var current = pods.count { !$0.isBeingDeleted && revision($0) == currentName }
    var currentRevision = currentName
    if isRolling, updated == pods.count, pods.count == replicas, ready.count == replicas, isRange.count == replicas, partition == 0 {
      current = updated
      currentRevision = updateName
    }
    draft.number("replicas", pods.count)
    draft.count("readyReplicas", ready.count)
    draft.number("availableReplicas", ready.count { $0.isAvailablePod(minReadySeconds: minReady, now: now) })
    draft.count("currentReplicas", current)
    draft.count("updatedReplicas", updated)
    draft["currentRevision"] = .string(currentRevision)
    draft["updateRevision"] = .string(updateName)
    draft.number("collisionCount", revisions.collisions)
    draft.number("observedGeneration", set.meta.generation)
    writes += draft.write(.statefulSet, set)
  }
}
