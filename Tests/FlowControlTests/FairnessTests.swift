import JSONCodec
import Testing

@testable import FlowControl

/// The value in a place that many hands may change.
private final class Flow {
  private var value: FlowControl
  init(_ configuration: FlowConfiguration, seats: Int) { value = FlowControl(configuration, seats: seats) }
  func arrive(_ request: FlowRequest, now: Double = 0) -> FlowControl.Arrival {
    value.arrive(request, value.configuration.schema(for: request)!, now: now)
  }
  func finish(_ ticket: FlowControl.Ticket, now: Double) -> FlowControl.Outcome { value.finish(ticket, now: now) }
  func giveUp(_ ticket: FlowControl.Ticket) -> Bool { value.giveUp(ticket) }
  func configure(_ next: FlowConfiguration) -> FlowControl.Outcome { value.configure(next) }
  func load(of level: String) -> (seats: Int, running: Int, waiting: Int) { value.load(of: level) }
  func seats(of level: String) -> PriorityLevel.Seats? { value.seats(of: level) }
}

/// One limited level of a few seats, and a schema that tells users apart.
private func control(
  seats: Int, queues: Int = 16, hand: Int = 4, length: Int = 50, more: [JSON] = [], moreSchemas: [JSON] = []
) -> Flow {
  Flow(
    FlowConfiguration(schemas: [schema("s", level: "l")] + moreSchemas, levels: [level("l", 100, queues, hand, length), none] + more),
    seats: seats)
}

/// Nobody here is to count on the catch-all's seats.
private let none: JSON = [
  "metadata": ["name": "catch-all"],
  "spec": ["type": "Limited", "limited": ["nominalConcurrencyShares": 0, "limitResponse": ["type": "Reject"]]],
]

private func level(
  _ name: String, _ shares: Int, _ queues: Int = 16, _ hand: Int = 4, _ length: Int = 50, lendable: Int = 0, borrow: Int? = nil
) -> JSON {
  [
    "metadata": ["name": .string(name), "uid": .string("uid-" + name)],
    "spec": [
      "type": "Limited",
      "limited": [
        "nominalConcurrencyShares": JSON(shares), "lendablePercent": JSON(lendable),
        "borrowingLimitPercent": borrow.map { JSON($0) } ?? .null,
        "limitResponse": [
          "type": "Queue", "queuing": ["queues": JSON(queues), "handSize": JSON(hand), "queueLengthLimit": JSON(length)],
        ],
      ],
    ],
  ]
}

private func schema(_ name: String, level: String, prefix: String = "*") -> JSON {
  [
    "metadata": ["name": .string(name), "uid": .string("uid-" + name)],
    "spec": [
      "priorityLevelConfiguration": ["name": .string(level)], "matchingPrecedence": 100, "distinguisherMethod": ["type": "ByUser"],
      "rules": [
        [
          "subjects": [["kind": "Group", "group": ["name": .string(prefix)]]],
          "nonResourceRules": [["verbs": ["*"], "nonResourceURLs": ["*"]]],
        ]
      ],
    ],
  ]
}

private func asks(_ user: String, group: String = "g", width: Int = 1) -> FlowRequest {
  var request = FlowRequest(user: user, groups: [group], verb: "get", path: "/x")
  request.width = width
  return request
}

extension FlowControl.Arrival {
  fileprivate var ticket: FlowControl.Ticket? {
    switch self {
    case .run(let ticket), .wait(let ticket): ticket
    default: nil
    }
  }
  fileprivate var runs: Bool { if case .run = self { true } else { false } }
  fileprivate var waits: Bool { if case .wait = self { true } else { false } }
}

