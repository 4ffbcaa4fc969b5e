import KubernetesClient

/// What goes wrong, when the dice say so: everything but the data that the store promised to keep.
struct Chaos {
  let world: World
  let components: [Component]
  let nodes: [Node]

  /// A machine and the agent on it.
  struct Node: Sendable {
    let machine: Machine
    let agent: Component
  }

  /// Faults until a virtual time in seconds; then everything is mended.
  func run(until end: Double) async {
    world.weather = .rough
    while world.seconds < end {
      await world.sleep(world.roll { $0.between(5, 150) })
      guard world.seconds < end else { break }
      await strike(before: end)
    }
    world.weather = .fine
    if !world.isServing { await startServer() }
    for component in components + nodes.map(\.agent) {
      component.link?.partition(false)
      if !component.isRunning { component.start() }
    }
    world.trace("everything is mended")
  }

  private func strike(before end: Double) async {
    switch world.roll({ $0.below(12) }) {
    case 0:
      guard world.isServing else { return }
      world.crashServer()
      for component in components + nodes.map(\.agent) { component.link?.breakStreams() }
      await world.sleep(world.roll { $0.between(0.1, 30) })
      await startServer()
    case 1, 2, 3:
      guard let component = world.roll({ $0.pick(components) }) else { return }
      await bounce(component, seconds: world.roll { $0.between(0.1, 60) })
    case 4, 5:
      guard let node = world.roll({ $0.pick(nodes) }) else { return }
      await bounce(node.agent, seconds: world.roll { $0.between(0.1, 90) })
    case 6:
      guard let component = world.roll({ $0.pick(components) }) else { return }
      world.trace("\(component.name) is cut off")
      component.link?.partition(true)
      later(before: end, world.roll { $0.between(1, 60) }) { component.link?.partition(false) }
    case 7, 8:
      guard let node = world.roll({ $0.pick(nodes) }), let link = node.agent.link else { return }
      world.trace("\(node.machine.name) is cut off")
      link.partition(true)
      later(before: end, world.roll { $0.chance(0.4) ? $0.between(300, 900) : $0.between(5, 120) }) {
        world.trace("\(node.machine.name) is back")
        link.partition(false)
      }
    case 9:
      guard let node = world.roll({ $0.pick(nodes) }), node.agent.isRunning else { return }
      node.agent.crash()
      node.machine.powerOff()
      later(before: end, world.roll { $0.chance(0.4) ? $0.between(300, 900) : $0.between(20, 120) }) {
        if !node.agent.isRunning { node.agent.start() }
      }
    case 10:
      world.trace("the history is compacted")
      try? await world.store.compact(before: world.store.newest)
    default:
      world.trace("all streams break")
      for component in components + nodes.map(\.agent) { component.link?.breakStreams() }
    }
  }

  private func bounce(_ component: Component, seconds: Double) async {
    guard component.isRunning else { return }
    component.crash()
    await world.sleep(seconds)
    if !component.isRunning { component.start() }
  }

  /// Mends something after a while, unless everything was mended before.
  private func later(before end: Double, _ seconds: Double, _ body: @escaping @Sendable () -> Void) {
    let world = world
    guard world.seconds + seconds < end else { return }
    Task {
      await world.sleep(seconds)
      body()
    }
  }

  private func startServer() async {
    do {
      try await world.startServer()
    } catch {
      world.violation("the API server does not start again: \(error)")
    }
  }
}
