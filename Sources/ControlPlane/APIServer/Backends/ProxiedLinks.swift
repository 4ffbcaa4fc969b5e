/// What becomes of a link when the page that it stands on is reached through the proxy (kubernetes: apimachinery's proxy transport).
struct ProxiedLinks: Sendable, Equatable {
  /// The path that leads to the backend: "/api/v1/namespaces/default/pods/web/proxy".
  let prefix: String
  /// Host and port as the backend and the client name the site.
  let hosts: Set<String>

  /// Links that are absolute within the site go through the proxy; relative ones and those to other sites stay.
  func rewritten(_ link: String) -> String {
    var path = link[...]
    if let host = Self.host(&path) {
      guard hosts.contains(host) else { return link }
      if path.isEmpty || path.first == "?" || path.first == "#" { path = "/" + path }
    }
    guard path.first == "/" else { return link }
    return path.hasPrefix(prefix) ? String(path) : prefix + path
  }

  /// Takes scheme and host off the front of a URL; nil where it has none.
  private static func host(_ link: inout Substring) -> String? {
    var rest = link
    if let colon = rest.firstIndex(of: ":"), ["http", "https"].contains(rest[..<colon].lowercased()) { rest = rest[colon...].dropFirst() }
    guard rest.hasPrefix("//") else { return nil }
    rest = rest.dropFirst(2)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    link = rest[end...]
    return String(rest[..<end])
  }
}

/// Rewrites the links of an HTML document that comes in pieces, byte for byte otherwise. What no browser takes for a tag is left alone:
/// comments and the text of scripts.
struct HTMLLinks {
  /// Attributes that hold URLs, by element.
  static let attributes: [String: Set<String>] = [
    "a": ["href"], "applet": ["codebase"], "area": ["href"], "audio": ["src"], "base": ["href"], "blockquote": ["cite"],
    "body": ["background"], "button": ["formaction"], "command": ["icon"], "del": ["cite"], "embed": ["src"], "form": ["action"],
    "frame": ["longdesc", "src"], "head": ["profile"], "html": ["manifest"], "iframe": ["longdesc", "src"],
    "img": ["longdesc", "src", "usemap"], "input": ["src", "usemap", "formaction"], "ins": ["cite"], "link": ["href"],
    "object": ["classid", "codebase", "data", "usemap"], "q": ["cite"], "script": ["src"], "source": ["src"], "video": ["poster", "src"],
  ]
  /// Elements whose content is text up to their end tag.
  private static let rawText: Set<String> = [
    "script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext",
  ]
  /// A tag or comment that is longer is passed on as it is.
  static let tagBytesMax = 256 << 10

  let links: ProxiedLinks
  private var pending: [UInt8] = []
  /// The element whose raw text this is.
  private var rawElement: String?

  init(_ links: ProxiedLinks) { self.links = links }

  /// The bytes that are settled with these.
  mutating func rewrite(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    pending.append(contentsOf: bytes)
    var out: [UInt8] = []
    var at = 0
    while let open = pending[at...].firstIndex(of: UInt8(ascii: "<")) {
      out += pending[at..<open]
      at = open
      guard let end = end(of: open) else {
        guard pending.count - open > Self.tagBytesMax else { break }
        out.append(pending[open])
        at = open + 1
        continue
      }
      out += element(pending[open..<end])
      at = end
    }
    if at < pending.count, pending[at] != UInt8(ascii: "<") {
      out += pending[at...]
      at = pending.count
    }
    pending.removeFirst(at)
    return out
  }

  /// What is left at the document's end.
  mutating func finish() -> [UInt8] {
    defer { pending = [] }
    return pending
  }

  /// One past the last byte of what begins with "<"; nil: it has not come yet.
  private func end(of open: Int) -> Int? {
    let next = open + 1
    guard next < pending.count else { return nil }
    if let rawElement {
      let closing = Array("</\(rawElement)".utf8)
      let there = pending[open...].prefix(closing.count)
      guard there.count == closing.count || !closing.starts(with: there.map(Self.lowered)) else { return nil }
      return there.map(Self.lowered) == closing ? tagEnd(open) : next
    }
    let letter = pending[next]
    if letter == UInt8(ascii: "!") {
      let start = pending[open...].prefix(4)
      guard start.count == 4 || !Array("<!--".utf8).starts(with: start) else { return nil }
      guard start.elementsEqual("<!--".utf8) else { return tagEnd(open) }
      var at = open + 4
      while at + 2 < pending.count {
        if pending[at...].prefix(3).elementsEqual("-->".utf8) { return at + 3 }
        at += 1
      }
      return nil
    }
    return Self.isLetter(letter) || letter == UInt8(ascii: "/") || letter == UInt8(ascii: "?") ? tagEnd(open) : next
  }

