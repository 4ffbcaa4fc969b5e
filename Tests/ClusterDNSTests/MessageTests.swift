import Testing

@testable import ClusterDNS

private func query(_ name: String, _ type: UInt16 = RecordType.a, extensions: DNSQuery.Extensions? = nil) -> DNSQuery {
  var query = DNSQuery(0x1234, DNSQuestion(DNSName(name)!, type))
  query.extensions = extensions
  return query
}

/// xorshift: the same bytes in every run.
struct Dice: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

@Suite struct MessageTests {
  /// RFC 1035's example of a question, byte by byte.
  @Test func readsAQuestion() throws {
    let bytes: [UInt8] = [0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 0x77, 0x57, 0x77, 2, 0x61, 0x62, 0, 0, 28, 0, 1]
    let read = try DNSWire.readQuery(bytes)
    #expect(read.identifier == 0xabcd)
    #expect(read.question == DNSQuestion(DNSName("www.ab")!, 28))
    #expect(read.question.name.description == "wWw.ab.", "the asker's case is kept")
    #expect(read.wantsRecursion && read.extensions == nil)
  }

  @Test func writesWithPointers() {
    let name = DNSName("A.cluster.local")!
    let answer = DNSAnswer(.noError, answers: [DNSRecord(name, RecordType.a, ttl: 5, .address([10, 0, 0, 1]))])
    let bytes = DNSWire.write(answer, to: query("A.cluster.local"), bytesMax: 512)
    let expected: [UInt8] =
      [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0x41, 7] + Array("cluster".utf8) + [5] + Array("local".utf8)
      + [0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1]
    #expect(bytes == expected)
  }

  @Test func cutsWhatDoesNotFit() throws {
    let name = DNSName("big.cluster.local")!
    let records = (0..<200).map { DNSRecord(name, RecordType.a, ttl: 5, .address([10, 0, 0, UInt8($0)])) }
    let answer = DNSAnswer(.noError, answers: records)
    for (extensions, limit) in [(nil, 512), (DNSQuery.Extensions(payloadBytes: 4096), 1232), (DNSQuery.Extensions(payloadBytes: 100), 512)]
      as [(DNSQuery.Extensions?, Int)]
    {
      let asked = query("big.cluster.local", extensions: extensions)
      let bytes = DNSWire.write(answer, to: asked, bytesMax: DNSWire.udpBytesMax(asked))
      #expect(bytes.count <= limit && bytes.count > limit - 20)
      let summary = try #require(DNSWire.summary(bytes))
      #expect(summary.isTruncated)
    }
    let whole = DNSWire.write(answer, to: query("big.cluster.local"), bytesMax: 65_535)
    #expect(DNSWire.answers(whole)?.records == records)
  }

  @Test(
    arguments: [
      ([], nil), ([1, 2, 3], nil),
      ([0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0], nil),  // an answer
      ([0, 1, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0], .notImplemented),  // opcode 5
      ([0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1], .formatError),  // two questions
      ([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1], .formatError),  // a name that points at itself
      ([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 99, 0, 1, 0, 1], .formatError),
      ([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 64, 0], .formatError),
      ([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 0, 0, 1, 0, 1], .formatError),
    ] as [([UInt8], ResponseCode?)])
  func refusesNonsense(bytes: [UInt8], code: ResponseCode?) {
    let expected = code.map { DNSWire.ReadFailure.answer(identifier: 1, $0) } ?? .silent
    #expect(throws: expected) { () throws -> DNSQuery in try DNSWire.readQuery(bytes) }
  }

  /// Nothing that a stranger sends crashes the reader, and what is read can be written.
  @Test func survivesTheFuzzer() {
    var dice = Dice(state: 0x9e37_79b9_7f4a_7c15)
    let seeds = [
      DNSWire.writeQuery(query("web.shop.svc.cluster.local"), identifier: 7),
      DNSWire.write(
        DNSAnswer(.noError, answers: [DNSRecord(DNSName("a.b")!, RecordType.cname, ttl: 9, .name(DNSName("c.a.b")!))]), to: query("a.b"),
        bytesMax: 512),
    ]
    var read = 0
    for round in 0..<60_000 {
      var bytes = seeds[round % 2]
      for _ in 0..<Int.random(in: 1...6, using: &dice) {
        let index = Int.random(in: 0..<bytes.count, using: &dice)
        switch Int.random(in: 0..<4, using: &dice) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &dice)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
        case 2: bytes.removeLast(min(bytes.count - 1, Int.random(in: 1...8, using: &dice)))
        default: bytes.insert(0xc0, at: index)
        }
      }
      if let query = try? DNSWire.readQuery(bytes) {
        read += 1
        let answer = DNSWire.write(DNSAnswer(.nameError), to: query, bytesMax: 512)
        #expect(DNSWire.summary(answer)?.question == query.question)
        _ = ForwardedAnswer.adapt(bytes, to: query, bytesMax: 512)
      }
      _ = DNSWire.summary(bytes)
      _ = DNSWire.answers(bytes)
    }
    #expect(read > 1_000, "many mutants are still questions")
  }

  @Test func forwardedAnswersBecomeTheClients() throws {
    let upstream = query("Example.COM", extensions: .init(payloadBytes: 1232))
    let answer = DNSWire.write(
      DNSAnswer(.noError, answers: [DNSRecord(upstream.question.name, RecordType.a, ttl: 60, .address([1, 2, 3, 4]))]), to: upstream,
      bytesMax: 512)
    var client = query("eXAMPLE.com")
    client.identifier = 99
    let adapted = ForwardedAnswer.adapt(answer, to: client, bytesMax: 512)
    let summary = try #require(DNSWire.summary(adapted))
    #expect(summary.identifier == 99 && summary.question.name.description == "eXAMPLE.com.")
    #expect(adapted.count == answer.count - 11, "the OPT record goes with a client that sent none")
    let cut = ForwardedAnswer.adapt(answer, to: client, bytesMax: 40)
    #expect(DNSWire.summary(cut)?.isTruncated == true && cut.count <= 40)
  }

  @Test func theCacheCountsDownAndStaysSmall() throws {
    var cache = AnswerCache()
    func key(_ index: Int) -> AnswerCache.Key {
      .init(question: query("h\(index).example").question, wantsSecurity: false, checkingDisabled: false)
    }
    func store(_ index: Int, ttl: UInt32, now: Double) throws {
      let asked = query("h\(index).example")
      let bytes = DNSWire.write(
        DNSAnswer(.noError, answers: [DNSRecord(asked.question.name, 1, ttl: ttl, .address([1, 1, 1, 1]))]), to: asked, bytesMax: 512)
      let summary = try #require(DNSWire.summary(bytes))
      cache.store(bytes, summary, for: key(index), now: now)
    }
    try store(0, ttl: 100, now: 0)
    let aged = cache.answer(for: key(0), now: 40)
    #expect(aged.flatMap { DNSWire.summary($0) }?.ttl == 60)
    let late = cache.answer(for: key(0), now: 101)
    #expect(late == nil)
    for index in 1...(AnswerCache.entriesMax + 500) { try store(index, ttl: 100, now: 1) }
    #expect(cache.count == AnswerCache.entriesMax)
    let (first, last) = (cache.answer(for: key(400), now: 2), cache.answer(for: key(AnswerCache.entriesMax), now: 2))
    #expect(first == nil && last != nil)
  }
}
