import LinuxKernel
import Logging
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Tells that a directory or a file has changed, by inotify. A thread of its own waits, so that nothing polls.
enum DirectoryWatch {
  static let changeMask = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_MODIFY)

  /// An element for every burst of changes, and a function that ends the watch.
  static func changes(
    of path: FilePath, mask: UInt32 = changeMask, log: Logger? = nil
  ) -> (AsyncStream<Void>, @Sendable () -> Void) {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let watch = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    var ends: [Int32] = [-1, -1]
    let hasPipe = pipe(&ends) == 0
    for end in ends where hasPipe { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let (wake, waker) = (ends[0], ends[1])
    guard watch >= 0, hasPipe, inotify_add_watch(watch, path.string, mask) >= 0 else {
      log?.error("changes of \(path) cannot be seen: \(Errno(rawValue: errno))")
      if watch >= 0 { close(watch) }
      if hasPipe { ends.forEach { close($0) } }
      continuation.finish()
      return (stream, {})
    }
    // The writing end closes once, by whoever ends the watch first; its hang-up is what the thread sees.
    let end = SharedEnd(waker)
    let stop: @Sendable () -> Void = { end.close() }
    continuation.onTermination = { _ in stop() }
    detachThread {
      var polls = [pollfd(fd: watch, events: Int16(POLLIN), revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
      let buffer = UnsafeMutableRawPointer.allocate(byteCount: 16 << 10, alignment: 8)
      while true {
        let count = poll(&polls, 2, -1)
        if count < 0, errno == EINTR { continue }
        if count < 0 || polls[1].revents != 0 { break }
        while read(watch, buffer, 16 << 10) > 0 {}
        continuation.yield()
      }
      buffer.deallocate()
      close(watch)
      close(wake)
      end.close()
      continuation.finish()
    }
    return (stream, stop)
  }
}

/// A descriptor that several may close, once.
private final class SharedEnd: Sendable {
  private let descriptor: Mutex<Int32>
  init(_ descriptor: Int32) { self.descriptor = Mutex(descriptor) }
  func close() {
    descriptor.withLock { descriptor in
      if descriptor >= 0 { _ = Glibc.close(descriptor) }
      descriptor = -1
    }
  }
}

/// Runs blocking work on a thread of its own.
func detachThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  pthread_attr_setstacksize(&attributes, 256 << 10)
  var thread = pthread_t()
  let box = Unmanaged.passRetained(Box(body))
  let result = pthread_create(
    &thread, &attributes,
    { argument in
      Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  pthread_attr_destroy(&attributes)
  // Out of threads: the work is done here rather than not at all.
  if result != 0 { box.takeRetainedValue().body() }
}

/// Runs blocking work on a thread of its own and waits for its result without holding a thread of the pool.
func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    detachThread { continuation.resume(with: Result { try body() }) }
  }
}
