import FoundationEssentials
import RevisionStore
import Synchronization

/// What the store does on this machine: durable writes a second, write to watch, point reads, small lists.
///
///     revision-store-bench [DIRECTORY]      one figure with its unit on a line
@main struct StoreBench {
  static let value = [UInt8](repeating: 0x76, count: 2_000)

  static func main() async throws {
    let directory = CommandLine.arguments.dropFirst().first ?? "/tmp"
    let path = "\(directory)/revision-store-bench-\(ProcessInfo.processInfo.processIdentifier).db"
    defer { for suffix in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
    let store = try SQLiteRevisionStore(path: path)
    for clients in [1, 16, 64, 1, 16, 64] {
      print("writes, \(clients) clients: \(Int(try await writes(store, clients: clients, for: .seconds(2)))) /s")
    }
    report(
      "get, 2 KB",
      try await times(20_000) { _ = try await store.get("/bench/0/\($0 % 100)", at: nil) })
    report(
      "list of 11, 2 KB each",
      try await times(5_000) { _ in _ = try await store.list(prefix: "/bench/0/1", after: nil, limit: 20, at: nil) })
    try await watchLatency(store)
    try await store.close()
  }

  static func writes(_ store: SQLiteRevisionStore, clients: Int, for time: Duration) async throws -> Double {
    let start = ContinuousClock.now
    let count = try await withThrowingTaskGroup(of: Int.self) { group in
      for client in 0..<clients {
        group.addTask {
          var done = 0
          while ContinuousClock.now - start < time {
            try await store.write(.put(key: "/bench/\(client)/\(done % 100)", value: value, .none))
            done += 1
          }
          return done
        }
      }
      return try await group.reduce(0, +)
    }
    return Double(count) / seconds(ContinuousClock.now - start)
  }

  static func watchLatency(_ store: SQLiteRevisionStore) async throws {
    let watch = try await store.watch(prefix: "/latency/", from: try await store.currentRevision())
    var iterator = watch.makeAsyncIterator()
    var writeTimes: [Double] = []
    var watchTimes: [Double] = []
    for index in 0..<500 {
      let start = ContinuousClock.now
      let written = Task {
        try await store.write(.put(key: "/latency/\(index)", value: value, .none))
        return ContinuousClock.now
      }
      _ = try await iterator.next()
      watchTimes.append(seconds(ContinuousClock.now - start))
      writeTimes.append(seconds(try await written.value - start))
    }
    report("write to watch", watchTimes)
    report("write to answer", writeTimes)
  }

  static func times(_ count: Int, _ body: @Sendable (Int) async throws -> Void) async throws -> [Double] {
    var samples: [Double] = []
    for index in 0..<count {
      let start = ContinuousClock.now
      try await body(index)
      samples.append(seconds(ContinuousClock.now - start))
    }
    return samples
  }

  static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  }

  static func report(_ name: String, _ samples: [Double]) {
    let sorted = samples.sorted()
    func at(_ share: Double) -> Int { Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] * 1e6) }
    print("\(name): p50 \(at(0.5)) us, p99 \(at(0.99)) us")
  }
}
