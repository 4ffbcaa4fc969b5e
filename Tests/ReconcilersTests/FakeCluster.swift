import JSONCodec
import KubernetesAPI

@testable import Reconcilers

/// An API server in memory, as far as controllers need one: it applies their writes, counts versions and generations,
/// and offers every change to the reconcilers until they have nothing more to write. Kubelets are played by `play`.
final class FakeCluster: ClusterReader, @unchecked Sendable {
  /// Rounds after which reconcilers that still write count as fighting.
  static let roundsMax = 20_000

  private var stored: [Kind: [ObjectName: JSON]] = [:]
  private var version = 0
  private var queue: [(Int, ObjectName)] = []
  private var failures: [String: WriteFailure] = [:]
  private(set) var requeues: [(reconciler: Int, key: ObjectName, at: Timestamp)] = []
  private(set) var events: [(reason: String, message: String)] = []
  /// Writes since the start, and creations and deletions among them.
  private(set) var writes = 0
  let reconcilers: [any Reconciler]
  var now = Timestamp(rfc3339: "2026-11-23T10:00:00Z")!
  /// Refuses a creation with this text.
  var refusal: (Kind, JSON) -> String? = { _, _ in nil }
  /// Called after each write.
  var invariant: (FakeCluster) -> Void = { _ in }

  init(_ reconcilers: any Reconciler...) { self.reconcilers = reconcilers }

  // MARK: reading

  func object(_ kind: Kind, _ name: ObjectName) -> JSON? { stored[kind]?[name] }
  func objects(_ kind: Kind, namespace: String?) -> [JSON] {
    (stored[kind] ?? [:]).filter { namespace == nil || $0.key.namespace == namespace }.sorted { $0.key.description < $1.key.description }
      .map(\.value)
  }
  func all(_ kind: Kind) -> [JSON] { objects(kind, namespace: nil) }
  func controlled(_ kind: Kind, by uid: String) -> [JSON] { all(kind).filter { $0.controllerUID == uid } }
  func orphans(_ kind: Kind, namespace: String) -> [JSON] { objects(kind, namespace: namespace).filter { $0.meta.controller == nil } }
  func pods(onNode node: String) -> [JSON] { all(.pod).filter { $0.podNode == node } }
  func get(_ kind: Kind, _ name: String, _ namespace: String = "default") -> JSON { object(kind, namespace, name) ?? .null }

  // MARK: writing

  @discardableResult
  func add(_ kind: Kind, _ object: JSON) -> JSON {
    var object = object
    version += 1
    if object["metadata"]["name"].isNull {
      object["metadata"]["name"] = .string("\(object["metadata"]["generateName"].string ?? "")\(version)")
    }
    if kind.isNamespaced, object["metadata"]["namespace"].isNull { object["metadata"]["namespace"] = "default" }
    if object["metadata"]["uid"].isNull { object["metadata"]["uid"] = .string("uid-\(version)") }
    object["kind"] = .string(kind.kind)
    object["apiVersion"] = .string(kind.apiVersion)
    object["metadata"]["creationTimestamp"] = .string(now.rfc3339)
    object["metadata"]["generation"] = 1
    object["metadata"]["resourceVersion"] = .string(String(version))
    if kind == .pod, object["status"].isNull { object["status"] = ["phase": "Pending"] }
    changed(kind, nil, object)
    return object
  }

  /// Changes an object as a user or a kubelet would.
  func change(_ kind: Kind, _ name: String, _ namespace: String = "default", _ body: (inout JSON) -> Void) {
    guard let old = object(kind, namespace, name) else { return }
    var new = old
    body(&new)
    replace(kind, old, new)
  }

  private func replace(_ kind: Kind, _ old: JSON, _ new: JSON) {
    var new = new
    guard new != old else { return }
    version += 1
    if new["spec"] != old["spec"] { new["metadata"]["generation"] = JSON(old.meta.generation + 1) }
    new["metadata"]["resourceVersion"] = .string(String(version))
    if new.isBeingDeleted, new.meta.finalizers.isEmpty, kind != .pod || new["metadata"]["deletionGracePeriodSeconds"].int == 0 {
      return changed(kind, old, nil)
    }
    changed(kind, old, new)
  }

