import OCISpec

/// How a registry wants to be logged in to (the WWW-Authenticate header, RFC 9110 11.6.1).
enum AuthChallenge: Equatable {
  case basic
  case bearer(realm: String, service: String, scope: String)

  /// The challenges of all headers; schemes we do not know are left out.
  static func parse(_ headers: [String]) -> [AuthChallenge] {
    headers.flatMap { header -> [AuthChallenge] in
      var parser = ChallengeParser(header)
      return parser.challenges().compactMap { scheme, parameters in
        switch scheme.lowercased() {
        case "basic": return .basic
        case "bearer":
          guard let realm = parameters["realm"] else { return nil }
          return .bearer(realm: realm, service: parameters["service"] ?? "", scope: parameters["scope"] ?? "")
        default: return nil
        }
      }
    }
  }
}

private struct ChallengeParser {
  private let bytes: [UInt8]
  private var at = 0

  init(_ text: String) { bytes = Array(text.utf8.prefix(8 << 10)) }

  mutating func challenges() -> [(String, [String: String])] {
    var result: [(String, [String: String])] = []
    while true {
      skip { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
      let word = token()
      guard !word.isEmpty else { return result }
      skip { $0 == 0x20 || $0 == 0x09 }
      if at < bytes.count, bytes[at] == UInt8(ascii: "="), !result.isEmpty {
        at += 1
        result[result.count - 1].1[word.lowercased()] = value()
      } else {
        result.append((word, [:]))
      }
    }
  }

  private mutating func skip(_ condition: (UInt8) -> Bool) { while at < bytes.count, condition(bytes[at]) { at += 1 } }

  private mutating func token() -> String {
    let start = at
    let ends: [UInt8] = [0x20, 0x09, UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "\"")]
    skip { !ends.contains($0) }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  private mutating func value() -> String {
    skip { $0 == 0x20 }
    guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return token() }
    at += 1
    var text: [UInt8] = []
    while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
      if bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count { at += 1 }
      text.append(bytes[at])
      at += 1
    }
    at += 1
    return String(decoding: text, as: UTF8.self)
  }
}

/// The parts of a URL that decide who may see a login.
struct URLOrigin: Equatable {
  var scheme: String
  /// Lower-case, IPv6 in brackets.
  var host: String
  var port: Int
  /// From the first `/` on; `/` where there is none.
  var pathAndQuery: String

  /// Nil where the text is no http or https URL, or carries a login itself.
  init?(_ text: String) {
    guard let colon = text.firstRange(of: "://") else { return nil }
    scheme = text[..<colon.lowerBound].lowercased()
    guard scheme == "http" || scheme == "https" else { return nil }
    let rest = text[colon.upperBound...]
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    let authority = String(rest[..<end]).lowercased()
    guard !authority.contains("@"), ImageReference.isHost(authority) else { return nil }
    let tail = rest[end...].prefix { $0 != "#" }
    pathAndQuery = (tail.hasPrefix("/") ? "" : "/") + String(tail)
    guard pathAndQuery.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
    if let portColon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
      host = String(authority[..<portColon])
      port = Int(authority[authority.index(after: portColon)...]) ?? 0
    } else {
      host = authority
      port = scheme == "https" ? 443 : 80
    }
  }

  var isDefaultPort: Bool { port == (scheme == "https" ? 443 : 80) }
  var hostAndPort: String { isDefaultPort ? host : "\(host):\(port)" }
  var text: String { "\(scheme)://\(hostAndPort)\(pathAndQuery)" }

  func isSameServer(as other: URLOrigin) -> Bool { scheme == other.scheme && host == other.host && port == other.port }

  /// Where a Location header leads from here; nil where it leads to no http(s) URL.
  func resolving(_ location: String) -> URLOrigin? {
    if location.contains("://") { return URLOrigin(location) }
    if location.hasPrefix("//") { return URLOrigin("\(scheme):\(location)") }
    if location.hasPrefix("/") { return URLOrigin("\(scheme)://\(hostAndPort)\(location)") }
    let path = pathAndQuery.prefix { $0 != "?" }
    let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
    return URLOrigin("\(scheme)://\(hostAndPort)\(folder)\(location)")
  }
}

/// Whether a registry's login may be sent to the maker of tokens it names: to the registry itself; over TLS to a host of the same
/// domain (`auth.docker.io` for `registry-1.docker.io`); to hosts the configuration names. Never from https to http. Anybody else is
/// asked for an anonymous token.
func mayReceiveLogin(realm: URLOrigin, of registry: URLOrigin, tokenHosts: Set<String>) -> Bool {
  if realm.isSameServer(as: registry) { return true }
  if realm.scheme == "http", registry.scheme == "https" { return false }
  if tokenHosts.contains(realm.hostAndPort) || tokenHosts.contains(realm.host) { return true }
  guard realm.scheme == "https", registry.scheme == "https" else { return false }
  return realm.host == registry.host || (domain(realm.host) != nil && domain(realm.host) == domain(registry.host))
}

/// The last two labels of a name (three where the last two are short, as in `co.uk`); nil for addresses.
private func domain(_ host: String) -> String? {
  let labels = host.split(separator: ".")
  guard labels.count >= 2, !host.hasPrefix("["), labels.last!.utf8.contains(where: { $0 >= UInt8(ascii: "a") }) else { return nil }
  let needed = labels.last!.utf8.count == 2 && labels[labels.count - 2].utf8.count <= 3 ? 3 : 2
  guard labels.count >= needed else { return nil }
  return labels.suffix(needed).joined(separator: ".")
}

/// Whether a host (`host[:port]`) is this machine.
func isLoopback(_ hostAndPort: String) -> Bool {
  guard let origin = URLOrigin("http://\(hostAndPort)") else { return false }
  if origin.host == "localhost" || origin.host == "[::1]" { return true }
  let parts = origin.host.split(separator: ".")
  return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
}
