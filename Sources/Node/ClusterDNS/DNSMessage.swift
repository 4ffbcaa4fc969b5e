/// A DNS message (RFC 1035), as far as a server of the cluster's zone and a forwarder need it.
package struct DNSQuestion: Hashable, Sendable {
  /// Labels as asked, in the asker's case.
  package var name: DNSName
  /// QTYPE
  package var type: UInt16
  /// QCLASS; 1 is the Internet.
  package var `class`: UInt16 = 1

  package init(_ name: DNSName, _ type: UInt16, class: UInt16 = 1) {
    self.name = name
    self.type = type
    self.`class` = `class`
  }
}

/// A domain name as its labels' bytes, without the root. Comparison ignores the case of ASCII letters; what is written keeps it.
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
  package let labels: [[UInt8]]
  /// In lower case: what equality and hashing look at.
  private let folded: [UInt8]

  /// Octets of a name on the wire, and of a label.
  static let bytesMax = 255
  static let labelMax = 63

  package init?(labels: [[UInt8]]) {
    guard labels.allSatisfy({ (1...Self.labelMax).contains($0.count) }), labels.reduce(1, { $0 + $1.count + 1 }) <= Self.bytesMax
    else { return nil }
    self.labels = labels
    var folded: [UInt8] = []
    for label in labels {
      folded.append(UInt8(label.count))
      for byte in label { folded.append((65...90).contains(byte) ? byte | 0x20 : byte) }
    }
    self.folded = folded
  }

  /// From text with dots; a final dot does not matter.
  package init?(_ text: some StringProtocol) {
    if text == "." || text.isEmpty {
      self.init(labels: [])
      return
    }
    var parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { [UInt8]($0) }
    if parts.last?.isEmpty == true { parts.removeLast() }
    self.init(labels: parts)
  }

  package static func == (left: Self, right: Self) -> Bool { left.folded == right.folded }
  package func hash(into hasher: inout Hasher) { hasher.combine(folded) }

  /// With a final dot.
  package var description: String { labels.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".") + "." }

  /// The labels in lower case.
  package var words: [String] { labels.map { String(decoding: $0.map { (65...90).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self) } }

  package func isWithin(_ zone: DNSName) -> Bool {
    labels.count >= zone.labels.count && folded.suffix(zone.folded.count).elementsEqual(zone.folded)
      && DNSName(labels: Array(labels.suffix(zone.labels.count))) == zone
  }

  /// The first labels, without those of a zone that the name is in.
  package func prefix(before zone: DNSName) -> [String] { Array(words.dropLast(zone.labels.count)) }
}

package enum RecordType {
  package static let a: UInt16 = 1
  package static let ns: UInt16 = 2
  package static let cname: UInt16 = 5
  package static let soa: UInt16 = 6
  package static let ptr: UInt16 = 12
  package static let txt: UInt16 = 16
  package static let aaaa: UInt16 = 28
  package static let srv: UInt16 = 33
  package static let opt: UInt16 = 41
  package static let axfr: UInt16 = 252
  package static let any: UInt16 = 255
}

/// What the server made of a question (RCODE).
package enum ResponseCode: UInt8, Sendable {
  case noError = 0, formatError, serverFailure, nameError, notImplemented, refused
  /// A version of EDNS that is not spoken; its upper bits go into the OPT record.
  case badVersion = 16
}

package enum RecordData: Hashable, Sendable {
  case address([UInt8])  // 4 or 16 bytes
  case name(DNSName)  // CNAME, NS, PTR
  case service(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
  case text([UInt8])
  case authority(server: DNSName, mailbox: DNSName, serial: UInt32, refresh: UInt32, retry: UInt32, expire: UInt32, minimum: UInt32)
}

package struct DNSRecord: Hashable, Sendable {
  package var name: DNSName
  package var type: UInt16
  /// Seconds.
  package var ttl: UInt32
  package var data: RecordData

  package init(_ name: DNSName, _ type: UInt16, ttl: UInt32, _ data: RecordData) {
    self.name = name
    self.type = type
    self.ttl = ttl
    self.data = data
  }
}

/// A question as a client sent it.
package struct DNSQuery: Sendable {
  package var identifier: UInt16
  package var question: DNSQuestion
  package var wantsRecursion = true
  /// The CD and AD bits, which a forwarder passes on.
  package var checkingDisabled = false
  package var authenticData = false
  /// What the client said in its OPT record; nil: it sent none.
  package var extensions: Extensions?

  package struct Extensions: Hashable, Sendable {
    /// Bytes that the client takes by UDP.
    package var payloadBytes: UInt16
    package var version: UInt8 = 0
    /// The DO bit.
    package var wantsSecurity = false
    package init(payloadBytes: UInt16, version: UInt8 = 0, wantsSecurity: Bool = false) {
      self.payloadBytes = payloadBytes
      self.version = version
      self.wantsSecurity = wantsSecurity
    }
  }

  package init(_ identifier: UInt16, _ question: DNSQuestion) {
    self.identifier = identifier
    self.question = question
  }
}

package struct DNSAnswer: Hashable, Sendable {
  package var code: ResponseCode
  package var isAuthoritative = true
  package var answers: [DNSRecord] = []
  package var authority: [DNSRecord] = []
  package var additional: [DNSRecord] = []

  package init(_ code: ResponseCode, answers: [DNSRecord] = [], authority: [DNSRecord] = [], additional: [DNSRecord] = []) {
    self.code = code
    self.answers = answers
    self.authority = authority
    self.additional = additional
  }
}