  /// One past the ">" that ends a tag; those within quoted values are none.
  private func tagEnd(_ open: Int) -> Int? {
    var quote: UInt8?
    var isValue = false
    for at in (open + 1)..<pending.count {
      let byte = pending[at]
      if let mark = quote {
        if byte == mark { quote = nil }
      } else if byte == UInt8(ascii: ">") {
        return at + 1
      } else if isValue, byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
        quote = byte
      }
      if !Self.isSpace(byte) { isValue = quote == nil && byte == UInt8(ascii: "=") }
    }
    return nil
  }

  /// A tag with its links rewritten; other markup as it is.
  private mutating func element(_ tag: ArraySlice<UInt8>) -> [UInt8] {
    let body = tag.dropFirst()
    let isClosing = body.first == UInt8(ascii: "/")
    let name = String(decoding: body.drop { $0 == UInt8(ascii: "/") }.prefix { Self.isName($0) }.map(Self.lowered), as: UTF8.self)
    if let raw = rawElement {
      if isClosing, name == raw { rawElement = nil }
      return Array(tag)
    }
    guard !isClosing, let first = body.first, Self.isLetter(first) else { return Array(tag) }
    if Self.rawText.contains(name) { rawElement = name }
    guard let wanted = Self.attributes[name] else { return Array(tag) }
    var out: [UInt8] = []
    var rest = tag.dropFirst(1 + name.utf8.count)
    out += tag[tag.startIndex..<rest.startIndex]
    while let attribute = Self.attribute(&rest, into: &out) {
      let value = String(decoding: attribute.value, as: UTF8.self)
      guard wanted.contains(attribute.name) else {
        out += attribute.value
        continue
      }
      let lead = value.prefix { $0 == " " || $0 == "\n" || $0 == "\t" }
      let link = String(value.dropFirst(lead.count))
      out += Array((lead + links.rewritten(link)).utf8)
    }
    return out + rest
  }

  /// Moves past the next attribute that has a value: all before the value goes to `out`, and `rest` begins behind it.
  private static func attribute(_ rest: inout ArraySlice<UInt8>, into out: inout [UInt8]) -> (name: String, value: ArraySlice<UInt8>)? {
    while true {
      let start = rest.drop { isSpace($0) || [UInt8(ascii: "/"), UInt8(ascii: "\""), UInt8(ascii: "'")].contains($0) }
      let name = start.prefix { !isSpace($0) && $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: ">") }
      let afterName = start.dropFirst(name.count).drop { isSpace($0) }
      guard !name.isEmpty, let mark = afterName.first, mark != UInt8(ascii: ">") else {
        // A stray "=" is stepped over, so that this ends.
        guard let mark = afterName.first, mark == UInt8(ascii: "=") else { return nil }
        out += rest[rest.startIndex...afterName.startIndex]
        rest = afterName.dropFirst()
        continue
      }
      guard mark == UInt8(ascii: "=") else {
        out += rest[rest.startIndex..<afterName.startIndex]
        rest = afterName
        continue
      }
      let value = afterName.dropFirst().drop { isSpace($0) }
      let isQuoted = value.first == UInt8(ascii: "\"") || value.first == UInt8(ascii: "'")
      let text = isQuoted ? value.dropFirst().prefix { $0 != value.first! } : value.prefix { !isSpace($0) && $0 != UInt8(ascii: ">") }
      out += rest[rest.startIndex..<text.startIndex]
      // The closing quote goes ahead of the next attribute.
      rest = rest[text.endIndex...]
      return (String(decoding: name.map(lowered), as: UTF8.self), text)
    }
  }

  private static func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
  private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
  private static func isName(_ byte: UInt8) -> Bool { !isSpace(byte) && byte != UInt8(ascii: ">") && byte != UInt8(ascii: "/") }
  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
