import NIOCore
import NIOHTTP1

/// A request, completely read.
package struct ServedRequest: Sendable {
  package var method: HTTPMethod
  /// The request target as sent, such as "/api/v1/pods?limit=5".
  package var uri: String
  /// The target's path, percent-decoded.
  package var path: String
  /// The query's names and values in their order, percent-decoded, "+" read as a space.
  package var query: [(String, String)]
  package var headers: HTTPHeaders
  package var body: ByteBuffer
  /// The certificate that the client showed and that one of `ServerTLS.clientAuthorities` signed.
  package var peerCertificateDER: [UInt8]?
  /// Address and port, such as "127.0.0.1:40112"; empty on a Unix socket.
  package var remoteAddress: String
  /// 1 or 2.
  package var httpMajorVersion: Int
  /// The loop of the client's connection: what works on its channel does best there.
  package var eventLoop: (any EventLoop)?

  package init(
    method: HTTPMethod, uri: String, path: String, query: [(String, String)], headers: HTTPHeaders, body: ByteBuffer = ByteBuffer(),
    peerCertificateDER: [UInt8]? = nil, remoteAddress: String = "", httpMajorVersion: Int = 1, eventLoop: (any EventLoop)? = nil
  ) {
    self.method = method
    self.uri = uri
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
    self.peerCertificateDER = peerCertificateDER
    self.remoteAddress = remoteAddress
    self.httpMajorVersion = httpMajorVersion
    self.eventLoop = eventLoop
  }

  /// A request built from its raw target; nil where the target is no valid one.
  package init?(
    method: HTTPMethod, uri: String, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer(), peerCertificateDER: [UInt8]? = nil,
    remoteAddress: String = "", httpMajorVersion: Int = 1, eventLoop: (any EventLoop)? = nil
  ) {
    guard let target = RequestTarget(uri) else { return nil }
    self.init(
      method: method, uri: uri, path: target.path, query: target.query, headers: headers, body: body,
      peerCertificateDER: peerCertificateDER, remoteAddress: remoteAddress, httpMajorVersion: httpMajorVersion, eventLoop: eventLoop)
  }

  /// The first value of a query field.
  package func queryValue(_ name: String) -> String? { query.first { $0.0 == name }?.1 }

  /// Every value of a query field that may come several times, such as "command".
  package func queryValues(_ name: String) -> [String] { query.filter { $0.0 == name }.map(\.1) }
}

/// A request target (RFC 9112, 3.2) taken apart.
package struct RequestTarget: Sendable {
  package let path: String
  package let query: [(String, String)]

  /// nil: neither an absolute path nor an http(s) URL, or a broken percent-encoding.
  package init?(_ uri: String) {
    var rest = uri.utf8[...]
    if rest.first != UInt8(ascii: "/") {
      guard let path = Self.pathOfAbsoluteForm(rest) else { return nil }
      rest = path
    }
    if let hash = rest.firstIndex(of: UInt8(ascii: "#")) { rest = rest[..<hash] }
    let mark = rest.firstIndex(of: UInt8(ascii: "?")) ?? rest.endIndex
    guard let path = percentDecoded(rest[..<mark], plusIsSpace: false) else { return nil }
    self.path = path
    guard mark < rest.endIndex else {
      query = []
      return
    }
    var fields: [(String, String)] = []
    for field in rest[rest.index(after: mark)...].split(separator: UInt8(ascii: "&")) {
      let equals = field.firstIndex(of: UInt8(ascii: "=")) ?? field.endIndex
      let value = equals < field.endIndex ? field[field.index(after: equals)...] : field[field.endIndex...]
      guard let name = percentDecoded(field[..<equals], plusIsSpace: true), let value = percentDecoded(value, plusIsSpace: true)
      else { return nil }
      fields.append((name, value))
    }
    query = fields
  }

  private static func pathOfAbsoluteForm(_ uri: Substring.UTF8View) -> Substring.UTF8View? {
    for scheme in ["http://", "https://"] where uri.starts(with: scheme.utf8) {
      let afterScheme = uri.dropFirst(scheme.utf8.count)
      guard let slash = afterScheme.firstIndex(of: UInt8(ascii: "/")) else { return "/".utf8[...] }
      return afterScheme[slash...]
    }
    return nil
  }
}

/// Undoes percent-encoding; nil where "%" is not followed by two hexadecimal digits or the result is no UTF-8.
func percentDecoded(_ text: Substring.UTF8View, plusIsSpace: Bool) -> String? {
  guard text.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return String(Substring(text)) }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(text.count)
  var i = text.startIndex
  while i < text.endIndex {
    let byte = text[i]
    text.formIndex(after: &i)
    switch byte {
    case UInt8(ascii: "%"):
      guard i < text.endIndex, let high = hexDigit(text[i]) else { return nil }
      text.formIndex(after: &i)
      guard i < text.endIndex, let low = hexDigit(text[i]) else { return nil }
      text.formIndex(after: &i)
      bytes.append(high << 4 | low)
    case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
    default: bytes.append(byte)
    }
  }
  return String(validating: bytes, as: UTF8.self)
}

private func hexDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}
