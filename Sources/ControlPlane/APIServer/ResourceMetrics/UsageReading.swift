import JSONCodec
import KubernetesAPI

/// What one kubelet said at one moment about its node, its pods and their containers (`/stats/summary`).
struct UsageReading: Sendable, Equatable {
  struct Counters: Sendable, Equatable {
    /// Nanoseconds of CPU time since it started.
    var cpu: Int64
    /// Bytes of the working set.
    var memory: Int64
    var startedAt: Timestamp?
    var at: Timestamp
  }
  struct PodName: Hashable, Sendable {
    let namespace: String
    let name: String
  }

  var node: Counters?
  /// The running containers of each pod.
  var pods: [PodName: [String: Counters]] = [:]

  /// `receivedAt` stands in where an entry does not tell its own time.
  init(summary: JSON, receivedAt: Timestamp) {
    node = Self.counters(summary["node"], receivedAt)
    for pod in summary["pods"].array ?? [] {
      let name = PodName(namespace: pod["podRef"]["namespace"].string ?? "", name: pod["podRef"]["name"].string ?? "")
      for container in pod["containers"].array ?? [] {
        if let counters = Self.counters(container, receivedAt) { pods[name, default: [:]][container["name"].string ?? ""] = counters }
      }
    }
  }

  private static func counters(_ entry: JSON, _ receivedAt: Timestamp) -> Counters? {
    guard let cpu = entry["cpu"]["usageCoreNanoSeconds"].int, let memory = entry["memory"]["workingSetBytes"].int else { return nil }
    return Counters(
      cpu: Int64(cpu), memory: Int64(memory), startedAt: entry["startTime"].string.flatMap { Timestamp(rfc3339: $0) },
      at: entry["cpu"]["time"].string.flatMap { Timestamp(rfc3339: $0) } ?? receivedAt)
  }
}

/// How much of a machine something used between two readings.
struct ResourceUsage: Sendable, Equatable {
  /// Billionths of a processor.
  let nanocores: Int64
  let bytes: Int64
  /// The end of the time that was looked at, and its length in seconds.
  let at: Timestamp
  let seconds: Double

  /// Nil where the two readings do not belong to the same life of it. What has started since the first is measured from its start.
  init?(from first: UsageReading.Counters?, to last: UsageReading.Counters) {
    let isSame = first.map { $0.cpu <= last.cpu && ($0.startedAt == nil || $0.startedAt == last.startedAt) } ?? false
    let since: Timestamp
    let before: Int64
    if isSame, let first {
      (since, before) = (first.at, first.cpu)
    } else {
      guard let started = last.startedAt else { return nil }
      (since, before) = (started, 0)
    }
    seconds = last.at.seconds(since: since)
    guard seconds > 0 else { return nil }
    nanocores = Int64((Double(last.cpu - before) / seconds).rounded())
    bytes = last.memory
    at = last.at
  }

  /// As quantities: billionths of a core, kibibytes.
  var json: JSON {
    ["cpu": .string(nanocores == 0 ? "0" : "\(nanocores)n"), "memory": .string(bytes < 1024 ? "0" : "\(bytes / 1024)Ki")]
  }

  /// As clients written in Go read a duration: `15.012s`, `1m2.5s`.
  static func duration(_ seconds: Double) -> String {
    let milliseconds = Int64((seconds * 1000).rounded())
    let (minutes, rest) = milliseconds.quotientAndRemainder(dividingBy: 60_000)
    var text = String(rest / 1000)
    var fraction = String(1000 + rest % 1000).dropFirst()
    while fraction.last == "0" { fraction.removeLast() }
    if !fraction.isEmpty { text += "." + fraction }
    return (minutes > 0 ? "\(minutes)m" : "") + text + "s"
  }
}
