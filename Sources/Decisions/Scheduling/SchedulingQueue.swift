import KubernetesAPI

/// Pods without a node, as a state machine: the next one is that with the highest priority, then the one that waits longest. A pod
/// that fitted nowhere is parked until something changes that could help, and pauses before it is tried again.
struct SchedulingQueue {
  /// Seconds of a pod's first pause, and of the longest; it doubles with each attempt.
  static let pauseMin = 1.0
  static let pauseMax = 10.0
  /// Seconds after which a parked pod is tried again although nothing seems to have changed, and between looks at that.
  static let parkedMax = 300.0
  static let flushEvery = 30.0

  enum Place: Equatable { case active, pausing(until: Timestamp), parked(since: Timestamp), gated }

  struct Item {
    var pod: PodRecord
    var place: Place
    var attempts = 0
    /// When it came into the queue.
    var since: Timestamp
    var lastAttempt: Timestamp
    /// What refused it the last time.
    var filters: Set<Filter> = []
    /// What it was told the last time.
    var message = ""
    fileprivate var ticket = 0
  }

  private struct Turn: Comparable {
    let priority: Int
    let since: Timestamp
    let ticket: Int
    let uid: String
    static func < (a: Turn, b: Turn) -> Bool {
      (-a.priority, a.since.nanosecondsSinceEpoch, a.ticket) < (-b.priority, b.since.nanosecondsSinceEpoch, b.ticket)
    }
  }

  private struct Pause: Comparable {
    let until: Timestamp
    let ticket: Int
    let uid: String
    static func < (a: Pause, b: Pause) -> Bool { (a.until, a.ticket) < (b.until, b.ticket) }
  }

  private(set) var items: [String: Item] = [:]
  private(set) var parked: Set<String> = []
  /// Parked pods whose victims are on their way.
  private(set) var parkedForVictims: Set<String> = []
  /// Entries are valid while the item has their ticket.
  private var turns = Heap<Turn>()
  private var pauses = Heap<Pause>()
  private var ticket = 0
  private var nextFlush: Timestamp?

  var count: Int { items.count }

  // MARK: events

  mutating func add(_ pod: PodRecord, now: Timestamp) {
    guard items[pod.uid] == nil else { return }
    items[pod.uid] = Item(pod: pod, place: .gated, since: now, lastAttempt: now)
    if !pod.isGated { activate(pod.uid) }
  }

  /// A newer state of the pod. `isNews`: it differs in what decides where it goes.
  mutating func update(_ pod: PodRecord, isNews: Bool, now: Timestamp) {
    guard let item = items[pod.uid] else { return add(pod, now: now) }
    items[pod.uid]!.pod = pod
    switch item.place {
    case .gated: if !pod.isGated { activate(pod.uid) }
    case .active where item.pod.priority != pod.priority: activate(pod.uid)
    case .parked where isNews: wake(pod.uid, now: now)
    default: break
    }
  }

  mutating func remove(_ uid: String) -> Item? {
    parked.remove(uid)
    parkedForVictims.remove(uid)
    return items.removeValue(forKey: uid)
  }

  /// The next pod to be tried; it leaves the queue.
  mutating func pop(now: Timestamp) -> Item? {
    release(now: now)
    while let turn = turns.popLeast() {
      guard let item = items[turn.uid], item.ticket == turn.ticket, item.place == .active else { continue }
      return items.removeValue(forKey: turn.uid)
    }
    return nil
  }

  /// Puts a pod back that fitted nowhere, until something changes.
  mutating func park(_ item: Item, filters: Set<Filter>, message: String, waitsForVictims: Bool = false, now: Timestamp) {
    var item = item
    item.attempts += 1
    item.lastAttempt = now
    item.filters = filters
    item.message = message
    item.place = .parked(since: now)
    ticket += 1
    item.ticket = ticket
    items[item.pod.uid] = item
    if waitsForVictims { parkedForVictims.insert(item.pod.uid) } else { parked.insert(item.pod.uid) }
    if nextFlush == nil { nextFlush = now.advanced(bySeconds: Self.flushEvery) }
  }

  /// Puts a pod back whose binding failed: nothing need change, it is tried again after a pause.
  mutating func pause(_ item: Item, now: Timestamp) {
    var item = item
    item.attempts += 1
    item.lastAttempt = now
    items[item.pod.uid] = item
    resume(item.pod.uid, now: now)
  }

  /// Something changed that could help a parked pod: it is tried again, after what is left of its pause.
  mutating func wake(_ uid: String, now: Timestamp) {
    guard parked.remove(uid) != nil || parkedForVictims.remove(uid) != nil else { return }
    resume(uid, now: now)
  }

  /// When `pop` may have something without another event.
  var nextTurn: Timestamp? {
    if !turns.isEmpty { return Timestamp(nanosecondsSinceEpoch: 0) }
    let flush = parked.isEmpty && parkedForVictims.isEmpty ? nil : nextFlush
    guard let pause = pauses.least?.until else { return flush }
    return flush.map { min($0, pause) } ?? pause
  }

  // MARK: moves

  static func pause(attempts: Int) -> Double { min(pauseMax, pauseMin * Double(1 << min(max(attempts, 1) - 1, 10))) }

  private mutating func resume(_ uid: String, now: Timestamp) {
    guard let item = items[uid] else { return }
    let until = item.lastAttempt.advanced(bySeconds: Self.pause(attempts: item.attempts))
    guard item.attempts > 0, until > now else { return activate(uid) }
    ticket += 1
    items[uid]!.ticket = ticket
    items[uid]!.place = .pausing(until: until)
    pauses.insert(Pause(until: until, ticket: ticket, uid: uid))
  }

  private mutating func activate(_ uid: String) {
    guard let item = items[uid] else { return }
    ticket += 1
    items[uid]!.ticket = ticket
    items[uid]!.place = .active
    turns.insert(Turn(priority: item.pod.priority, since: item.since, ticket: ticket, uid: uid))
  }

  /// Ends pauses that are over, and looks for pods that were parked for too long.
  private mutating func release(now: Timestamp) {
    while let pause = pauses.least, pause.until <= now {
      _ = pauses.popLeast()
      guard let item = items[pause.uid], item.ticket == pause.ticket, case .pausing = item.place else { continue }
      activate(pause.uid)
    }
    guard let flush = nextFlush, flush <= now else { return }
    nextFlush = parked.isEmpty && parkedForVictims.isEmpty ? nil : now.advanced(bySeconds: Self.flushEvery)
    for uid in parked.union(parkedForVictims) {
      if case .parked(let since)? = items[uid]?.place, now.seconds(since: since) >= Self.parkedMax { wake(uid, now: now) }
    }
  }
}

/// A binary heap.
struct Heap<Element: Comparable> {
  private var elements: [Element] = []
  var isEmpty: Bool { elements.isEmpty }
  var least: Element? { elements.first }

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard elements[child] < elements[parent] else { break }
      elements.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popLeast() -> Element? {
    guard let first = elements.first else { return nil }
    let last = elements.removeLast()
    if elements.isEmpty { return first }
    elements[0] = last
    var parent = 0
    while true {
      var least = parent
      let left = 2 * parent + 1
      if left < elements.count, elements[left] < elements[least] { least = left }
      if left + 1 < elements.count, elements[left + 1] < elements[least] { least = left + 1 }
      if least == parent { break }
      elements.swapAt(parent, least)
      parent = least
    }
    return first
  }
}
