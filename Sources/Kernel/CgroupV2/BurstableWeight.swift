import LinuxKernel
import Synchronization
import SystemPackage

/// The weight of the burstable group. Guaranteed pods lie beside the group, not in it, so it has to weigh as much as its pods
/// together: with a weight of its own, many pods would share what one may ask for, or one would outweigh all Guaranteed ones.
package final class BurstableWeight: Sendable {
  /// cgroup-v2.rst, CPU.
  package static let kernelDefault: Int64 = 100
  private static let range: ClosedRange<Int64> = 1...10_000

  private let group: FilePath
  private let weights: Mutex<[String: Int64]>

  /// Takes over the pods that are there.
  package init(_ tree: CgroupTree) throws(KernelError) {
    group = tree.parent(of: .burstable)
    weights = Mutex(try tree.burstableWeights())
  }

  /// A pod has come, has another weight, or (nil) has gone.
  package func set(_ weight: Int64?, ofPod uid: String) throws(KernelError) {
    // Written under the lock: the last one to write must be the last one to count.
    let outcome: Result<Void, KernelError> = weights.withLock { weights in
      guard weights[uid] != weight else { return .success(()) }
      weights[uid] = weight
      let total = Self.total(weights.values)
      do throws(KernelError) {
        let directory = try CgroupDirectory(opening: group)
        if directory.has("cpu.weight") { try directory.set("cpu.weight", "\(total)") }
        return .success(())
      } catch { return .failure(error) }
    }
    try outcome.get()
  }

  /// Within what cpu.weight takes; 1 without pods.
  static func total(_ weights: some Sequence<Int64>) -> Int64 {
    min(max(weights.reduce(0, +), range.lowerBound), range.upperBound)
  }
}
