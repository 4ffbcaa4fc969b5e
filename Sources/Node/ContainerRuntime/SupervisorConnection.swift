import CLinux
import Dispatch
import LinuxKernel
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// A conversation with one supervisor: requests that are answered by tag, and events in between. One read source per
/// connection on a queue that all of them share; no thread, no timer.
final class SupervisorConnection: Sendable {
  struct Reply: Sendable {
    let event: pod_event
    /// A pty's master.
    let descriptor: SharedDescriptor?
  }

  private struct State {
    var nextTag: UInt64 = 1
    var waiting: [UInt64: CheckedContinuation<Reply, any Error>] = [:]
    var isClosed = false
  }

  /// POD_READY is the answer to a request that nobody sent.
  static let readyTag: UInt64 = 0
  static let queue = DispatchQueue(label: "swiftlet.supervisors")

  private let socket: SharedDescriptor
  private let state = Mutex(State())
  private nonisolated(unsafe) let source: any DispatchSourceRead
  private let onEvent: @Sendable (pod_event) -> Void
  private let onEnd: @Sendable () -> Void

  init(socket shared: SharedDescriptor, onEvent: @escaping @Sendable (pod_event) -> Void, onEnd: @escaping @Sendable () -> Void) {
    socket = shared
    self.onEvent = onEvent
    self.onEnd = onEnd
    source = DispatchSource.makeReadSource(fileDescriptor: shared.rawValue, queue: Self.queue)
    source.setEventHandler { [weak self] in self?.receive() }
    // The number must stay taken until epoll has let go of it.
    source.setCancelHandler { withExtendedLifetime(shared) {} }
  }

  deinit { source.cancel() }

  func activate() { source.activate() }

  /// Sends a request and waits for its answer. A negative result comes back as an answer, not as an error.
  func request(_ kind: pod_request_kind, descriptors: [SharedDescriptor] = [], _ fill: (inout pod_request) -> Void = { _ in }) async throws
    -> Reply
  {
    var request = pod_request()
    request.kind = kind.rawValue
    fill(&request)
    let filled = request
    return try await withCheckedThrowingContinuation { continuation in
      let tag = register(continuation)
      guard let tag else { return }
      var message = filled
      message.tag = tag
      send(&message, descriptors, tag)
    }
  }

  /// Waits for the supervisor's first word. Call before `activate`.
  func ready(then activate: () -> Void) async throws -> Reply {
    try await withCheckedThrowingContinuation { continuation in
      state.withLock { $0.waiting[Self.readyTag] = continuation }
      activate()
    }
  }

  /// A request whose answer does not matter.
  func post(_ kind: pod_request_kind, _ fill: (inout pod_request) -> Void) {
    var request = pod_request()
    request.kind = kind.rawValue
    fill(&request)
    _ = withUnsafeBytes(of: &request) { cl_sendmsg_fds(socket.rawValue, $0.baseAddress, $0.count, nil, 0, Int32(MSG_DONTWAIT)) }
  }

  /// Lets go without telling the supervisor anything; `onEnd` is not called.
  func close() {
    for continuation in drain() ?? [] { continuation.resume(throwing: Self.gone) }
    shutdown(socket.rawValue, Int32(SHUT_RDWR))
  }

  private func register(_ continuation: CheckedContinuation<Reply, any Error>) -> UInt64? {
    let tag: UInt64? = state.withLock { state in
      if state.isClosed { return nil }
      let tag = state.nextTag
      state.nextTag += 1
      state.waiting[tag] = continuation
      return tag
    }
    if tag == nil { continuation.resume(throwing: Self.gone) }
    return tag
  }

  private func send(_ message: inout pod_request, _ descriptors: [SharedDescriptor], _ tag: UInt64) {
    let numbers = descriptors.map(\.rawValue)
    let sent = withUnsafeBytes(of: &message) {
      cl_sendmsg_fds(socket.rawValue, $0.baseAddress, $0.count, numbers, numbers.count, Int32(MSG_DONTWAIT))
    }
    withExtendedLifetime(descriptors) {}
    if sent < 0 {
      let waiting = state.withLock { $0.waiting.removeValue(forKey: tag) }
      waiting?.resume(throwing: KernelError("sendmsg", "supervisor", errno: Errno(rawValue: Int32(-sent))))
    }
  }

  private static let gone = ContainerRuntimeError(.supervisorGone, "the pod's supervisor has ended")

  private func receive() {
    while true {
      var event = pod_event()
      var descriptors: [Int32] = [-1, -1, -1, -1]
      var count = descriptors.count
      let got = withUnsafeMutableBytes(of: &event) {
        cl_recvmsg_fds(socket.rawValue, $0.baseAddress, $0.count, &descriptors, &count, Int32(MSG_DONTWAIT))
      }
      let passed = descriptors[..<count].map { SharedDescriptor(OwnedDescriptor(owning: $0)) }
      if got == -Int(EAGAIN) { return }
      guard got == MemoryLayout<pod_event>.size else { return ended() }
      if event.kind == POD_REPLY.rawValue || event.kind == POD_READY.rawValue {
        let tag = event.kind == POD_READY.rawValue ? Self.readyTag : event.tag
        let waiting = state.withLock { $0.waiting.removeValue(forKey: tag) }
        waiting?.resume(returning: Reply(event: event, descriptor: passed.first))
      } else {
        onEvent(event)
      }
    }
  }

  private func ended() {
    guard let waiting = drain() else { return }
    for continuation in waiting { continuation.resume(throwing: Self.gone) }
    onEnd()
  }

  /// Closes; nil where it was closed before.
  private func drain() -> [CheckedContinuation<Reply, any Error>]? {
    let waiting: [CheckedContinuation<Reply, any Error>]? = state.withLock { state in
      if state.isClosed { return nil }
      state.isClosed = true
      let all = Array(state.waiting.values)
      state.waiting = [:]
      return all
    }
    if waiting != nil { source.cancel() }
    return waiting
  }
}