  /// Deletes as the server does: a pod on a node stays until its kubelet lets go, anything with finalizers until they are gone.
  func delete(_ kind: Kind, _ name: String, _ namespace: String = "default", grace: Int? = nil) {
    guard let old = object(kind, namespace, name) else { return }
    let isHeld = !old.meta.finalizers.isEmpty
    let isRunning = kind == .pod && !old.podNode.isEmpty && !old.hasEnded && grace != 0
    guard isHeld || isRunning else { return changed(kind, old, nil) }
    guard !old.isBeingDeleted else { return }
    var new = old
    new["metadata"]["deletionTimestamp"] = .string(now.rfc3339)
    new["metadata"]["deletionGracePeriodSeconds"] = isRunning ? 30 : 0
    replace(kind, old, new)
  }

  private func changed(_ kind: Kind, _ old: JSON?, _ new: JSON?) {
    let name = (new ?? old)!.objectName
    stored[kind, default: [:]][name] = new
    for (i, reconciler) in reconcilers.enumerated() where reconciler.watched.contains(kind) {
      for key in reconciler.keys(for: Change(kind, old: old, new: new), in: self) { enqueue(i, key) }
    }
  }

  private func enqueue(_ i: Int, _ key: ObjectName) {
    if !queue.contains(where: { $0.0 == i && $0.1 == key }) { queue.append((i, key)) }
  }

  // MARK: running

  /// Runs until nothing is left to do at this moment. Throws where it never ends.
  func settle() throws {
    var rounds = 0
    while !queue.isEmpty {
      rounds += 1
      guard rounds < Self.roundsMax else { throw NeverEnding(key: "\(reconcilers[queue[0].0].name) \(queue[0].1)") }
      let (i, key) = queue.removeFirst()
      work(i, key)
    }
  }

  /// Lets time pass, with what was to be done later.
  func advance(_ seconds: Double) throws {
    try settle()
    let end = now.advanced(bySeconds: seconds)
    while let next = requeues.map(\.at).min(), next <= end {
      now = max(now, next)
      let due = requeues.filter { $0.at <= now }
      requeues.removeAll { $0.at <= now }
      for entry in due { enqueue(entry.reconciler, entry.key) }
      try settle()
    }
    now = end
    try settle()
  }

  private func work(_ i: Int, _ key: ObjectName) {
    let id = "\(i) \(key)"
    let remembered = failures[id]
    let decided = reconcilers[i].reconcile(key, in: self, Circumstances(now: now, failure: remembered))
    if let failure = perform(decided, i, key) {
      failures[id] = failure
      let report = reconcilers[i].reconcile(key, in: self, Circumstances(now: now, failure: failure))
      _ = perform(report.filter(\.isReport), i, key)
      if remembered != failure { enqueue(i, key) }
    } else if remembered != nil {
      failures[id] = nil
      enqueue(i, key)
    }
  }

  /// Tries again what failed, as the runner does after its pause.
  func retryFailed() throws {
    for id in failures.keys {
      let parts = id.split(separator: " ")
      let name = parts[1].split(separator: "/").map(String.init)
      enqueue(Int(parts[0])!, name.count == 2 ? ObjectName(name[0], name[1]) : ObjectName("", name[0]))
    }
    try settle()
  }

