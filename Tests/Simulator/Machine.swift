import JSONCodec
import KubernetesAPI
import Synchronization

/// A machine with its containers, which outlive its agent.
final class Machine: Sendable {
  struct Container: Sendable {
    let uid, name: String
    let hasIdentity: Bool
    let milliCPU: Int64
    /// Nil while it runs.
    var exitCode: Int?
    var runs = 1
  }

  let name: String
  let milliCPU: Int64 = 4_000
  private let world: World
  private let containers = Mutex<[String: Container]>([:])

  init(_ name: String, _ world: World) {
    self.name = name
    self.world = world
  }

  func container(_ uid: String) -> Container? { containers.withLock { $0[uid] } }
  var all: [Container] { containers.withLock { $0.values.sorted { $0.uid < $1.uid } } }
  var usedCPU: Int64 { containers.withLock { $0.values.reduce(0) { $0 + ($1.exitCode == nil ? $1.milliCPU : 0) } } }

  func start(_ container: Container) {
    containers.withLock { containers in
      var container = container
      container.runs = (containers[container.uid]?.runs ?? 0) + 1
      containers[container.uid] = container
    }
    world.trace("\(name): \(container.name) runs")
    world.judge.started(container.uid, container.name, hasIdentity: container.hasIdentity, on: name)
  }

  func exit(_ uid: String, code: Int) {
    guard
      let container = containers.withLock({ containers -> Container? in
        containers[uid]?.exitCode = code
        return containers[uid]
      })
    else { return }
    world.trace("\(name): \(container.name) exits with \(code)")
    world.judge.stopped(uid, container.name, on: name)
  }

  func remove(_ uid: String) {
    guard let container = containers.withLock({ $0.removeValue(forKey: uid) }) else { return }
    world.trace("\(name): \(container.name) is removed")
    world.judge.stopped(uid, container.name, on: name)
  }

  /// The power fails: what ran runs no more.
  func powerOff() {
    world.trace("\(name): the power is off")
    for container in all { remove(container.uid) }
  }
}
