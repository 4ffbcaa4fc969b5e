/// A position in the store's one history. Every mutation takes the next number, whatever its key; 0 is the empty store.
package typealias Revision = Int64

/// A key's state at some revision.
package struct StoredValue: Sendable, Equatable {
  package let key: String
  /// Of the key's last change.
  package let revision: Revision
  package let value: [UInt8]

  package init(key: String, revision: Revision, value: [UInt8]) {
    self.key = key
    self.revision = revision
    self.value = value
  }
}

/// What must hold for a mutation to happen. It is checked where the mutation is made, so of two writers with the same
/// precondition one wins.
package enum Precondition: Sendable, Equatable {
  /// The key does not exist.
  case absent
  /// The key exists and its last change is this revision.
  case revision(Revision)
  case none
}

package enum Mutation: Sendable {
  case put(key: String, value: [UInt8], Precondition)
  /// `value` is the key's last state, for watchers: it may differ from what was stored (a final resourceVersion, say).
  case delete(key: String, value: [UInt8], Precondition)

  package var key: String {
    switch self {
    case .put(let key, _, _), .delete(let key, _, _): key
    }
  }

  package var value: [UInt8] {
    switch self {
    case .put(_, let value, _), .delete(_, let value, _): value
    }
  }
}

/// One mutation as watchers see it.
package struct ChangeEvent: Sendable, Equatable {
  package enum Kind: Sendable { case put, delete }

  package let kind: Kind
  package let key: String
  package let revision: Revision
  /// Of a delete: the last state, as the deleter gave it.
  package let value: [UInt8]
  /// The state before this change; nil: the key was created.
  package let previous: StoredValue?

  package init(kind: Kind, key: String, revision: Revision, value: [UInt8], previous: StoredValue?) {
    self.kind = kind
    self.key = key
    self.revision = revision
    self.value = value
    self.previous = previous
  }
}

/// A part of a list, in byte order of the keys.
package struct Page: Sendable, Equatable {
  package let items: [StoredValue]
  /// The revision the list is of. Ask for the next page at this one.
  package let revision: Revision
  package let more: Bool
  /// How many keys follow the last item at this revision, exactly.
  package let remaining: Int

  package init(items: [StoredValue], revision: Revision, remaining: Int) {
    self.items = items
    self.revision = revision
    self.more = remaining > 0
    self.remaining = remaining
  }
}

/// What a watch delivers at once.
package struct WatchBatch: Sendable, Equatable {
  /// In revision order; empty when nothing matched up to `completeTo`.
  package let events: [ChangeEvent]
  /// Every matching change up to here has been delivered: a bookmark at this revision is true, and a new watch from it
  /// continues without gap or repetition.
  package let completeTo: Revision

  package init(events: [ChangeEvent], completeTo: Revision) {
    self.events = events
    self.completeTo = completeTo
  }
}

/// Keys and opaque values with one history: compare and append, lists and watches at a revision.
///
/// Keys look like `/registry/pods/<namespace>/<name>`. Every method throws `RevisionStoreError`.
/// Nothing here speaks of how the history is kept; a store over etcd can implement it.
package protocol RevisionStore: Sendable {
  /// The newest revision. What a write returned is never above it.
  func currentRevision() async throws -> Revision

  /// The key's state at a revision (nil: now), or nil where it did not exist.
  /// - Throws: `compacted`, `future`.
  func get(_ key: String, at: Revision?) async throws -> StoredValue?

  /// The keys that begin with `prefix` and follow `startKey`, at a revision (nil: now).
  /// - Parameter limit: items at most; nil: all.
  /// - Throws: `compacted`, `future`.
  func list(prefix: String, after startKey: String?, limit: Int?, at: Revision?) async throws -> Page

  /// Makes one change and returns its revision once it is durable. Concurrent writers share one durable commit.
  /// - Throws: `conflict` and `notFound` (the precondition), `overloaded`, `tooLarge`, `diskFull`, `io`, `closed`.
  @discardableResult
  func write(_ mutation: Mutation) async throws -> Revision

  /// Every change after `from` to keys that begin with `prefix`.
  /// - Throws: `compacted`: list and watch from the list's revision; `future`.
  func watch(prefix: String, from: Revision) async throws -> RevisionWatch

  /// Forgets the history before a revision: what was superseded or deleted up to it. Lists, gets and watches at an earlier
  /// revision answer `compacted` from now on; returns when the space is free for new data.
  func compact(before: Revision) async throws
}

extension RevisionStore {
  package func get(_ key: String) async throws -> StoredValue? { try await get(key, at: nil) }
  package func list(prefix: String) async throws -> Page {
    try await list(prefix: prefix, after: nil, limit: nil, at: nil)
  }
}
