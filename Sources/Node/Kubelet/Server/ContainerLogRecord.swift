import KubernetesAPI
import NIOCore

/// A record of a CRI log: "<RFC 3339 with nanoseconds, UTC> stdout|stderr F|P <text>". A line that was too long for one record
/// comes as several, all but the last marked P (kubernetes design: kubelet-cri-logging).
struct ContainerLogRecord {
  let timestamp: Slice<UnsafeRawBufferPointer>
  let isStderr: Bool
  /// The line ends here.
  let isFull: Bool
  let text: Slice<UnsafeRawBufferPointer>

  /// `line`: without its newline. nil where it is no such record.
  init?(_ line: Slice<UnsafeRawBufferPointer>) {
    let space = UInt8(ascii: " ")
    guard let first = line.firstIndex(of: space), first > line.startIndex else { return nil }
    let rest = line[(first + 1)...]
    guard let second = rest.firstIndex(of: space) else { return nil }
    if rest[..<second].elementsEqual("stdout".utf8) {
      isStderr = false
    } else if rest[..<second].elementsEqual("stderr".utf8) {
      isStderr = true
    } else {
      return nil
    }
    let tagged = rest[(second + 1)...]
    // Further tags may follow the first, parted by colons.
    guard let tag = tagged.first, tag == UInt8(ascii: "F") || tag == UInt8(ascii: "P") else { return nil }
    isFull = tag == UInt8(ascii: "F")
    timestamp = line[..<first]
    text = tagged.firstIndex(of: space).map { tagged[($0 + 1)...] } ?? tagged[tagged.endIndex...]
  }

  /// The stamps of swiftlet-pod have one width and one zone, so that their order is that of their bytes; others are parsed.
  func isOlder(than since: Timestamp, _ sinceText: [UInt8]) -> Bool {
    if timestamp.count == sinceText.count, timestamp.last == UInt8(ascii: "Z") { return timestamp.lexicographicallyPrecedes(sinceText) }
    return Timestamp(rfc3339: String(decoding: timestamp, as: UTF8.self)).map { $0 < since } ?? false
  }
}

/// Which streams a reader asked for.
enum ContainerLogFilter {
  case all, stdout, stderr

  init(_ stream: String) {
    switch stream.lowercased() {
    case "stdout": self = .stdout
    case "stderr": self = .stderr
    default: self = .all
    }
  }

  func admits(_ record: ContainerLogRecord) -> Bool {
    switch self {
    case .all: true
    case .stdout: !record.isStderr
    case .stderr: record.isStderr
    }
  }
}

/// Turns records into what a reader sees.
struct ContainerLogFormatter {
  private let filter: ContainerLogFilter
  private let hasTimestamps: Bool
  private let since: Timestamp?
  private let sinceText: [UInt8]
  private var bytesLeft: Int?
  private var isAtLineStart = true

  init(_ options: LogOptions, now: Timestamp) {
    filter = ContainerLogFilter(options.stream)
    hasTimestamps = options.timestamps
    since = options.sinceTime ?? options.sinceSeconds.map { now.advanced(bySeconds: -Double($0)) }
    sinceText = Array((since?.rfc3339Nano ?? "").utf8)
    bytesLeft = options.limitBytes
  }

  /// `limitBytes` have been written.
  var isFull: Bool { bytesLeft.map { $0 <= 0 } ?? false }

  mutating func write(_ record: ContainerLogRecord, to out: inout ByteBuffer) {
    guard filter.admits(record) else { return }
    if let since, record.isOlder(than: since, sinceText) { return }
    let start = out.writerIndex
    if hasTimestamps, isAtLineStart {
      out.writeBytes(UnsafeRawBufferPointer(rebasing: record.timestamp))
      out.writeInteger(UInt8(ascii: " "))
    }
    out.writeBytes(UnsafeRawBufferPointer(rebasing: record.text))
    if record.isFull { out.writeInteger(UInt8(ascii: "\n")) }
    isAtLineStart = record.isFull
    guard let left = bytesLeft else { return }
    let written = out.writerIndex - start
    if written > left { out.moveWriterIndex(to: start + left) }
    bytesLeft = max(0, left - written)
  }
}

/// Cuts bytes into lines and calls `body` with each whole one; returns how many bytes they took.
func forEachLine(in bytes: UnsafeRawBufferPointer, _ body: (Slice<UnsafeRawBufferPointer>, _ offset: Int) -> Void) -> Int {
  var start = 0
  while start < bytes.count, let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
    body(bytes[start..<end], start)
    start = end + 1
  }
  return start
}
