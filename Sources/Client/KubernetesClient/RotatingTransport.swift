import NIOCore
import Synchronization

/// An `HTTPTransport` whose credential can be replaced while it is in use. New requests go out under the new one at once, those under
/// way end as they began, and watches end as if the server had ended them: their readers go on where they were.
package final class RotatingTransport: APITransport {
  /// Seconds that requests under way get before their connections close; none may take longer anyway.
  static let graceSeconds = HTTPTransport.answerSecondsMax + 5

  private typealias Continuation = AsyncThrowingStream<WatchEvent, any Error>.Continuation

  private struct State {
    var current: HTTPTransport
    var generation = 0
    var retired: [Int: HTTPTransport] = [:]
    var watches: [Int: Continuation] = [:]
    var nextWatch = 0
  }

  private let state: Mutex<State>
  private let userAgent: String
  private let group: any EventLoopGroup
  private let refused: @Sendable (String) -> Void

  /// - Parameter refused: called with the server's message whenever it does not take the credential (401).
  package init(
    _ kubeconfig: Kubeconfig, userAgent: String, group: any EventLoopGroup, refused: @escaping @Sendable (String) -> Void = { _ in }
  ) throws {
    self.userAgent = userAgent
    self.group = group
    self.refused = refused
    state = Mutex(State(current: try HTTPTransport(kubeconfig, userAgent: userAgent, group: group)))
  }

  package func replace(_ kubeconfig: Kubeconfig) throws {
    let next = try HTTPTransport(kubeconfig, userAgent: userAgent, group: group)
    let (generation, watches) = state.withLock { state in
      state.retired[state.generation] = state.current
      state.current = next
      defer {
        state.generation += 1
        state.watches = [:]
      }
      return (state.generation, Array(state.watches.values))
    }
    for watch in watches { watch.finish() }
    Task { [weak self] in
      try? await Task.sleep(for: .seconds(Self.graceSeconds))
      await self?.state.withLock { $0.retired.removeValue(forKey: generation) }?.shutdown()
    }
  }

  package func shutdown() async {
    let (all, watches) = state.withLock { state in
      defer {
        state.retired = [:]
        state.watches = [:]
      }
      return (Array(state.retired.values) + [state.current], Array(state.watches.values))
    }
    for watch in watches { watch.finish() }
    for transport in all { await transport.shutdown() }
  }

  package func send(_ request: APIRequest) async throws -> APIResponse {
    let response = try await state.withLock { $0.current }.send(request)
    if response.status == 401 { refused(APIStatusError(response).message) }
    return response
  }

  package func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    let (transport, generation) = state.withLock { ($0.current, $0.generation) }
    let events: AsyncThrowingStream<WatchEvent, any Error>
    do {
      events = try await transport.watch(request)
    } catch let error as APIStatusError {
      if error.code == 401 { refused(error.message) }
      throw error
    }
    return AsyncThrowingStream { continuation in
      // A replacement since the watch was asked for ends it as well.
      guard let id = register(continuation, generation) else { return continuation.finish() }
      let task = Task {
        do {
          for try await event in events { continuation.yield(event) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { [weak self] _ in
        task.cancel()
        self?.state.withLock { _ = $0.watches.removeValue(forKey: id) }
      }
    }
  }

  private func register(_ continuation: Continuation, _ generation: Int) -> Int? {
    state.withLock { state in
      guard state.generation == generation else { return nil }
      state.nextWatch += 1
      state.watches[state.nextWatch] = continuation
      return state.nextWatch
    }
  }
}
