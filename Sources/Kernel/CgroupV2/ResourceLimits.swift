/// What a cgroup may use. nil: no limit of its own.
package struct ResourceLimits: Sendable, Equatable {
  /// Microseconds of CPU time per period.
  package var cpuQuotaMicros: Int64?
  /// Microseconds.
  package var cpuPeriodMicros: Int64 = 100_000
  /// 1...10000, the kernel's default is 100 (cgroup-v2.rst, CPU).
  package var cpuWeight: Int64?
  /// Bytes.
  package var memoryMax: Int64?
  /// Bytes that reclaim leaves alone.
  package var memoryMin: Int64?
  package var pidsMax: Int64?
  package init() {}

  /// File and content, in the order of writing. The CPU quota comes last: a container that is being set up should not be throttled
  /// by its own limit.
  package var settings: [(file: String, value: String, controller: String)] {
    var result: [(String, String, String)] = []
    if let memoryMin { result.append(("memory.min", "\(memoryMin)", "memory")) }
    if let memoryMax { result.append(("memory.max", "\(memoryMax)", "memory")) }
    if let pidsMax { result.append(("pids.max", "\(pidsMax)", "pids")) }
    if let cpuWeight { result.append(("cpu.weight", "\(min(max(cpuWeight, 1), 10_000))", "cpu")) }
    if let cpuQuotaMicros { result.append(("cpu.max", "\(max(cpuQuotaMicros, 1_000)) \(cpuPeriodMicros)", "cpu")) }
    return result
  }
}
