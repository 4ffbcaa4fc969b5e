import Synchronization

/// Hands committed changes to watchers, in revision order.
///
/// A watcher is a position in the history, not a queue: it takes from the ring of recent events, or from the database when
/// it is further behind, so a change is in memory once however many watch. Only watchers that wait, and that something
/// matched, are woken. What a watcher leaves unread is counted, and bounded.
final class WatchHub: Sendable {
  /// What a watcher does next; decided under the lock, done outside it.
  enum Step {
    case deliver(WatchBatch)
    case readDatabase(after: Revision, through: Revision)
    case wait
    case finish(RevisionStoreError?)
  }

  fileprivate typealias Waiting = CheckedContinuation<Void, Never>

  fileprivate struct Watcher {
    let prefix: String
    /// Everything that matches up to here was delivered.
    var position: Revision
    /// The last revision that a batch told the reader of.
    var reported: Revision
    /// Matching events after this were counted in `backlog`.
    let countedAfter: Revision
    var backlog = 0
    var progressWanted = false
    var waiting: Waiting?
    var ended: RevisionStoreError?
  }

  private struct State {
    var ring: EventRing
    var reads = RecentReads()
    var compacted: Revision
    var watchers: [Int: Watcher] = [:]
    /// Watchers by prefix: a change is compared once for each prefix.
    var groups: [String: Set<Int>] = [:]
    var nextID = 0
    var nextProgressCheck: Revision
    var closed = false
  }

  private let state: Mutex<State>
  private let limits: StoreLimits

  init(newest: Revision, compacted: Revision, limits: StoreLimits) {
    self.limits = limits
    state = Mutex(
      State(
        ring: EventRing(after: newest, countMax: limits.recentEventsMax, bytesMax: limits.recentBytesMax),
        compacted: compacted, nextProgressCheck: newest + limits.progressRevisions))
  }

  // MARK: The writer's side

  var newest: Revision { state.withLock { $0.ring.newest } }
  var compacted: Revision { state.withLock { $0.compacted } }
  var watcherCount: Int { state.withLock { $0.watchers.count } }

  /// From now on nothing before this revision is promised.
  func noteCompacted(_ revision: Revision) {
    state.withLock { $0.compacted = max($0.compacted, revision) }
  }

  /// Takes what one commit made, in revision order.
  func publish(_ events: [ChangeEvent]) {
    guard !events.isEmpty else { return }
    let woken = state.withLock { state in
      for event in events {
        state.ring.append(event)
        state.reads.note(event)
      }
      var woken: [Waiting] = []
      for (prefix, members) in state.groups {
        var matches = 0
        var firstMatch: Revision = 0
        for event in events where event.key.hasPrefix(prefix) {
          if matches == 0 { firstMatch = event.revision }
          matches += 1
        }
        guard matches > 0 else { continue }
        for id in members { state.watchers[id]?.note(matches, from: firstMatch, limits, &woken) }
      }
      if state.ring.newest >= state.nextProgressCheck {
        state.nextProgressCheck = state.ring.newest + max(1, limits.progressRevisions / 4)
        for id in Array(state.watchers.keys) { state.watchers[id]?.notePassing(state.ring.newest, limits, &woken) }
      }
      return woken
    }
    for waiting in woken { waiting.resume() }
  }

  // MARK: Recent reads

  /// The key's newest state where it is known. Nil: to be read. Nil inside: there is no such key.
  func recall(_ key: String) -> StoredValue?? {
    state.withLock { $0.closed ? nil : $0.reads.value(key) }
  }

  /// All of a collection where it is known.
  func recall(collection prefix: String) -> Page? {
    state.withLock { state in
      guard !state.closed, let items = state.reads.collection(prefix) else { return nil }
      return Page(items: items, revision: state.ring.newest, remaining: 0)
    }
  }

  /// Takes what was read at a revision, unless it has changed since.
  func remember(_ key: String, _ value: StoredValue?, at revision: Revision) {
    state.withLock { if $0.ring.isUnchanged(key, since: revision) { $0.reads.remember(key, value) } }
  }

  func remember(collection prefix: String, _ page: Page) {
    state.withLock { if $0.ring.isUnchanged(prefix, since: page.revision) { $0.reads.remember(prefix, page.items) } }
  }

  /// Ends every watch with `closed`.
  func close() {
    let woken = state.withLock { state in
      state.closed = true
      return state.watchers.keys.compactMap { state.watchers[$0]?.takeWaiting() }
    }
    for waiting in woken { waiting.resume() }
  }

  // MARK: The watchers' side

  func register(prefix: String, from: Revision) throws(RevisionStoreError) -> Int {
    let result: Result<Int, RevisionStoreError> = state.withLock { state in
      guard !state.closed else { return .failure(.closed) }
      guard from >= state.compacted else { return .failure(.compacted(from, oldest: state.compacted)) }
      guard from <= state.ring.newest else { return .failure(.future(from, current: state.ring.newest)) }
      let id = state.nextID
      state.nextID += 1
      state.watchers[id] = Watcher(prefix: prefix, position: from, reported: from, countedAfter: state.ring.newest)
      state.groups[prefix, default: []].insert(id)
      return .success(id)
    }
    return try result.get()
  }

