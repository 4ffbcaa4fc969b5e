import JSONCodec
import NIOHTTP1
import X509

/// Programs in front of API servers that have authenticated the user themselves and say who it is in headers; this
/// server is one towards aggregated API servers. They show a certificate of an authority that signs nothing else.
struct FrontProxy: Sendable {
  static let userHeader = "X-Remote-User"
  static let groupHeader = "X-Remote-Group"
  static let uidHeader = "X-Remote-Uid"
  static let extraPrefix = "X-Remote-Extra-"
  static func isIdentity(_ header: String) -> Bool { header.lowercased().hasPrefix("x-remote-") }
  /// The only name in a certificate that is believed.
  static let allowedNames = ["front-proxy-client"]

  let authority: Certificate
  let authorityPEM: String

  init(authorityPEM: String) throws {
    authority = try Certificate(pemEncoded: authorityPEM)
    self.authorityPEM = authorityPEM
  }

  func signed(_ certificate: Certificate) -> Bool {
    certificate.issuer == authority.subject && authority.publicKey.isValidSignature(certificate.signature, for: certificate)
  }

  /// Nil where the proxy is none of those allowed, or names nobody.
  func user(_ headers: HTTPHeaders, proxy: String) -> UserInfo? {
    guard Self.allowedNames.contains(proxy), let name = headers.first(name: Self.userHeader), !name.isEmpty else { return nil }
    var user = UserInfo(name: name, groups: headers[Self.groupHeader], uid: headers.first(name: Self.uidHeader) ?? "")
    let prefix = Self.extraPrefix.lowercased()
    for (header, value) in headers where header.lowercased().hasPrefix(prefix) {
      user.extra[Impersonation.percentDecoded(String(header.lowercased().dropFirst(prefix.count))), default: []].append(value)
    }
    let isKnown = user.groups.contains(UserInfo.authenticated) || user.groups.contains(UserInfo.unauthenticated)
    if !isKnown { user.groups.append(name == UserInfo.anonymous.name ? UserInfo.unauthenticated : UserInfo.authenticated) }
    return user
  }
}
