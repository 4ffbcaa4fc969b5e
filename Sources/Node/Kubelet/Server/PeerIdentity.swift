/// Who a client is, as its certificate's subject says: CN is the user, every O a group (kubernetes: X509 client certificates).
package struct PeerIdentity: Sendable, Equatable {
  package var user: String
  package var groups: [String]

  package init(user: String, groups: [String]) {
    self.user = user
    self.groups = groups
  }

  /// From a certificate in DER whose signature was verified already; nil where it is malformed or has no common name.
  package init?(certificateDER: [UInt8]) {
    var certificate = DERReader(certificateDER[...])
    guard var outer = certificate.enter(0x30), var body = outer.enter(0x30) else { return nil }
    body.skip(ifTag: 0xa0)  // version
    // Serial number, signature algorithm, issuer, validity; then the subject (RFC 5280, 4.1).
    guard body.skip(), body.skip(), body.skip(), body.skip(), var subject = body.enter(0x30) else { return nil }
    var user: String?
    var groups: [String] = []
    while var names = subject.enter(0x31) {
      while var pair = names.enter(0x30) {
        guard let type = pair.value(0x06), let value = pair.anyValue() else { return nil }
        switch Array(type) {
        case [0x55, 0x04, 0x03]: user = String(validating: value, as: UTF8.self)
        case [0x55, 0x04, 0x0a]: if let group = String(validating: value, as: UTF8.self) { groups.append(group) }
        default: break
        }
      }
    }
    guard let user, !user.isEmpty else { return nil }
    self.init(user: user, groups: groups)
  }
}

/// Walks through DER: tag, length, value.
private struct DERReader {
  private var bytes: ArraySlice<UInt8>
  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  private mutating func next() -> (tag: UInt8, value: ArraySlice<UInt8>)? {
    guard bytes.count >= 2 else { return nil }
    var rest = bytes
    let tag = rest.removeFirst()
    var length = Int(rest.removeFirst())
    if length & 0x80 != 0 {
      let count = length & 0x7f
      guard (1...4).contains(count), rest.count >= count else { return nil }
      length = rest.prefix(count).reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(count)
    }
    guard rest.count >= length else { return nil }
    bytes = rest.dropFirst(length)
    return (tag, rest.prefix(length))
  }

  @discardableResult
  mutating func skip() -> Bool { next() != nil }

  mutating func skip(ifTag tag: UInt8) { if bytes.first == tag { skip() } }

  mutating func value(_ tag: UInt8) -> ArraySlice<UInt8>? {
    guard bytes.first == tag else { return nil }
    return next()?.value
  }

  mutating func anyValue() -> ArraySlice<UInt8>? { next()?.value }

  mutating func enter(_ tag: UInt8) -> DERReader? { value(tag).map(DERReader.init) }
}