@Suite struct FlowControlTests {
  @Test func seatsThenQueueThenRefusal() {
    let flow = control(seats: 2, queues: 1, hand: 1, length: 3)
    let first = flow.arrive(asks("u"))
    #expect(first.runs && flow.arrive(asks("u")).runs)
    let waiting = (0..<3).map { _ in flow.arrive(asks("u")) }
    #expect(waiting.allSatisfy { $0.waits })
    #expect(flow.arrive(asks("u")) == .reject(.queueFull))
    #expect(flow.load(of: "l") == (2, 2, 3))
    // In the order of arrival.
    #expect(flow.finish(first.ticket!, now: 1).started == [waiting[0].ticket!])
    #expect(flow.giveUp(waiting[1].ticket!))
    #expect(!flow.giveUp(waiting[0].ticket!))
    #expect(flow.finish(waiting[0].ticket!, now: 2).started == [waiting[2].ticket!])
    #expect(flow.load(of: "l") == (2, 2, 0))
  }

  @Test func theExemptWaitForNobody() {
    let flow = Flow(FlowConfiguration(schemas: [], levels: []), seats: 1)
    let master = FlowRequest(user: "root", groups: ["system:masters"], verb: "get", path: "/x")
    for _ in 0..<100 { #expect(flow.arrive(master) == .exempt) }
    var stranger = master
    stranger.groups = ["system:authenticated"]
    #expect(flow.arrive(stranger).runs)
    // The catch-all has no queues.
    #expect(flow.arrive(stranger) == .reject(.concurrencyLimit))
  }

  @Test func finishingTwiceOrAStrangerChangesNothing() {
    let flow = control(seats: 1)
    let ticket = flow.arrive(asks("u")).ticket!
    #expect(flow.finish(99, now: 0) == FlowControl.Outcome())
    _ = flow.finish(ticket, now: 0)
    _ = flow.finish(ticket, now: 0)
    #expect(flow.load(of: "l") == (0, 0, 0))
  }

  @Test func wideRequestsTakeTheirSeats() {
    let flow = control(seats: 4)
    #expect(flow.arrive(asks("a", width: 3)).runs)
    #expect(flow.arrive(asks("b", width: 2)).waits)
    #expect(flow.load(of: "l").seats == 3)
    // Never wider than the whole level.
    let other = control(seats: 4)
    #expect(other.arrive(asks("a", width: 100)).runs)
    #expect(other.load(of: "l").seats == 4)
  }

  @Test func lentSeatsAndReservedOnes() {
    let levels = [level("low", 50, lendable: 80), level("high", 50, lendable: 20), none]
    let configuration = FlowConfiguration(
      schemas: [schema("a", level: "low", prefix: "low"), schema("b", level: "high", prefix: "high")], levels: levels)
    let flow = Flow(configuration, seats: 100)
    #expect(flow.seats(of: "low") == .init(nominal: 50, reserved: 10, most: .max))
    #expect(flow.seats(of: "high") == .init(nominal: 50, reserved: 40, most: .max))
    // A flood of the low level borrows what is lent, and leaves what is reserved.
    let flood = (0..<200).map { flow.arrive(asks("u\($0)", group: "low")) }
    #expect(flood.count { $0.runs } == 60)
    let high = (0..<50).map { flow.arrive(asks("v\($0)", group: "high")) }
    #expect(high.count { $0.runs } == 40)
    // Who has less than its own comes before who borrows.
    let ended = flood.first { $0.runs }!.ticket!
    let outcome = flow.finish(ended, now: 1)
    #expect(outcome.started.count == 1 && high.contains { $0.ticket == outcome.started[0] })
  }

  @Test func aLimitOnBorrowing() {
    let levels = [level("low", 50, borrow: 20), level("high", 50, lendable: 100), none]
    let configuration = FlowConfiguration(schemas: [schema("a", level: "low", prefix: "low")], levels: levels)
    let flow = Flow(configuration, seats: 100)
    #expect((0..<200).count { flow.arrive(asks("u\($0)", group: "low")).runs } == 60)
  }

  @Test func otherObjectsWhileRequestsWait() {
    let flow = control(seats: 1, queues: 8, hand: 2)
    let running = flow.arrive(asks("a")).ticket!
    let waiting = (0..<5).map { flow.arrive(asks("u\($0)")).ticket! }
    // More seats: those who wait start at once.
    var outcome = flow.configure(FlowConfiguration(schemas: [schema("s", level: "l")], levels: [level("l", 100, 4, 2), none]))
    #expect(outcome == FlowControl.Outcome())
    #expect(flow.load(of: "l") == (1, 1, 5))
    // One short queue: who finds no place is told.
    outcome = flow.configure(FlowConfiguration(schemas: [schema("s", level: "l")], levels: [level("l", 100, 1, 1, 2), none]))
    #expect(outcome.rejected == Array(waiting[2...]) && outcome.started.isEmpty)
    // The level goes: who waits still gets a turn, who comes finds another one.
    outcome = flow.configure(FlowConfiguration(schemas: [], levels: []))
    #expect(outcome.rejected.isEmpty)
    #expect(flow.finish(running, now: 1).started == [waiting[0]])
    #expect(flow.finish(waiting[0], now: 2).started == [waiting[1]])
    _ = flow.finish(waiting[1], now: 3)
    #expect(flow.seats(of: "l") == nil)
  }
}

/// Simulated clients in loops: whoever floods hurts himself only.
@Suite struct FairnessTests {
  /// Each client keeps as many requests open as it is said to; each request takes a hundredth of a second. Gives the requests that
  /// each client finished in the given seconds.
  private func simulate(_ clients: [(name: String, open: Int, width: Int)], seats: Int, seconds: Double, queues: Int = 64, hand: Int = 6)
    -> [String: Int]
  {
    let flow = control(seats: seats, queues: queues, hand: hand)
    var owner: [FlowControl.Ticket: Int] = [:]
    var ends: [(at: Double, ticket: FlowControl.Ticket)] = []
    var done: [String: Int] = [:]
    let step = 0.01
    var open = clients.map { _ in 0 }
    var now = 0.0
    while now < seconds {
      for (index, client) in clients.enumerated() {
        while open[index] < client.open {
          let arrival = flow.arrive(asks(client.name, width: client.width), now: now)
          guard let ticket = arrival.ticket else { break }
          owner[ticket] = index
          open[index] += 1
          if arrival.runs { ends.append((now + step, ticket)) }
        }
      }
      now += step
      let due = ends.filter { $0.at <= now + 1e-9 }
      ends.removeAll { $0.at <= now + 1e-9 }
      for one in due {
        let index = owner.removeValue(forKey: one.ticket)!
        open[index] -= 1
        done[clients[index].name, default: 0] += 1
        for started in flow.finish(one.ticket, now: now).started { ends.append((now + step, started)) }
      }
    }
    return done
  }

