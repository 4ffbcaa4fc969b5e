import AsyncHTTPClient
import JSONCodec
import NIOCore
import NIOSSL

/// Carries requests over HTTPS to any Kubernetes API server.
package final class HTTPTransport: APITransport {
  /// Seconds to wait for a connection, and for the head of an answer that is no watch.
  static let connectSecondsMax: Int64 = 5
  static let answerSecondsMax: Int64 = 60
  /// The largest answer that is read, in bytes.
  static let bodyBytesMax = 256 << 20

  private let client: HTTPClient
  private let server: String
  private let token: String?
  private let userAgent: String

  package init(_ kubeconfig: Kubeconfig, userAgent: String, group: any EventLoopGroup) throws {
    var tls = TLSConfiguration.makeClientConfiguration()
    if let authority = kubeconfig.certificateAuthority {
      tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(authority))
    }
    if kubeconfig.skipsTLSVerify { tls.certificateVerification = .none }
    if let certificate = kubeconfig.clientCertificate, let key = kubeconfig.clientKey {
      tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(certificate).map { .certificate($0) }
      tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .pem))
    }
    var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
    configuration.timeout.connect = .seconds(Self.connectSecondsMax)
    if let name = kubeconfig.tlsServerName, let host = kubeconfig.server.split(separator: "/").dropFirst().first {
      configuration.dnsOverride = [name: String(host.split(separator: ":")[0])]
    }
    client = HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
    server = kubeconfig.server.hasSuffix("/") ? String(kubeconfig.server.dropLast()) : kubeconfig.server
    token = kubeconfig.token
    self.userAgent = userAgent
  }

  package func shutdown() async { try? await client.shutdown() }

  private func prepared(_ request: APIRequest) -> HTTPClientRequest {
    var url = server + request.path
    for (i, item) in request.query.enumerated() {
      url += (i == 0 ? "?" : "&") + item.name + "=" + item.value.percentEncoded
    }
    var result = HTTPClientRequest(url: url)
    result.method = .RAW(value: request.method)
    result.headers.add(name: "Accept", value: "application/json")
    result.headers.add(name: "User-Agent", value: userAgent)
    if let token { result.headers.add(name: "Authorization", value: "Bearer \(token)") }
    if let body = request.body {
      result.headers.add(name: "Content-Type", value: request.contentType)
      result.body = .bytes(body.serialized())
    }
    return result
  }

  package func send(_ request: APIRequest) async throws -> APIResponse {
    let response = try await client.execute(prepared(request), timeout: .seconds(Self.answerSecondsMax))
    return try await Self.answer(response)
  }

  private static func answer(_ response: HTTPClientResponse) async throws -> APIResponse {
    let body = try await response.body.collect(upTo: bodyBytesMax)
    let json = (try? JSON.parse(body.readableBytesView)) ?? ["message": .string(String(buffer: body))]
    return APIResponse(status: Int(response.status.code), body: json)
  }

  package func watch(_ request: APIRequest) async throws -> AsyncThrowingStream<WatchEvent, any Error> {
    let response = try await client.execute(prepared(request), deadline: .distantFuture)
    guard response.status == .ok else { throw APIStatusError(try await Self.answer(response)) }
    return AsyncThrowingStream { continuation in
      let task = Task {
        do {
          var pending = ByteBuffer()
          for try await part in response.body {
            var part = part
            pending.writeBuffer(&part)
            while let newline = pending.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
              let length = newline - pending.readerIndex
              let line = pending.readSlice(length: length)!
              pending.moveReaderIndex(forwardBy: 1)
              if length > 0 { continuation.yield(try Self.event(line)) }
            }
            pending.discardReadBytes()
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  private static func event(_ line: ByteBuffer) throws -> WatchEvent {
    let json = try JSON.parse(line.readableBytesView)
    guard let kind = json["type"].string.flatMap(WatchEvent.Kind.init) else {
      throw JSONError(reason: "a watch event without a known type", offset: 0)
    }
    return WatchEvent(kind: kind, object: json["object"])
  }
}

extension String {
  /// RFC 3986: everything but unreserved characters as %XX.
  var percentEncoded: String {
    var result = ""
    for byte in utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
        result.unicodeScalars.append(UnicodeScalar(byte))
      default:
        let hex = String(byte, radix: 16, uppercase: true)
        result += byte < 16 ? "%0\(hex)" : "%\(hex)"
      }
    }
    return result
  }
}
