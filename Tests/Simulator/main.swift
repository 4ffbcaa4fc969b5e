import CSimulation
import Synchronization

nonisolated(unsafe) var done = false
VirtualTime.begin(seed: 7)
actor A { var n = 0; func bump() -> Int { n += 1; return n } }
Task.detached {
  let a = A()
  print(ContinuousClock.now, UInt64.random(in: 0...UInt64.max))
  await withTaskGroup(of: Void.self) { g in
    for i in 0..<5 { g.addTask { try? await Task.sleep(for: .seconds(Double(i) * 100)); print(i, await a.bump(), VirtualTime.shared.elapsed) } }
  }
  try? await Task.sleep(nanoseconds: 3_600_000_000_000)
  try? await Task.sleep(until: ContinuousClock.now + .seconds(5), tolerance: .seconds(1))
  print(VirtualTime.shared.elapsed, Array(Set(0..<20)))
  done = true
}
print(VirtualTime.run { done }, VirtualTime.shared.jobsRun)
