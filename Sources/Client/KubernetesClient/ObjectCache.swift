import JSONCodec
import KubernetesAPI
import Logging
import Synchronization

/// All objects of one kind, kept up to date by list and watch, and by what this process writes: a write's answer is put
/// in at once, so that nobody here decides on a state older than his own writes.
///
/// Versions are compared as numbers, which Kubernetes promises for resourceVersions of one kind.
package final class ObjectCache: Sendable {
  /// The first pause after a failed list or watch, in seconds; it doubles up to the second.
  static let pauseMin = 0.05
  static let pauseMax = 10.0
  /// Deleted objects that are remembered, so that late news do not bring them back.
  static let tombstonesMax = 10_000

  /// Called after each change, `old` nil where the object is new, `new` nil where it is gone.
  package typealias Observer = @Sendable (_ old: JSON?, _ new: JSON?) -> Void

  package struct Key: Hashable, Sendable {
    package let namespace: String
    package let name: String
    package init(_ namespace: String, _ name: String) {
      self.namespace = namespace
      self.name = name
    }
    init(_ object: JSON) {
      self.init(object["metadata"]["namespace"].string ?? "", object["metadata"]["name"].string ?? "")
    }
  }

  private struct Entry {
    let object: JSON
    let version: UInt64
    let terms: [[String]]
  }

  private struct State {
    var namespaces: [String: [String: Entry]] = [:]
    /// For each index, from its terms to the objects that have them.
    var indexes: [[String: Set<Key>]]
    /// Objects that were seen to go: their uids, oldest first.
    var tombstones: Set<String> = []
    var tombstoneOrder: [String] = []
    var observers: [Observer] = []
    var isSynced = false
    /// Nobody follows the server any more: nobody need wait for its first list.
    var isEnded = false
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var waitersEver = 0
  }

  package let path: ResourcePath
  private let typeMeta: (apiVersion: String, kind: String)
  private let indexers: [@Sendable (JSON) -> [String]]
  private let state: Mutex<State>
  private let log: Logger

  /// `path` names the collection in all namespaces. An indexer gives the terms under which an object is found.
  package init(_ path: ResourcePath, kind: String, indexers: [@Sendable (JSON) -> [String]] = [], log: Logger) {
    self.path = path
    typeMeta = (path.group.isEmpty ? path.version : "\(path.group)/\(path.version)", kind)
    self.indexers = indexers
    self.log = log
    state = Mutex(State(indexes: Array(repeating: [:], count: indexers.count)))
  }

  // MARK: reading

  package func object(_ namespace: String, _ name: String) -> JSON? { state.withLock { $0.namespaces[namespace]?[name]?.object } }

  package func objects(namespace: String?) -> [JSON] {
    state.withLock { state in
      if let namespace { return state.namespaces[namespace]?.values.map(\.object) ?? [] }
      return state.namespaces.values.flatMap { $0.values.map(\.object) }
    }
  }

  /// The objects that have a term in an index.
  package func objects(index: Int, _ term: String) -> [JSON] {
    state.withLock { state in
      (state.indexes[index][term] ?? []).compactMap { state.namespaces[$0.namespace]?[$0.name]?.object }
    }
  }

  package var isSynced: Bool { state.withLock { $0.isSynced } }

  /// Waits until the first list is in, or the task is cancelled.
  package func waitUntilSynced() async {
    let id = state.withLock { state in
      state.waitersEver += 1
      return state.waitersEver
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          let isReady = state.isSynced || state.isEnded || Task.isCancelled
          if !isReady { state.waiters[id] = continuation }
          return isReady
        }
        if isReady { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }

  /// Tells of each change from now on, and first of what is there already.
  package func observe(_ observer: @escaping Observer) {
    let present = state.withLock { state in
      state.observers.append(observer)
      return state.namespaces.values.flatMap { $0.values.map(\.object) }
    }
    for object in present { observer(nil, object) }
  }

  // MARK: writing

  private static func version(_ object: JSON) -> UInt64 { object["metadata"]["resourceVersion"].string.flatMap { UInt64($0) } ?? 0 }

  /// Takes in the answer to a write, or news of a watch.
  package func put(_ object: JSON) {
    var object = object
    if object["kind"].isNull { object["kind"] = .string(typeMeta.kind) }
    if object["apiVersion"].isNull { object["apiVersion"] = .string(typeMeta.apiVersion) }
    let (old, observers) = state.withLock { state -> (JSON?, [Observer]) in
      let key = Key(object)
      let version = Self.version(object)
      if let uid = object["metadata"]["uid"].string, state.tombstones.contains(uid) { return (nil, []) }
      let known = state.namespaces[key.namespace]?[key.name]
      if let known, known.version >= version { return (nil, []) }
      insert(object, version, key, &state)
      return (known?.object, state.observers)
    }
    for observer in observers { observer(old, object) }
  }

  /// The object with this uid is gone; `last` is its last state where that is known.
  package func remove(_ key: Key, uid: String, last: JSON? = nil) {
    let (old, observers) = state.withLock { state -> (JSON?, [Observer]) in
      bury(uid, &state)
      guard let known = state.namespaces[key.namespace]?[key.name], known.object["metadata"]["uid"].string == uid else { return (nil, []) }
      erase(key, &state)
      return (last ?? known.object, state.observers)
    }
    guard let old else { return }
    for observer in observers { observer(old, nil) }
  }

  private func bury(_ uid: String, _ state: inout State) {
    guard state.tombstones.insert(uid).inserted else { return }
    state.tombstoneOrder.append(uid)
    if state.tombstoneOrder.count > Self.tombstonesMax {
      for old in state.tombstoneOrder.prefix(Self.tombstonesMax / 4) { state.tombstones.remove(old) }
      state.tombstoneOrder.removeFirst(Self.tombstonesMax / 4)
    }
  }

  private func insert(_ object: JSON, _ version: UInt64, _ key: Key, _ state: inout State) {
    let terms = indexers.map { $0(object) }
    let old = state.namespaces[key.namespace, default: [:]].updateValue(
      Entry(object: object, version: version, terms: terms), forKey: key.name)
    for i in indexers.indices where old?.terms[i] != terms[i] {
      for term in old?.terms[i] ?? [] { unindex(term, i, key, &state) }
      for term in terms[i] { state.indexes[i][term, default: []].insert(key) }
    }
  }

  private func erase(_ key: Key, _ state: inout State) {
    guard let old = state.namespaces[key.namespace]?.removeValue(forKey: key.name) else { return }
    if state.namespaces[key.namespace]?.isEmpty == true { state.namespaces[key.namespace] = nil }
    for i in indexers.indices { for term in old.terms[i] { unindex(term, i, key, &state) } }
  }

  private func unindex(_ term: String, _ i: Int, _ key: Key, _ state: inout State) {
    state.indexes[i][term]?.remove(key)
    if state.indexes[i][term]?.isEmpty == true { state.indexes[i][term] = nil }
  }

  // MARK: following the server

  /// Lists and watches until the task is cancelled.
  package func run(_ client: KubernetesClient, time: TimeSource = .system) async {
    var pause = Self.pauseMin
    state.withLock { $0.isEnded = false }
    while !Task.isCancelled {
      do {
        let (items, version) = try await client.list(path)
        replace(items, at: UInt64(version) ?? 0)
        pause = Self.pauseMin
        try await follow(client, from: version)
      } catch is CancellationError {
        break
      } catch {
        log.debug("watch of \(path) starts again: \(error)")
        try? await time.sleep(pause)
        pause = min(pause * 2, Self.pauseMax)
      }
    }
    state.withLock { $0.isEnded = true }
    finishWaiting()
  }

  private func finishWaiting() {
    let waiters = state.withLock { state in
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  private func replace(_ items: [JSON], at version: UInt64) {
    for item in items { put(item) }
    let present = Set(items.map { $0["metadata"]["uid"].string ?? "" })
    let gone = state.withLock { state in
      state.namespaces.values.flatMap { $0.values }.filter {
        // What was written after the list is not in it.
        $0.version <= version && !present.contains($0.object["metadata"]["uid"].string ?? "")
      }.map(\.object)
    }
    for object in gone { remove(Key(object), uid: object["metadata"]["uid"].string ?? "") }
    state.withLock { $0.isSynced = true }
    finishWaiting()
  }

  private func follow(_ client: KubernetesClient, from start: String) async throws {
    var version = start
    while !Task.isCancelled {
      for try await event in try await client.watch(path, from: version) {
        switch event.kind {
        case .added, .modified: put(event.object)
        case .deleted: remove(Key(event.object), uid: event.object["metadata"]["uid"].string ?? "", last: event.object)
        case .bookmark: break
        case .error: throw APIStatusError(APIResponse(status: event.object["code"].int ?? 500, body: event.object))
        }
        if let seen = event.object["metadata"]["resourceVersion"].string { version = seen }
      }
      try Task.checkCancellation()
    }
  }
}
