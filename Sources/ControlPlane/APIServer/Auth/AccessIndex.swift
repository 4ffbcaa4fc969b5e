import Authorization
import JSONCodec
import Logging
import RevisionStore
import Synchronization

/// Roles, bindings and what nodes' pods refer to, kept in memory by one watch of the store from the first question on.
final class AccessIndex: Sendable {
  /// Milliseconds that a refused request waits at most for changes that are stored and not yet here.
  static let catchUpMillisecondsMax = 1_000
  /// Milliseconds between two attempts to load after the store failed.
  static let retryMilliseconds = 500

  private static let roles = "/registry/rbac.authorization.k8s.io/"
  private static let pods = "/registry/pods/"
  private static let volumes = "/registry/persistentvolumes/"
  private static let attachments = "/registry/storage.k8s.io/volumeattachments/"
  private static let prefixes = [roles, pods, volumes, attachments]

  private struct State {
    var policy = RolePolicy()
    var graph = NodeGraph()
    /// Everything up to here is known.
    var revision: Revision = 0
    var isLoaded = false
    var watch: RevisionWatch?
    var follower: Task<Void, Never>?
    var waiters: [Int: (revision: Revision, continuation: CheckedContinuation<Void, Never>)] = [:]
    var nextWaiter = 0
    var roleReaders: [Int: AsyncStream<Void>.Continuation] = [:]
  }

  private let store: any RevisionStore
  private let decoded: DecodedObjects
  private let log: Logger
  private let state = Mutex(State())

  init(store: any RevisionStore, decoded: DecodedObjects, log: Logger) {
    self.store = store
    self.decoded = decoded
    self.log = log
  }

  deinit { state.withLock { $0.follower }?.cancel() }

  /// Ends the watch.
  func stop() { state.withLock { $0.follower }?.cancel() }

  // MARK: questions

  func decide(_ user: UserInfo, _ request: AccessRequest) -> AccessDecision {
    state.withLock { state in
      let byNode = NodeAuthorizer.decide(user, request, state.graph)
      if byNode.isAllowed { return byNode }
      let byRole = state.policy.decide(user, request)
      return byRole.isAllowed || byNode.reason.isEmpty ? byRole : byNode
    }
  }

  func rules(of user: UserInfo, namespace: String) -> [PolicyRule] { state.withLock { $0.policy.rules(of: user, namespace: namespace) } }
  func rules(ofRole key: RoleKey) -> [PolicyRule]? { state.withLock { $0.policy.rules(ofRole: key) } }
  func staleAggregations() -> [(name: String, rules: [PolicyRule])] { state.withLock { $0.policy.staleAggregations() } }

  /// An element at once, and one after roles may have changed.
  func roleChanges() -> AsyncStream<Void> {
    AsyncStream(bufferingPolicy: .bufferingNewest(1)) { reader in
      let id = state.withLock { state in
        state.nextWaiter += 1
        state.roleReaders[state.nextWaiter] = reader
        return state.nextWaiter
      }
      reader.yield()
      reader.onTermination = { [weak self] _ in self?.state.withLock { _ = $0.roleReaders.removeValue(forKey: id) } }
    }
  }

  // MARK: keeping up

  /// Returns once everything was loaded for the first time.
  func ready() async {
    let isLoaded = state.withLock { state in
      if state.follower == nil { state.follower = Task { [weak self] in await Self.follow { self } } }
      return state.isLoaded
    }
    if !isLoaded { await wait(for: 1) }
  }

  /// Whether everything was loaded, a moment's waiting included.
  func isSynced() async -> Bool {
    await ready()
    return state.withLock { $0.isLoaded }
  }

  /// Returns when everything that is stored now is known here: who was given a role a moment ago may use it.
  func catchUp() async {
    guard let current = try? await store.currentRevision() else { return }
    await wait(for: current)
  }

