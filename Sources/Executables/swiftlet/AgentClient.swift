import AsyncHTTPClient
import JSONCodec
import NIOCore

#if canImport(Glibc)
  import Glibc
#endif

/// Asks the agent of this machine over its Unix sockets.
struct AgentClient {
  /// Pulls of large images take their time.
  static let answerSecondsMax: Int64 = 3600

  let socket: String

  private func url(_ pathAndQuery: String) -> String {
    let encoded = socket.map { $0 == "/" ? "%2F" : String($0) }.joined()
    return "http+unix://\(encoded)\(pathAndQuery)"
  }

  static func query(_ items: [(String, String)]) -> String {
    items.isEmpty ? "" : "?" + items.map { "\($0)=\(escaped($1))" }.joined(separator: "&")
  }

  private static func escaped(_ text: String) -> String {
    text.utf8.map { byte in
      let isPlain = byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || "-._~".utf8.contains(byte)
      return isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  static func noAnswer(_ socket: String) -> StartFailure {
    StartFailure("no agent answers at \(socket). Is swiftlet running? If it was started with --run-dir, name the same here.")
  }

  /// Tells a socket that is not there from one that this user may not open.
  static func checkSocket(_ socket: String) throws {
    if access(socket, R_OK | W_OK) == 0 { return }
    throw errno == EACCES ? StartFailure("only root may talk to the agent at \(socket). Run this with sudo.") : noAnswer(socket)
  }

  /// Sends a request and gives each part of the answer on; throws where the agent refused or is not there.
  func stream(_ method: String, _ pathAndQuery: String, _ part: (ByteBuffer) throws -> Void) async throws {
    try Self.checkSocket(socket)
    var request = HTTPClientRequest(url: url(pathAndQuery))
    request.method = .RAW(value: method)
    let response: HTTPClientResponse
    do {
      response = try await HTTPClient.shared.execute(request, timeout: .seconds(Self.answerSecondsMax))
    } catch {
      throw Self.noAnswer(socket)
    }
    guard response.status == .ok else {
      let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
      throw StartFailure((try? JSON.parse(text))?["error"].string ?? text)
    }
    for try await bytes in response.body { try part(bytes) }
  }

  func json(_ method: String, _ pathAndQuery: String) async throws -> JSON {
    var all = ByteBuffer()
    try await stream(method, pathAndQuery) { bytes in
      var bytes = bytes
      all.writeBuffer(&bytes)
    }
    return try JSON.parse(all.readableBytesView)
  }
}
