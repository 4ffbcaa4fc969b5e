import LinuxKernel

/// Where reading begins so that the last `lines` lines of the files come out: a file's index and an offset in it.
///
/// Lines are counted from the end backwards, in blocks, so that a short tail of large files is cheap. Where a line of one stream
/// is cut into records and a line of the other ends between them, its first records may be left out.
func containerLogTailStart(
  _ files: [ContainerLogFile], lines: Int, filter: ContainerLogFilter, blockBytes: Int = 64 * 1024
) throws(KernelError) -> (file: Int, offset: Int) {
  var counter = TailCounter(lines: lines, filter: filter)
  for index in files.indices.reversed() {
    var end = try files[index].size()
    if counter.isDone { return (index, end) }  // no lines at all are wanted
    /// The first bytes of the block before: the end of a record that begins further ahead.
    var carry: [UInt8] = []
    while end > 0 {
      let start = max(0, end - blockBytes)
      let bytes = try files[index].read(at: start, count: end - start) + carry
      var lineStarts: [Int] = []
      var firstLineEnd = bytes.count
      var isComplete = false
      let found = bytes.withUnsafeBytes { bytes -> Int? in
        let taken = forEachLine(in: bytes) { _, offset in lineStarts.append(offset) }
        if let newline = bytes.firstIndex(of: UInt8(ascii: "\n")) { (firstLineEnd, isComplete) = (newline + 1, true) }
        for (i, lineStart) in lineStarts.enumerated().reversed() where start == 0 || i > 0 {
          let lineEnd = i + 1 < lineStarts.count ? lineStarts[i + 1] : taken
          if counter.count(ContainerLogRecord(bytes[lineStart..<(lineEnd - 1)])) { return start + lineEnd }
        }
        return nil
      }
      if let found { return (index, found) }
      carry = isComplete ? Array(bytes[..<firstLineEnd]) : bytes
      end = start
    }
  }
  return (0, 0)
}

private struct TailCounter {
  let lines: Int
  let filter: ContainerLogFilter
  private var seen = 0
  private var hasSeenRecord = false

  init(lines: Int, filter: ContainerLogFilter) {
    self.lines = lines
    self.filter = filter
  }

  var isDone: Bool { lines <= 0 }

  /// Takes the record before the last one. True: it belongs to a line that is not wanted any more.
  mutating func count(_ record: ContainerLogRecord?) -> Bool {
    guard let record, filter.admits(record) else { return false }
    // A record that ends a line begins a further line, seen from the end; so does the very last one, if its line is unfinished.
    if record.isFull || !hasSeenRecord { seen += 1 }
    hasSeenRecord = true
    return seen > lines
  }
}