  private func wait(for revision: Revision) async {
    await withCheckedContinuation { continuation in
      let waiter = state.withLock { state -> Int? in
        if state.isLoaded, state.revision >= revision { return nil }
        state.nextWaiter += 1
        state.waiters[state.nextWaiter] = (revision, continuation)
        return state.nextWaiter
      }
      guard let waiter else { return continuation.resume() }
      state.withLock { $0.watch }?.requestProgress()
      Task { [weak self] in
        try? await Task.sleep(for: .milliseconds(Self.catchUpMillisecondsMax))
        self?.state.withLock { $0.waiters.removeValue(forKey: waiter) }?.continuation.resume()
      }
    }
  }

  private func release(_ all: Bool = false) {
    let due = state.withLock { state in
      let due = state.waiters.filter { all || (state.isLoaded && $0.value.revision <= state.revision) }
      for key in due.keys { state.waiters[key] = nil }
      return due.values.map(\.continuation)
    }
    for continuation in due { continuation.resume() }
  }

  /// Loads and follows until the store closes or the index is no more.
  private static func follow(_ index: () -> AccessIndex?) async {
    var resume: Revision?
    while !Task.isCancelled {
      do {
        if resume == nil { resume = try await index()?.load() }
        guard let from = resume, let changes = try await index()?.open(from) else { return }
        resume = nil
        for try await batch in changes { index()?.apply(batch) }
      } catch let error as RevisionStoreError {
        switch error.code {
        case .closed:
          index()?.release(true)
          return
        case .slowWatcher(let from):
          // Nothing was missed yet: what is loaded stays good.
          resume = from
          continue
        default:
          resume = nil
          index()?.log.debug("roles are read again: \(error.message)")
        }
      } catch {
        resume = nil
      }
      try? await Task.sleep(for: .milliseconds(retryMilliseconds))
    }
    index()?.release(true)
  }

  private func open(_ revision: Revision) async throws -> RevisionWatch {
    let watch = try await store.watch(prefix: "/registry/", from: revision)
    state.withLock { $0.watch = watch }
    if state.withLock({ !$0.waiters.isEmpty }) { watch.requestProgress() }
    return watch
  }

  private func load() async throws -> Revision {
    var fresh = State()
    var revision: Revision?
    for prefix in Self.prefixes {
      let page = try await store.list(prefix: prefix, after: nil, limit: nil, at: revision)
      revision = page.revision
      for item in page.items { Self.set(&fresh, item.key, try? StoredForm.decode(item.value, revision: item.revision)) }
    }
    let at = revision ?? 0
    state.withLock { state in
      state.policy = fresh.policy
      state.graph = fresh.graph
      state.revision = max(at, 1)
      state.isLoaded = true
      for reader in state.roleReaders.values { reader.yield() }
    }
    release()
    return at
  }

  private func apply(_ batch: WatchBatch) {
    var changes: [(String, JSON?)] = []
    for event in batch.events where Self.prefixes.contains(where: event.key.hasPrefix) {
      changes.append((event.key, event.kind == .delete ? nil : try? decoded.object(event.value, revision: event.revision)))
    }
    state.withLock { state in
      for (key, object) in changes { Self.set(&state, key, object) }
      state.revision = max(state.revision, batch.completeTo)
      if changes.contains(where: { $0.0.hasPrefix(Self.roles) }) { for reader in state.roleReaders.values { reader.yield() } }
    }
    release()
  }

  private static func set(_ state: inout State, _ key: String, _ object: JSON?) {
    let parts = key.split(separator: "/").map(String.init)
    if key.hasPrefix(pods), parts.count == 4 {
      state.graph.set(pod: object, namespace: parts[2], name: parts[3])
    } else if key.hasPrefix(volumes), parts.count == 3 {
      state.graph.set(volume: object, name: parts[2])
    } else if key.hasPrefix(attachments), parts.count == 4 {
      state.graph.set(attachment: object, name: parts[3])
    } else if key.hasPrefix(roles), parts.count >= 4 {
      let role = RoleKey(namespace: parts.count > 4 ? parts[3] : nil, name: parts[parts.count - 1])
      switch parts[2] {
      case "roles", "clusterroles": state.policy.set(role: object, role)
      case "rolebindings", "clusterrolebindings": state.policy.set(binding: object, role)
      default: break
      }
    }
  }
}
