import JSONCodec
import OCISpec

/// A login for the registries its pattern matches. It prints without its secrets.
package struct RegistryCredential: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
  /// As in a pull secret: `host[:port][/path]`, the host's labels may hold `*`.
  package var pattern: String
  package var username: String
  package var password: String
  /// A refresh token, instead of a password.
  package var identityToken: String?
  /// A bearer token to be used as it is.
  package var registryToken: String?

  package init(
    pattern: String, username: String, password: String, identityToken: String? = nil, registryToken: String? = nil
  ) {
    self.pattern = pattern
    self.username = username
    self.password = password
    self.identityToken = identityToken
    self.registryToken = registryToken
  }

  package var description: String { "credential for \(pattern)" }
  package var debugDescription: String { description }
}

extension RegistryCredential {
  /// The key Docker Hub's login is filed under.
  static let dockerHubKey = "index.docker.io"
  static let documentBytesMax = 1 << 20

  /// The logins of an image pull secret: `.dockerconfigjson` ({"auths": {...}}) or the older `.dockercfg` ({...}).
  /// Throws ImageError `malformed` where the document is neither; an entry without a usable login is left out.
  package static func parse(pullSecret bytes: [UInt8]) throws(ImageError) -> [RegistryCredential] {
    guard bytes.count <= documentBytesMax, let json = try? JSON.parse(bytes), let object = json.object else {
      throw ImageError(.malformed, "the image pull secret is not a JSON object")
    }
    let entries: JSONObject
    if object.contains("auths") {
      guard let auths = json["auths"].object else { throw ImageError(.malformed, "the image pull secret's \"auths\" is not an object") }
      entries = auths
    } else {
      entries = object
    }
    return entries.compactMap { key, entry in credential(key, entry) }
  }

  private static func credential(_ key: String, _ entry: JSON) -> RegistryCredential? {
    guard entry.object != nil else { return nil }
    var username = entry["username"].string ?? ""
    var password = entry["password"].string ?? ""
    if let auth = entry["auth"].string, !auth.isEmpty, let decoded = base64Decoded(auth) {
      // Docker pads the decoded text with NULs sometimes.
      let text = String(decoding: decoded.prefix { $0 != 0 }, as: UTF8.self)
      if let colon = text.firstIndex(of: ":") {
        username = String(text[..<colon])
        password = String(text[text.index(after: colon)...])
      }
    }
    let identity = entry["identitytoken"].string.flatMap { $0.isEmpty ? nil : $0 }
    let registry = entry["registrytoken"].string.flatMap { $0.isEmpty ? nil : $0 }
    guard !username.isEmpty || !password.isEmpty || identity != nil || registry != nil else { return nil }
    return RegistryCredential(
      pattern: key, username: username, password: password, identityToken: identity, registryToken: registry)
  }
}

/// The logins that may be tried for a repository (`registry/repository`), the most specific first: kubelet's rules. Labels of the
/// host match one by one and may hold `*`, the port must be equal, the path is a prefix. Docker Hub answers to `docker.io`,
/// `index.docker.io` and `https://index.docker.io/v1/`.
package func matchingCredentials(_ credentials: [RegistryCredential], registry: String, repository: String) -> [RegistryCredential] {
  let isHub = registry == ImageReference.defaultRegistry
  let matches = credentials.compactMap { credential -> (key: String, credential: RegistryCredential)? in
    let key = effectivePattern(credential.pattern)
    if isHub {
      let isMatch = [RegistryCredential.dockerHubKey, "docker.io"].contains { patternMatches(key, host: $0, path: repository) }
      return isMatch ? (key, credential) : nil
    }
    return patternMatches(key, host: registry, path: repository) ? (key, credential) : nil
  }
  return matches.enumerated().sorted { $0.element.key != $1.element.key ? $0.element.key > $1.element.key : $0.offset < $1.offset }
    .map(\.element.credential)
}

/// Without scheme, and without the API version that old clients wrote behind the host.
private func effectivePattern(_ pattern: String) -> String {
  var text = Substring(pattern)
  for scheme in ["https://", "http://"] where text.hasPrefix(scheme) { text = text.dropFirst(scheme.count) }
  guard let slash = text.firstIndex(of: "/") else { return String(text) }
  let path = text[slash...]
  for version in ["/v1", "/v2"] where path == version || path == version + "/" { return String(text[..<slash]) }
  while text.hasSuffix("/") { text = text.dropLast() }
  return String(text)
}

private func patternMatches(_ pattern: String, host: String, path: String) -> Bool {
  let slash = pattern.firstIndex(of: "/") ?? pattern.endIndex
  let patternPath = pattern[slash...].drop { $0 == "/" }
  guard path.hasPrefix(patternPath) else { return false }
  let (patternName, patternPort) = splitPort(pattern[..<slash])
  let (name, port) = splitPort(Substring(host))
  guard patternPort == port else { return false }
  let globs = patternName.split(separator: ".", omittingEmptySubsequences: false)
  let labels = name.split(separator: ".", omittingEmptySubsequences: false)
  return globs.count == labels.count && zip(globs, labels).allSatisfy { globMatches(Array($0.utf8)[...], Array($1.utf8)[...]) }
}

private func splitPort(_ text: Substring) -> (name: Substring, port: Substring) {
  guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else { return (text, "") }
  return (text[..<colon], text[text.index(after: colon)...])
}

/// `*` stands for any characters, `?` for one, within one label.
private func globMatches(_ glob: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
  var glob = glob, text = text
  var retry: (glob: ArraySlice<UInt8>, text: ArraySlice<UInt8>)?
  while true {
    if glob.first == UInt8(ascii: "*") {
      glob = glob.dropFirst()
      retry = (glob, text)
    } else if let expected = glob.first, let actual = text.first, expected == UInt8(ascii: "?") || expected == actual {
      glob = glob.dropFirst()
      text = text.dropFirst()
    } else if glob.isEmpty, text.isEmpty {
      return true
    } else if let again = retry, !again.text.isEmpty {
      // The star takes one character more.
      retry = (again.glob, again.text.dropFirst())
      (glob, text) = retry!
    } else {
      return false
    }
  }
}