  func remove(_ id: Int) {
    let waiting = state.withLock { state -> Waiting? in
      guard var watcher = state.watchers.removeValue(forKey: id) else { return nil }
      state.groups[watcher.prefix]?.remove(id)
      if state.groups[watcher.prefix]?.isEmpty == true { state.groups[watcher.prefix] = nil }
      return watcher.takeWaiting()
    }
    waiting?.resume()
  }

  func requestProgress(_ id: Int) {
    let waiting = state.withLock { state -> Waiting? in
      state.watchers[id]?.progressWanted = true
      return state.watchers[id]?.takeWaiting()
    }
    waiting?.resume()
  }

  func step(_ id: Int) -> Step {
    state.withLock { state in
      guard var watcher = state.watchers[id] else { return .finish(nil) }
      if let error = watcher.ended { return .finish(error) }
      guard !state.closed else { return .finish(.closed) }
      guard watcher.position >= state.ring.coversAfter else {
        guard watcher.position >= state.compacted else {
          return .finish(.compacted(watcher.position, oldest: state.compacted))
        }
        return .readDatabase(
          after: watcher.position, through: min(state.ring.newest, watcher.position + limits.catchUpRevisions))
      }
      let batch = state.ring.changes(
        prefix: watcher.prefix, after: watcher.position, eventsMax: limits.watchBatchEventsMax,
        bytesMax: limits.watchBatchBytesMax)
      let delivers = watcher.advance(batch, newest: state.ring.newest, limits)
      state.watchers[id] = watcher
      return delivers ? .deliver(batch) : .wait
    }
  }

  /// Takes what was read from the database for a watcher; nil: nothing to tell the reader yet, ask for the next step.
  func settle(_ id: Int, _ batch: WatchBatch) throws(RevisionStoreError) -> WatchBatch? {
    let result: Result<WatchBatch?, RevisionStoreError> = state.withLock { state in
      guard var watcher = state.watchers[id] else { return .success(nil) }
      // The rows may have gone while they were read; then the batch may have a gap.
      guard watcher.position >= state.compacted else {
        return .failure(.compacted(watcher.position, oldest: state.compacted))
      }
      let delivers = watcher.advance(batch, newest: state.ring.newest, limits)
      state.watchers[id] = watcher
      return .success(delivers ? batch : nil)
    }
    return try result.get()
  }

  /// Sleeps until there may be something for the watcher.
  func wait(_ id: Int) async {
    await withCheckedContinuation { continuation in
      let leaves = state.withLock { state -> Bool in
        guard let watcher = state.watchers[id], watcher.ended == nil, !state.closed, !watcher.progressWanted,
          watcher.position == state.ring.newest
        else { return true }
        state.watchers[id]?.waiting = continuation
        return false
      }
      if leaves { continuation.resume() }
    }
  }
}

extension WatchHub.Watcher {
  /// Moves the position; true if the reader is to be told.
  fileprivate mutating func advance(_ batch: WatchBatch, newest: Revision, _ limits: StoreLimits) -> Bool {
    position = batch.completeTo
    if position == newest {
      backlog = 0
    } else {
      let counted = countedAfter
      backlog = max(0, backlog - batch.events.count { $0.revision > counted })
    }
    let asked = progressWanted && position == newest
    guard asked || !batch.events.isEmpty || position - reported >= limits.progressRevisions else { return false }
    if asked { progressWanted = false }
    reported = position
    return true
  }

  fileprivate mutating func takeWaiting() -> CheckedContinuation<Void, Never>? {
    defer { waiting = nil }
    return waiting
  }

  /// Matching events were published, the first at `revision`.
  fileprivate mutating func note(
    _ matches: Int, from revision: Revision, _ limits: StoreLimits, _ woken: inout [CheckedContinuation<Void, Never>]
  ) {
    if let waiting = takeWaiting() {
      // While it waited nothing matched, so what lies between need not be looked at again.
      position = max(position, revision - 1)
      woken.append(waiting)
    }
    backlog += matches
    if backlog > limits.watcherBacklogMax, ended == nil {
      ended = RevisionStoreError(
        .slowWatcher(resumeFrom: reported),
        "the watch of \(prefix) left more than \(limits.watcherBacklogMax) changes unread; continue from revision \(reported)")
    }
  }

  /// Changes that do not match passed by.
  fileprivate mutating func notePassing(
    _ newest: Revision, _ limits: StoreLimits, _ woken: inout [CheckedContinuation<Void, Never>]
  ) {
    guard newest - reported >= limits.progressRevisions, let waiting = takeWaiting() else { return }
    woken.append(waiting)
  }
}
