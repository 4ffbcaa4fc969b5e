import JSONCodec
import KubernetesAPI
import KubernetesClient
import Synchronization

/// ConfigMaps and Secrets from the API: one watch for each object that a volume follows, however many pods do; what is
/// watched is answered from memory.
package final class WatchedObjects: ObjectSource {
  private struct Key: Hashable {
    let kind: ObjectKind
    let namespace: String
    let name: String
  }

  private struct Entry {
    /// Known once the watch has listed.
    var object: JSON?
    var readers: [Int: AsyncStream<Void>.Continuation] = [:]
    var watch: Task<Void, Never>?
  }

  private struct State {
    var entries: [Key: Entry] = [:]
    var nextReader = 0
  }

  private let client: KubernetesClient
  private let clock: KubeletClock
  private let state = Mutex(State())

  package init(client: KubernetesClient, clock: KubeletClock = .system) {
    self.client = client
    self.clock = clock
  }

  package func object(_ kind: ObjectKind, _ namespace: String, _ name: String) async throws -> JSON? {
    // What is said to be absent may have been created a moment ago.
    if let known = state.withLock({ $0.entries[Key(kind: kind, namespace: namespace, name: name)]?.object }) { return known }
    do {
      return try await client.get(ResourcePath(kind.plural, namespace: kind == .volume ? nil : namespace), name: name)
    } catch let error as APIStatusError where error.isNotFound {
      return nil
    }
  }

  package func changes(_ kind: ObjectKind, _ namespace: String, _ name: String) -> AsyncStream<Void> {
    let key = Key(kind: kind, namespace: namespace, name: name)
    return AsyncStream(bufferingPolicy: .bufferingNewest(1)) { reader in
      let id = state.withLock { state in
        state.nextReader += 1
        state.entries[key, default: Entry()].readers[state.nextReader] = reader
        if state.entries[key]?.watch == nil { state.entries[key]?.watch = Task { [weak self] in await self?.follow(key) } }
        return state.nextReader
      }
      reader.onTermination = { [weak self] _ in self?.leave(key, id) }
    }
  }

  private func leave(_ key: Key, _ reader: Int) {
    let watch = state.withLock { state -> Task<Void, Never>? in
      state.entries[key]?.readers[reader] = nil
      guard state.entries[key]?.readers.isEmpty == true else { return nil }
      return state.entries.removeValue(forKey: key)?.watch
    }
    watch?.cancel()
  }

  private func follow(_ key: Key) async {
    let path = ResourcePath(key.kind.plural, namespace: key.namespace)
    for await event in client.reflect(path, fieldSelector: "metadata.name=\(key.name)") {
      let object: JSON? =
        switch event {
        case .synced(let items): items.first { $0["metadata"]["name"].string == key.name }
        case .changed(let object): object
        case .deleted: nil
        }
      let readers = state.withLock { state in
        state.entries[key]?.object = object
        return state.entries[key].map { Array($0.readers.values) } ?? []
      }
      for reader in readers { reader.yield() }
    }
  }

  package func token(_ spec: TokenSpec) async throws -> ServiceAccountToken {
    var request: JSON = ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"]
    request["spec"] = [
      "audiences": spec.audience.isEmpty ? .null : .array([.string(spec.audience)]),
      "expirationSeconds": JSON(spec.expirationSeconds),
      "boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": .string(spec.podName), "uid": .string(spec.podUID)],
    ]
    let issued = clock.now()
    let answer = try await client.create(
      .serviceAccounts(spec.namespace), request, name: spec.serviceAccount, subresource: "token")
    guard let token = answer["status"]["token"].string else { throw ContainerConfigError("the API server gave no token") }
    let expires = answer["status"]["expirationTimestamp"].timestamp ?? issued.advanced(bySeconds: Double(spec.expirationSeconds))
    return ServiceAccountToken(token: token, issuedAt: issued, expiresAt: expires)
  }
}

/// All services, kept by one watch from the first question on.
package actor WatchedServices: ServiceSource {
  private let client: KubernetesClient
  private var known: [String: JSON]?
  private var waiting: [CheckedContinuation<Void, Never>] = []
  private var watch: Task<Void, Never>?

  package init(client: KubernetesClient) { self.client = client }

  deinit { watch?.cancel() }

  package func services() async throws -> [JSON] {
    if watch == nil {
      let events = client.reflect(.services())
      watch = Task { [weak self] in for await event in events { await self?.take(event) } }
    }
    // Containers wait for the first list: their variables would be wrong without it.
    if known == nil { await withCheckedContinuation { waiting.append($0) } }
    return known.map { Array($0.values) } ?? []
  }

  private func take(_ event: ReflectorEvent) {
    func key(_ object: JSON) -> String {
      "\(object["metadata"]["namespace"].string ?? "")/\(object["metadata"]["name"].string ?? "")"
    }
    switch event {
    case .synced(let items): known = Dictionary(items.map { (key($0), $0) }, uniquingKeysWith: { $1 })
    case .changed(let object): known?[key(object)] = object
    case .deleted(let object): known?[key(object)] = nil
    }
    for waiter in waiting { waiter.resume() }
    waiting = []
  }
}
