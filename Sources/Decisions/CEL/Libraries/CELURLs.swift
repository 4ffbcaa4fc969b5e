// URLs: Kubernetes' library, with the reading of Go's url.ParseRequestURI.

/// A URL with a scheme, or an absolute path.
struct CELURL: CELOpaque {
  let typeName = "kubernetes.URL"
  let scheme: String
  let host: String
  let hostname: String
  let port: String
  let path: String
  let query: String
  private let text: String

  func isEqual(to other: any CELOpaque) -> Bool { (other as? CELURL)?.text.isSameText(as: text) ?? false }

  /// Nil where the text is no URL, or one without a scheme that is no absolute path.
  init?(_ text: String) {
    guard !text.isEmpty, !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return nil }
    self.text = text
    var rest = Substring(text)
    var scheme = ""
    if let colon = rest.firstIndex(of: ":"), let first = rest.unicodeScalars.first, first.isIdentifierStart, first != "_" {
      let name = rest[..<colon]
      if name.unicodeScalars.allSatisfy({ ($0.isIdentifierPart && $0 != "_") || "+-.".unicodeScalars.contains($0) }) {
        scheme = name.lowercased()
        rest = rest[rest.index(after: colon)...]
      }
    }
    if scheme.isEmpty {
      guard rest.hasPrefix("/") else { return nil }
      if rest.prefix(while: { $0 != "/" }).contains(":") { return nil }
    }
    var query = ""
    if let mark = rest.firstIndex(of: "?") {
      query = String(rest[rest.index(after: mark)...])
      rest = rest[..<mark]
    }
    if !scheme.isEmpty, !rest.hasPrefix("/") { return nil }  // such as `mailto:x`: not absolute for a request
    var authority = ""
    if rest.hasPrefix("//"), !scheme.isEmpty || !rest.hasPrefix("///") {
      let after = rest.dropFirst(2)
      let slash = after.firstIndex(of: "/") ?? after.endIndex
      authority = String(after[..<slash])
      rest = after[slash...]
    }
    guard let (host, hostname, port) = Self.authority(authority), Self.isEscapedWell(rest) else { return nil }
    (self.scheme, self.host, self.hostname, self.port) = (scheme, host, hostname, port)
    self.path = Self.escape(String(rest))
    self.query = query
  }

  private static func authority(_ text: String) -> (String, String, String)? {
    var host = text[...]
    if let at = host.lastIndex(of: "@") { host = host[host.index(after: at)...] }
    if host.unicodeScalars.contains(where: { $0 == " " || "<>\"{}|\\^`".unicodeScalars.contains($0) }) { return nil }
    if host.hasPrefix("[") {
      guard let close = host.lastIndex(of: "]") else { return nil }
      let after = host[host.index(after: close)...]
      guard after.isEmpty || isPort(after) else { return nil }
      return (String(host), String(host[host.index(after: host.startIndex)..<close]), String(after.dropFirst()))
    }
    guard let colon = host.firstIndex(of: ":") else { return (String(host), String(host), "") }
    guard isPort(host[colon...]) else { return nil }
    return (String(host), String(host[..<colon]), String(host[host.index(after: colon)...]))
  }

  private static func isPort(_ text: Substring) -> Bool { text.hasPrefix(":") && text.dropFirst().unicodeScalars.allSatisfy(\.isDigit) }

  private static func isEscapedWell(_ text: Substring) -> Bool {
    let bytes = Array(text.unicodeScalars)
    for (i, scalar) in bytes.enumerated() where scalar == "%" {
      guard i + 2 < bytes.count, bytes[i + 1].isHexDigit, bytes[i + 2].isHexDigit else { return false }
    }
    return true
  }

  private static func escape(_ path: String) -> String {
    var result = ""
    for byte in path.utf8 {
      let scalar = Unicode.Scalar(byte)
      if scalar.isASCII, scalar.isIdentifierPart || "-.~/%$&+,:;=@!'()*[]".unicodeScalars.contains(scalar) {
        result.unicodeScalars.append(scalar)
      } else {
        result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return result
  }

  static func unescape(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "+") {
        bytes.append(0x20)
      } else if byte == UInt8(ascii: "%") {
        guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Names with all their values, names in order of their first use.
  var parameters: CELMap {
    var names: [String] = []
    var values: [String: [String]] = [:]
    for part in query.split(separator: "&") where !part.contains(";") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = Self.unescape(pair[0]), let value = Self.unescape(pair.count > 1 ? pair[1] : "") else { continue }
      if values[name] == nil { names.append(name) }
      values[name, default: []].append(value)
    }
    var map = CELMap()
    for name in names { _ = map.insert(.string(name), .strings(values[name] ?? [])) }
    return map
  }
}

extension CELLibrary {
  package static let urls: CELLibrary = {
    var library = CELLibrary("urls")
    let type = CELType.opaque("kubernetes.URL")
    library.types["kubernetes.URL"] = type
    let length = CELCallCost.traversal(of: 0, times: 1)
    library.function("url", "string_to_url", [.string], type, cost: length) { a, _ throws(CELError) in
      let text = try a.string(0)
      guard let value = CELURL(text) else {
        throw CELError("URL parse error during conversion from string: parse \(CELFormat.quote(text)): invalid URI for request")
      }
      return .opaque(value)
    }
    library.function("isURL", "is_url_string", [.string], .bool, cost: length) { a, _ throws(CELError) in
      .bool(CELURL(try a.string(0)) != nil)
    }
    let parts: [(String, @Sendable (CELURL) -> String)] = [
      ("getScheme", \.scheme), ("getHost", \.host), ("getHostname", \.hostname), ("getPort", \.port), ("getEscapedPath", \.path),
    ]
    for (name, part) in parts {
      library.member(name, "url_\(name)", [type], .string) { a, _ throws(CELError) in .string(part(try a.opaque(0, CELURL.self))) }
    }
    library.member("getQuery", "url_get_query", [type], .map(.string, .list(.string))) { a, _ throws(CELError) in
      .map(try a.opaque(0, CELURL.self).parameters)
    }
    return library
  }()
}
