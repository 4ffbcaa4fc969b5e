/// Others' answers for as long as they may be kept, in bounded room. Times are seconds of a clock that only goes forward.
struct AnswerCache: Sendable {
  struct Key: Hashable, Sendable {
    let question: DNSQuestion
    let wantsSecurity: Bool
    let checkingDisabled: Bool
  }

  private struct Entry {
    let bytes: [UInt8]
    let ttlOffsets: [Int]
    let storedAt: Double
    let expiresAt: Double
  }

  static let entriesMax = 10_000
  static let bytesMax = 8 << 20
  /// Seconds. A negative answer, or one without any time to live, is kept shortly.
  static let ttlMax: UInt32 = 3600
  static let negativeMax: UInt32 = 30

  private var entries: [Key: Entry] = [:]
  /// In the order of arrival; the first is thrown out when there is no room.
  private var order: [Key] = []
  private var first = 0
  private(set) var bytes = 0
  var count: Int { entries.count }

  mutating func store(_ answer: [UInt8], _ summary: DNSWire.Summary, for key: Key, now: Double) {
    guard !summary.isTruncated, summary.code == 0 || summary.code == 3, let ttl = summary.ttl, answer.count <= 4096 else { return }
    let isNegative = summary.code == 3 || answer[6] == 0 && answer[7] == 0
    let seconds = min(ttl, isNegative ? Self.negativeMax : Self.ttlMax)
    guard seconds > 0 else { return }
    if let old = entries[key] { bytes -= old.bytes.count } else { order.append(key) }
    entries[key] = Entry(bytes: answer, ttlOffsets: summary.ttlOffsets, storedAt: now, expiresAt: now + Double(seconds))
    bytes += answer.count
    while entries.count > Self.entriesMax || bytes > Self.bytesMax { evict() }
  }

  private mutating func evict() {
    guard first < order.count else { return }
    if let old = entries.removeValue(forKey: order[first]) { bytes -= old.bytes.count }
    first += 1
    if first > Self.entriesMax {
      order.removeFirst(first)
      first = 0
    }
  }

  /// The answer with its times to live counted down.
  mutating func answer(for key: Key, now: Double) -> [UInt8]? {
    guard let entry = entries[key] else { return nil }
    guard now < entry.expiresAt else { return nil }
    var answer = entry.bytes
    let age = UInt32(max(0, now - entry.storedAt))
    for offset in entry.ttlOffsets {
      let ttl = answer[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
      let left = ttl > age ? ttl - age : 0
      for index in 0..<4 { answer[offset + index] = UInt8(truncatingIfNeeded: left >> UInt32(24 - index * 8)) }
    }
    return answer
  }
}
