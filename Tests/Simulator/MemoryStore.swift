import RevisionStore
import Synchronization

/// The store of a simulation: the same promises as the database's, kept in memory, and every change shown to the judge
/// before anybody else learns of it.
final class MemoryStore: RevisionStore {
  private struct Version {
    let revision: Revision
    /// Nil: deleted.
    let value: [UInt8]?
  }

  fileprivate struct Reader {
    let prefix: String
    var position: Revision
    var wantsProgress = false
    var isCancelled = false
    var waiting: CheckedContinuation<Void, Never>?
  }

  private struct State {
    /// In byte order.
    var keys: [String] = []
    var versions: [String: [Version]] = [:]
    /// Every change after `compacted`, one for each revision.
    var events: [ChangeEvent] = []
    var compacted: Revision = 0
    var readers: [Int: Reader] = [:]
    var readersEver = 0
    var newest: Revision { compacted + Revision(events.count) }
  }

  private let state = Mutex(State())
  /// A deliberate fault: writes succeed whatever they were made from.
  let ignoresRevisions: Bool
  private let onCommit: @Sendable (ChangeEvent) -> Void

  init(ignoresRevisions: Bool, onCommit: @escaping @Sendable (ChangeEvent) -> Void) {
    self.ignoresRevisions = ignoresRevisions
    self.onCommit = onCommit
  }

  var newest: Revision { state.withLock { $0.newest } }
  func currentRevision() async throws -> Revision { newest }

  /// The whole present state.
  func everything(prefix: String = "/") -> [StoredValue] {
    state.withLock { state in Self.values(prefix, at: nil, state) }
  }

  private static func values(_ prefix: String, at: Revision?, _ state: State) -> [StoredValue] {
    var found: [StoredValue] = []
    for key in state.keys[lowerBound(prefix, state.keys)...] {
      guard key.hasPrefix(prefix) else { break }
      if let value = value(key, at, state) { found.append(value) }
    }
    return found
  }

  private static func value(_ key: String, _ at: Revision?, _ state: State) -> StoredValue? {
    guard let version = state.versions[key]?.last(where: { $0.revision <= at ?? .max }), let value = version.value else { return nil }
    return StoredValue(key: key, revision: version.revision, value: value)
  }