  @Test(arguments: [1, 2, 10, 40])
  func oneClientInALoopNeverStarvesAnother(_ seats: Int) {
    // The elephant would fill every seat a hundred times over.
    let done = simulate([("elephant", 400, 1), ("mouse", 1, 1)], seats: seats, seconds: 10)
    // Alone the mouse would get 1,000 through; its turn comes after at most a few of the elephant's queues.
    let fair = seats == 1 ? 120 : 250
    #expect(done["mouse", default: 0] >= fair)
    #expect(done["elephant", default: 0] > 0)
  }

  @Test func equalClientsGetEqualParts() {
    let done = simulate((0..<8).map { ("c\($0)", 30, 1) }, seats: 8, seconds: 20, queues: 128)
    let counts = done.values
    #expect(counts.count == 8)
    #expect(Double(counts.max()!) <= 1.5 * Double(counts.min()!))
    // And no seat lies idle.
    #expect(counts.reduce(0, +) >= Int(0.99 * 8 * 2_000))
  }

  @Test func wideRequestsPayForTheirSeats() {
    let done = simulate([("wide", 20, 4), ("narrow", 20, 1)], seats: 8, seconds: 20, queues: 64)
    // Counted in seats, not in requests.
    let (wide, narrow) = (done["wide", default: 0] * 4, done["narrow", default: 0])
    #expect(Double(narrow) >= 0.5 * Double(wide))
  }
}
