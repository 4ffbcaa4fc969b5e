import LinuxKernel
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Wakes the reader of a log when its directory changes (inotify, on an event loop) or its container has ended.
final class ContainerLogChanges: Sendable {
  private let channel: any Channel
  private let ending: Task<Void, Never>
  private let flag = EndedFlag()
  private let wakes: AsyncStream<Void>

  init(of directory: FilePath, untilEnd: @escaping @Sendable () async -> Void) async throws {
    let (wakes, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let watch = inotify_init1(O_CLOEXEC | O_NONBLOCK)  // the same bits as IN_CLOEXEC and IN_NONBLOCK
    guard watch >= 0 else { throw KernelError("inotify_init1", errno: Errno(rawValue: errno)) }
    guard inotify_add_watch(watch, directory.string, UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO)) >= 0 else {
      let error = KernelError("inotify_add_watch", directory.string, errno: Errno(rawValue: errno))
      close(watch)
      throw error
    }
    do {
      channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(WakeOnRead(continuation)) }
        }
        .takingOwnershipOfDescriptor(input: watch).get()
    } catch {
      close(watch)
      throw error
    }
    self.wakes = wakes
    let ended = flag
    ending = Task {
      await untilEnd()
      guard !Task.isCancelled else { return }
      ended.set()
      continuation.yield()
    }
  }

  /// Asked before reading: what the container wrote is then in the file.
  var hasEnded: Bool { flag.isSet }

  /// Waits for the next change; false when the task is cancelled.
  func next() async -> Bool {
    var iterator = wakes.makeAsyncIterator()
    return await iterator.next() != nil
  }

  func stop() async {
    ending.cancel()
    try? await channel.close()
  }
}

private final class EndedFlag: Sendable {
  private let value = Mutex(false)
  var isSet: Bool { value.withLock { $0 } }
  func set() { value.withLock { $0 = true } }
}

/// What the events say does not matter: the reader looks at the files.
private final class WakeOnRead: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let continuation: AsyncStream<Void>.Continuation
  init(_ continuation: AsyncStream<Void>.Continuation) { self.continuation = continuation }
  func channelRead(context: ChannelHandlerContext, data: NIOAny) { continuation.yield() }
  func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
}
