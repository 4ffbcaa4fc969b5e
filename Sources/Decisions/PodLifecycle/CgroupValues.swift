import JSONCodec
import KubernetesAPI

/// What the kernel enforces for a container, from its requests and limits.
///
/// Sources: cgroup-v2.rst for the files; the shares and quota rules are those of Kubernetes' kuberuntime, the weight
/// is crun's and runc's newer curve (100 for 1024 shares).
package struct CgroupValues: Sendable, Equatable {
  /// Microseconds per period; nil: no limit.
  package var cpuQuotaMicros: Int64?
  package var cpuPeriodMicros: Int64 = 100_000
  /// 1...10000.
  package var cpuWeight: Int64?
  /// Bytes.
  package var memoryMax: Int64?
  package var pidsMax: Int64?
  package var oomScoreAdj: Int = 0

  package static let quotaMicrosMin: Int64 = 1000
  package static let sharesMin: Int64 = 2
  package static let sharesMax: Int64 = 262_144

  package init() {}

  /// 1024 shares for a CPU, at least 2.
  package static func shares(milliCPU: Int64) -> Int64 {
    guard milliCPU > 0 else { return sharesMin }
    return min(max(milliCPU * 1024 / 1000, sharesMin), sharesMax)
  }

  /// The linear map of 2...262144 shares onto weights of 1...10000.
  package static func weight(shares: Int64) -> Int64 {
    1 + (min(max(shares, sharesMin), sharesMax) - 2) * 9999 / 262_142
  }

  package static func quota(milliCPU: Int64, periodMicros: Int64 = 100_000) -> Int64? {
    guard milliCPU > 0 else { return nil }
    return max(milliCPU * periodMicros / 1000, quotaMicrosMin)
  }

  /// A container's values. Without a cpu request its limit counts as one, as the API server defaults it.
  package init(container: Container, pod: Pod, nodeMemoryBytes: Int64) {
    let cpuLimit = container.limit("cpu")
    let cpuRequest = container.request("cpu") ?? cpuLimit
    cpuWeight = Self.weight(shares: Self.shares(milliCPU: cpuRequest?.milliValue ?? 0))
    cpuQuotaMicros = cpuLimit.flatMap { Self.quota(milliCPU: $0.milliValue) }
    memoryMax = container.limit("memory").flatMap { $0.value > 0 ? $0.value : nil }
    oomScoreAdj = Self.oomScoreAdj(container: container, pod: pod, nodeMemoryBytes: nodeMemoryBytes)
  }

  /// -997 for Guaranteed and node-critical pods, 1000 for BestEffort, and for Burstable less the more memory is requested.
  package static func oomScoreAdj(container: Container, pod: Pod, nodeMemoryBytes: Int64) -> Int {
    if pod.spec.priority >= 2_000_001_000 { return -997 }
    switch pod.qosClass {
    case .guaranteed: return -997
    case .bestEffort: return 1000
    case .burstable:
      let requested = container.request("memory") ?? container.limit("memory")
      guard nodeMemoryBytes > 0, let requested else { return 999 }
      let score = 1000 - Int(1000 * requested.value / nodeMemoryBytes)
      return min(max(score, 3), 999)
    }
  }

  /// The pod's own cgroup: what the pod names as a whole (`spec.resources`), else the sum of its
  /// containers, or of the largest init container where that is more. A quota or a memory limit only where every container has one.
  package init(pod: Pod, nodeMemoryBytes: Int64) {
    let regular = pod.spec.containers + pod.spec.initContainers.filter(\.isSidecar)
    let initial = pod.spec.initContainers.filter { !$0.isSidecar }
    func total(_ value: (Container) -> Int64?) -> Int64? {
      var sum: Int64 = 0
      for container in regular {
        guard let one = value(container), one > 0 else { return nil }
        sum += one
      }
      for container in initial {
        guard let one = value(container), one > 0 else { return nil }
        sum = max(sum, one)
      }
      return sum
    }
    let cpuRequests = regular.reduce(Int64(0)) { $0 + (($1.request("cpu") ?? $1.limit("cpu"))?.milliValue ?? 0) }
    let initRequest = initial.map { ($0.request("cpu") ?? $0.limit("cpu"))?.milliValue ?? 0 }.max() ?? 0
    let overhead = pod.spec.json["overhead"]
    let whole = pod.spec.json["resources"]
    let wholeRequest = (whole["requests"]["cpu"].quantity ?? whole["limits"]["cpu"].quantity)?.milliValue
    let cpuOverhead = overhead["cpu"].quantity?.milliValue ?? 0
    cpuWeight = Self.weight(shares: Self.shares(milliCPU: (wholeRequest ?? max(cpuRequests, initRequest)) + cpuOverhead))
    let cpuLimit = whole["limits"]["cpu"].quantity?.milliValue ?? total { $0.limit("cpu")?.milliValue }
    cpuQuotaMicros = cpuLimit.flatMap { Self.quota(milliCPU: $0 + cpuOverhead) }
    let memoryLimit = whole["limits"]["memory"].quantity?.value ?? total { $0.limit("memory")?.value }
    memoryMax = memoryLimit.map { $0 + (overhead["memory"].quantity?.value ?? 0) }
  }
}
