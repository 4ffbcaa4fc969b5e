/// Makes another server's answer one for our client.
enum ForwardedAnswer {
  /// The identifier and the question's spelling become the client's; what it did not ask for (EDNS) goes, and what it cannot take by
  /// UDP is cut to a request to come by TCP.
  static func adapt(_ answer: [UInt8], to query: DNSQuery, bytesMax: Int) -> [UInt8] {
    var bytes = query.extensions == nil ? withoutExtensions(answer) : answer
    guard bytes.count >= DNSWire.headerBytes else { return DNSWire.writeFailure(identifier: query.identifier, .serverFailure) }
    bytes[0] = UInt8(query.identifier >> 8)
    bytes[1] = UInt8(query.identifier & 0xff)
    bytes[3] |= 0x80
    var name = query.question.name.labels.flatMap { [UInt8($0.count)] + $0 }
    name.append(0)
    let end = DNSWire.headerBytes + name.count
    if bytes.count >= end, DNSReader.nameLength(bytes, at: DNSWire.headerBytes) == name.count {
      bytes.replaceSubrange(DNSWire.headerBytes..<end, with: name)
    }
    if bytes.count <= bytesMax { return bytes }
    var cut = Array(bytes[..<min(end + 4, bytes.count)])
    cut[2] |= 2
    for index in 6..<12 { cut[index] = 0 }
    guard query.extensions != nil else { return cut }
    var extensions = DNSWriter()
    extensions.appendExtensions(extendedCode: 0)
    cut[11] = 1
    return cut + extensions.bytes
  }

  /// Takes the OPT record out where it is the last record, which is where servers put it.
  private static func withoutExtensions(_ answer: [UInt8]) -> [UInt8] {
    var reader = DNSReader(answer)
    guard reader.skip(4), let questions = reader.word(), let answers = reader.word(), let authorities = reader.word(),
      let additionals = reader.word(), additionals > 0
    else { return answer }
    for _ in 0..<questions { guard reader.name() != nil, reader.skip(4) else { return answer } }
    var last = (start: 0, type: UInt16(0))
    for _ in 0..<(Int(answers) + Int(authorities) + Int(additionals)) {
      let start = reader.position
      guard reader.name() != nil, let type = reader.word(), reader.skip(6), let length = reader.word(), reader.skip(Int(length)) else {
        return answer
      }
      last = (start, type)
    }
    guard last.type == RecordType.opt else { return answer }
    var bytes = Array(answer[..<last.start])
    bytes[10] = UInt8((additionals - 1) >> 8)
    bytes[11] = UInt8((additionals - 1) & 0xff)
    return bytes
  }
}

extension DNSReader {
  /// Bytes of a name without pointers; nil where it has some, or ends nowhere.
  static func nameLength(_ bytes: [UInt8], at start: Int) -> Int? {
    var at = start
    while at < bytes.count, bytes[at] < 64 {
      if bytes[at] == 0 { return at + 1 - start }
      at += Int(bytes[at]) + 1
    }
    return nil
  }
}

extension DNSWire {
  /// The addresses and aliases among an answer's records, and its code; for what an alias of ours leads to.
  static func answers(_ bytes: [UInt8]) -> (code: UInt8, records: [DNSRecord])? {
    var reader = DNSReader(bytes)
    guard reader.skip(3), let low = reader.byte(), let questions = reader.word(), let count = reader.word(), reader.skip(4) else {
      return nil
    }
    for _ in 0..<questions { guard reader.name() != nil, reader.skip(4) else { return nil } }
    var records: [DNSRecord] = []
    for _ in 0..<count {
      guard let owner = reader.name(), let type = reader.word(), reader.skip(2), let ttl = reader.long(), let length = reader.word() else {
        return nil
      }
      let start = reader.position
      guard reader.skip(Int(length)) else { return nil }
      switch type {
      case RecordType.a where length == 4, RecordType.aaaa where length == 16:
        records.append(DNSRecord(owner, type, ttl: ttl, .address(Array(bytes[start..<(start + Int(length))]))))
      case RecordType.cname:
        var target = DNSReader(bytes, at: start)
        guard let name = target.name() else { return nil }
        records.append(DNSRecord(owner, type, ttl: ttl, .name(name)))
      default: break
      }
    }
    return (low & 0xf, records)
  }
}