  /// The place of the first key that is not before this one.
  private static func lowerBound(_ key: String, _ keys: [String]) -> Int {
    var (low, high) = (0, keys.count)
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private static func check(_ at: Revision?, _ state: State) throws(RevisionStoreError) {
    guard let at else { return }
    if at < state.compacted {
      throw RevisionStoreError(.compacted(oldest: state.compacted), "revision \(at) has been compacted; the oldest is \(state.compacted)")
    }
    if at > state.newest { throw RevisionStoreError(.future(current: state.newest), "revision \(at) has not happened yet") }
  }

  func get(_ key: String, at: Revision?) async throws -> StoredValue? {
    try state.withLock { state in
      try Self.check(at, state)
      return Self.value(key, at, state)
    }
  }

  func list(prefix: String, after startKey: String?, limit: Int?, at: Revision?) async throws -> Page {
    try state.withLock { state in
      try Self.check(at, state)
      let all = Self.values(prefix, at: at, state).filter { startKey == nil || $0.key > startKey! }
      let items = limit.map { Array(all.prefix($0)) } ?? all
      return Page(items: items, revision: at ?? state.newest, remaining: all.count - items.count)
    }
  }

  /// What a disk takes for it, in which others may come first.
  private static let writeMilliseconds = 1

  func write(_ mutation: Mutation) async throws -> Revision {
    try? await Task.sleep(for: .milliseconds(Self.writeMilliseconds))
    let (event, woken) = try state.withLock { state throws(RevisionStoreError) in
      let current = Self.value(mutation.key, nil, state)
      if let refusal = refusal(mutation, current) { throw refusal }
      let revision = state.newest + 1
      let kind: ChangeEvent.Kind
      if case .delete = mutation { kind = .delete } else { kind = .put }
      if state.versions[mutation.key] == nil { state.keys.insert(mutation.key, at: Self.lowerBound(mutation.key, state.keys)) }
      state.versions[mutation.key, default: []].append(Version(revision: revision, value: kind == .put ? mutation.value : nil))
      let event = ChangeEvent(kind: kind, key: mutation.key, revision: revision, value: mutation.value, previous: current)
      state.events.append(event)
      return (event, Self.wake(&state) { mutation.key.hasPrefix($0.prefix) })
    }
    onCommit(event)
    for waiting in woken { waiting.resume() }
    return event.revision
  }

  private func refusal(_ mutation: Mutation, _ current: StoredValue?) -> RevisionStoreError? {
    let key = mutation.key
    let (wanted, isDelete): (Precondition, Bool)
    switch mutation {
    case .put(_, _, let precondition): (wanted, isDelete) = (precondition, false)
    case .delete(_, _, let precondition): (wanted, isDelete) = (precondition, true)
    }
    switch (wanted, current) {
    case (.absent, .some): return RevisionStoreError(.conflict(current: current), "\(key) exists already")
    case (.revision(let revision), .some(let current)) where revision != current.revision && !ignoresRevisions:
      return RevisionStoreError(.conflict(current: current), "\(key) has changed")
    case (.revision, nil): return RevisionStoreError(.notFound, "\(key) does not exist")
    case (.none, nil) where isDelete: return RevisionStoreError(.notFound, "\(key) does not exist")
    default: return nil
    }
  }

  func compact(before revision: Revision) async throws {
    let woken = state.withLock { state in
      let floor = min(revision, state.newest)
      guard floor > state.compacted else { return [] as [CheckedContinuation<Void, Never>] }
      state.events.removeFirst(Int(floor - state.compacted))
      state.compacted = floor
      for key in state.keys {
        let versions = state.versions[key]!
        // What was newest at the floor stays readable there.
        guard let keep = versions.lastIndex(where: { $0.revision <= floor }), keep > 0 || versions[keep].value == nil else { continue }
        state.versions[key] = Array(versions[(versions[keep].value == nil ? keep + 1 : keep)...])
      }
      state.keys.removeAll { state.versions[$0]!.isEmpty }
      state.versions = state.versions.filter { !$0.value.isEmpty }
      return Self.wake(&state) { $0.position < floor }
    }
    for waiting in woken { waiting.resume() }
  }

  // MARK: watches

  func watch(prefix: String, from: Revision) async throws -> RevisionWatch {
    let id = try state.withLock { state in
      try Self.check(from, state)
      state.readersEver += 1
      state.readers[state.readersEver] = Reader(prefix: prefix, position: from)
      return state.readersEver
    }
    return RevisionWatch(source: Watch(store: self, id: id))
  }

  /// Takes the waiting readers that `isConcerned` names, in the order in which they came.
  private static func wake(_ state: inout State, _ isConcerned: (Reader) -> Bool) -> [CheckedContinuation<Void, Never>] {
    var woken: [CheckedContinuation<Void, Never>] = []
    for id in state.readers.keys.sorted() where state.readers[id]!.waiting != nil && isConcerned(state.readers[id]!) {
      woken.append(state.readers[id]!.waiting!)
      state.readers[id]!.waiting = nil
    }
    return woken
  }

  fileprivate func change(_ id: Int, _ body: (inout Reader) -> Void) {
    let waiting = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard var reader = state.readers[id] else { return nil }
      body(&reader)
      let waiting = reader.waiting
      reader.waiting = nil
      state.readers[id] = reader
      return waiting
    }
    waiting?.resume()
  }

  fileprivate func forget(_ id: Int) { state.withLock { _ = $0.readers.removeValue(forKey: id) } }

  /// What there is for a reader: nil where it has to wait, a nil batch where it ended.
  fileprivate func step(_ id: Int) throws -> WatchBatch?? {
    try state.withLock { state -> WatchBatch?? in
      guard var reader = state.readers[id], !reader.isCancelled else { return .some(nil) }
      try Self.check(reader.position, state)
      let events = state.events[Int(reader.position - state.compacted)...].filter { $0.key.hasPrefix(reader.prefix) }
      reader.position = state.newest
      let tells = reader.wantsProgress || !events.isEmpty
      if tells { reader.wantsProgress = false }
      state.readers[id] = reader
      return tells ? .some(WatchBatch(events: events, completeTo: state.newest)) : nil
    }
  }

  fileprivate func wait(_ id: Int) async {
    await withCheckedContinuation { continuation in
      let leaves = state.withLock { state in
        guard let reader = state.readers[id], !reader.isCancelled, !reader.wantsProgress, reader.position == state.newest else {
          return true
        }
        state.readers[id]!.waiting = continuation
        return false
      }
      if leaves { continuation.resume() }
    }
  }
}

private final class Watch: RevisionWatchSource {
  private let store: MemoryStore
  private let id: Int

  init(store: MemoryStore, id: Int) {
    self.store = store
    self.id = id
  }

  deinit { store.forget(id) }

  func next() async throws -> WatchBatch? {
    try await withTaskCancellationHandler {
      while true {
        if Task.isCancelled { return nil }
        if let answer = try store.step(id) { return answer }
        await store.wait(id)
      }
    } onCancel: {
      cancel()
    }
  }

  func requestProgress() { store.change(id) { $0.wantsProgress = true } }
  func cancel() { store.change(id) { $0.isCancelled = true } }
}
