import JSONCodec
import KubernetesAPI
import KubernetesClient
import Reconcilers

/// What a cluster must come to once nothing disturbs it any more.
struct Convergence {
  let world: World
  let machines: [Machine]
  let people: People

  /// What is not yet as it must be; empty: all is well.
  func problems() async throws -> [String] {
    let client = world.observer
    func all(_ kind: Kind) async throws -> [JSON] { try await client.list(kind.path).items }
    let pods = try await all(.pod)
    var problems: [String] = []
    for deployment in try await all(.deployment) {
      problems += check(deployment, pods, ["updatedReplicas", "availableReplicas", "replicas"])
    }
    for set in try await all(.statefulSet) { problems += check(set, pods, ["updatedReplicas", "readyReplicas", "replicas"]) }
    let nodes = try await all(.node)
    for set in try await all(.daemonSet)
    where set["status"]["numberReady"].int != nodes.count || set["status"]["updatedNumberScheduled"].int != nodes.count {
      if !isQuotaFull(set, pods) { problems.append("DaemonSet \(set.objectName): \(set["status"].text)") }
    }
    for job in try await all(.job)
    where !(job["status"]["conditions"].array ?? []).contains(where: { ["Complete", "Failed"].contains($0["type"].string) }) {
      if !isQuotaFull(job, pods) { problems.append("Job \(job.objectName): \(job["status"].text)") }
    }
    for node in nodes {
      if !(node["spec"]["taints"].array ?? []).isEmpty {
        problems.append("node \(node.objectName) has taints: \(node["spec"]["taints"].text)")
      }
    }
    if nodes.count != machines.count { problems.append("\(nodes.count) nodes of \(machines.count)") }
    for namespace in try await all(.namespace) where namespace["status"]["phase"].string != "Active" {
      problems.append("namespace \(namespace.objectName) is \(namespace["status"]["phase"].text)")
    }
    problems += machineProblems(pods)
    problems += try await orphans(pods)
    return problems + (try await ledger())
  }

  /// A quota that is used up keeps workloads from what they want: that is what it is for.
  private func isQuotaFull(_ object: JSON, _ pods: [JSON]) -> Bool {
    object.objectName.namespace == "team-b"
      && pods.count { $0.objectName.namespace == "team-b" && !["Succeeded", "Failed"].contains($0["status"]["phase"].string) } >= 12
  }

  private func check(_ object: JSON, _ pods: [JSON], _ counts: [String]) -> [String] {
    let wanted = object["spec"]["replicas"].int ?? 1
    let status = object["status"]
    let isSettled =
      counts.allSatisfy { (status[$0].int ?? 0) == wanted } && status["observedGeneration"].int == object["metadata"]["generation"].int
      && object["metadata"]["deletionTimestamp"].isNull
    return isSettled || isQuotaFull(object, pods)
      ? [] : ["\(object["kind"].string ?? "workload") \(object.objectName) of \(wanted): \(status.text)"]
  }

  /// Pods that the API has and machines have not, and the other way round.
  private func machineProblems(_ pods: [JSON]) -> [String] {
    var problems: [String] = []
    var known = Set<String>()
    for pod in pods {
      let uid = pod["metadata"]["uid"].string ?? ""
      known.insert(uid)
      if !pod["metadata"]["deletionTimestamp"].isNull { problems.append("pod \(pod.objectName) is still being deleted") }
      let phase = pod["status"]["phase"].string ?? ""
      guard !["Succeeded", "Failed"].contains(phase) else { continue }
      guard let machine = machines.first(where: { $0.name == pod["spec"]["nodeName"].string }) else {
        problems.append("pod \(pod.objectName) is on no machine: \(pod["status"]["conditions"].text)")
        continue
      }
      if machine.container(uid)?.exitCode != nil || machine.container(uid) == nil {
        problems.append("pod \(pod.objectName) does not run on \(machine.name)")
      }
    }
    for machine in machines {
      for container in machine.all where !known.contains(container.uid) {
        problems.append("\(machine.name) runs \(container.name), which is gone")
      }
    }
    return problems
  }

  /// Objects whose owners are all gone.
  private func orphans(_ pods: [JSON]) async throws -> [String] {
    let values = world.store.everything()
    var uids = Set<String>()
    var owned: [(key: String, owners: [String])] = []
    for value in values {
      guard let object = try? JSON.parse(Array(value.value.dropFirst(2))) else { continue }
      uids.insert(object["metadata"]["uid"].string ?? "")
      let owners = (object["metadata"]["ownerReferences"].array ?? []).map { $0["uid"].string ?? "" }
      if !owners.isEmpty { owned.append((value.key, owners)) }
    }
    return owned.filter { !$0.owners.contains(where: uids.contains) }.map { "\($0.key) is an orphan" }
  }

  /// Every increment that was confirmed is in the sum.
  private func ledger() async throws -> [String] {
    let object = try await world.observer.get(.configMaps("default"), name: "count")
    let sum = Int(object["data"]["n"].string ?? "") ?? -1
    let counted = people.counted.withLock { $0 }
    if sum < counted.sure { world.violation("lost update: \(counted.sure) increments were confirmed, and the sum is \(sum)") }
    if sum > counted.sure + counted.perhaps {
      world.violation("the sum is \(sum) after at most \(counted.sure + counted.perhaps) increments")
    }
    return []
  }
}

extension JSON {
  var text: String { String(decoding: serialized(), as: UTF8.self) }
}
