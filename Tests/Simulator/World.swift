import APIServer
import JSONCodec
import KubernetesAPI
import KubernetesClient
import Logging
import RevisionStore
import Synchronization

/// All that a simulation has in common: time, chance, the store, the API server of the moment, and what was seen.
final class World: Sendable {
  /// The lines of the trace that are kept for a failure.
  static let traceMax = 4_000

  private struct State {
    var dice: Dice
    var weather = Weather.fine
    var server: APIServer?
    var serving: Task<Void, Never>?
    /// Servers that crashed. Nobody shuts them down, so they must not go away.
    var dead: [APIServer] = []
    var trace: [String] = []
    var violations: [String] = []
    var requests = 0
  }

  let seed: UInt64
  let faults: Faults
  let prints: Bool
  private let state: Mutex<State>
  private let makeServer: @Sendable (any RevisionStore) throws -> APIServer
  let judge: Judge
  let store: MemoryStore

  init(seed: UInt64, bug: DeliberateBug?, prints: Bool, makeServer: @escaping @Sendable (any RevisionStore) throws -> APIServer) {
    self.seed = seed
    self.prints = prints
    self.makeServer = makeServer
    faults = Faults(bug: bug)
    let judge = Judge()
    self.judge = judge
    store = MemoryStore(ignoresRevisions: bug == .ignorePreconditions) { judge.see($0) }
    state = Mutex(State(dice: Dice(seed: seed)))
    judge.tell = { [unowned self] in violation($0) }
  }

  // MARK: time and chance

  func sleep(_ seconds: Double) async { try? await Task.sleep(for: .microseconds(Int64(seconds * 1e6))) }
  func roll<T: Sendable>(_ body: (inout Dice) -> T) -> T { state.withLock { body(&$0.dice) } }
  var weather: Weather {
    get { state.withLock { $0.weather } }
    set { state.withLock { $0.weather = newValue } }
  }
  /// Seconds since the simulation began.
  var seconds: Double { Double(VirtualTime.shared.elapsed) / 1e9 }

  // MARK: what was seen

  func trace(_ line: @autoclosure () -> String) {
    let text = "\(Self.clock(seconds)) \(line())"
    if prints { say(text) }
    state.withLock { state in
      state.trace.append(text)
      if state.trace.count > 2 * Self.traceMax { state.trace.removeFirst(Self.traceMax) }
    }
  }

  func violation(_ text: String) {
    trace("VIOLATION \(text)")
    state.withLock { $0.violations.append("\(Self.clock(seconds)) \(text)") }
  }

  var violations: [String] { state.withLock { $0.violations } }
  var lastTrace: [String] { state.withLock { Array($0.trace.suffix(Self.traceMax)) } }

  /// `1:02:03.456`
  static func clock(_ seconds: Double) -> String {
    let milli = Int(seconds * 1000)
    func two(_ n: Int) -> String { n < 10 ? "0\(n)" : "\(n)" }
    let rest = String(milli % 1000)
    return
      "\(milli / 3_600_000):\(two(milli / 60_000 % 60)):\(two(milli / 1000 % 60)).\(String(repeating: "0", count: 3 - rest.count))\(rest)"
  }

  // MARK: the API server

  var isServing: Bool { state.withLock { $0.server != nil } }

  func transport(user: String, groups: [String]) throws -> any APITransport {
    guard let server = state.withLock({ $0.server }) else { throw LinkDown() }
    return server.transport(user: user, groups: groups)
  }

  /// Starts an API server over the store as it is, with the loops that belong to it.
  func startServer() async throws {
    let server = try makeServer(store)
    try await server.recover()
    state.withLock { state in
      state.server = server
      state.serving = Task {
        do {
          try await server.runControllers()
        } catch {
          if !Task.isCancelled { self.violation("the API server's controllers ended: \(error)") }
        }
      }
    }
    trace("the API server runs")
  }

  /// The API server is gone from one moment to the next.
  func crashServer() {
    trace("the API server crashes")
    let serving = state.withLock { state in
      if let server = state.server { state.dead.append(server) }
      state.server = nil
      defer { state.serving = nil }
      return state.serving
    }
    serving?.cancel()
  }

  /// A client of a component.
  func client(_ link: Link, user: String, groups: [String] = ["system:masters"]) -> KubernetesClient {
    KubernetesClient(transport: LinkTransport(link: link, world: self, user: user, groups: groups))
  }

  /// A client that nothing disturbs, while there is a server.
  var observer: KubernetesClient {
    KubernetesClient(transport: ObserverTransport(world: self))
  }
}

/// Calls of whoever watches the simulation.
private struct ObserverTransport: APITransport {
  let world: World
  func send(_ request: APIRequest) async throws -> APIResponse {
    try await world.transport(user: "observer", groups: ["system:masters"]).send(request)
  }
  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    try await world.transport(user: "observer", groups: ["system:masters"]).watch(request)
  }
}

/// A process that can crash and come back.
final class Component: Sendable {
  private struct Running {
    let link: Link
    let task: Task<Void, Never>
  }

  let name: String
  private let world: World
  private let body: @Sendable (Link) async -> Void
  private let running = Mutex<Running?>(nil)

  init(_ name: String, _ world: World, _ body: @escaping @Sendable (Link) async -> Void) {
    self.name = name
    self.world = world
    self.body = body
  }

  var link: Link? { running.withLock { $0?.link } }
  var isRunning: Bool { running.withLock { $0 != nil } }

  func start() {
    let link = Link(name, world)
    let body = body
    running.withLock { $0 = Running(link: link, task: Task { await body(link) }) }
    world.trace("\(name) starts")
  }

  /// Nothing that it had under way is heard of any more.
  func crash() {
    let was = running.withLock { running in
      defer { running = nil }
      return running
    }
    guard let was else { return }
    world.trace("\(name) crashes")
    was.link.sever()
    was.task.cancel()
  }
}
