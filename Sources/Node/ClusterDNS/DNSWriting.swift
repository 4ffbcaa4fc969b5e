/// Writes messages with compressed names.
struct DNSWriter {
  private(set) var bytes: [UInt8] = []
  /// Where a name's tail stands already, in its own case: whoever reads a pointer gets the case of what it points to.
  private var places: [[UInt8]: Int] = [:]

  mutating func word(_ value: UInt16) {
    bytes.append(UInt8(value >> 8))
    bytes.append(UInt8(value & 0xff))
  }

  mutating func long(_ value: UInt32) {
    word(UInt16(value >> 16))
    word(UInt16(value & 0xffff))
  }

  /// `compresses`: SRV's target must not be (RFC 2782).
  mutating func name(_ name: DNSName, compresses: Bool = true) {
    var rest = name.labels[...]
    while let label = rest.first {
      let tail = rest.flatMap { [UInt8($0.count)] + $0 }
      if compresses, let place = places[tail] {
        word(0xc000 | UInt16(place))
        return
      }
      if bytes.count < 0x3fff, compresses { places[tail] = bytes.count }
      bytes.append(UInt8(label.count))
      bytes += label
      rest.removeFirst()
    }
    bytes.append(0)
  }

  mutating func record(_ record: DNSRecord) {
    name(record.name)
    word(record.type)
    word(1)
    long(record.ttl)
    let start = bytes.count
    word(0)
    switch record.data {
    case .address(let address): bytes += address
    case .name(let target): name(target)
    case .service(let priority, let weight, let port, let target):
      word(priority)
      word(weight)
      word(port)
      name(target, compresses: false)
    case .text(let text):
      bytes.append(UInt8(min(text.count, 255)))
      bytes += text.prefix(255)
    case .authority(let server, let mailbox, let serial, let refresh, let retry, let expire, let minimum):
      name(server)
      name(mailbox)
      for value in [serial, refresh, retry, expire, minimum] { long(value) }
    }
    store(UInt16(bytes.count - start - 2), at: start)
  }

  mutating func store(_ value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(value >> 8)
    bytes[offset + 1] = UInt8(value & 0xff)
  }

  mutating func truncate(to count: Int) {
    bytes.removeLast(bytes.count - count)
    places = places.filter { $0.value < count }
  }
}

extension DNSWire {
  /// The answer as bytes, at most `bytesMax` of them: records that do not fit are left out, and where those are of the answer itself
  /// the TC bit tells the client to ask again by TCP.
  package static func write(_ answer: DNSAnswer, to query: DNSQuery, bytesMax: Int) -> [UInt8] {
    var writer = DNSWriter()
    writer.word(query.identifier)
    let code = answer.code.rawValue
    var flags: UInt16 = 0x8000 | UInt16(code & 0xf) | 0x80  // RA: we forward
    if query.wantsRecursion { flags |= 0x100 }
    if answer.isAuthoritative { flags |= 0x400 }
    if query.checkingDisabled { flags |= 0x10 }
    writer.word(flags)
    for count in [1, 0, 0, 0] as [UInt16] { writer.word(count) }
    writer.name(query.question.name)
    writer.word(query.question.type)
    writer.word(query.question.class)
    let optBytes = query.extensions == nil ? 0 : 11
    var counts: [UInt16] = [0, 0, 0]
    sections: for (section, records) in [answer.answers, answer.authority, answer.additional].enumerated() {
      for record in records {
        let mark = writer.bytes.count
        writer.record(record)
        if writer.bytes.count + optBytes > bytesMax {
          writer.truncate(to: mark)
          if section < 2 { flags |= 0x200 }
          break sections
        }
        counts[section] += 1
      }
    }
    if query.extensions != nil {
      writer.appendExtensions(extendedCode: code >> 4)
      counts[2] += 1
    }
    writer.store(flags, at: 2)
    for (index, count) in counts.enumerated() { writer.store(count, at: 6 + index * 2) }
    return writer.bytes
  }

  /// What an answer may have by UDP.
  package static func udpBytesMax(_ query: DNSQuery) -> Int {
    min(max(Int(query.extensions?.payloadBytes ?? 0), plainBytes), payloadBytes)
  }

  /// An answer without a question: for what could not be read.
  package static func writeFailure(identifier: UInt16, _ code: ResponseCode) -> [UInt8] {
    [UInt8(identifier >> 8), UInt8(identifier & 0xff), 0x80, code.rawValue & 0xf] + [UInt8](repeating: 0, count: 8)
  }

  /// The question as a forwarder asks it, with EDNS.
  package static func writeQuery(_ query: DNSQuery, identifier: UInt16) -> [UInt8] {
    var writer = DNSWriter()
    writer.word(identifier)
    writer.word(0x100 | (query.checkingDisabled ? 0x10 : 0) | (query.authenticData ? 0x20 : 0))
    for count in [1, 0, 0, 1] as [UInt16] { writer.word(count) }
    writer.name(query.question.name)
    writer.word(query.question.type)
    writer.word(query.question.class)
    writer.appendExtensions(extendedCode: 0, wantsSecurity: query.extensions?.wantsSecurity ?? false)
    return writer.bytes
  }
}

extension DNSWriter {
  mutating func appendExtensions(extendedCode: UInt8, wantsSecurity: Bool = false) {
    name(.root)
    word(RecordType.opt)
    word(UInt16(DNSWire.payloadBytes))
    long(UInt32(extendedCode) << 24 | (wantsSecurity ? 0x8000 : 0))
    word(0)
  }
}

extension DNSName {
  package static let root: DNSName = {
    guard let root = DNSName(labels: []) else { preconditionFailure("the root has no labels") }
    return root
  }()
}
