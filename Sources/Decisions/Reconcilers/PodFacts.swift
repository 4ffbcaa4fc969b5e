import JSONCodec
import KubernetesAPI

/// What controllers ask of a pod.
extension JSON {
  var podPhase: String { self["status"]["phase"].string ?? "Pending" }
  var hasEnded: Bool { podPhase == "Succeeded" || podPhase == "Failed" }
  /// Neither ended nor on its way out.
  var isActivePod: Bool { !hasEnded && !isBeingDeleted }
  var isReadyPod: Bool { condition("Ready")?["status"].string == "True" }
  var podNode: String { self["spec"]["nodeName"].string ?? "" }

  /// Since when the pod has been ready; nil where it is not.
  var readySince: Timestamp? {
    guard let ready = condition("Ready"), ready["status"].string == "True" else { return nil }
    return ready["lastTransitionTime"].timestamp ?? created
  }

  /// Ready for at least so many seconds.
  func isAvailablePod(minReadySeconds: Int, now: Timestamp) -> Bool {
    guard let since = readySince else { return false }
    return minReadySeconds == 0 || now.seconds(since: since) >= Double(minReadySeconds)
  }

  /// Seconds until a ready pod becomes available; nil where it is not ready or is available.
  func secondsUntilAvailable(minReadySeconds: Int, now: Timestamp) -> Double? {
    guard minReadySeconds > 0, let since = readySince else { return nil }
    let left = Double(minReadySeconds) - now.seconds(since: since)
    return left > 0 ? left : nil
  }

  /// True where the pod's network address may be told to others.
  var podAddresses: [String] { (self["status"]["podIPs"].array ?? []).compactMap { $0["ip"].string } }

  var restartsMax: Int { (self["status"]["containerStatuses"].array ?? []).map { $0["restartCount"].int ?? 0 }.max() ?? 0 }
}

/// The order in which a controller gives up pods that it has too many of: the least useful first.
///
/// Source: the order that Kubernetes documents for ReplicaSets ("Scaling a ReplicaSet"), ages on a logarithmic scale.
struct VictimOrder {
  let now: Timestamp
  /// How many pods of the same family run on each node.
  let crowding: [String: Int]

  init(now: Timestamp, family: [JSON]) {
    self.now = now
    crowding = Dictionary(family.filter { $0.isActivePod && !$0.podNode.isEmpty }.map { ($0.podNode, 1) }, uniquingKeysWith: +)
  }

  private struct Rank {
    let isAssigned, isReady: Bool
    let phase, cost, crowd, restarts: Int
    let readyAge, age: Int
    let uid: String
    let readySince, created: Timestamp
  }

  private func logarithm(_ since: Timestamp) -> Int {
    let age = now.nanoseconds(since: since)
    return age <= 0 ? 0 : Int64.bitWidth - age.leadingZeroBitCount
  }

  private func rank(_ pod: JSON) -> Rank {
    let phases = ["Pending": 0, "Unknown": 1, "Running": 2]
    let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].string.flatMap { Int($0) } ?? 0
    let ready = pod.readySince
    return Rank(
      isAssigned: !pod.podNode.isEmpty, isReady: ready != nil, phase: phases[pod.podPhase] ?? 3, cost: cost,
      crowd: crowding[pod.podNode] ?? 0, restarts: pod.restartsMax, readyAge: logarithm(ready ?? now), age: logarithm(pod.created),
      uid: pod.uid, readySince: ready ?? now, created: pod.created)
  }

  func sorted(_ pods: [JSON]) -> [JSON] {
    pods.map { ($0, rank($0)) }.sorted { isBefore($0.1, $1.1) }.map(\.0)
  }

  private func isBefore(_ a: Rank, _ b: Rank) -> Bool {
    if a.isAssigned != b.isAssigned { return !a.isAssigned }
    if a.phase != b.phase { return a.phase < b.phase }
    if a.isReady != b.isReady { return !a.isReady }
    if a.cost != b.cost { return a.cost < b.cost }
    if a.crowd != b.crowd { return a.crowd > b.crowd }
    if a.isReady, a.readyAge != b.readyAge { return a.readyAge < b.readyAge }
    if a.restarts != b.restarts { return a.restarts > b.restarts }
    if a.age != b.age { return a.age < b.age }
    return a.uid < b.uid
  }
}
