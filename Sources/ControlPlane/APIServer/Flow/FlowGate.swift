import FlowControl
import JSONCodec
import Synchronization

/// Where requests wait for their turn: the decisions are FlowControl's, the waiting is here.
final class FlowGate: Sendable {
  /// Seconds that a request may wait: a quarter of the minute that one has, as upstream.
  static let patienceSeconds = 15.0

  /// What a request has to give back.
  struct Pass: Sendable {
    let schema: FlowSchema
    let level: PriorityLevel
    /// Nil for the exempt.
    fileprivate let ticket: FlowControl.Ticket?
  }

  private enum Verdict: Sendable {
    case started
    case refused(FlowControl.Rejection)
  }
  private enum Waiter {
    case expected
    case waiting(CheckedContinuation<Verdict, Never>)
    case settled(Verdict)
  }
  private struct Series: Hashable, Comparable {
    let schema, level: String
    /// Nil: it ran.
    let rejection: FlowControl.Rejection?

    static func < (a: Series, b: Series) -> Bool {
      (a.level, a.schema, a.rejection?.rawValue ?? "") < (b.level, b.schema, b.rejection?.rawValue ?? "")
    }
  }
  private struct State {
    var control: FlowControl
    var waiters: [FlowControl.Ticket: Waiter] = [:]
    var counts: [Series: Int] = [:]
  }
  private let state: Mutex<State>
  private let patience: Double
  private let start = ContinuousClock.now

  init(seats: Int, patience: Double = FlowGate.patienceSeconds) {
    self.patience = patience
    let defaults = FlowConfiguration(
      schemas: DefaultFlows.mandatorySchemas + DefaultFlows.suggestedSchemas,
      levels: DefaultFlows.mandatoryLevels + DefaultFlows.suggestedLevels)
    state = Mutex(State(control: FlowControl(defaults, seats: seats)))
  }

  private var now: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// Returns when the request may run; throws where it may not.
  func enter(_ request: FlowRequest) async throws -> Pass {
    let now = now
    let (pass, arrival) = state.withLock { state -> (Pass?, FlowControl.Arrival) in
      guard let schema = state.control.configuration.schema(for: request), let level = state.control.configuration.levels[schema.level]
      else {
        return (nil, .exempt)
      }
      let arrival = state.control.arrive(request, schema, now: now)
      var ticket: FlowControl.Ticket?
      switch arrival {
      case .exempt: state.counts[Series(schema: schema.name, level: level.name, rejection: nil), default: 0] += 1
      case .run(let number):
        ticket = number
        state.counts[Series(schema: schema.name, level: level.name, rejection: nil), default: 0] += 1
      case .wait(let number):
        ticket = number
        state.waiters[number] = .expected
      case .reject(let why): state.counts[Series(schema: schema.name, level: level.name, rejection: why), default: 0] += 1
      }
      return (Pass(schema: schema, level: level, ticket: ticket), arrival)
    }
    // The catch-all takes every user that there is; whoever is in no group at all is not held up.
    guard let pass else {
      return Pass(
        schema: FlowSchema(DefaultFlows.mandatorySchemas[0]), level: PriorityLevel(DefaultFlows.mandatoryLevels[0]), ticket: nil)
    }
    switch arrival {
    case .exempt, .run: return pass
    case .reject(let why): throw Refusal(pass: pass, why: why)
    case .wait(let ticket):
      let verdict = await wait(ticket)
      let why: FlowControl.Rejection? = if case .refused(let why) = verdict { why } else { nil }
      state.withLock { $0.counts[Series(schema: pass.schema.name, level: pass.level.name, rejection: why), default: 0] += 1 }
      guard let why else { return pass }
      if why == .cancelled { throw CancellationError() }
      throw Refusal(pass: pass, why: why)
    }
  }

  struct Refusal: Error {
    let pass: Pass
    let why: FlowControl.Rejection

    var failure: APIFailure {
      APIFailure(
        429, "TooManyRequests", "Too many requests, please try again later.",
        details: ["retryAfterSeconds": 1, "causes": [["reason": "\(why.rawValue)", "message": "priority level \(pass.level.name)"]]])
    }
  }

