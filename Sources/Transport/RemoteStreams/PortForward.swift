import HTTPServing
import NIOCore
import NIOHTTP1

/// A connection into the pod. The closure of `upgradePortForward` makes it, on any event loop.
package typealias PortForwardConnection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
package typealias PortForwardConnect = @Sendable (_ port: Int, _ eventLoop: any EventLoop) async throws -> PortForwardConnection

/// Upgrades a port-forward request to SPDY/3.1, plain or inside a WebSocket, or to the older WebSocket form with `port` or `ports`
/// in its query; or refuses it with 400 or 403.
///
/// An error of `connect` is told to the client as text: its description.
package func upgradePortForward(request: ServedRequest, connect: @escaping PortForwardConnect) -> ServedResponse {
  let spdyName = "portforward.k8s.io"
  let tunnelName = "SPDY/3.1+portforward.k8s.io"
  switch UpgradeKind(request.headers) {
  case .spdy(let offered):
    guard offered.isEmpty || offered.contains(spdyName) else { return cannotNegotiate(offered: offered, accepted: [spdyName]) }
    return .upgrade(headers: spdyUpgradeHeaders(chosen: spdyName)) { channel in
      await runPortForward(channel, below: { [] }, connect)
    }
  case .webSocket(let accept, let offered):
    if offered.contains(tunnelName) {
      return .upgrade(headers: webSocketUpgradeHeaders(accept: accept, chosen: tunnelName)) { channel in
        await runPortForward(channel, below: { WebSocketHandler.pipeline() + [WebSocketTunnelHandler()] }, connect)
      }
    }
    return upgradeChannelPortForward(request, accept: accept, offered: offered, also: tunnelName, connect)
  case .none: return upgradeRequired()
  }
}

/// `below`: the handlers between the channel's bytes and SPDY's.
private func runPortForward(
  _ channel: any Channel, below: @escaping @Sendable () -> [any ChannelHandler], _ connect: @escaping PortForwardConnect
) async {
  let (opened, continuation) = AsyncStream<SPDYStream>.makeStream()
  do {
    try await channel.takeUp {
      below() + [SPDYHandler(role: .server, admit: { PortForwardStream($0) != nil }, streams: continuation)]
    }
  } catch { return }
  await withDiscardingTaskGroup { group in
    var pairs = PortForwardPairs()
    for await stream in opened {
      guard let description = PortForwardStream(stream.headers) else { continue }
      let (pair, expired) = pairs.add(stream, description, now: .now())
      for stream in expired { stream.reset(.cancel) }
      guard let pair else { continue }
      group.addTask { await forward(pair, on: channel.eventLoop, connect) }
    }
    group.cancelAll()
  }
}

/// What a stream's headers say: one of the two streams of a connection.
struct PortForwardStream: Equatable {
  enum Kind: String { case error, data }
  let kind: Kind
  let port: Int
  /// Very old clients send none and open the error stream right before the data stream.
  let requestID: String?

  init?(_ headers: [SPDYHeader]) {
    func value(_ name: String) -> String? { headers.first { $0.name == name }?.value }
    guard let kind = value("streamtype").flatMap(Kind.init(rawValue:)), let port = value("port").flatMap({ Int($0) }),
      (1...65535).contains(port)
    else { return nil }
    self.kind = kind
    self.port = port
    requestID = value("requestid")
  }
}

struct PortForwardPair: Sendable {
  let port: Int
  let data: SPDYStream
  let error: SPDYStream
}

/// Streams that wait for their other half.
struct PortForwardPairs {
  /// A half that stays alone this long is given up, as soon as another stream comes.
  static let halfLifeMax = TimeAmount.seconds(30)
  private var halves: [String: (stream: SPDYStream, kind: PortForwardStream.Kind, since: NIODeadline)] = [:]

  mutating func add(_ stream: SPDYStream, _ description: PortForwardStream, now: NIODeadline) -> (PortForwardPair?, expired: [SPDYStream]) {
    let old = halves.filter { $0.value.since + Self.halfLifeMax < now }
    for key in old.keys { halves[key] = nil }
    let expired = old.values.map(\.stream)
    let id = description.requestID ?? String(description.kind == .error ? stream.id : stream.id - 2)
    guard let other = halves[id], other.kind != description.kind else {
      halves[id] = (stream, description.kind, now)
      return (nil, expired)
    }
    halves[id] = nil
    let (data, error) = description.kind == .data ? (stream, other.stream) : (other.stream, stream)
    return (PortForwardPair(port: description.port, data: data, error: error), expired)
  }
}

private func forward(_ pair: PortForwardPair, on eventLoop: any EventLoop, _ connect: PortForwardConnect) async {
  do {
    let connection = try await connect(pair.port, eventLoop)
    try await connection.executeThenClose { inbound, outbound in
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          while let bytes = await pair.data.read() { try await outbound.write(bytes) }
          outbound.finish()
        }
        group.addTask {
          for try await bytes in inbound { try await pair.data.write(bytes) }
          pair.data.finish()
        }
        try await group.waitForAll()
      }
    }
  } catch is ConnectionClosedError {
    // The client took its stream back: nobody is left to be told.
  } catch is CancellationError {
  } catch {
    try? await pair.error.write(ByteBuffer(string: "\(error)"))
  }
  pair.data.finish()
  pair.error.finish()
}
