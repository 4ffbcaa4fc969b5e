import APIServer
import ControllerManager
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import NIOPosix
import RevisionStore
import Scheduler
import SystemPackage

/// One cluster's life: two controller managers and two schedulers of which one each leads, four nodes, people, and faults; then peace,
/// in which everything must come to what was asked for, and then rest.
struct Simulation {
  /// Virtual seconds that the cluster has to come to rest after the last fault: a dead node's grace and the tolerated time come first.
  static let settleMax = 1_500.0
  /// Virtual seconds in which nothing may be written but heartbeats.
  static let rest = 300.0

  let world: World
  let hours: Double

  /// Builds a world whose API servers live in a directory with the keys of a cluster.
  static func make(seed: UInt64, hours: Double, bug: DeliberateBug?, prints: Bool, keys: KeyRing) -> Simulation {
    let log = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    let world = World(seed: seed, bug: bug, prints: prints) { store in
      try APIServer(
        configuration: APIServerConfiguration(
          dataDirectory: keys.directory, serviceCIDR: "10.96.0.0/16", podCIDR: "10.244.0.0/16", authorityPEM: keys.authorityPEM),
        store: store, kubelets: keys.kubelets, group: keys.group, log: log)
    }
    return Simulation(world: world, hours: hours)
  }

  /// What every simulation of a process shares: it is not part of what is simulated.
  struct KeyRing: Sendable {
    let directory: FilePath
    let authorityPEM: String
    let kubelets: KubeletConnections
    let group: MultiThreadedEventLoopGroup

    init(directory: FilePath) throws {
      self.directory = directory
      group = MultiThreadedEventLoopGroup.singleton
      let authority = try CertificateAuthority(directory: directory.appending("pki"))
      authorityPEM = authority.certificatePEM
      kubelets = try KubeletConnections(
        credential: try authority.client(user: "simulation", groups: []), authority: authorityPEM, group: group)
    }
  }

  /// Runs it all; what went wrong is in the world's violations.
  func run() async {
    do {
      try await world.startServer()
    } catch {
      return world.violation("the API server does not start: \(error)")
    }
    let components = controlPlane()
    let nodes = (1...4).map { number -> Chaos.Node in
      let machine = Machine("n\(number)", world)
      let world = world
      return Chaos.Node(machine: machine, agent: Component("agent-n\(number)", world) { await Agent(machine, world, $0).run() })
    }
    for component in components + nodes.map(\.agent) { component.start() }
    let people = People(world, Link("people", world))
    await people.prepare()
    let end = hours * 3_600
    let chaos = Chaos(world: world, components: components, nodes: nodes)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await chaos.run(until: end) }
      group.addTask { await people.work(until: end) }
    }
    await people.settle()
    await settle(Convergence(world: world, machines: nodes.map(\.machine), people: people), since: world.seconds)
    for component in components + nodes.map(\.agent) { component.crash() }
    world.crashServer()
  }

  private func controlPlane() -> [Component] {
    let log = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    let world = world
    return [1, 2].flatMap { number in
      [
        Component("controllers-\(number)", world) { link in
          let client = world.client(link, user: "system:kube-controller-manager")
          await ControllerManager(client: client, identity: "controllers-\(number)", log: log).run()
        },
        Component("scheduler-\(number)", world) { link in
          let client = world.client(link, user: "system:kube-scheduler")
          await PodScheduler(client: client, identity: "scheduler-\(number)", log: log).run()
        },
      ]
    }
  }

  private func settle(_ convergence: Convergence, since start: Double) async {
    var left: [String] = ["nobody has looked yet"]
    while world.violations.isEmpty, !left.isEmpty {
      guard world.seconds - start < Self.settleMax else {
        for problem in left.prefix(10) { world.violation("not converged after \(Int(Self.settleMax)) s: \(problem)") }
        return
      }
      await world.sleep(10)
      do {
        left = try await convergence.problems()
      } catch {
        left = ["the cluster cannot be read: \(error)"]
      }
    }
    guard world.violations.isEmpty else { return }
    world.trace("converged after \(Int(world.seconds - start)) s")
    // Finished jobs are cleaned up after ten minutes; events expire; what else is written now is written for ever.
    await world.sleep(700)
    let before = world.judge.changes
    await world.sleep(Self.rest)
    // Each node's status, at its own pace.
    let heartbeats = 4 * 3
    if world.judge.changes - before > heartbeats {
      world.violation("no rest: \(world.judge.changes - before) writes in \(Int(Self.rest)) s, the last to \(world.judge.lastChange)")
    }
  }
}
