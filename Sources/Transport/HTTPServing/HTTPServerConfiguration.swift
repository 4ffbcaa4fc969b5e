import NIOCore
import NIOHTTP1
import NIOSSL

/// Where a server listens.
package enum ListenAddress: Sendable, Equatable {
  /// A host name or address and a port; port 0 lets the kernel choose (see `HTTPServer.start`).
  case tcp(host: String, port: Int)
  /// A Unix socket. An old socket file at this path is replaced; the new one has the given permission bits.
  case unix(path: String, mode: UInt32)
}

/// The server's certificate and, where clients may identify themselves by certificate, the authorities that vouch for them.
package struct ServerTLS: Sendable {
  package var certificateChain: [NIOSSLCertificate]
  package var privateKey: NIOSSLPrivateKey
  /// A client that shows a certificate must show one of these authorities' (the handshake fails otherwise); a client that shows
  /// none is let in, with `ServedRequest.peerCertificateDER` nil. Empty: no certificate is asked for.
  package var clientAuthorities: [NIOSSLCertificate]

  package init(certificateChain: [NIOSSLCertificate], privateKey: NIOSSLPrivateKey, clientAuthorities: [NIOSSLCertificate] = []) {
    self.certificateChain = certificateChain
    self.privateKey = privateKey
    self.clientAuthorities = clientAuthorities
  }

  /// The same, from PEM text: the leaf certificate first, then intermediates.
  package init(certificateChainPEM: [UInt8], privateKeyPEM: [UInt8], clientAuthoritiesPEM: [UInt8] = []) throws {
    self.init(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(certificateChainPEM),
      privateKey: try NIOSSLPrivateKey(bytes: privateKeyPEM, format: .pem),
      clientAuthorities: clientAuthoritiesPEM.isEmpty ? [] : try NIOSSLCertificate.fromPEMBytes(clientAuthoritiesPEM))
  }

  func makeContext() throws -> NIOSSLContext {
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: certificateChain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
    tls.minimumTLSVersion = .tlsv12
    tls.applicationProtocols = ["h2", "http/1.1"]
    if !clientAuthorities.isEmpty {
      tls.certificateVerification = .optionalVerification
      tls.trustRoots = .certificates(clientAuthorities)
      // Tells a client which authorities count, so that one with a stranger's certificate shows none and gets a plain 401.
      tls.sendCANameList = true
    }
    return try NIOSSLContext(configuration: tls)
  }
}

/// What one connection and one request may cost. Every limit closes the connection or answers with an error; none waits for ever.
package struct HTTPServerLimits: Sendable {
  /// Open connections; more are closed as they arrive.
  package var connectionsMax = 4096
  /// All header fields of a request together, in bytes.
  package var headerBytesMax = 64 * 1024
  package var headerFieldsMax = 200
  /// Concurrent HTTP/2 streams of one connection (kube-apiserver's default).
  package var streamsMax: UInt32 = 250
  /// HTTP/2 streams that a client may reset within `resetWindow` before its connection is closed (CVE-2023-44487).
  package var resetsMax = 200
  package var resetWindow = TimeAmount.seconds(30)
  /// From accepting to the end of the TLS handshake.
  package var handshakeTimeout = TimeAmount.seconds(10)
  /// From the first byte of a request to its last.
  package var requestReadTimeout = TimeAmount.seconds(30)
  /// Between two requests of a connection.
  package var idleTimeout = TimeAmount.seconds(180)
  /// HTTP/2 connections are pinged this often, so that a client which vanished is noticed.
  package var pingInterval = TimeAmount.seconds(60)
  package var pingTimeout = TimeAmount.seconds(20)
  /// What `stop` lets running requests have.
  package var stopGrace = TimeAmount.seconds(3)
  /// Bytes of further requests kept while one is answered; reading stops there.
  package var pipelinedPartsMax = 8

  package init() {}
}

package struct HTTPServerConfiguration: Sendable {
  /// The largest body of a request for which the server was told nothing else: etcd's and kube-apiserver's 3 MB.
  package static let bodyBytesDefault = 3 * 1024 * 1024

  package var address: ListenAddress
  /// nil: plain text, HTTP/1.1 only; for Unix sockets, tests and loopback tools.
  package var tls: ServerTLS?
  package var limits = HTTPServerLimits()
  /// How many bytes this request's body may have, by its method and raw uri; asked before any of it is read.
  package var bodyBytesMax: @Sendable (HTTPRequestHead) -> Int = { _ in bodyBytesDefault }
  /// The answer to a request that the server refuses by itself (400, 413, 505): status and a sentence.
  package var refusal: @Sendable (HTTPResponseStatus, String) -> ServedResponse = { status, message in
    .text(status, message + "\n")
  }

  package init(address: ListenAddress, tls: ServerTLS? = nil) {
    self.address = address
    self.tls = tls
  }
}
