/// Reads names and numbers of a message; every length comes from a stranger.
struct DNSReader {
  let bytes: [UInt8]
  private(set) var position: Int

  /// Pointers followed in one name. Each must lead backwards, so this only bounds the work.
  static let pointersMax = 32

  init(_ bytes: [UInt8], at position: Int = 0) {
    self.bytes = bytes
    self.position = position
  }

  mutating func byte() -> UInt8? {
    guard position < bytes.count else { return nil }
    defer { position += 1 }
    return bytes[position]
  }

  mutating func word() -> UInt16? {
    guard position + 2 <= bytes.count else { return nil }
    defer { position += 2 }
    return UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
  }

  mutating func long() -> UInt32? {
    guard let high = word(), let low = word() else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }

  mutating func skip(_ count: Int) -> Bool {
    guard count >= 0, position + count <= bytes.count else { return false }
    position += count
    return true
  }

  /// A name, perhaps compressed.
  mutating func name() -> DNSName? {
    var labels: [[UInt8]] = []
    var at = position
    var end: Int?
    var lowest = position
    var pointers = 0
    var total = 1
    while true {
      guard at < bytes.count else { return nil }
      let length = Int(bytes[at])
      switch length >> 6 {
      case 0:
        if length == 0 {
          position = end ?? at + 1
          return DNSName(labels: labels)
        }
        total += length + 1
        guard at + 1 + length <= bytes.count, total <= DNSName.bytesMax else { return nil }
        labels.append(Array(bytes[(at + 1)..<(at + 1 + length)]))
        at += 1 + length
      case 3:
        guard at + 1 < bytes.count else { return nil }
        let target = (length & 0x3f) << 8 | Int(bytes[at + 1])
        pointers += 1
        guard target < lowest, target >= DNSWire.headerBytes, pointers <= Self.pointersMax else { return nil }
        if end == nil { end = at + 2 }
        lowest = target
        at = target
      default: return nil
      }
    }
  }
}

package enum DNSWire {
  package static let headerBytes = 12
  /// What UDP carries without EDNS.
  package static let plainBytes = 512
  /// What we send by UDP at most, whatever the client says it takes: it fits one frame (DNS flag day 2020).
  package static let payloadBytes = 1232
  /// Records of a query beyond its question that are looked at; more is an error.
  static let extraRecordsMax = 8

  package enum ReadFailure: Error, Equatable, Sendable {
    /// Too short for an answer, or itself an answer: none must be given, else two servers talk for ever.
    case silent
    /// To be answered with this code.
    case answer(identifier: UInt16, ResponseCode)
  }

  package static func readQuery(_ bytes: [UInt8]) throws(ReadFailure) -> DNSQuery {
    var reader = DNSReader(bytes)
    guard let identifier = reader.word(), let flags = reader.word(), flags & 0x8000 == 0, let questions = reader.word(),
      let answers = reader.word(), let authorities = reader.word(), let additionals = reader.word()
    else { throw .silent }
    let malformed = ReadFailure.answer(identifier: identifier, .formatError)
    guard flags & 0x7800 == 0 else { throw .answer(identifier: identifier, .notImplemented) }
    guard questions == 1, Int(answers) + Int(authorities) + Int(additionals) <= extraRecordsMax else { throw malformed }
    guard let name = reader.name(), let type = reader.word(), let `class` = reader.word() else { throw malformed }
    var query = DNSQuery(identifier, DNSQuestion(name, type, class: `class`))
    query.wantsRecursion = flags & 0x100 != 0
    query.authenticData = flags & 0x20 != 0
    query.checkingDisabled = flags & 0x10 != 0
    for _ in 0..<(Int(answers) + Int(authorities) + Int(additionals)) {
      guard let owner = reader.name(), let type = reader.word(), let size = reader.word(), let extra = reader.long(),
        let length = reader.word(), reader.skip(Int(length))
      else { throw malformed }
      guard type == RecordType.opt else { continue }
      guard query.extensions == nil, owner.labels.isEmpty else { throw malformed }
      query.extensions = .init(
        payloadBytes: size, version: UInt8(truncatingIfNeeded: extra >> 16), wantsSecurity: extra & 0x8000 != 0)
    }
    return query
  }

  /// What a forwarder must know of an upstream's answer.
  package struct Summary: Sendable, Equatable {
    package var identifier: UInt16
    package var question: DNSQuestion
    package var code: UInt8
    package var isTruncated: Bool
    /// The shortest time to live of all records but OPT; for a negative answer also the SOA's minimum. Nil: no record has one.
    package var ttl: UInt32?
    /// Where the times to live stand, to be counted down.
    package var ttlOffsets: [Int]
  }

  /// Nil: not a whole answer to one question.
  package static func summary(_ bytes: [UInt8]) -> Summary? {
    var reader = DNSReader(bytes)
    guard let identifier = reader.word(), let flags = reader.word(), flags & 0x8000 != 0, let questions = reader.word(), questions == 1,
      let answers = reader.word(), let authorities = reader.word(), let additionals = reader.word(), let name = reader.name(),
      let type = reader.word(), let `class` = reader.word()
    else { return nil }
    var summary = Summary(
      identifier: identifier, question: DNSQuestion(name, type, class: `class`), code: UInt8(flags & 0xf), isTruncated: flags & 0x200 != 0,
      ttl: nil, ttlOffsets: [])
    for _ in 0..<(Int(answers) + Int(authorities) + Int(additionals)) {
      guard reader.name() != nil, let type = reader.word(), reader.word() != nil else { return nil }
      let offset = reader.position
      guard var ttl = reader.long(), let length = reader.word() else { return nil }
      let data = reader.position
      guard reader.skip(Int(length)) else { return nil }
      if type == RecordType.opt { continue }
      if type == RecordType.soa, length >= 4 {
        var minimum = DNSReader(bytes, at: data + Int(length) - 4)
        ttl = min(ttl, minimum.long() ?? ttl)
      }
      summary.ttlOffsets.append(offset)
      summary.ttl = min(summary.ttl ?? ttl, ttl)
    }
    return summary
  }
}
