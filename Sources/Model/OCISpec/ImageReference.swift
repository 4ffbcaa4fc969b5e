/// Why a text names no image. `description` is what kubelet shows beside the reason InvalidImageName.
package struct ImageReferenceError: Error, Equatable, Sendable, CustomStringConvertible {
  package let text: String
  package let reason: String
  package var description: String {
    "couldn't parse image name \"\(text)\": invalid reference format\(reason.isEmpty ? "" : ": \(reason)")"
  }
}

/// What a person writes to name an image: `[registry[:port]/]repository[:tag][@digest]`.
///
/// Short names are completed as everywhere: no registry means `docker.io`, one component on docker.io means
/// `library/<name>`, neither tag nor digest means the tag `latest`. (Grammar: the OCI distribution specification and the
/// reference documentation of Docker's registry.)
package struct ImageReference: Hashable, Sendable, CustomStringConvertible {
  /// Host and port as written, such as `docker.io`, `localhost:5000` or `[::1]:5000`.
  package let registry: String
  /// Lower-case components joined by `/`.
  package let repository: String
  package let tag: String?
  package let digest: Digest?

  package static let defaultRegistry = "docker.io"
  package static let defaultTag = "latest"
  /// Registry and repository together are at most this many bytes.
  package static let nameBytesMax = 255
  package static let tagBytesMax = 128

  package init(registry: String, repository: String, tag: String?, digest: Digest?) {
    self.registry = registry
    self.repository = repository
    self.tag = tag
    self.digest = digest
  }

  package init(parsing text: String) throws(ImageReferenceError) {
    func refuse(_ reason: String) -> ImageReferenceError { ImageReferenceError(text: text, reason: reason) }
    guard !text.isEmpty, text.utf8.count <= 1024, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw refuse("") }

    var rest = Substring(text)
    var digest: Digest?
    if let at = rest.firstIndex(of: "@") {
      let digestText = String(rest[rest.index(after: at)...])
      guard let parsed = Digest(digestText) else { throw refuse("the digest must be sha256: and 64 lower-case hex digits") }
      digest = parsed
      rest = rest[..<at]
    }
    let (registryPart, remainder) = Self.splitRegistry(rest)
    var path = remainder
    var tag: String?
    if let colon = path.lastIndex(of: ":") {
      let tagText = path[path.index(after: colon)...]
      guard Self.isTag(tagText) else { throw refuse("") }
      tag = String(tagText)
      path = path[..<colon]
    }
    guard !path.isEmpty else { throw refuse("") }
    if path.utf8.contains(where: { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }) {
      throw refuse("repository name (\(registryPart == nil && !path.contains("/") ? "library/" : "")\(path)) must be lowercase")
    }
    guard path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Self.isPathComponent) else { throw refuse("") }
    if registryPart == nil, Digest(hex: String(path)) != nil {
      throw refuse("cannot specify 64-byte hexadecimal strings")
    }

    var registry = registryPart.map(String.init) ?? Self.defaultRegistry
    guard Self.isHost(registry) else { throw refuse("") }
    if registry == "index.docker.io" { registry = Self.defaultRegistry }
    let repository = registry == Self.defaultRegistry && !path.contains("/") ? "library/\(path)" : String(path)
    guard registry.utf8.count + 1 + repository.utf8.count <= Self.nameBytesMax else {
      throw refuse("repository name must not be more than \(Self.nameBytesMax) characters")
    }
    self.init(registry: registry, repository: repository, tag: tag ?? (digest == nil ? Self.defaultTag : nil), digest: digest)
  }

  /// `registry/repository`.
  package var name: String { "\(registry)/\(repository)" }

  /// The full name with everything written out; what images are filed under.
  package var canonical: String { name + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }

  package var description: String { canonical }

  /// What a registry is asked for: the digest where there is one, else the tag.
  package var manifestReference: String { digest?.description ?? tag ?? Self.defaultTag }

  /// `registry/repository:tag`; nil where there is no tag.
  package var taggedName: String? { tag.map { "\(name):\($0)" } }

  /// `registry/repository@digest`.
  package func withDigest(_ digest: Digest) -> String { "\(name)@\(digest)" }

  /// The first component is a registry if it looks like a host: a dot, a colon, `localhost`, or a capital letter.
  private static func splitRegistry(_ text: Substring) -> (registry: Substring?, path: Substring) {
    guard let slash = text.firstIndex(of: "/") else { return (nil, text) }
    let first = text[..<slash]
    let looksLikeHost =
      first.contains(".") || first.contains(":") || first == "localhost"
      || first.utf8.contains { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    return looksLikeHost ? (first, text[text.index(after: slash)...]) : (nil, text)
  }

  private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }

  /// Letters and digits, held together by one dot, one or two underscores, or any number of hyphens.
  private static func isPathComponent(_ text: Substring) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, let last = bytes.last, isLowerAlphanumeric(first), isLowerAlphanumeric(last) else { return false }
    var separator: [UInt8] = []
    for byte in bytes {
      if isLowerAlphanumeric(byte) {
        let isJoint =
          separator.isEmpty || separator == [UInt8(ascii: ".")] || separator.allSatisfy { $0 == UInt8(ascii: "-") }
          || (separator.count <= 2 && separator.allSatisfy { $0 == UInt8(ascii: "_") })
        guard isJoint else { return false }
        separator = []
      } else {
        guard byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") else { return false }
        separator.append(byte)
      }
    }
    return true
  }

  private static func isTag(_ text: Substring) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, bytes.count <= tagBytesMax else { return false }
    guard isAlphanumeric(first) || first == UInt8(ascii: "_") else { return false }
    return bytes.allSatisfy {
      isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
    }
  }

  /// A DNS name, an IPv4 address or an IPv6 address in brackets, with or without a port.
  package static func isHost(_ text: String) -> Bool {
    var host = Substring(text)
    if host.hasPrefix("[") {
      guard let end = host.firstIndex(of: "]") else { return false }
      let address = host[host.index(after: host.startIndex)..<end]
      let isAddress = address.utf8.allSatisfy { Digest.isHexDigit($0 | 0x20) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") }
      guard address.contains(":"), isAddress else { return false }
      let after = host[host.index(after: end)...]
      return after.isEmpty || (after.hasPrefix(":") && isPort(after.dropFirst()))
    }
    if let colon = host.firstIndex(of: ":") {
      guard isPort(host[host.index(after: colon)...]) else { return false }
      host = host[..<colon]
    }
    return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      guard let first = label.utf8.first, let last = label.utf8.last else { return false }
      return isAlphanumeric(first) && isAlphanumeric(last) && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
  }

  private static func isPort(_ text: Substring) -> Bool {
    guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      return false
    }
    return (1...65535).contains(Int(text) ?? 0)
  }
}
