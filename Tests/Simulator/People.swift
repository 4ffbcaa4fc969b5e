import JSONCodec
import KubernetesAPI
import KubernetesClient
import Reconcilers
import Synchronization

/// Those who use the cluster: they create, scale, change, evict and delete, and three of them count in one object.
final class People: Sendable {
  static let namespaces = ["default", "team-a", "team-b"]
  /// Replicas of one workload at most, so that all of them fit.
  static let replicasMax = 6

  private let world: World
  private let client: KubernetesClient
  private let namesEver = Mutex(0)
  /// Increments that were confirmed, and those whose answer was lost.
  let counted = Mutex((sure: 0, perhaps: 0))

  init(_ world: World, _ link: Link) {
    self.world = world
    client = world.client(link, user: "people")
  }

  /// The namespaces, a quota and the object that is counted in; tried until they are there.
  func prepare() async {
    await insist(.namespaces, ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": "team-a"]])
    await insist(.namespaces, ["kind": "Namespace", "apiVersion": "v1", "metadata": ["name": "team-b"]])
    await insist(
      ResourcePath("resourcequotas", namespace: "team-b"),
      ["kind": "ResourceQuota", "apiVersion": "v1", "metadata": ["name": "few"], "spec": ["hard": ["pods": "12"]]])
    await insist(.configMaps("default"), ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": "count"], "data": ["n": "0"]])
  }

  private func insist(_ path: ResourcePath, _ object: JSON) async {
    while true {
      do {
        try await client.create(path, object)
        return
      } catch let error as APIStatusError where error.isAlreadyExists {
        return
      } catch {
        await world.sleep(0.5)
      }
    }
  }

  func work(until end: Double) async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<3 { group.addTask { await self.count(until: end) } }
      group.addTask {
        while self.world.seconds < end {
          await self.world.sleep(self.world.roll { $0.between(2, 60) })
          do {
            try await self.act()
          } catch {
            self.world.trace("people: \(error)")
          }
        }
      }
    }
  }

  /// Seconds between the moments at which all of them count.
  private static let countEvery = 20.0

  /// Reads, adds one, and writes what was read: two who read the same must not both succeed. All do so at the same moments.
  private func count(until end: Double) async {
    while world.seconds < end {
      await world.sleep(Self.countEvery - world.seconds.truncatingRemainder(dividingBy: Self.countEvery))
      do {
        var object = try await client.get(.configMaps("default"), name: "count")
        object["data"]["n"] = .string(String((Int(object["data"]["n"].string ?? "") ?? 0) + 1))
        do {
          try await client.update(.configMaps("default"), name: "count", object)
          counted.withLock { $0.sure += 1 }
        } catch is APIStatusError {
        } catch {
          counted.withLock { $0.perhaps += 1 }
        }
      } catch {
      }
    }
  }

  private func newName(_ kind: String) -> String {
    namesEver.withLock { count in
      count += 1
      return "\(kind)-\(count)"
    }
  }

  private func act() async throws {
    let namespace = world.roll { $0.pick(Self.namespaces)! }
    switch world.roll({ $0.below(20) }) {
    case 0, 1: try await create(.deployment, namespace, Workloads.deployment(newName("web"), world.roll { $0.below(Self.replicasMax) }))
    case 2, 3:
      let isParallel = world.roll { $0.chance(0.3) }
      try await create(
        .statefulSet, namespace, Workloads.statefulSet(newName("db"), world.roll { 1 + $0.below(4) }, isParallel: isParallel))
    case 4: try await create(.daemonSet, namespace, Workloads.daemonSet(newName("each")), most: 1)
    case 5, 6: try await create(.job, namespace, Workloads.job(newName("work"), world.roll { 1 + $0.below(4) }), most: 4)
    case 7, 8, 9:
      try await change([.deployment, .statefulSet], namespace) {
        $0["spec"]["replicas"] = JSON(self.world.roll { $0.below(Self.replicasMax) })
      }
    case 10, 11:
      try await change([.deployment, .statefulSet, .daemonSet], namespace) {
        $0["spec"]["template"]["metadata"]["annotations"]["version"] = .string(String(self.world.roll { $0.below(1_000_000) }))
      }
    case 12: try await remove(.deployment, namespace)
    case 13: try await remove(world.roll { $0.pick([.statefulSet, .daemonSet, .job])! }, namespace)
    case 14:
      guard let pod = try await any(.pod, namespace) else { return }
      try await client.delete(.pods(namespace), name: pod.objectName.name)
    case 15, 16, 17: try await evict(namespace)
    case 18: try await cordon()
    default:
      try await create(.disruptionBudget, namespace, Workloads.budget(newName("budget"), of: world.roll { $0.below(12) }))
    }
  }

  private func any(_ kind: Kind, _ namespace: String) async throws -> JSON? {
    let all = try await client.list(kind.path(namespace)).items.filter { $0["metadata"]["deletionTimestamp"].isNull }
    return world.roll { $0.pick(all) }
  }

  private func create(_ kind: Kind, _ namespace: String, _ object: JSON, most: Int = 3) async throws {
    guard try await client.list(kind.path(namespace)).items.count < most else { return }
    try await client.create(kind.path(namespace), object)
  }

  private func change(_ kinds: [Kind], _ namespace: String, _ body: (inout JSON) -> Void) async throws {
    let kind = world.roll { $0.pick(kinds)! }
    guard var object = try await any(kind, namespace) else { return }
    body(&object)
    try await client.update(kind.path(namespace), name: object.objectName.name, object)
  }

  private func remove(_ kind: Kind, _ namespace: String) async throws {
    guard let object = try await any(kind, namespace) else { return }
    let propagation = world.roll { $0.pick(["Background", "Foreground"])! }
    try await client.delete(kind.path(namespace), name: object.objectName.name, propagation: propagation)
  }

  private func evict(_ namespace: String) async throws {
    guard let pod = try await any(.pod, namespace) else { return }
    try await client.create(
      .pods(namespace),
      [
        "kind": "Eviction", "apiVersion": "policy/v1", "metadata": ["name": .string(pod.objectName.name), "namespace": .string(namespace)],
      ],
      name: pod.objectName.name, subresource: "eviction")
  }

  private func cordon() async throws {
    guard let node = world.roll({ $0.pick(["n1", "n2", "n3", "n4"]) }) else { return }
    try await client.patch(.nodes, name: node, type: .merge, ["spec": ["unschedulable": .bool(world.roll { $0.chance(0.5) })]])
  }

  /// Everybody goes home: nothing is forbidden any more that would keep pods from running.
  func settle() async {
    for node in ["n1", "n2", "n3", "n4"] {
      while true {
        do {
          try await client.patch(.nodes, name: node, type: .merge, ["spec": ["unschedulable": false]])
          break
        } catch let error as APIStatusError where error.isNotFound {
          break
        } catch {
          await world.sleep(1)
        }
      }
    }
  }
}
