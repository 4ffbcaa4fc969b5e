import Synchronization

/// News from many tasks for one reader, who takes all there are at once.
final class Inbox<News: Sendable>: Sendable {
  private let waiting = Mutex<[News]>([])
  /// Something may be there, or `poke` was called.
  let signals: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation

  init() {
    (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func put(_ news: News) {
    waiting.withLock { $0.append(news) }
    signal.yield()
  }

  func poke() { signal.yield() }

  func take() -> [News] {
    waiting.withLock { waiting in
      defer { waiting = [] }
      return waiting
    }
  }
}
