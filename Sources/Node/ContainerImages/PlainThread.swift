import Glibc

/// Runs blocking work on a thread of its own, so that the cooperative pool never waits for a disk or a pipe. The thread ends with
/// the work: an idle store holds none.
func onPlainThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
    startPlainThread { continuation.resume(with: Result { try work() }) }
  }
}

/// Stack of a worker. libarchive keeps its buffers on the heap.
private let plainThreadStackBytes = 512 << 10

private final class ThreadStart {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func startPlainThread(_ body: @escaping @Sendable () -> Void) {
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  pthread_attr_setstacksize(&attributes, plainThreadStackBytes)
  defer { pthread_attr_destroy(&attributes) }
  let start = Unmanaged.passRetained(ThreadStart(body))
  var thread = pthread_t()
  let result = pthread_create(
    &thread, &attributes,
    { argument in
      Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, start.toOpaque())
  guard result != 0 else { return }
  // No thread to be had (EAGAIN): the work is done here rather than not at all.
  start.takeRetainedValue().body()
}
