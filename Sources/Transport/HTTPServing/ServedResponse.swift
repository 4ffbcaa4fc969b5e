import NIOCore
import NIOHTTP1

package enum ServedBody: Sendable {
  case bytes(ByteBuffer)
  /// Runs after the headers were sent; the body ends when it returns. Throwing breaks the connection (HTTP/2: the stream), so
  /// that the client sees that something is missing. Its task is cancelled when the client goes away or the server stops.
  case stream(@Sendable (ResponseWriter) async throws -> Void)
}

package struct ServedResponse: Sendable {
  package var status: HTTPResponseStatus
  /// `Content-Length` and `Transfer-Encoding` are the server's to add.
  package var headers: HTTPHeaders
  package var body: ServedBody
  /// HTTP/1.1 only. The status (101, as a rule) and the headers are sent, the HTTP handlers leave, and the raw channel comes
  /// here: autoRead is off and bytes already read are kept until `Channel.takeUp`. The channel closes when it returns.
  package var takeOver: (@Sendable (any Channel) async -> Void)?

  package init(
    status: HTTPResponseStatus = .ok, headers: HTTPHeaders = [:], body: ServedBody = .bytes(ByteBuffer()),
    takeOver: (@Sendable (any Channel) async -> Void)? = nil
  ) {
    self.status = status
    self.headers = headers
    self.body = body
    self.takeOver = takeOver
  }

  package static func text(_ status: HTTPResponseStatus, _ text: String) -> ServedResponse {
    ServedResponse(
      status: status, headers: ["Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"],
      body: .bytes(ByteBuffer(string: text)))
  }

  /// An upgraded connection.
  package static func upgrade(
    headers: HTTPHeaders, takeOver: @escaping @Sendable (any Channel) async -> Void
  ) -> ServedResponse {
    ServedResponse(status: .switchingProtocols, headers: headers, takeOver: takeOver)
  }
}

/// The client is gone, or the server closed the connection.
package struct ConnectionClosedError: Error, CustomStringConvertible {
  package var description: String { "the connection is closed" }
  package init() {}
}

/// Writes the body of one streaming response.
package struct ResponseWriter: Sendable {
  let handler: NIOLoopBound<HTTPRequestHandler>
  let eventLoop: any EventLoop

  /// Sends bytes at once and returns when the connection takes more. Throws `ConnectionClosedError` when nobody reads any more.
  package func write(_ bytes: ByteBuffer) async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      eventLoop.execute { handler.value.streamWrite(bytes, continuation) }
    }
  }

  package func write(_ bytes: some Sequence<UInt8> & Sendable) async throws { try await write(ByteBuffer(bytes: bytes)) }
}

extension HTTPHeaders {
  /// Without those that would end their line: whoever builds a header from what a client sent must not give it a way to write
  /// headers or a body (RFC 9110, 5.5).
  var withoutBreaks: HTTPHeaders {
    let isBroken = { (text: String) in text.utf8.contains { $0 == 0x0A || $0 == 0x0D || $0 == 0 } }
    guard contains(where: { isBroken($0.value) || isBroken($0.name) }) else { return self }
    return HTTPHeaders(filter { !isBroken($0.value) && !isBroken($0.name) }.map { ($0.name, $0.value) })
  }
}
