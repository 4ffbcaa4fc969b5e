/// What one queue has to do.
package struct QueueLoad: Sendable, Equatable {
  /// Requests that wait, and the seats that they want.
  package let waiting, waitingSeats: Int
  /// Seats of those that run.
  package let seats: Int
  /// Seat-seconds at which its next request starts.
  package let virtual: Double
}

/// The requests of one priority level: those that run and those that wait, in queues that take turns.
///
/// Start-time fair queuing: a queue has a virtual time that advances by what its requests cost (seats times seconds); the one that
/// has had least is next. A request is charged a guess when it starts and the truth when it ends.
struct FairQueues: Sendable {
  typealias Ticket = FlowControl.Ticket

  /// Seconds that a request is thought to take until it is known.
  static let guess = 0.003

  private struct Waiting {
    let ticket: Ticket
    let width: Int
    let hash: UInt64
  }
  private struct Queue {
    var waiting: [Waiting] = []
    var running = 0
    var virtual = 0.0
  }

  private(set) var queuing: PriorityLevel.Queuing?
  private var queues: [Queue]
  /// The virtual time at which the last request started.
  private var virtual = 0.0
  /// The queue that was served last: of equals the next one is.
  private var last = -1
  private(set) var seatsInUse = 0
  private(set) var running = 0
  private(set) var waitingCount = 0
  var isIdle: Bool { running == 0 && waitingCount == 0 }

  var loads: [QueueLoad] {
    queues.map {
      QueueLoad(waiting: $0.waiting.count, waitingSeats: $0.waiting.reduce(0) { $0 + $1.width }, seats: $0.running, virtual: $0.virtual)
    }
  }

  init(_ queuing: PriorityLevel.Queuing?) {
    self.queuing = queuing
    queues = Array(repeating: Queue(), count: queuing?.queues ?? 1)
  }

  /// The queue of a flow's hand in which least waits.
  func place(_ hash: UInt64) -> Int {
    guard let queuing, queuing.queues > 1 else { return 0 }
    let hand = ShuffleSharding.deal(hash, queues: queuing.queues, count: queuing.handSize)
    return hand.min { a, b in cost(a) < cost(b) } ?? 0
  }

  private func cost(_ queue: Int) -> Int { queues[queue].waiting.reduce(queues[queue].running) { $0 + $1.width } }

  mutating func start(_ width: Int, queue: Int) {
    if queues[queue].waiting.isEmpty, queues[queue].running == 0 { queues[queue].virtual = max(queues[queue].virtual, virtual) }
    begin(width, queue)
  }

  private mutating func begin(_ width: Int, _ queue: Int) {
    virtual = max(virtual, queues[queue].virtual)
    queues[queue].virtual += Self.guess * Double(width)
    queues[queue].running += width
    seatsInUse += width
    running += 1
  }

  /// False where the queue is full.
  mutating func wait(_ ticket: Ticket, _ width: Int, hash: UInt64, queue: Int) -> Bool {
    guard let queuing, queues[queue].waiting.count < queuing.lengthLimit else { return false }
    if queues[queue].waiting.isEmpty, queues[queue].running == 0 { queues[queue].virtual = max(queues[queue].virtual, virtual) }
    queues[queue].waiting.append(Waiting(ticket: ticket, width: width, hash: hash))
    waitingCount += 1
    return true
  }

  /// The seats that whoever is next wants.
  var nextWidth: Int? { nextQueue.map { queues[$0].waiting[0].width } }

  private var nextQueue: Int? {
    guard waitingCount > 0 else { return nil }
    var best: Int?
    for offset in 1...queues.count {
      let index = (last + offset) % queues.count
      guard !queues[index].waiting.isEmpty else { continue }
      if let known = best, queues[known].virtual <= queues[index].virtual { continue }
      best = index
    }
    return best
  }

  /// Starts whoever is next.
  mutating func startNext() -> (ticket: Ticket, width: Int, queue: Int)? {
    guard let queue = nextQueue else { return nil }
    let first = queues[queue].waiting.removeFirst()
    waitingCount -= 1
    last = queue
    begin(first.width, queue)
    return (first.ticket, first.width, queue)
  }

  /// `queue` nil: the queues have been dealt anew since it started.
  mutating func finish(_ width: Int, queue: Int?, seconds: Double) {
    seatsInUse -= width
    running -= 1
    guard let queue else { return }
    queues[queue].running -= width
    queues[queue].virtual += (seconds - Self.guess) * Double(width)
  }

  mutating func remove(_ ticket: Ticket) -> Bool {
    for queue in queues.indices {
      guard let index = queues[queue].waiting.firstIndex(where: { $0.ticket == ticket }) else { continue }
      queues[queue].waiting.remove(at: index)
      waitingCount -= 1
      return true
    }
    return false
  }

  /// Other queues from now on: who waits is dealt a new hand and keeps its place among those of its flow. Gives those for whom there
  /// is no place any more.
  mutating func reconfigure(_ queuing: PriorityLevel.Queuing?) -> [Ticket] {
    guard queuing != self.queuing else { return [] }
    let moved = queues.flatMap(\.waiting).sorted { $0.ticket < $1.ticket }
    self.queuing = queuing
    queues = Array(repeating: Queue(virtual: virtual), count: queuing?.queues ?? 1)
    waitingCount = 0
    last = -1
    return moved.filter { !wait($0.ticket, $0.width, hash: $0.hash, queue: place($0.hash)) }.map(\.ticket)
  }
}
