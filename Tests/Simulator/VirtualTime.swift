import CSimulation

/// Runs every task of the process on one thread, in an order that a seed decides, on a clock that jumps to the next sleep's end.
struct VirtualTime {
  /// 2027-01-01 00:00:00 UTC: where each simulation begins, in nanoseconds since 1970.
  static let epoch: UInt64 = 1_798_761_600_000_000_000

  private struct Timer {
    let at: UInt64
    let order: UInt64
    let job: UnsafeMutableRawPointer
    static func < (a: Timer, b: Timer) -> Bool { a.at == b.at ? a.order < b.order : a.at < b.at }
  }

  /// The process has one: the runtime's hooks have no place for another's address. Only the simulation's thread touches it.
  nonisolated(unsafe) static var shared = VirtualTime()

  private(set) var now = epoch
  private(set) var jobsRun: UInt64 = 0
  private var ready: [UnsafeMutableRawPointer] = []
  private var head = 0
  /// A binary heap, the soonest first.
  private var timers: [Timer] = []
  private var order: UInt64 = 0
  private var dice = Dice(seed: 0)

  /// Nanoseconds since the simulation began.
  var elapsed: UInt64 { now - Self.epoch }

  static func begin(seed: UInt64) {
    shared.dice = Dice(seed: seed ^ 0x5eed)
    csim_begin(epoch, seed) { job, deadline in VirtualTime.shared.add(job!, deadline) }
  }

  private mutating func add(_ job: UnsafeMutableRawPointer, _ deadline: UInt64) {
    guard deadline > now else { return ready.append(job) }
    order += 1
    timers.append(Timer(at: deadline, order: order, job: job))
    var child = timers.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard timers[child] < timers[parent] else { break }
      timers.swapAt(child, parent)
      child = parent
    }
  }

  private mutating func popTimer() -> Timer {
    timers.swapAt(0, timers.count - 1)
    let first = timers.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < timers.count && timers[child] < timers[least] { least = child }
      guard least != parent else { return first }
      timers.swapAt(parent, least)
      parent = least
    }
  }

  /// The next job; nil where nothing is left to be done or waited for.
  private mutating func next() -> UnsafeMutableRawPointer? {
    if head == ready.count {
      ready.removeAll(keepingCapacity: true)
      head = 0
      guard let first = timers.first else { return nil }
      now = first.at
      csim_set_time(now)
      while let timer = timers.first, timer.at <= now { ready.append(popTimer().job) }
    }
    // Any of those that are ready may be next, as on a machine with many cores; mostly the oldest.
    if dice.chance(0.3) {
      let other = head + dice.below(min(ready.count - head, 16))
      ready.swapAt(head, other)
    }
    head += 1
    jobsRun += 1
    return ready[head - 1]
  }

  /// Runs until `isDone`; false where everything waits for nothing.
  static func run(until isDone: () -> Bool) -> Bool {
    while !isDone() {
      guard let job = shared.next() else { return false }
      csim_run(job)
    }
    return true
  }
}

/// Random numbers from a seed (SplitMix64).
struct Dice: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(max(1, count))) }
  mutating func unit() -> Double { Double(next() >> 11) / Double(1 << 53) }
  mutating func chance(_ p: Double) -> Bool { unit() < p }
  mutating func between(_ a: Double, _ b: Double) -> Double { a + (b - a) * unit() }
  mutating func pick<T>(_ items: [T]) -> T? { items.isEmpty ? nil : items[below(items.count)] }
}
