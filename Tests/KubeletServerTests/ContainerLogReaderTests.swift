import Foundation
import KubernetesAPI
import NIOCore
import Synchronization
import SystemPackage
import Testing

@testable import Kubelet

/// A directory with a log that a test writes and rotates like swiftlet-pod does.
private final class TestLog: Sendable {
  let directory = NSTemporaryDirectory() + "swiftlet-log-\(UUID().uuidString)"
  let path: String
  private let counter = Mutex(0)

  init() throws {
    path = directory + "/0.log"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  var reader: ContainerLogReader { ContainerLogReader(path: FilePath(path)) }

  /// The n-th record has second n.
  func write(_ text: String, _ stream: String = "stdout", _ tag: String = "F") throws {
    let n = counter.withLock { n in
      defer { n += 1 }
      return n
    }
    let stamp = Timestamp(nanosecondsSinceEpoch: Int64(n) * 1_000_000_000).rfc3339Nano
    try append("\(stamp) \(stream) \(tag) \(text)\n")
  }

  func append(_ text: String) throws {
    let file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0o640)
    defer { close(file) }
    let bytes = Array(text.utf8)
    #expect(Foundation.write(file, bytes, bytes.count) == bytes.count)
  }

  func rotate(_ suffix: String) throws {
    try FileManager.default.moveItem(atPath: path, toPath: "\(path).\(suffix)")
    try append("")
  }

  func read(_ change: (inout LogOptions) -> Void = { _ in }, now: Timestamp = Timestamp(secondsSinceEpoch: 100)) async throws -> String {
    var options = LogOptions()
    change(&options)
    let text = Collected()
    try await reader.copy(options, now: now) { text.add($0) }
    return text.value
  }
}

private final class Collected: Sendable {
  private let text = Mutex(ByteBuffer())
  func add(_ bytes: ByteBuffer) { text.withLock { _ = $0.writeImmutableBuffer(bytes) } }
  var value: String { text.withLock { String(buffer: $0) } }
}

@Suite struct ContainerLogReaderTests {
  @Test func linesOfAllFilesInOrder() async throws {
    let log = try TestLog()
    try log.write("one")
    try log.rotate("20260101-000000")
    try log.write("two", "stderr")
    try log.rotate("20260101-000000-001")
    try log.write("three ", "stdout", "P")
    try log.write("pieces")
    try log.append("rubbish\n")
    #expect(try await log.read() == "one\ntwo\nthree pieces\n")
    #expect(try await log.read { $0.stream = "Stderr" } == "two\n")
    #expect(
      try await log.read { $0.timestamps = true }
        == "1970-01-01T00:00:00.000000000Z one\n1970-01-01T00:00:01.000000000Z two\n1970-01-01T00:00:02.000000000Z three pieces\n")
  }

  @Test func sinceAndLimits() async throws {
    let log = try TestLog()
    for i in 0..<10 { try log.write("line \(i)") }
    #expect(try await log.read({ $0.sinceSeconds = 2 }, now: Timestamp(secondsSinceEpoch: 10)) == "line 8\nline 9\n")
    #expect(try await log.read { $0.sinceTime = Timestamp(rfc3339: "1970-01-01T01:00:09+01:00") } == "line 9\n")
    #expect(try await log.read { $0.limitBytes = 10 } == "line 0\nlin")
    #expect(
      try await log.read {
        $0.tailLines = 2; $0.limitBytes = 8
      } == "line 8\nl")
  }

  @Test func tailCountsLinesNotRecordsAcrossFiles() async throws {
    let log = try TestLog()
    try log.write("a")
    try log.write("b", "stderr")
    try log.rotate("20260101-000000")
    try log.write("c1 ", "stdout", "P")
    try log.write("c2")
    try log.write("d")
    #expect(try await log.read { $0.tailLines = 0 } == "")
    #expect(try await log.read { $0.tailLines = 1 } == "d\n")
    #expect(try await log.read { $0.tailLines = 2 } == "c1 c2\nd\n")
    #expect(try await log.read { $0.tailLines = 3 } == "b\nc1 c2\nd\n")
    #expect(try await log.read { $0.tailLines = 100 } == "a\nb\nc1 c2\nd\n")
    #expect(
      try await log.read {
        $0.tailLines = 3; $0.stream = "Stdout"
      } == "a\nc1 c2\nd\n")
    try log.write("unfinished", "stdout", "P")
    #expect(try await log.read { $0.tailLines = 2 } == "d\nunfinished")
  }

  @Test(arguments: [64, 100, 333, 65536]) func tailIsTheSameForEveryBlockSize(blockBytes: Int) throws {
    let log = try TestLog()
    for i in 0..<200 { try log.write(String(repeating: "x", count: i % 50)) }
    let files = try ContainerLogFiles(path: FilePath(log.path)).openAll()
    let content = try String(contentsOfFile: log.path, encoding: .utf8)
    var offsets = [0]
    for (i, byte) in content.utf8.enumerated() where byte == UInt8(ascii: "\n") { offsets.append(i + 1) }
    for lines in [1, 2, 7, 150, 199, 200] {
      let start = try containerLogTailStart(files, lines: lines, filter: .all, blockBytes: blockBytes)
      #expect(start.offset == offsets[200 - lines])
    }
  }

  @Test func recordsLongerThanABlock() async throws {
    let log = try TestLog()
    let long = String(repeating: "y", count: 300_000)
    try log.write(long)
    try log.write("after")
    #expect(try await log.read() == long + "\nafter\n")
    #expect(try await log.read { $0.tailLines = 2 } == long + "\nafter\n")
  }

  @Test func noFileIsAnEmptyLog() async throws {
    #expect(try await TestLog().read() == "")
  }

  /// A writer that rotates all the time against a follower: every line once, in order.
  @Test func followingAcrossRotationsLosesAndRepeatsNothing() async throws {
    let log = try TestLog()
    let lineCount = 20_000
    let text = Collected()
    let ended = AsyncStream<Void>.makeStream()
    let following = Task {
      var options = LogOptions()
      options.follow = true
      try await log.reader.copy(options, untilEnd: { for await _ in ended.stream {} }) { text.add($0) }
    }
    for i in 0..<lineCount {
      try log.write("line \(i)")
      if i % 997 == 996 { try log.rotate("20260101-\(100_000 + i)") }
      if i % 5000 == 0 { try await Task.sleep(for: .milliseconds(20)) }
    }
    ended.continuation.finish()
    try await following.value
    let lines = text.value.split(separator: "\n")
    #expect(lines.count == lineCount)
    #expect(lines.enumerated().allSatisfy { $1 == "line \($0)" })
  }

  @Test func followingSeesLinesAtOnceAndEndsWhenCancelled() async throws {
    let log = try TestLog()
    try log.write("old")
    let (seen, continuation) = AsyncStream<String>.makeStream()
    let following = Task {
      defer { continuation.finish() }
      var options = LogOptions()
      options.follow = true
      try await log.reader.copy(options, untilEnd: { try? await Task.sleep(for: .seconds(600)) }) { continuation.yield(String(buffer: $0)) }
    }
    var lines = seen.makeAsyncIterator()
    #expect(await lines.next() == "old\n")
    for i in 0..<20 {
      try log.write("new \(i)")
      #expect(await lines.next() == "new \(i)\n")
    }
    following.cancel()
    #expect(await lines.next() == nil)
    if case .failure(let error) = await following.result { #expect(error is CancellationError) }
  }
}
