import KubernetesAPI
import LinuxKernel
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage

/// Reads a container's log for a person: rotated files and the one that is written as one sequence, and what is written later.
package struct ContainerLogReader: Sendable {
  /// Read and written at once.
  static let blockBytes = 64 * 1024

  private let files: ContainerLogFiles

  /// `path`: the file that the pod's supervisor writes, such as /var/log/pods/default_web_<uid>/nginx/0.log.
  package init(path: FilePath) { files = ContainerLogFiles(path: path) }

  /// Writes what `options` ask for and, with `follow`, goes on until `untilEnd` returns (the container has ended, and its last
  /// output is in the file) or the task is cancelled. No line is lost or repeated when the file is rotated meanwhile, unless it
  /// is rotated away and deleted before it could be read.
  ///
  /// Throws what `write` throws, and `KernelError` where the log cannot be read.
  package func copy(
    _ options: LogOptions, now: Timestamp = .now, untilEnd: @escaping @Sendable () async -> Void = {},
    write: @escaping @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    let changes = options.follow ? try await ContainerLogChanges(of: files.directory, untilEnd: untilEnd) : nil
    do {
      try await copy(options, now: now, changes, write)
      await changes?.stop()
    } catch {
      await changes?.stop()
      throw error
    }
  }

  private func copy(
    _ options: LogOptions, now: Timestamp, _ changes: ContainerLogChanges?, _ write: @escaping @Sendable (ByteBuffer) async throws -> Void
  ) async throws {
    let files = files
    var (opened, start) = try await onFileThread { () throws -> ([ContainerLogFile], (file: Int, offset: Int)) in
      let opened = try files.openAll()
      guard let lines = options.tailLines else { return (opened, (0, 0)) }
      return (opened, try containerLogTailStart(opened, lines: lines, filter: ContainerLogFilter(options.stream)))
    }
    opened.removeFirst(min(start.file, opened.count))
    var reading = Reading(formatter: ContainerLogFormatter(options, now: now), offset: start.offset)
    while true {
      let hasEnded = changes?.hasEnded ?? true
      while !reading.formatter.isFull {
        if opened.isEmpty {
          guard let file = try await onFileThread({ try ContainerLogFile(opening: files.path) }) else { break }
          opened.append(file)
        }
        try await reading.drain(opened[0], write)
        if opened.count == 1, changes != nil,
          let next = try await onFileThread({ [inode = opened[0].inode] in try files.successor(of: inode) })
        {
          opened.append(next)
        }
        guard opened.count > 1 else { break }
        // It was rotated: what was written to it since we last looked is its last.
        try await reading.drain(opened[0], write)
        opened.removeFirst()
        reading.begin()
      }
      guard let changes, !hasEnded, !reading.formatter.isFull, await changes.next() else { return }
    }
  }
}

/// Where a reader is in a file.
private struct Reading {
  var formatter: ContainerLogFormatter
  private var offset: Int

  init(formatter: ContainerLogFormatter, offset: Int) {
    self.formatter = formatter
    self.offset = offset
  }

  mutating func begin() { offset = 0 }

  /// Writes all whole records from here to the end of the file. The offset stays in front of a record that is not whole yet.
  mutating func drain(_ file: ContainerLogFile, _ write: @Sendable (ByteBuffer) async throws -> Void) async throws {
    var blockBytes = ContainerLogReader.blockBytes
    while !formatter.isFull {
      let bytes = try await onFileThread { [offset, blockBytes] in try file.read(at: offset, count: blockBytes) }
      var out = ByteBuffer()
      let taken = bytes.withUnsafeBytes { bytes in
        forEachLine(in: bytes) { line, _ in
          if let record = ContainerLogRecord(line), !formatter.isFull { formatter.write(record, to: &out) }
        }
      }
      offset += taken
      if out.readableBytes > 0 { try await write(out) }
      if bytes.count < blockBytes { return }
      // A record longer than the block: another program's. It is read with a larger one.
      blockBytes = taken == 0 ? blockBytes * 2 : ContainerLogReader.blockBytes
    }
  }
}

/// Disks may keep a thread waiting; those of Swift's own pool must not wait.
private func onFileThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await NIOThreadPool.singleton.runIfActive(body)
}
