import NIOCore
import Synchronization

/// Bytes on their way from an event loop to the one task that reads them.
///
/// The loop pushes and looks at the returned count to decide whether to go on reading from the socket; the reader's progress
/// comes back through `onTaken`.
package final class ByteInbox: Sendable {
  /// Above this the loop should stop reading.
  package static let bytesMax = 256 * 1024
  /// Progress is reported in steps of this size, and when the inbox becomes empty.
  static let reportBytes = 32 * 1024

  private struct State {
    var queue = CircularBuffer<ByteBuffer>()
    var bytes = 0
    var isFinished = false
    var takenUnreported = 0
    var waiter: CheckedContinuation<ByteBuffer?, Never>?
  }
  private let state = Mutex(State())
  private let onTaken: @Sendable (_ bytes: Int) -> Void

  package init(onTaken: @escaping @Sendable (_ bytes: Int) -> Void = { _ in }) { self.onTaken = onTaken }

  /// Bytes that nobody has taken yet.
  package var count: Int { state.withLock { $0.bytes } }

  /// Adds bytes and returns how many wait now. After `finish` they are dropped.
  @discardableResult
  package func push(_ buffer: ByteBuffer) -> Int {
    let (waiter, count) = state.withLock { state -> (CheckedContinuation<ByteBuffer?, Never>?, Int) in
      guard !state.isFinished, buffer.readableBytes > 0 else { return (nil, state.bytes) }
      if let waiter = state.waiter {
        state.waiter = nil
        return (waiter, 0)
      }
      state.queue.append(buffer)
      state.bytes += buffer.readableBytes
      return (nil, state.bytes)
    }
    if let waiter {
      waiter.resume(returning: buffer)
      onTaken(buffer.readableBytes)
    }
    return count
  }

  /// Nothing more comes; what is there can still be read.
  package func finish() {
    let waiter = state.withLock { state in
      state.isFinished = true
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(returning: nil)
  }

  /// Finishes and forgets what was not read.
  package func discard() {
    finish()
    state.withLock { state in
      state.queue.removeAll()
      state.bytes = 0
    }
  }

  /// The next bytes; nil at the end, or when the reading task is cancelled.
  package func next() async -> ByteBuffer? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        var report = 0
        let result = state.withLock { state -> ByteBuffer?? in
          if let buffer = state.queue.popFirst() {
            state.bytes -= buffer.readableBytes
            state.takenUnreported += buffer.readableBytes
            if state.takenUnreported >= Self.reportBytes || state.bytes == 0 {
              report = state.takenUnreported
              state.takenUnreported = 0
            }
            return .some(buffer)
          }
          if state.isFinished || Task.isCancelled { return .some(nil) }
          state.waiter = continuation
          return nil
        }
        if report > 0 { onTaken(report) }
        if let result { continuation.resume(returning: result) }
      }
    } onCancel: {
      finish()
    }
  }

  /// The same as a sequence that pulls: reading it slowly slows the sender down.
  package var stream: AsyncStream<ByteBuffer> { AsyncStream(unfolding: { await self.next() }) }
}

/// Tasks that wait until a channel takes more bytes. Used on the channel's event loop.
struct WriteGate {
  private var waiting: [CheckedContinuation<Void, any Error>] = []

  mutating func wait(_ continuation: CheckedContinuation<Void, any Error>, for channel: any Channel) {
    if channel.isWritable { continuation.resume() } else { waiting.append(continuation) }
  }

  mutating func open() { resume(.success(())) }
  mutating func fail(_ error: any Error) { resume(.failure(error)) }

  private mutating func resume(_ result: Result<Void, any Error>) {
    let continuations = waiting
    waiting.removeAll()
    for continuation in continuations { continuation.resume(with: result) }
  }
}
