import CLinux
import LinuxKernel
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// A thread that lives in one network namespace and does one job after the other: blocking netlink calls stay off the
/// cooperative pool, whose threads never change their namespace.
package final class NamespaceThread: Sendable {
  package enum Home: Sendable {
    /// That of the thread which makes the NamespaceThread.
    case current
    case existing(SharedDescriptor)
    /// A fresh, empty one; it goes when nothing refers to it any more.
    case new
  }

  /// Jobs that may wait in line; one more is refused with EAGAIN.
  static let waitingJobsMax = 10_000

  private let line: JobLine
  /// The namespace of the thread.
  package let namespace: SharedDescriptor

  package init(_ home: Home) throws {
    let line = JobLine()
    let arrival = Mutex<Result<SharedDescriptor, KernelError>?>(nil)
    let arrived = JobDone()
    try Self.spawn {
      let result = Result { () throws(KernelError) in try Self.enter(home) }
      arrival.withLock { $0 = result }
      arrived.signal()
      if case .success = result { line.serve() }
    }
    arrived.wait()
    guard let result = arrival.withLock({ $0 }) else { throw KernelError("thread", errno: .ioError) }
    namespace = try result.get()
    self.line = line
  }

  deinit { line.close() }

  /// Runs `job` on the thread, after those that came before.
  package func perform<Value: Sendable>(_ job: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      let accepted = line.add { continuation.resume(with: Result { try job() }) }
      if !accepted { continuation.resume(throwing: Self.refusal) }
    }
  }

  /// The same for callers that may block.
  package func performBlocking<Value: Sendable>(_ job: @escaping @Sendable () throws -> Value) throws -> Value {
    let outcome = Mutex<Result<Value, any Error>?>(nil)
    let done = JobDone()
    let accepted = line.add {
      let result = Result { try job() }
      outcome.withLock { $0 = result }
      done.signal()
    }
    guard accepted else { throw Self.refusal }
    done.wait()
    guard let result = outcome.withLock({ $0 }) else { throw Self.refusal }
    return try result.get()
  }

  private static var refusal: KernelError {
    KernelError("namespace thread", "more than \(waitingJobsMax) jobs wait", errno: .resourceTemporarilyUnavailable)
  }

  /// Runs `job` in another namespace, on this thread, which must be a NamespaceThread's, and comes back.
  package func visiting<Value>(_ namespace: Int32, _ job: () throws -> Value) throws -> Value {
    precondition(line.isServedByThisThread, "only a NamespaceThread may change its namespace")
    try KernelError.check("setns", "network namespace \(namespace)", cl_setns(namespace, CLONE_NEWNET))
    defer {
      // The home descriptor is open and was entered before; were there no way back, every later job would act elsewhere.
      let back = cl_setns(self.namespace.rawValue, CLONE_NEWNET)
      precondition(back >= 0, "cannot return to the home network namespace: errno \(-back)")
    }
    return try job()
  }

  private static func enter(_ home: Home) throws(KernelError) -> SharedDescriptor {
    switch home {
    case .existing(let descriptor):
      try KernelError.check("setns", "network namespace", cl_setns(descriptor.rawValue, CLONE_NEWNET))
      return descriptor
    case .new:
      try KernelError.check("unshare", "network namespace", cl_unshare(CLONE_NEWNET))
      fallthrough
    case .current:
      let path = "/proc/thread-self/ns/net"
      let raw = open(path, O_RDONLY | O_CLOEXEC)
      guard raw >= 0 else { throw KernelError("open", path, errno: Errno(rawValue: errno)) }
      return SharedDescriptor(OwnedDescriptor(owning: raw))
    }
  }

  private static func spawn(_ body: @escaping @Sendable () -> Void) throws(KernelError) {
    let box = Unmanaged.passRetained(ThreadBody(run: body))
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 << 10)
    let result = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, box.toOpaque())
    guard result == 0 else {
      box.release()
      throw KernelError("pthread_create", errno: Errno(rawValue: result))
    }
  }
}

private let CLONE_NEWNET: Int32 = 0x4000_0000

private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Jobs in line, and the thread that waits for them.
///
/// Unchecked: `waiting`, `isClosed` and `servant` are touched only with `mutex` held.
private final class JobLine: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [@Sendable () -> Void] = []
  private var isClosed = false
  private var servant: pthread_t?

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  var isServedByThisThread: Bool {
    locked { servant.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
  }

  /// False: too many wait already, or the line is closed.
  func add(_ job: @escaping @Sendable () -> Void) -> Bool {
    locked {
      guard !isClosed, waiting.count < NamespaceThread.waitingJobsMax else { return false }
      waiting.append(job)
      pthread_cond_signal(changed)
      return true
    }
  }

  /// Jobs that wait are still done.
  func close() {
    locked {
      isClosed = true
      pthread_cond_signal(changed)
    }
  }

  func serve() {
    locked { servant = pthread_self() }
    while true {
      let jobs = locked { () -> [@Sendable () -> Void] in
        while waiting.isEmpty, !isClosed { pthread_cond_wait(changed, mutex) }
        defer { waiting = [] }
        return waiting
      }
      if jobs.isEmpty { return }
      for job in jobs { job() }
    }
  }

  private func locked<Value>(_ body: () -> Value) -> Value {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }
}

/// A door that opens once.
///
/// Unchecked: a semaphore is made for several threads.
private final class JobDone: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  init() { sem_init(semaphore, 0, 0) }
  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }
  func signal() { sem_post(semaphore) }
  func wait() { while sem_wait(semaphore) != 0, errno == EINTR {} }
}
