import RevisionStore

/// A store whose objects lie encrypted in the one below, as rules say. Everything above sees plain values.
package struct EncryptedStore: RevisionStore {
  /// Objects that are read at once when all are written anew.
  private static let pageSize = 500

  private let inner: any RevisionStore
  private let rules: EncryptionRules

  package init(_ inner: any RevisionStore, rules: EncryptionRules) {
    self.inner = inner
    self.rules = rules
  }

  package func currentRevision() async throws -> Revision { try await inner.currentRevision() }
  package func compact(before: Revision) async throws { try await inner.compact(before: before) }

  package func get(_ key: String, at: Revision?) async throws -> StoredValue? { try await inner.get(key, at: at).map { try plain($0) } }

  package func list(prefix: String, after startKey: String?, limit: Int?, at: Revision?) async throws -> Page {
    let page = try await inner.list(prefix: prefix, after: startKey, limit: limit, at: at)
    guard mayHold(prefix) else { return page }
    return Page(items: try page.items.map { item in try plain(item) }, revision: page.revision, remaining: page.remaining)
  }

  package func write(_ mutation: Mutation) async throws -> Revision {
    do {
      return try await inner.write(try encrypted(mutation))
    } catch let error as RevisionStoreError {
      guard case .conflict(let current?) = error.code else { throw error }
      throw RevisionStoreError(.conflict(current: try plain(current)), error.message)
    }
  }

  package func watch(prefix: String, from: Revision) async throws -> RevisionWatch {
    let watch = try await inner.watch(prefix: prefix, from: from)
    return mayHold(prefix) ? RevisionWatch(source: DecryptingWatch(inner: watch, store: self)) : watch
  }

  /// Writes every object anew that its first provider did not write: plain ones, and those of earlier keys. What the history
  /// holds stays as it was until it is compacted.
  package func encryptAll() async throws -> Int {
    var count = 0
    for prefix in rules.prefixes { count += try await encryptAll(prefix) }
    return count
  }

  private func encryptAll(_ prefix: String) async throws -> Int {
    var (count, after): (Int, String?) = (0, nil)
    while true {
      let page = try await inner.list(prefix: prefix, after: after, limit: Self.pageSize, at: nil)
      for item in page.items where rules.isStale(item.value, place: item.key) {
        let value = try decrypted(item.value, item.key)
        do {
          _ = try await write(.put(key: item.key, value: value, .revision(item.revision)))
          count += 1
        } catch let error as RevisionStoreError {
          // Somebody else wrote it meanwhile, with the first key.
          guard case .conflict = error.code else { throw error }
        }
      }
      guard page.more, let last = page.items.last else { return count }
      after = last.key
    }
  }

  /// Whether keys with this prefix may be of resources with a rule.
  private func mayHold(_ prefix: String) -> Bool { rules.prefixes.contains { prefix.hasPrefix($0) || $0.hasPrefix(prefix) } }

  private func encrypted(_ mutation: Mutation) throws -> Mutation {
    let value = try rules.encrypt(mutation.value, place: mutation.key)
    switch mutation {
    case .put(let key, _, let precondition): return .put(key: key, value: value, precondition)
    case .delete(let key, _, let precondition): return .delete(key: key, value: value, precondition)
    }
  }

  private func decrypted(_ value: [UInt8], _ key: String) throws -> [UInt8] {
    do {
      return try rules.decrypt(value, place: key)
    } catch let error as SecretKeyError {
      throw RevisionStoreError(.corrupt, error.message)
    }
  }

  private func plain(_ stored: StoredValue) throws -> StoredValue {
    StoredValue(key: stored.key, revision: stored.revision, value: try decrypted(stored.value, stored.key))
  }

  fileprivate func plain(_ batch: WatchBatch) throws -> WatchBatch {
    let events = try batch.events.map { event in
      ChangeEvent(
        kind: event.kind, key: event.key, revision: event.revision, value: try decrypted(event.value, event.key),
        previous: try event.previous.map { try plain($0) })
    }
    return WatchBatch(events: events, completeTo: batch.completeTo)
  }
}

private final class DecryptingWatch: RevisionWatchSource {
  private let inner: RevisionWatch
  private let store: EncryptedStore

  init(inner: RevisionWatch, store: EncryptedStore) {
    self.inner = inner
    self.store = store
  }

  func next() async throws -> WatchBatch? {
    var iterator = inner.makeAsyncIterator()
    return try await iterator.next().map { try store.plain($0) }
  }

  func requestProgress() { inner.requestProgress() }
  func cancel() { inner.cancel() }
}
