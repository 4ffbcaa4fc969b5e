import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization

/// A node's agent with a runtime that only remembers: what a kubelet promises the control plane (kubelet-contract: registration,
/// lease, status, one worker for each pod, deletion confirmed once the containers are gone).
final class Agent: Sendable {
  static let leaseSeconds = 10.0

  private struct Worker {
    let wake: AsyncStream<Void>.Continuation
    let task: Task<Void, Never>
  }

  private let machine: Machine
  private let world: World
  private let link: Link
  private let client: KubernetesClient
  private let pods = Mutex<[String: JSON]>([:])
  private let workers = Mutex<[String: Worker]>([:])
  /// Pods whose end is set already, and of which of their runs.
  private let timed = Mutex<[String: Int?]>([:])

  init(_ machine: Machine, _ world: World, _ link: Link) {
    self.machine = machine
    self.world = world
    self.link = link
    client = world.client(link, user: "system:node:\(machine.name)", groups: ["system:nodes"])
  }

  private var now: String { Timestamp.now.rfc3339 }

  /// Runs until the task is cancelled.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.heartbeats() }
      group.addTask { await self.follow() }
    }
    for worker in workers.withLock({ $0.values.map(\.task) }) { worker.cancel() }
  }

  // MARK: the node

  private func status(_ node: JSON) -> JSON {
    var status = node["status"]
    status["capacity"] = ["cpu": .string("\(machine.milliCPU)m"), "memory": "8Gi", "pods": "110"]
    status["allocatable"] = status["capacity"]
    if world.faults.bug == .overcommit { status["allocatable"]["cpu"] = "400m" }
    status["addresses"] = [["type": "InternalIP", "address": .string("10.0.0.\(machine.name.dropFirst())")]]
    let before = (node["status"]["conditions"].array ?? []).first { $0["type"].string == "Ready" }
    let since = before?["status"].string == "True" ? before?["lastTransitionTime"] ?? .string(now) : .string(now)
    status["conditions"] = [
      [
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready", "lastHeartbeatTime": .string(now),
        "lastTransitionTime": since,
      ]
    ]
    return status
  }

  /// Registers the node, renews its lease, and posts its status every five minutes or when it does not say Ready.
  private func heartbeats() async {
    var posted: Double?
    while !Task.isCancelled {
      do {
        let node = try await register()
        let isReady = (node["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
        if posted == nil || !isReady || world.seconds - posted! > 300 {
          var object = node
          object["status"] = status(node)
          try await client.update(.nodes, name: machine.name, subresource: "status", object)
          posted = world.seconds
        }
        try await renew(node)
      } catch {
      }
      await world.sleep(Self.leaseSeconds)
    }
  }

  private func register() async throws -> JSON {
    do {
      return try await client.get(.nodes, name: machine.name)
    } catch let error as APIStatusError where error.isNotFound {
      return try await client.create(
        .nodes,
        [
          "kind": "Node", "apiVersion": "v1",
          "metadata": ["name": .string(machine.name), "labels": ["kubernetes.io/hostname": .string(machine.name)]],
        ])
    }
  }

  private func renew(_ node: JSON) async throws {
    let path = ResourcePath.leases("kube-node-lease")
    do {
      var lease = try await client.get(path, name: machine.name)
      lease["spec"]["renewTime"] = .string(Timestamp.now.rfc3339Micro)
      try await client.update(path, name: machine.name, lease)
    } catch let error as APIStatusError where error.isNotFound {
      try await client.create(
        path,
        [
          "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
          "metadata": ["name": .string(machine.name), "namespace": "kube-node-lease"],
          "spec": [
            "holderIdentity": .string(machine.name), "leaseDurationSeconds": 40, "renewTime": .string(Timestamp.now.rfc3339Micro),
          ],
        ])
    }
  }

  // MARK: pods

  private func follow() async {
    for await event in client.reflect(.pods(), fieldSelector: "spec.nodeName=\(machine.name)") {
      switch event {
      case .synced(let all):
        let present = Set(all.map { $0["metadata"]["uid"].string ?? "" })
        let gone =
          pods.withLock { $0.keys.filter { !present.contains($0) }.sorted() } + machine.all.map(\.uid).filter { !present.contains($0) }
        for uid in gone { forget(uid) }
        for pod in all { take(pod) }
      case .changed(let pod): take(pod)
      case .deleted(let pod): forget(pod["metadata"]["uid"].string ?? "")
      }
    }
  }

  private func take(_ pod: JSON) {
    let uid = pod["metadata"]["uid"].string ?? ""
    pods.withLock { $0[uid] = pod }
    workers.withLock { workers in
      if let worker = workers[uid] {
        worker.wake.yield()
        return
      }
      let (signals, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
      wake.yield()
      workers[uid] = Worker(wake: wake, task: Task { await self.work(uid, signals) })
    }
  }

  private func forget(_ uid: String) {
    pods.withLock { _ = $0.removeValue(forKey: uid) }
    workers.withLock { $0[uid] }?.wake.yield()
    if workers.withLock({ $0[uid] == nil }) { machine.remove(uid) }
  }

  private func work(_ uid: String, _ signals: AsyncStream<Void>) async {
    for await _ in signals {
      guard !Task.isCancelled, !link.isSevered else { return }
      guard let pod = pods.withLock({ $0[uid] }) else { break }
      if await step(uid, pod) { break }
    }
    guard !Task.isCancelled, !link.isSevered else { return }
    machine.remove(uid)
    workers.withLock { _ = $0.removeValue(forKey: uid) }
  }

  /// True where nothing is left to do for the pod.
  private func step(_ uid: String, _ pod: JSON) async -> Bool {
    let isDeleted = !pod["metadata"]["deletionTimestamp"].isNull
    let phase = pod["status"]["phase"].string ?? ""
    if isDeleted { return await terminate(uid, pod) }
    guard !["Succeeded", "Failed"].contains(phase) else {
      if machine.container(uid)?.exitCode == nil { machine.exit(uid, code: 137) }
      return false
    }
    if machine.container(uid) == nil {
      guard await start(uid, pod) else { return false }
    }
    guard let container = machine.container(uid) else { return false }
    if let code = container.exitCode {
      await report(uid, code == 0 ? "Succeeded" : "Failed", ready: false)
    } else if phase != "Running" || !Self.isReady(pod) {
      await world.sleep(world.roll { $0.between(0, 3) })
      if machine.container(uid)?.exitCode == nil, !link.isSevered { await report(uid, "Running", ready: true) }
      runJob(uid, pod)
    } else {
      runJob(uid, pod)
    }
    return false
  }

  private static func isReady(_ pod: JSON) -> Bool {
    (pod["status"]["conditions"].array ?? []).contains { $0["type"].string == "Ready" && $0["status"].string == "True" }
  }

  /// False where the pod does not run.
  private func start(_ uid: String, _ pod: JSON) async -> Bool {
    await world.sleep(world.roll { $0.between(0.2, 4) })
    guard !link.isSevered, !Task.isCancelled, let newest = pods.withLock({ $0[uid] }), newest["metadata"]["deletionTimestamp"].isNull else {
      return false
    }
    let request = (pod["spec"]["containers"].array ?? []).reduce(Int64(0)) {
      $0 + ($1["resources"]["requests"]["cpu"].quantity?.milliValue ?? 0)
    }
    guard machine.usedCPU + request <= machine.milliCPU else {
      await report(uid, "Failed", ready: false, reason: "OutOfcpu")
      return false
    }
    let name = "\(pod["metadata"]["namespace"].string ?? "")/\(pod["metadata"]["name"].string ?? "")"
    let hasIdentity = (pod["metadata"]["ownerReferences"].array ?? []).contains { $0["kind"].string == "StatefulSet" }
    machine.start(Machine.Container(uid: uid, name: name, hasIdentity: hasIdentity, milliCPU: request))
    return true
  }

  /// Pods that end by themselves say after how many seconds, and whether well.
  private func runJob(_ uid: String, _ pod: JSON) {
    guard let text = pod["metadata"]["annotations"]["simulator/seconds"].string, let seconds = Double(text) else { return }
    let runs = machine.container(uid)?.runs
    guard timed.withLock({ $0.updateValue(runs, forKey: uid) }) != .some(runs) else { return }
    let code = world.roll { $0.chance(0.1) } ? 1 : 0
    Task {
      await world.sleep(seconds)
      guard let container = machine.container(uid), container.runs == runs else { return }
      // The time of an agent that has crashed since may have been up first; the one that is there now must hear of it all the same.
      if container.exitCode == nil { machine.exit(uid, code: code) }
      workers.withLock { $0[uid] }?.wake.yield()
    }
  }

  private func terminate(_ uid: String, _ pod: JSON) async -> Bool {
    if let container = machine.container(uid), container.exitCode == nil {
      let grace = Double(pod["metadata"]["deletionGracePeriodSeconds"].int ?? 30)
      await world.sleep(min(grace, world.roll { $0.chance(0.1) ? 30 : $0.between(0.05, 3) }))
      guard !link.isSevered, !Task.isCancelled else { return false }
      machine.exit(uid, code: 143)
    }
    let namespace = pod["metadata"]["namespace"].string ?? ""
    while !Task.isCancelled, !link.isSevered {
      do {
        try await client.delete(.pods(namespace), name: pod["metadata"]["name"].string ?? "", gracePeriodSeconds: 0, uid: uid)
        return false
      } catch let error as APIStatusError where error.isNotFound || error.isConflict {
        return true
      } catch {
        await world.sleep(1)
      }
      if pods.withLock({ $0[uid] == nil }) { return true }
    }
    return false
  }

  /// Writes a pod's status; comes back to it where that fails.
  private func report(_ uid: String, _ phase: String, ready: Bool, reason: String? = nil) async {
    guard let pod = pods.withLock({ $0[uid] }) else { return }
    let state = ready ? "True" : "False"
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"].map { type -> JSON in
      let status = type == "Initialized" ? "True" : state
      return ["type": .string(type), "status": .string(status), "lastTransitionTime": .string(now)]
    }
    var status: JSON = ["phase": .string(phase), "conditions": .array(conditions), "startTime": .string(now)]
    if let reason { status["reason"] = .string(reason) }
    if ready {
      let address = "10.244.\(machine.name.dropFirst()).\(2 + uid.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff } % 250)"
      status["podIP"] = .string(address)
      status["podIPs"] = [["ip": .string(address)]]
    }
    do {
      try await client.patch(
        .pods(pod["metadata"]["namespace"].string ?? ""), name: pod["metadata"]["name"].string ?? "", subresource: "status",
        ["metadata": ["uid": .string(uid)], "status": status])
    } catch {
      Task {
        await world.sleep(2)
        workers.withLock { $0[uid] }?.wake.yield()
      }
    }
  }
}
