import NIOCore
import NIOHTTP1
import Synchronization

/// What all connections of a server share: its configuration, its handler, and who is open.
final class HTTPService: Sendable {
  let configuration: HTTPServerConfiguration
  let handler: @Sendable (ServedRequest) async -> ServedResponse
  var limits: HTTPServerLimits { configuration.limits }

  private struct Open {
    var isStopping = false
    var connections: [ObjectIdentifier: any Channel] = [:]
    /// Tasks of streaming answers, which end only when they are told to.
    var streams: [UInt64: Task<Void, any Error>] = [:]
    var nextStream: UInt64 = 0
  }
  private let open = Mutex(Open())

  init(configuration: HTTPServerConfiguration, handler: @escaping @Sendable (ServedRequest) async -> ServedResponse) {
    self.configuration = configuration
    self.handler = handler
  }

  /// False: there are too many, or the server is stopping.
  func connectionOpened(_ channel: any Channel) -> Bool {
    let id = ObjectIdentifier(channel)
    let isAdmitted = open.withLock { open in
      guard !open.isStopping, open.connections.count < limits.connectionsMax else { return false }
      open.connections[id] = channel
      return true
    }
    if isAdmitted { channel.closeFuture.whenComplete { _ in self.open.withLock { _ = $0.connections.removeValue(forKey: id) } } }
    return isAdmitted
  }

  var connectionCount: Int { open.withLock { $0.connections.count } }

  /// Lets running requests finish, ends streams, then closes what is left.
  func stopConnections() async {
    let (connections, streams) = open.withLock { open in
      open.isStopping = true
      return (Array(open.connections.values), Array(open.streams.values))
    }
    for stream in streams { stream.cancel() }
    for connection in connections { connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    await withTaskGroup(of: Void.self) { group in
      for connection in connections {
        group.addTask {
          let deadline = connection.eventLoop.scheduleTask(in: self.limits.stopGrace) { connection.close(promise: nil) }
          try? await connection.closeFuture.get()
          deadline.cancel()
        }
      }
    }
  }

  /// One request from its arrival to the end of its answer.
  func run(_ request: ServedRequest, on connection: NIOLoopBound<HTTPRequestHandler>, _ eventLoop: any EventLoop) async {
    let response = await handler(request)
    if response.takeOver != nil { return await runTakeOver(response, connection, eventLoop) }
    switch response.body {
    case .bytes: eventLoop.execute { connection.value.respond(response) }
    case .stream(let body):
      let body: @Sendable (ResponseWriter) async throws -> Void = request.method == .HEAD ? { @Sendable _ in } : body
      await runStream(response, body, connection, eventLoop)
    }
  }

  private func runStream(
    _ response: ServedResponse, _ body: @escaping @Sendable (ResponseWriter) async throws -> Void,
    _ connection: NIOLoopBound<HTTPRequestHandler>, _ eventLoop: any EventLoop
  ) async {
    let writer = ResponseWriter(handler: connection, eventLoop: eventLoop)
    guard (try? await eventLoop.submit({ connection.value.startStream(response) }).get()) == true else { return }
    let task = Task { try await body(writer) }
    let id = open.withLock { open -> UInt64? in
      guard !open.isStopping else { return nil }
      open.nextStream += 1
      open.streams[open.nextStream] = task
      return open.nextStream
    }
    if id == nil { task.cancel() }
    let result = await withTaskCancellationHandler {
      await task.result
    } onCancel: {
      task.cancel()
    }
    let isStopping = open.withLock { open in
      if let id { open.streams[id] = nil }
      return open.isStopping
    }
    let isComplete =
      switch result {
      case .success: true
      case .failure(let error): isStopping && error is CancellationError
      }
    eventLoop.execute { connection.value.endStream(completely: isComplete) }
  }

  private func runTakeOver(
    _ response: ServedResponse, _ connection: NIOLoopBound<HTTPRequestHandler>, _ eventLoop: any EventLoop
  ) async {
    let refusal = configuration.refusal(.badRequest, "this connection cannot be upgraded: HTTP/1.1 with an Upgrade header is needed")
    let handedOver = eventLoop.flatSubmit { () -> EventLoopFuture<(any Channel)?> in
      if let future = connection.value.handOver(response) { return future.map { $0 } }
      connection.value.respond(refusal)
      return eventLoop.makeSucceededFuture(nil)
    }
    guard let channel = try? await handedOver.get(), let takeOver = response.takeOver else { return }
    await takeOver(channel)
    try? await channel.close()
  }
}
