import AsyncHTTPClient
import JSONCodec
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import OCISpec
import Synchronization
import SystemPackage

/// One repository on one server with one login, for the time of one pull.
final class RegistrySession: Sendable {
  let server: URLOrigin
  let repository: String
  private let client: HTTPClient
  private let credential: RegistryCredential?
  private let configuration: RegistryConfiguration
  private let tls: TLSConfiguration?
  /// Authorization header values; by scope, because a token is good for one scope.
  private let authorization = Mutex<[String: String]>([:])

  static let redirectsMax = 5
  static let tokenBytesMax = 1 << 20
  /// Redirects go to hosts that the registry chooses; these answers are followed.
  private static let redirectStatuses: Set<UInt> = [301, 302, 303, 307, 308]

  /// `host` is `host[:port]`.
  init(host: String, repository: String, credential: RegistryCredential?, client: HTTPClient, configuration: RegistryConfiguration)
    throws
  {
    let name = host == ImageReference.defaultRegistry ? "registry-1.docker.io" : host
    let caFile = configuration.caFiles[host]
    let isPlain = configuration.plainHTTPHosts.contains(host) || (isLoopback(host) && caFile == nil)
    guard let server = URLOrigin("\(isPlain ? "http" : "https")://\(name)") else {
      throw ImageError(.invalidName, "\(host) is no host")
    }
    self.server = server
    self.repository = repository
    self.credential = credential
    self.client = client
    self.configuration = configuration
    if let caFile {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.trustRoots = .file(caFile.string)
      self.tls = tls
    } else {
      tls = nil
    }
  }

  private var scope: String { "repository:\(repository):pull" }

  /// GET below `/v2/<repository>/`. Answers 2xx, or throws.
  func get(_ path: String, accept: [String] = [], from offset: Int64 = 0) async throws -> HTTPClientResponse {
    var target = server
    target.pathAndQuery = "/v2/\(repository)/\(path)"
    var mayLogIn = true
    var redirects = 0
    while true {
      let isHome = target.isSameServer(as: server)
      var request = HTTPClientRequest(url: target.text)
      request.headers.add(name: "User-Agent", value: "swiftlet")
      for type in accept { request.headers.add(name: "Accept", value: type) }
      if offset > 0 { request.headers.add(name: "Range", value: "bytes=\(offset)-") }
      // The login and its tokens are for the registry, not for whoever it sends us on to.
      if isHome, let header = authorization.withLock({ $0[scope] }) { request.headers.add(name: "Authorization", value: header) }
      let response = try await execute(request, isHome: isHome)
      if response.status.code == 401, isHome, mayLogIn, redirects == 0 {
        mayLogIn = false
        if try await logIn(response.headers["WWW-Authenticate"]) { continue }
      }
      if Self.redirectStatuses.contains(response.status.code), let location = response.headers.first(name: "Location") {
        guard let next = target.resolving(location) else {
          throw ImageError(.registry, "\(server.hostAndPort) redirects to something that is no URL")
        }
        guard !(target.scheme == "https" && next.scheme == "http") else {
          throw ImageError(.registry, "\(server.hostAndPort) redirects from https to http, to \(next.hostAndPort): refused")
        }
        redirects += 1
        guard redirects <= Self.redirectsMax else {
          throw ImageError(.registry, "\(server.hostAndPort) redirects more than \(Self.redirectsMax) times")
        }
        target = next
        continue
      }
      if (200..<300).contains(response.status.code) { return response }
      throw await failure(response, path, at: target)
    }
  }

  private func execute(_ request: HTTPClientRequest, isHome: Bool) async throws -> HTTPClientResponse {
    var request = request
    if isHome { request.tlsConfiguration = tls }
    do {
      return try await client.execute(request, deadline: .now() + .seconds(Int64(configuration.documentSeconds)))
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      try Task.checkCancellation()
      throw ImageError(.network, "cannot reach \(URLOrigin(request.url)?.hostAndPort ?? "the registry"): \(Self.describe(error))")
    }
  }

  static func describe(_ error: any Error) -> String {
    if let error = error as? HTTPClientError { return error.shortDescription }
    // All addresses of the name were tried; the first one's answer says enough.
    if let error = error as? NIOConnectionError, let first = error.connectionErrors.first { return describe(first.error) }
    if let error = error as? IOError { return Errno(rawValue: error.errnoCode).description }
    return "\(error)"
  }

  /// What an answer means that is no success.
  private func failure(_ response: HTTPClientResponse, _ path: String, at target: URLOrigin) async -> ImageError {
    let reason = await registryMessage(response)
    let host = target.hostAndPort
    switch response.status.code {
    case 401:
      return ImageError(
        .unauthorized,
        credential == nil
          ? "\(host) wants a login for \(repository) (or there is no such image)\(reason); add an image pull secret"
          : "\(host) refused the login for \(repository)\(reason); check the image pull secret")
    case 403: return ImageError(.unauthorized, "\(host) denies reading \(repository)\(reason)")
    case 404: return ImageError(.notFound, "\(host) has no \(repository) \(path)\(reason)")
    case 416: return ImageError(.truncated, "\(host) has less of \(path) than was announced")
    case 429: return ImageError(.tooManyRequests, "\(host) answers 429 Too Many Requests\(reason)")
    default: return ImageError(.registry, "\(host) answers \(response.status.code) \(response.status.reasonPhrase)\(reason)")
    }
  }

