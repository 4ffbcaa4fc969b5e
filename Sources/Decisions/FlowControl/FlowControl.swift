/// Who may run, who waits and who is turned away, as a value: every event gives what is to be done.
///
/// A level may always use the seats that are reserved for it, and what no other has reserved or uses. So nobody's flood ever takes
/// the reserved part of another level, and seats that nobody needs do not lie idle.
// Unlike upstream: seats are lent the moment they are asked for and come back as requests end; there is no adjustment every ten seconds.
package struct FlowControl: Sendable {
  package typealias Ticket = UInt64

  package enum Arrival: Sendable, Equatable {
    /// It runs outside of all limits.
    case exempt
    case run(Ticket)
    case wait(Ticket)
    case reject(Rejection)
  }

  package enum Rejection: String, Sendable {
    case queueFull = "queue-full"
    case concurrencyLimit = "concurrency-limit"
    case timeOut = "time-out"
    case cancelled = "cancelled"
  }

  /// What an event leads to for requests that waited.
  package struct Outcome: Sendable, Equatable {
    package var started: [Ticket] = []
    package var rejected: [Ticket] = []
    package init(started: [Ticket] = [], rejected: [Ticket] = []) {
      self.started = started
      self.rejected = rejected
    }
  }

  private struct Level {
    var seats: PriorityLevel.Seats
    var queues: FairQueues
    /// Grows with each new set of queues.
    var generation = 0
    /// Its configuration is gone: it ends with its last request.
    var isRetired = false
  }
  private struct Running {
    let level: String
    let width: Int
    let queue: Int
    let generation: Int
    let startedAt: Double
  }

  package private(set) var configuration: FlowConfiguration
  private let total: Int
  private var capacity = 0
  private var levels: [String: Level] = [:]
  private var running: [Ticket: Running] = [:]
  private var waiting: [Ticket: String] = [:]
  private var tickets: Ticket = 0

  /// `seats`: requests that the server handles at a time.
  package init(_ configuration: FlowConfiguration, seats: Int) {
    self.configuration = configuration
    total = seats
    _ = configure(configuration)
  }

  // MARK: events

  /// `now` in seconds of any clock that only goes forward.
  package mutating func arrive(_ request: FlowRequest, _ schema: FlowSchema, now: Double) -> Arrival {
    guard let configured = configuration.levels[schema.level] else { return .reject(.concurrencyLimit) }
    if configured.isExempt { return .exempt }
    let name = configured.name
    guard let nominal = levels[name]?.seats.nominal else { return .reject(.concurrencyLimit) }
    // One request never needs more than its level has.
    let width = max(1, min(request.width, nominal))
    let hash = ShuffleSharding.hash(schema.name, schema.flow(of: request))
    let queue = levels[name]!.queues.place(hash)
    tickets += 1
    if levels[name]!.queues.waitingCount == 0, fits(width, name) {
      levels[name]!.queues.start(width, queue: queue)
      running[tickets] = Running(level: name, width: width, queue: queue, generation: levels[name]!.generation, startedAt: now)
      return .run(tickets)
    }
    guard configured.queuing != nil else { return .reject(.concurrencyLimit) }
    guard levels[name]!.queues.wait(tickets, width, hash: hash, queue: queue) else { return .reject(.queueFull) }
    waiting[tickets] = name
    return .wait(tickets)
  }

  package mutating func finish(_ ticket: Ticket, now: Double) -> Outcome {
    guard let one = running.removeValue(forKey: ticket), levels[one.level] != nil else { return Outcome() }
    let isSameDeal = one.generation == levels[one.level]!.generation
    levels[one.level]!.queues.finish(one.width, queue: isSameDeal ? one.queue : nil, seconds: max(0, now - one.startedAt))
    if levels[one.level]!.isRetired, levels[one.level]!.queues.isIdle { levels[one.level] = nil }
    return Outcome(started: dispatch(now: now))
  }

  /// A request does not want to wait any longer; false where it runs already.
  package mutating func giveUp(_ ticket: Ticket) -> Bool {
    guard let name = waiting.removeValue(forKey: ticket) else { return false }
    _ = levels[name]?.queues.remove(ticket)
    return true
  }

  /// Other objects from now on. What runs goes on, what waits keeps waiting.
  package mutating func configure(_ next: FlowConfiguration, now: Double = 0) -> Outcome {
    configuration = next
    let seats = PriorityLevel.seats(Array(next.levels.values), total: total)
    var outcome = Outcome()
    for (name, level) in next.levels where !level.isExempt {
      let own = seats[name] ?? PriorityLevel.Seats(nominal: 0, reserved: 0, most: 0)
      guard levels[name] != nil else {
        levels[name] = Level(seats: own, queues: FairQueues(level.queuing))
        continue
      }
      if levels[name]!.queues.queuing != level.queuing { levels[name]!.generation += 1 }
      outcome.rejected += levels[name]!.queues.reconfigure(level.queuing)
      levels[name]!.seats = own
      levels[name]!.isRetired = false
    }
    for name in levels.keys where next.levels[name].map(\.isExempt) ?? true {
      levels[name]!.isRetired = true
      levels[name]!.seats.reserved = 0
      if levels[name]!.queues.isIdle { levels[name] = nil }
    }
    // Rounding up gives a few more seats than were asked for.
    capacity = levels.values.reduce(0) { $0 + ($1.isRetired ? 0 : $1.seats.nominal) }
    for ticket in outcome.rejected { waiting[ticket] = nil }
    outcome.started = dispatch(now: now)
    return outcome
  }

  // MARK: seats

  /// The invariant: what all levels use, or have reserved where that is more, is not more than there is. A level that does nothing may
  /// always do one thing.
  private func fits(_ width: Int, _ name: String) -> Bool {
    guard let own = levels[name]?.seats, let used = levels[name]?.queues.seatsInUse else { return false }
    let wanted = used + width
    if used == 0 || wanted <= own.reserved { return true }
    guard wanted <= own.most else { return false }
    var others = 0
    for (other, state) in levels where other != name { others += max(state.queues.seatsInUse, state.seats.reserved) }
    return wanted + others <= capacity
  }

  /// Starts what may start: levels that have less than their own first, borrowers after them.
  private mutating func dispatch(now: Double) -> [Ticket] {
    guard !waiting.isEmpty else { return [] }
    var started: [Ticket] = []
    for isBorrowing in [false, true] {
      for name in levels.keys.sorted() {
        while let width = levels[name]?.queues.nextWidth, fits(width, name) {
          if !isBorrowing, levels[name]!.queues.seatsInUse + width > levels[name]!.seats.nominal { break }
          guard let next = levels[name]!.queues.startNext() else { break }
          waiting[next.ticket] = nil
          running[next.ticket] = Running(
            level: name, width: next.width, queue: next.queue, generation: levels[name]!.generation, startedAt: now)
          started.append(next.ticket)
        }
      }
    }
    return started
  }

  /// For metrics and tests: requests of a level.
  package func load(of level: String) -> (seats: Int, running: Int, waiting: Int) {
    guard let queues = levels[level]?.queues else { return (0, 0, 0) }
    return (queues.seatsInUse, queues.running, queues.waitingCount)
  }

  /// The queues of a level in their order; one for a level without.
  package func queues(of level: String) -> [QueueLoad] { levels[level]?.queues.loads ?? [] }

  package func seats(of level: String) -> PriorityLevel.Seats? { levels[level]?.seats }
}
