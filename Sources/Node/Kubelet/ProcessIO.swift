import LinuxKernel
import NIOCore
import NIOPosix
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The node's ends of a process's streams: of an exec, or of a container that somebody attached to.
package struct ProcessIO: Sendable {
  /// Takes the write end of standard input, once: closing it is the end of input, so nobody else may hold it. Nil where
  /// there is none.
  package var takeInput: @Sendable () -> OwnedDescriptor?
  /// The read ends of pipes, or a terminal; nil where there is none.
  package var output: SharedDescriptor?
  package var errors: SharedDescriptor?
  package var resize: @Sendable (WindowSize) -> Void
  /// Waits for the end: the exit code, 128 + n after signal n.
  package var wait: @Sendable () async throws -> Int32
  /// Ends the process (exec) or the attachment.
  package var end: @Sendable () -> Void

  package init(
    takeInput: @escaping @Sendable () -> OwnedDescriptor?, output: SharedDescriptor?, errors: SharedDescriptor?,
    resize: @escaping @Sendable (WindowSize) -> Void, wait: @escaping @Sendable () async throws -> Int32,
    end: @escaping @Sendable () -> Void
  ) {
    self.takeInput = takeInput
    self.output = output
    self.errors = errors
    self.resize = resize
    self.wait = wait
    self.end = end
  }

  /// Copies all streams until the process has ended and its output is passed on; then answers with its exit code. When
  /// the reader leaves (a write throws) or the task is cancelled, the process is ended.
  func copy(_ streams: ContainerStreams) async throws -> Int32 {
    let input = Task { await copyInput(streams.stdin) }
    let resizes = Task { for await size in streams.resizes { resize(size) } }
    defer {
      input.cancel()
      resizes.cancel()
    }
    return try await withTaskCancellationHandler {
      let code = try await withThrowingTaskGroup(of: Void.self) { group in
        if let output { group.addTask { try await Self.drain(output, streams.writeOut) } }
        if let errors { group.addTask { try await Self.drain(errors, streams.writeError) } }
        do {
          try await group.waitForAll()
        } catch {
          end()
          throw error
        }
        return try await wait()
      }
      return code
    } onCancel: {
      end()
    }
  }

  private func copyInput(_ bytes: AsyncStream<ByteBuffer>?) async {
    guard let bytes, let input = takeInput() else { return }
    let descriptor = input.release()
    do {
      // Every write is awaited until the pipe has it: closing drops what is not flushed.
      let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .takingOwnershipOfDescriptor(output: descriptor) { channel in channel.eventLoop.makeSucceededFuture(channel) }
      do {
        for await buffer in bytes { try await channel.writeAndFlush(buffer).get() }
      } catch {
        try? await channel.close().get()
        throw error
      }
      try await channel.close().get()
    } catch {
      // The process has closed its end, or the person is gone: nothing is left to write.
    }
  }

  private static func drain(_ descriptor: SharedDescriptor, _ write: @Sendable (ByteBuffer) async throws -> Void) async throws {
    guard let copy = duplicate(descriptor) else { return }
    let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .takingOwnershipOfDescriptor(input: copy) { channel in
        channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, Never>(wrappingChannelSynchronously: channel) }
      }
    try await channel.executeThenClose { reader, _ in
      var iterator = reader.makeAsyncIterator()
      while true {
        let buffer: ByteBuffer?
        do { buffer = try await iterator.next() } catch let error as IOError where error.errnoCode == EIO {
          // What a terminal says when its other end is closed.
          buffer = nil
        }
        guard let buffer else { return }
        try await write(buffer)
      }
    }
  }

  private static func duplicate(_ descriptor: SharedDescriptor) -> Int32? {
    let copy = fcntl(descriptor.rawValue, F_DUPFD_CLOEXEC, 3)
    return copy >= 0 ? copy : nil
  }
}
