import FlowControl

/// What the priority levels do at one moment.
struct FlowSnapshot: Sendable {
  struct Level: Sendable {
    let name: String
    /// Nil: exempt, nothing waits or is counted against seats.
    let queues: [QueueLoad]?
    let dispatched, rejected, timedOut, cancelled: Int
  }
  let levels: [Level]
}

/// The tables below /debug/api_priority_and_fairness/ (kubernetes: "API Priority and Fairness", debug endpoints).
enum FlowDump: String, CaseIterable {
  case levels = "dump_priority_levels"
  case queues = "dump_queues"

  static let prefix = "/debug/api_priority_and_fairness/"

  func text(_ snapshot: FlowSnapshot) -> String {
    switch self {
    case .levels: Self.table(Self.levelHeads, snapshot.levels.map(Self.row))
    case .queues: Self.table(Self.queueHeads, snapshot.levels.flatMap(Self.queueRows))
    }
  }

  private static let levelHeads = [
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests", "DispatchedRequests",
    "RejectedRequests", "TimedoutRequests", "CancelledRequests",
  ]
  private static let queueHeads = ["PriorityLevelName", "Index", "PendingRequests", "PendingSeats", "SeatsInUse", "NextDispatchR"]

  private static func row(_ level: FlowSnapshot.Level) -> [String] {
    guard let queues = level.queues else { return [level.name] + Array(repeating: "<none>", count: levelHeads.count - 1) }
    let waiting = queues.reduce(0) { $0 + $1.waiting }
    let seats = queues.reduce(0) { $0 + $1.seats }
    return [
      level.name, String(queues.count { $0.waiting > 0 }), String(waiting + seats == 0), "false", String(waiting), String(seats),
      String(level.dispatched), String(level.rejected), String(level.timedOut), String(level.cancelled),
    ]
  }

  private static func queueRows(_ level: FlowSnapshot.Level) -> [[String]] {
    guard let queues = level.queues else { return [[level.name] + Array(repeating: "<none>", count: queueHeads.count - 1)] }
    return queues.enumerated().map { index, queue in
      // Eight places after the point, as upstream's seat-seconds.
      let whole = Int64(queue.virtual * 1e8)
      let fraction = String(whole % 100_000_000)
      return [
        level.name, String(index), String(queue.waiting), String(queue.waitingSeats), String(queue.seats),
        "\(whole / 100_000_000).\(String(repeating: "0", count: 8 - fraction.count))\(fraction)ss",
      ]
    }
  }

  /// Cells with commas, in columns.
  static func table(_ heads: [String], _ rows: [[String]]) -> String {
    let all = [heads] + rows
    let widths = heads.indices.map { column in max(8, (all.map { $0[column].count + 1 }.max() ?? 0) + 1) }
    return all.map { row in
      row.enumerated().map { column, cell in
        column == row.count - 1 ? cell : "\(cell),".padded(to: widths[column])
      }.joined() + "\n"
    }.joined()
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

extension FlowGate {
  /// The table that a path names.
  func dump(_ path: String) -> String? { FlowDump(rawValue: String(path.dropFirst(FlowDump.prefix.count)))?.text(snapshot()) }
}