  private func perform(_ decided: [Write], _ i: Int, _ key: ObjectName) -> WriteFailure? {
    var bases: [String: String] = [:]
    for write in decided {
      switch write {
      case .create(let kind, let object, _):
        writes += 1
        let name = object["metadata"]["name"].string ?? ""
        if let text = refusal(kind, object) {
          return WriteFailure(operation: .create, kind: kind, name: name, code: 403, reason: "Forbidden", message: text)
        }
        if !name.isEmpty, self.object(kind, object.objectName) != nil {
          return WriteFailure(
            operation: .create, kind: kind, name: name, code: 409, reason: "AlreadyExists", message: "\(name) already exists")
        }
        add(kind, object)
      case .update(let kind, let object, let subresource):
        writes += 1
        guard let old = self.object(kind, object.objectName), old.uid == object.uid else { break }
        let base = object["metadata"]["resourceVersion"].string
        let current = old["metadata"]["resourceVersion"].string
        guard base == current || bases[old.uid] == base else {
          enqueue(i, key)
          return nil
        }
        var new = subresource == "status" ? old : object
        if subresource == "status" { new["status"] = object["status"] } else { new["status"] = old["status"] }
        if kind == .node || kind == .persistentVolume || kind == .persistentVolumeClaim { new = object }
        bases[old.uid] = base
        replace(kind, old, new)
      case .patch(let kind, let name, let uid, let body, _):
        writes += 1
        guard let old = self.object(kind, name), old.uid == uid else { break }
        bases[uid] = old["metadata"]["resourceVersion"].string
        var body = body
        body["metadata"]["resourceVersion"] = .null
        replace(kind, old, Self.merged(old, body))
      case .delete(let kind, let name, let uid, let deletion, _):
        writes += 1
        guard object(kind, name)?.uid == uid else { break }
        delete(kind, name.name, name.namespace, grace: deletion.graceSeconds)
      case .event(_, _, _, let reason, let message): events.append((reason, message))
      case .requeue(let seconds): requeues.append((i, key, now.advanced(bySeconds: seconds)))
      }
      invariant(self)
    }
    return nil
  }

  /// RFC 7386. `JSON`'s subscript drops a field that is set to null.
  static func merged(_ target: JSON, _ patch: JSON) -> JSON {
    guard case .object(let fields) = patch else { return patch }
    var result = target.object == nil ? JSON.object(JSONObject()) : target
    for (key, value) in fields { result[key] = value.isNull ? .null : merged(result[key], value) }
    return result
  }

  // MARK: playing the kubelets

  /// Does what a kubelet would for each pod: a new one gets a node and an address and becomes ready, a deleted one goes.
  func play(_ isChosen: (JSON) -> Bool = { _ in true }) {
    for pod in all(.pod) where isChosen(pod) {
      if pod.isBeingDeleted {
        change(.pod, pod.objectName.name, pod.objectName.namespace) { $0["metadata"]["deletionGracePeriodSeconds"] = 0 }
        // Finalizers may hold it still.
        if object(.pod, pod.objectName)?.meta.finalizers.isEmpty ?? false { changed(.pod, pod, nil) }
      } else if pod.podPhase == "Pending" {
        start(pod)
      }
    }
  }

  func start(_ pod: JSON) {
    change(.pod, pod.objectName.name, pod.objectName.namespace) {
      if $0["spec"]["nodeName"].isNull { $0["spec"]["nodeName"] = "node" }
      let ip = "10.244.\(version / 250 % 250).\(version % 250 + 1)"
      $0["status"] = [
        "phase": "Running", "podIP": .string(ip), "podIPs": [["ip": .string(ip)]],
        "conditions": [["type": "Ready", "status": "True", "lastTransitionTime": .string(now.rfc3339)]],
      ]
    }
  }

  func setReady(_ name: String, _ isReady: Bool, _ namespace: String = "default") {
    change(.pod, name, namespace) {
      $0["status"]["conditions"] = [
        ["type": "Ready", "status": isReady ? "True" : "False", "lastTransitionTime": .string(now.rfc3339)]
      ]
    }
  }

  func end(_ name: String, _ phase: String, _ namespace: String = "default", exitCode: Int? = nil, conditions: [JSON] = []) {
    change(.pod, name, namespace) {
      $0["status"]["phase"] = .string(phase)
      $0["status"]["conditions"] = .array([["type": "Ready", "status": "False", "lastTransitionTime": .string(now.rfc3339)]] + conditions)
      if let exitCode {
        $0["status"]["containerStatuses"] = [
          ["name": "c", "state": ["terminated": ["exitCode": JSON(exitCode), "finishedAt": .string(now.rfc3339)]]]
        ]
      }
    }
  }

  /// Plays and settles until nothing changes.
  func converge(_ rounds: Int = 200) throws {
    for _ in 0..<rounds {
      try settle()
      let before = version
      play()
      try settle()
      if version == before { return }
    }
    throw NeverEnding(key: "converge")
  }
}

struct NeverEnding: Error { let key: String }

/// A random sequence that is the same for the same seed (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

func podTemplate(_ image: String = "nginx:1", labels: JSON = ["app": "web"]) -> JSON {
  ["metadata": ["labels": labels], "spec": ["containers": [["name": "c", "image": .string(image)]]]]
}
