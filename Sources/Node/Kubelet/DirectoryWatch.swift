import LinuxKernel
import Logging
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
    let watch = inotify_init1(Int32(IN_CLOEXEC.rawValue) | Int32(IN_NONBLOCK.rawValue))
    let wake = eventfd(0, Int32(EFD_CLOEXEC.rawValue) | Int32(EFD_NONBLOCK.rawValue))
    guard watch >= 0, wake >= 0, inotify_add_watch(watch, path.string, mask) >= 0 else {
      log?.error("changes of \(path) cannot be seen: \(Errno(rawValue: errno))")
      if watch >= 0 { close(watch) }
      if wake >= 0 { close(wake) }
      continuation.finish()
      return (stream, {})
    }
    let stop: @Sendable () -> Void = { eventfd_write(wake, 1) }
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
      continuation.finish()
    }
    return (stream, stop)
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
