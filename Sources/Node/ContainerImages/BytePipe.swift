import Glibc
import NIOCore

/// Carries bytes from a task (the download) to a plain thread (the unpacking), holding little: the writer is suspended while
/// `bufferedBytesMax` bytes wait, the reader's thread sleeps while there are none.
///
/// `@unchecked Sendable`: every stored property but the two pthread objects is read and written only with `mutex` held.
final class BytePipe: @unchecked Sendable {
  /// Bytes that may wait to be unpacked before the download pauses.
  static let bufferedBytesMax = 1 << 20

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let arrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [ByteBuffer] = []
  private var bufferedBytes = 0
  private var end: Result<Void, any Error>?
  private var readerLeft: (any Error)?
  private var waitingWriter: CheckedContinuation<Void, any Error>?

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(arrived, nil)
  }

  deinit {
    pthread_cond_destroy(arrived)
    pthread_mutex_destroy(mutex)
    arrived.deallocate()
    mutex.deallocate()
  }

  private func locked<T>(_ body: () throws -> T) rethrows -> T {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// One writer at a time. Throws what the reader left with.
  func write(_ bytes: ByteBuffer) async throws {
    guard bytes.readableBytes > 0 else { return }
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      let answer: Result<Void, any Error>? = locked {
        if let readerLeft { return .failure(readerLeft) }
        queue.append(bytes)
        bufferedBytes += bytes.readableBytes
        pthread_cond_signal(arrived)
        guard bufferedBytes > Self.bufferedBytesMax else { return .success(()) }
        waitingWriter = continuation
        return nil
      }
      if let answer { continuation.resume(with: answer) }
    }
  }

  /// No more bytes will come: the end of the content, or why there will be none. Only the first call counts.
  func finish(_ result: Result<Void, any Error>) {
    locked {
      if end == nil { end = result }
      pthread_cond_signal(arrived)
    }
  }

  /// Blocks the calling thread until there are bytes or the end.
  func read() throws -> ByteBuffer? {
    var writer: CheckedContinuation<Void, any Error>?
    defer { writer?.resume() }
    return try locked {
      while queue.isEmpty, end == nil { pthread_cond_wait(arrived, mutex) }
      // What has arrived before an error is still good, but nobody needs it: the error decides.
      if case .failure(let error)? = end { throw error }
      guard !queue.isEmpty else { return nil }
      let bytes = queue.removeFirst()
      bufferedBytes -= bytes.readableBytes
      if bufferedBytes <= Self.bufferedBytesMax / 2, let waiting = waitingWriter {
        writer = waiting
        waitingWriter = nil
      }
      return bytes
    }
  }

  /// The reader goes; a writer gets `error` from now on.
  func readerLeaves(_ error: any Error) {
    var writer: CheckedContinuation<Void, any Error>?
    locked {
      readerLeft = error
      queue = []
      bufferedBytes = 0
      writer = waitingWriter
      waitingWriter = nil
    }
    writer?.resume(throwing: error)
  }
}
