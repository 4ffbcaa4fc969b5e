import JSONCodec
import KubernetesClient
import Synchronization

struct LinkDown: Error {}

/// How a network behaves in a simulation.
struct Weather: Sendable {
  /// Chances, of each request: that it never arrives, and that only its answer is lost.
  var requestLost = 0.0
  var answerLost = 0.0
  /// Of each request or event: that it takes seconds.
  var slow = 0.0
  /// Of each event: that its stream breaks.
  var streamBreaks = 0.0

  static let fine = Weather()
  static let rough = Weather(requestLost: 0.01, answerLost: 0.01, slow: 0.01, streamBreaks: 0.004)
}

/// The connection of one component with the API server; what passes over it is late, and in bad weather lost.
final class Link: Sendable {
  private struct State {
    var isSevered = false
    var isPartitioned = false
    var streams: [Int: AsyncThrowingStream<WatchEvent, any Error>.Continuation] = [:]
    var streamsEver = 0
  }

  let name: String
  private let world: World
  private let state = Mutex(State())

  init(_ name: String, _ world: World) {
    self.name = name
    self.world = world
  }

  var isUp: Bool { world.isServing && state.withLock { !$0.isSevered && !$0.isPartitioned } }
  var isSevered: Bool { state.withLock { $0.isSevered } }

  /// The component is gone: nothing of it gets through any more.
  func sever() {
    state.withLock { $0.isSevered = true }
    breakStreams()
  }

  func partition(_ isPartitioned: Bool) {
    state.withLock { $0.isPartitioned = isPartitioned }
    if isPartitioned { breakStreams() }
  }

  func breakStreams() {
    let streams = state.withLock { state in
      defer { state.streams = [:] }
      return state.streams.sorted { $0.key < $1.key }.map(\.value)
    }
    for stream in streams { stream.finish(throwing: LinkDown()) }
  }

  fileprivate func add(_ stream: AsyncThrowingStream<WatchEvent, any Error>.Continuation) -> Int {
    state.withLock { state in
      state.streamsEver += 1
      state.streams[state.streamsEver] = stream
      return state.streamsEver
    }
  }

  fileprivate func drop(_ id: Int) { state.withLock { _ = $0.streams.removeValue(forKey: id) } }
}

/// Calls over a link, as a user.
struct LinkTransport: APITransport {
  let link: Link
  let world: World
  let user: String
  let groups: [String]

  private func pass() async throws {
    guard link.isUp else {
      await world.sleep(0.5)
      throw LinkDown()
    }
    let weather = world.weather
    let delay = world.roll { $0.chance(weather.slow) ? $0.between(0.5, 5) : $0.between(0.0005, 0.01) }
    await world.sleep(delay)
    guard link.isUp else { throw LinkDown() }
  }

  func send(_ request: APIRequest) async throws -> APIResponse {
    try await pass()
    let weather = world.weather
    if world.roll({ $0.chance(weather.requestLost) }) { throw LinkDown() }
    let request = world.faults.tamper(request, by: link.name)
    let response = world.faults.tamper(try await world.transport(user: user, groups: groups).send(request), to: link.name)
    if request.method != "GET" || response.status >= 400 {
      world.trace("\(link.name): \(request.method) \(request.path) -> \(response.status)\(Self.why(response))")
    }
    if world.roll({ $0.chance(weather.answerLost) }) {
      world.trace("\(link.name): the answer is lost")
      throw LinkDown()
    }
    try await pass()
    return response
  }

  private static func why(_ response: APIResponse) -> String {
    response.status < 400 ? "" : " " + (response.body["message"].string ?? "").prefix(160)
  }

  func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    try await pass()
    let events = try await world.transport(user: user, groups: groups).watch(request)
    let (stream, continuation) = AsyncThrowingStream<WatchEvent, any Error>.makeStream()
    let id = link.add(continuation)
    let (link, world) = (link, world)
    let task = Task {
      do {
        for try await event in events {
          let weather = world.weather
          let (isBroken, delay) = world.roll { dice in
            (dice.chance(weather.streamBreaks), dice.chance(weather.slow) ? dice.between(0.5, 15) : dice.between(0, 0.005))
          }
          if isBroken { throw LinkDown() }
          await world.sleep(delay)
          continuation.yield(world.faults.tamper(event, to: link.name))
        }
        continuation.finish()
      } catch {
        continuation.finish(throwing: error)
      }
    }
    continuation.onTermination = { _ in
      link.drop(id)
      task.cancel()
    }
    return stream
  }
}
