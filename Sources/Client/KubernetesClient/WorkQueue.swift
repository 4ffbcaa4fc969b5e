import KubernetesAPI
import Synchronization

/// Keys that wait for work. A key is in it once however often it was added, and is never worked on twice at a time:
/// what is added meanwhile comes again afterwards. Keys that failed come back after a pause that doubles.
package final class WorkQueue<Key: Hashable & Sendable>: Sendable {
  /// Seconds before the first repetition, and at most.
  package struct Backoff: Sendable {
    package var first = 0.005
    package var most = 30.0
    package init() {}
  }

  private struct State {
    var order: [Key] = []
    var head = 0
    var waiting: Set<Key> = []
    var processing: Set<Key> = []
    var again: Set<Key> = []
    var failures: [Key: Int] = [:]
    var later: [Key: Timestamp] = [:]
    var timer: (at: Timestamp, task: Task<Void, Never>)?
    var workers: [CheckedContinuation<Key?, Never>] = []
    var isClosed = false

    /// The worker to be woken with the key.
    mutating func enqueue(_ key: Key) -> CheckedContinuation<Key?, Never>? {
      guard !isClosed else { return nil }
      if processing.contains(key) {
        again.insert(key)
        return nil
      }
      guard !waiting.contains(key) else { return nil }
      if let worker = workers.popLast() {
        processing.insert(key)
        return worker
      }
      waiting.insert(key)
      order.append(key)
      return nil
    }

    mutating func dequeue() -> Key? {
      guard head < order.count else { return nil }
      let key = order[head]
      head += 1
      if head > 1_024, head * 2 > order.count {
        order.removeFirst(head)
        head = 0
      }
      waiting.remove(key)
      processing.insert(key)
      return key
    }
  }

  private let state = Mutex(State())
  private let time: TimeSource
  private let backoff: Backoff

  package init(time: TimeSource = .system, backoff: Backoff = Backoff()) {
    self.time = time
    self.backoff = backoff
  }

  package func add(_ key: Key) {
    state.withLock { $0.enqueue(key) }?.resume(returning: key)
  }

  /// Adds the key after so many seconds, or earlier where it was asked for earlier.
  package func add(_ key: Key, after seconds: Double) {
    guard seconds > 0 else { return add(key) }
    let at = time.now().advanced(bySeconds: seconds)
    state.withLock { state in
      guard !state.isClosed else { return }
      if let known = state.later[key], known <= at { return }
      state.later[key] = at
      setTimer(&state)
    }
  }

  /// Adds a key that failed.
  package func retry(_ key: Key) {
    let count = state.withLock { state in
      state.failures[key, default: 0] += 1
      return state.failures[key]!
    }
    add(key, after: min(backoff.most, backoff.first * Double(UInt64(1) << UInt64(min(count - 1, 40)))))
  }

  /// The key went well: its next failure is its first.
  package func forget(_ key: Key) { state.withLock { $0.failures[key] = nil } }

  /// The next key; nil when the queue is closed. `done` must follow.
  package func next() async -> Key? {
    await withCheckedContinuation { continuation in
      let ready: Key?? = state.withLock { state in
        if state.isClosed { return .some(nil) }
        if let key = state.dequeue() { return .some(key) }
        state.workers.append(continuation)
        return nil
      }
      if let ready { continuation.resume(returning: ready) }
    }
  }

  package func done(_ key: Key) {
    let worker = state.withLock { state -> CheckedContinuation<Key?, Never>? in
      state.processing.remove(key)
      guard state.again.remove(key) != nil else { return nil }
      return state.enqueue(key)
    }
    worker?.resume(returning: key)
  }

  /// Wakes all workers with nil; nothing is taken any more.
  package func close() {
    let workers = state.withLock { state in
      state.isClosed = true
      state.timer?.task.cancel()
      state.timer = nil
      defer { state.workers = [] }
      return state.workers
    }
    for worker in workers { worker.resume(returning: nil) }
  }

  /// Nothing waits and nothing is being worked on; what is due later does not count.
  package var isIdle: Bool { state.withLock { $0.head == $0.order.count && $0.processing.isEmpty } }

  private func setTimer(_ state: inout State) {
    guard let soonest = state.later.values.min() else {
      state.timer?.task.cancel()
      state.timer = nil
      return
    }
    if let timer = state.timer, timer.at <= soonest { return }
    state.timer?.task.cancel()
    let seconds = soonest.seconds(since: time.now())
    let task = Task { [weak self, time] in
      guard (try? await time.sleep(max(0, seconds))) != nil else { return }
      self?.timerFired()
    }
    state.timer = (soonest, task)
  }

  private func timerFired() {
    let now = time.now()
    let woken = state.withLock { state in
      state.timer = nil
      var woken: [(CheckedContinuation<Key?, Never>, Key)] = []
      for (key, at) in state.later where at <= now {
        state.later[key] = nil
        if let worker = state.enqueue(key) { woken.append((worker, key)) }
      }
      setTimer(&state)
      return woken
    }
    for (worker, key) in woken { worker.resume(returning: key) }
  }
}
