import APIMachinery
import HTTPServing
import NIOHTTP1

/// A bearer token among the subprotocols that a WebSocket's client offers: browsers cannot send another header
/// (kubernetes: "base64url.bearer.authorization.k8s.io").
enum SubprotocolToken {
  static let prefix = "base64url.bearer.authorization.k8s.io."
  private static let header = "sec-websocket-protocol"

  /// The token; nil: none is offered. Throws 401 for two of them, for one that is no text in base64, and where no subprotocol is offered
  /// beside it, which the answer could name.
  static func token(_ headers: HTTPHeaders) throws -> String? {
    guard headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == "websocket" }) else { return nil }
    let offered = headers[canonicalForm: header].map(String.init)
    let tokens = offered.filter { $0.hasPrefix(prefix) }
    guard let first = tokens.first else { return nil }
    guard tokens.count == 1, offered.count > 1, let bytes = Base64.decode(String(first.dropFirst(prefix.count)), orURLSafe: true),
      !bytes.isEmpty,
      let token = String(validating: bytes, as: UTF8.self)
    else { throw APIFailure.unauthorized }
    return token
  }

  /// The request without a token among its subprotocols: neither the answer nor whoever it is passed on to is to see it.
  static func removed(from request: ServedRequest) -> ServedRequest {
    let offered = request.headers[canonicalForm: header].map(String.init)
    guard offered.contains(where: { $0.hasPrefix(prefix) }) else { return request }
    var request = request
    request.headers.replaceOrAdd(name: header, value: offered.filter { !$0.hasPrefix(prefix) }.joined(separator: ", "))
    return request
  }
}