  private func wait(_ ticket: FlowControl.Ticket) async -> Verdict {
    let timer = Task { [patience] in
      guard (try? await Task.sleep(for: .seconds(patience))) != nil else { return }
      self.giveUp(ticket, .timeOut)
    }
    defer { timer.cancel() }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let known = state.withLock { state -> Verdict? in
          if case .settled(let verdict)? = state.waiters[ticket] {
            state.waiters[ticket] = nil
            return verdict
          }
          state.waiters[ticket] = .waiting(continuation)
          return nil
        }
        if let known { continuation.resume(returning: known) }
      }
    } onCancel: {
      giveUp(ticket, .cancelled)
    }
  }

  private func giveUp(_ ticket: FlowControl.Ticket, _ why: FlowControl.Rejection) {
    let waiting = state.withLock { state in
      state.control.giveUp(ticket) ? Self.settle(ticket, .refused(why), &state) : nil
    }
    waiting?.resume(returning: .refused(why))
  }

  /// The one to wake, where somebody waits already.
  private static func settle(_ ticket: FlowControl.Ticket, _ verdict: Verdict, _ state: inout State) -> CheckedContinuation<Verdict, Never>?
  {
    if case .waiting(let continuation)? = state.waiters[ticket] {
      state.waiters[ticket] = nil
      return continuation
    }
    state.waiters[ticket] = .settled(verdict)
    return nil
  }

  /// Gives the seat back. To be called once for each pass.
  func leave(_ pass: Pass) {
    guard let ticket = pass.ticket else { return }
    let now = now
    let woken = state.withLock { state in
      state.control.finish(ticket, now: now).started.compactMap { Self.settle($0, .started, &state) }
    }
    for continuation in woken { continuation.resume(returning: .started) }
  }

  func configure(_ configuration: FlowConfiguration) {
    let now = now
    typealias Woken = [CheckedContinuation<Verdict, Never>]
    let (started, rejected) = state.withLock { state -> (Woken, Woken) in
      guard state.control.configuration != configuration else { return ([], []) }
      let outcome = state.control.configure(configuration, now: now)
      return (
        outcome.started.compactMap { Self.settle($0, .started, &state) },
        outcome.rejected.compactMap { Self.settle($0, .refused(.queueFull), &state) }
      )
    }
    for continuation in started { continuation.resume(returning: .started) }
    for continuation in rejected { continuation.resume(returning: .refused(.queueFull)) }
  }

  /// What the levels do at this moment, with the counts since the start.
  func snapshot() -> FlowSnapshot {
    state.withLock { state in
      FlowSnapshot(
        levels: state.control.configuration.levels.values.sorted { $0.name < $1.name }.map { level in
          func count(_ rejection: FlowControl.Rejection?...) -> Int {
            state.counts.reduce(0) { $1.key.level == level.name && rejection.contains($1.key.rejection) ? $0 + $1.value : $0 }
          }
          return FlowSnapshot.Level(
            name: level.name, queues: level.isExempt ? nil : state.control.queues(of: level.name), dispatched: count(nil),
            rejected: count(.queueFull, .concurrencyLimit), timedOut: count(.timeOut), cancelled: count(.cancelled))
        })
    }
  }

  func load(of level: String) -> (seats: Int, running: Int, waiting: Int) { state.withLock { $0.control.load(of: level) } }

  /// In Prometheus' text form.
  var metrics: String {
    state.withLock { state in
      var text = "# HELP apiserver_flowcontrol_dispatched_requests_total Requests that were let in.\n"
      text += "# TYPE apiserver_flowcontrol_dispatched_requests_total counter\n"
      let sorted = state.counts.sorted { $0.key < $1.key }
      func labels(_ series: Series) -> String { "flow_schema=\"\(series.schema)\",priority_level=\"\(series.level)\"" }
      for (series, count) in sorted where series.rejection == nil {
        text += "apiserver_flowcontrol_dispatched_requests_total{\(labels(series))} \(count)\n"
      }
      text += "# HELP apiserver_flowcontrol_rejected_requests_total Requests that were turned away.\n"
      text += "# TYPE apiserver_flowcontrol_rejected_requests_total counter\n"
      for (series, count) in sorted {
        guard let why = series.rejection else { continue }
        text += "apiserver_flowcontrol_rejected_requests_total{\(labels(series)),reason=\"\(why.rawValue)\"} \(count)\n"
      }
      let names = state.control.configuration.levels.values.filter { !$0.isExempt }.map(\.name).sorted()
      func gauge(_ name: String, _ help: String, _ value: (String) -> Int) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) gauge\n"
        for level in names { text += "\(name){priority_level=\"\(level)\"} \(value(level))\n" }
      }
      gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait.") { state.control.load(of: $0).waiting }
      gauge("apiserver_flowcontrol_current_executing_requests", "Requests that run.") { state.control.load(of: $0).running }
      gauge("apiserver_flowcontrol_nominal_limit_seats", "Seats of the level.") { state.control.seats(of: $0)?.nominal ?? 0 }
      return text
    }
  }
}
