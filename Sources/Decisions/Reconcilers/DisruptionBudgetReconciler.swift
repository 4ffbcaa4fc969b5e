import JSONCodec
import KubernetesAPI

/// Counts how many pods a PodDisruptionBudget can spare.
package struct DisruptionBudgetReconciler: Reconciler {
  /// Seconds that an evicted pod may take to be seen as going.
  static let evictionPatience = 120.0

  package let name = "disruption-controller"
  package let watched: [Kind] = [.disruptionBudget, .pod, .replicaSet, .deployment, .replicationController, .statefulSet]
  package init() {}

  package func keys(for change: Change, in cluster: any ClusterReader) -> [ObjectName] {
    if change.kind == .disruptionBudget { return [change.name] }
    let budgets = cluster.objects(.disruptionBudget, namespace: change.name.namespace)
    guard change.kind == .pod else {
      guard change.old?["spec"]["replicas"] != change.new?["spec"]["replicas"] else { return [] }
      return budgets.map(\.objectName)
    }
    return budgets.filter { budget in
      guard let selector = Self.selector(budget) else { return false }
      return change.states.contains { selector.matches($0["metadata"]["labels"]) }
    }.map(\.objectName)
  }

  /// A missing selector selects nothing.
  private static func selector(_ budget: JSON) -> LabelSelector? {
    budget["spec"]["selector"].isNull ? nil : LabelSelector(json: budget["spec"]["selector"])
  }

  package func reconcile(_ key: ObjectName, in cluster: any ClusterReader, _ circumstances: Circumstances) -> [Write] {
    guard let budget = cluster.object(.disruptionBudget, key) else { return [] }
    let now = circumstances.now
    let selector = Self.selector(budget)
    let pods = cluster.objects(.pod, namespace: key.namespace).filter { selector?.matches($0["metadata"]["labels"]) ?? false }
    let (expected, desired) = Self.counts(budget, pods, in: cluster)
    var disrupted = JSONObject()
    var soonest: Double?
    for (name, at) in budget["status"]["disruptedPods"].object ?? JSONObject() {
      guard let pod = pods.first(where: { $0.objectName.name == name }), !pod.isBeingDeleted, let at = at.timestamp else { continue }
      let left = Self.evictionPatience - now.seconds(since: at)
      guard left > 0 else { continue }
      disrupted[name] = .string(at.rfc3339)
      soonest = min(soonest ?? left, left)
    }
    let healthy = pods.count { !$0.isBeingDeleted && $0.isReadyPod && !$0.hasEnded && !disrupted.contains($0.objectName.name) }
    let allowed = expected <= 0 ? 0 : max(0, healthy - desired)
    var draft = StatusDraft(budget)
    draft.number("currentHealthy", healthy)
    draft.number("desiredHealthy", desired)
    draft.number("disruptionsAllowed", allowed)
    draft.number("expectedPods", expected)
    draft["disruptedPods"] = disrupted.isEmpty ? .null : .object(disrupted)
    draft.number("observedGeneration", budget.meta.generation)
    Self.setCondition(&draft, budget, isAllowed: allowed > 0, now)
    return draft.write(.disruptionBudget, budget) + (soonest.map { [.requeue(after: $0)] } ?? [])
  }

  /// A metav1.Condition: its reason and its observed generation are required.
  private static func setCondition(_ draft: inout StatusDraft, _ budget: JSON, isAllowed: Bool, _ now: Timestamp) {
    let reason = isAllowed ? "SufficientPods" : "InsufficientPods"
    draft.set(condition: "DisruptionAllowed", isAllowed, reason, "", now: now)
    draft["conditions"] = .array(
      (draft["conditions"].array ?? []).map { condition in
        var condition = condition
        if condition["type"].string == "DisruptionAllowed" {
          condition["observedGeneration"] = JSON(budget.meta.generation)
          condition["message"] = ""
        }
        return condition
      })
  }

  /// Pods that should be there, and healthy ones that must stay.
  private static func counts(_ budget: JSON, _ pods: [JSON], in cluster: any ClusterReader) -> (expected: Int, desired: Int) {
    let least = budget["spec"]["minAvailable"]
    let most = budget["spec"]["maxUnavailable"]
    if !most.isNull {
      let expected = scale(of: pods, in: cluster)
      return (expected, max(0, expected - (scaled(most, of: expected, roundingUp: true) ?? 0)))
    }
    if let number = least.int { return (pods.count, number) }
    guard !least.isNull else { return (0, 0) }
    let expected = scale(of: pods, in: cluster)
    return (expected, scaled(least, of: expected, roundingUp: true) ?? 0)
  }

  /// The replicas that the pods' controllers are to have, each counted once.
  private static func scale(of pods: [JSON], in cluster: any ClusterReader) -> Int {
    var scales: [String: Int] = [:]
    for pod in pods {
      for kind in [Kind.replicaSet, .replicationController, .statefulSet] {
        guard let name = pod.controllerName(kind), var owner = cluster.object(kind, name), owner.uid == pod.controllerUID else { continue }
        if kind == .replicaSet, let above = owner.controllerName(.deployment), let deployment = cluster.object(.deployment, above) {
          owner = deployment
        }
        scales[owner.uid] = owner["spec"]["replicas"].int ?? 1
      }
    }
    return scales.values.reduce(0, +)
  }
}
