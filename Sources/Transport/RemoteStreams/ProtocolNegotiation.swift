import HTTPServing
import NIOHTTP1

/// Which protocol an upgrade request leads to.
enum UpgradeKind: Equatable {
  case webSocket(accept: String, offered: [String])
  case spdy(offered: [String])
  /// Not an upgrade that we know.
  case none

  init(_ headers: HTTPHeaders) {
    guard headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" }) else {
      self = .none
      return
    }
    switch headers.first(name: "upgrade")?.lowercased() {
    case "websocket":
      guard let key = headers.first(name: "sec-websocket-key"), headers.first(name: "sec-websocket-version") == "13" else {
        self = .none
        return
      }
      self = .webSocket(
        accept: webSocketAccept(key), offered: headers[canonicalForm: "sec-websocket-protocol"].map(String.init))
    case "spdy/3.1": self = .spdy(offered: headers[canonicalForm: "x-stream-protocol-version"].map(String.init))
    default: self = .none
    }
  }
}

/// The proof that a server understood the handshake (RFC 6455, 4.2.2).
func webSocketAccept(_ key: String) -> String {
  String(decoding: Base64.encode(sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)), as: UTF8.self)
}

func webSocketUpgradeHeaders(accept: String, chosen: String) -> HTTPHeaders {
  var headers: HTTPHeaders = ["Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept]
  if !chosen.isEmpty { headers.add(name: "Sec-WebSocket-Protocol", value: chosen) }
  return headers
}

func spdyUpgradeHeaders(chosen: String?) -> HTTPHeaders {
  var headers: HTTPHeaders = ["Connection": "Upgrade", "Upgrade": "SPDY/3.1"]
  if let chosen { headers.add(name: "X-Stream-Protocol-Version", value: chosen) }
  return headers
}

/// 403, as upstream's handshake: names what both sides speak, so that a client can fall back.
func cannotNegotiate(offered: [String], accepted: [String]) -> ServedResponse {
  var response = ServedResponse.text(
    .forbidden, "unable to upgrade: unable to negotiate protocol: client supports \(offered), server accepts \(accepted)")
  for version in accepted { response.headers.add(name: "X-Accepted-Stream-Protocol-Versions", value: version) }
  return response
}

func upgradeRequired() -> ServedResponse {
  .text(.badRequest, "unable to upgrade: the request asks for neither WebSocket nor SPDY/3.1")
}
