import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// Connections to programs in the cluster: webhooks, aggregated API servers, whatever is proxied to. A name that its certificate
/// has to show, the address that it is reached at and the authority that vouches for it make one client, which is kept.
final class BackendClients: Sendable {
  /// Clients that are kept; the one used least recently goes.
  static let countMax = 128
  /// Seconds that a client which goes has for the requests under way.
  static let graceSeconds = 60
  static let connectSeconds: Int64 = 10

  /// Who has to be at the other end.
  enum Trust: Hashable, Sendable {
    /// Certificates in PEM.
    case authorities([UInt8])
    /// The system's.
    case system
    /// Anybody: what upstream does for pods and services that are proxied to.
    case anybody
  }

  /// How the server shows who it is, in PEM.
  struct ClientIdentity: Hashable, Sendable {
    let certificate: [UInt8]
    let key: [UInt8]
  }

  private struct Key: Hashable {
    let name: String
    let address: String
    let trust: Trust
    let identity: ClientIdentity?
  }
  private struct Entry {
    let client: HTTPClient
    var used: UInt64
  }
  private struct State {
    var entries: [Key: Entry] = [:]
    var clock: UInt64 = 0
    var isClosed = false
  }
  private let group: any EventLoopGroup
  private let state = Mutex(State())

  init(group: any EventLoopGroup) { self.group = group }

  /// A client for `https://<name>:<port>` that connects to `address`.
  func client(name: String, address: String, trust: Trust, identity: ClientIdentity? = nil) throws -> HTTPClient {
    let key = Key(name: name, address: address, trust: trust, identity: identity)
    if let known = lookUp(key) { return known }
    let made = try make(key)
    let (kept, unneeded) = state.withLock { state -> (HTTPClient, [HTTPClient]) in
      state.clock += 1
      if let other = state.entries[key] { return (other.client, [made]) }
      state.entries[key] = Entry(client: made, used: state.clock)
      guard state.entries.count > Self.countMax, let oldest = state.entries.min(by: { $0.value.used < $1.value.used }) else {
        return (made, [])
      }
      state.entries[oldest.key] = nil
      return (made, [oldest.value.client])
    }
    for client in unneeded { Self.retire(client, after: client === made ? 0 : Self.graceSeconds) }
    return kept
  }

  private func lookUp(_ key: Key) -> HTTPClient? {
    state.withLock { state in
      state.clock += 1
      state.entries[key]?.used = state.clock
      return state.entries[key]?.client
    }
  }

  private func make(_ key: Key) throws -> HTTPClient {
    var tls = TLSConfiguration.makeClientConfiguration()
    switch key.trust {
    case .authorities(let pem): tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(pem))
    case .system: break
    case .anybody: tls.certificateVerification = .none
    }
    if let identity = key.identity {
      tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(identity.certificate).map { .certificate($0) }
      tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: identity.key, format: .pem))
    }
    var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
    configuration.timeout.connect = .seconds(Self.connectSeconds)
    configuration.httpVersion = .http1Only
    configuration.redirectConfiguration = .disallow
    // Who asks is told at once that nobody listens.
    configuration.connectionPool.retryConnectionEstablishment = false
    if key.name != key.address { configuration.dnsOverride = [key.name: key.address] }
    return HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
  }

  private static func retire(_ client: HTTPClient, after seconds: Int) {
    Task.detached {
      if seconds > 0 { try? await Task.sleep(for: .seconds(seconds)) }
      try? await client.shutdown()
    }
  }

  func shutdown() async {
    let clients = state.withLock { state in
      defer { state.entries = [:] }
      return state.entries.values.map(\.client)
    }
    for client in clients { try? await client.shutdown() }
  }
}