  /// The registry's own words, one line, printable ASCII: {"errors": [{"code", "message"}]}.
  private func registryMessage(_ response: HTTPClientResponse) async -> String {
    guard let bytes = try? await collect(response, bytesMax: 64 << 10, what: "error"), let json = try? JSON.parse(bytes) else { return "" }
    let first = json["errors"][0]
    guard let message = first["message"].string ?? first["code"].string else { return "" }
    let clean = message.unicodeScalars.prefix(200).filter { $0.value >= 0x20 && $0.value < 0x7F }
    return " (" + String(String.UnicodeScalarView(clean)) + ")"
  }

  /// A small body whole. Refused once it is longer than allowed or takes longer than `documentSeconds`.
  func collect(_ response: HTTPClientResponse, bytesMax: Int, what: String) async throws -> [UInt8] {
    let end = ContinuousClock.now + .seconds(configuration.documentSeconds)
    var bytes: [UInt8] = []
    do {
      for try await chunk in response.body {
        bytes.append(contentsOf: chunk.readableBytesView)
        guard bytes.count <= bytesMax else {
          throw ImageError(.tooLarge, "\(server.hostAndPort) sends a \(what) longer than \(bytesMax) bytes")
        }
        guard ContinuousClock.now < end else {
          throw ImageError(.network, "\(server.hostAndPort) took longer than \(configuration.documentSeconds) s for a \(what)")
        }
      }
    } catch let error as ImageError {
      throw error
    } catch {
      try Task.checkCancellation()
      throw ImageError(.network, "\(server.hostAndPort) broke off in the middle of a \(what): \(Self.describe(error))")
    }
    return bytes
  }

  // MARK: Login

  /// Does what the registry's challenge asks for. False where that is impossible.
  private func logIn(_ headers: [String]) async throws -> Bool {
    let challenges = AuthChallenge.parse(headers)
    if let token = credential?.registryToken {
      authorization.withLock { $0[scope] = "Bearer \(token)" }
      return true
    }
    for case .bearer(let realm, let service, let scope) in challenges {
      let token = try await fetchToken(realm: realm, service: service, scope: scope.isEmpty ? self.scope : scope)
      authorization.withLock { $0[self.scope] = "Bearer \(token)" }
      return true
    }
    if challenges.contains(.basic), let credential, credential.identityToken == nil {
      authorization.withLock { $0[scope] = Self.basic(credential) }
      return true
    }
    return false
  }

  private static func basic(_ credential: RegistryCredential) -> String {
    "Basic " + base64Encoded(Array("\(credential.username):\(credential.password)".utf8))
  }

  /// Asks for a token (Docker registry token authentication; with a refresh token, OAuth 2).
  private func fetchToken(realm: String, service: String, scope: String) async throws -> String {
    guard let origin = URLOrigin(realm), !(origin.scheme == "http" && server.scheme == "https") else {
      throw ImageError(.registry, "\(server.hostAndPort) sends us for a token to a place that is no https URL")
    }
    let login = mayReceiveLogin(realm: origin, of: server, tokenHosts: configuration.tokenHosts) ? credential : nil
    var parameters: [(String, String)] = []
    if !service.isEmpty { parameters.append(("service", service)) }
    for one in scope.split(separator: " ") { parameters.append(("scope", String(one))) }
    var request: HTTPClientRequest
    if let refresh = login?.identityToken {
      request = HTTPClientRequest(url: origin.text)
      request.method = .POST
      parameters += [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "swiftlet")]
      request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
      request.body = .bytes(ByteBuffer(string: formEncoded(parameters)))
    } else {
      var url = origin
      if let login { parameters.append(("account", login.username)) }
      url.pathAndQuery += (url.pathAndQuery.contains("?") ? "&" : "?") + formEncoded(parameters)
      request = HTTPClientRequest(url: url.text)
      if let login { request.headers.add(name: "Authorization", value: Self.basic(login)) }
    }
    request.headers.add(name: "User-Agent", value: "swiftlet")
    let response = try await execute(request, isHome: origin.isSameServer(as: server))
    guard response.status.code == 200 else {
      let error = await failure(response, "token", at: origin)
      throw [400, 401, 403].contains(response.status.code) ? ImageError(.unauthorized, error.message) : error
    }
    let json = try? JSON.parse(try await collect(response, bytesMax: Self.tokenBytesMax, what: "token"))
    guard let token = json?["token"].string ?? json?["access_token"].string, !token.isEmpty,
      token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { throw ImageError(.registry, "\(origin.hostAndPort) answers without a token") }
    return token
  }
}

/// application/x-www-form-urlencoded.
func formEncoded(_ parameters: [(String, String)]) -> String {
  func escape(_ text: String) -> String {
    let hex = Array("0123456789ABCDEF")
    return text.utf8.reduce(into: "") { out, byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
        out.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        out += "%"
        out.append(hex[Int(byte >> 4)])
        out.append(hex[Int(byte & 15)])
      }
    }
  }
  return parameters.map { "\(escape($0))=\(escape($1))" }.joined(separator: "&")
}
