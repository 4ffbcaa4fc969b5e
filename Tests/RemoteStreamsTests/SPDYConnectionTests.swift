import NIOCore
import Testing

@testable import RemoteStreams

/// A connection behind a reference, so that expectations can drive it.
final class End {
  private var connection: SPDYConnection
  init(_ role: SPDYConnection.Role) { connection = SPDYConnection(role: role) }
  func receive(_ bytes: ByteBuffer) throws -> [SPDYConnection.Event] { try connection.receive(bytes) }
  func takeOutput() -> ByteBuffer? { connection.takeOutput() }
  func openStream(_ headers: [SPDYHeader]) -> UInt32 { connection.openStream(headers) }
  func reply(_ id: UInt32) { connection.reply(id) }
  func send(_ bytes: ByteBuffer, on id: UInt32) -> Bool { connection.send(bytes, on: id) }
  func finish(_ id: UInt32) { connection.finish(id) }
  func reset(_ id: UInt32, _ status: SPDYResetStatus) { connection.reset(id, status) }
  func consumed(_ count: Int, on id: UInt32) { connection.consumed(count, on: id) }
  func goAway() { connection.goAway() }
  var openStreamCount: Int { connection.openStreamCount }
}

func frames(in bytes: ByteBuffer?) throws -> [SPDYFrame] {
  var bytes = bytes ?? ByteBuffer()
  var frames: [SPDYFrame] = []
  while let frame = try SPDYFrame.read(from: &bytes) { frames.append(frame) }
  return frames
}

@Suite struct SPDYConnectionTests {
  let client = End(.client)
  let server = End(.server)

  /// Carries what the client wrote to the server, byte by byte.
  private func deliver() throws -> [SPDYConnection.Event] {
    guard let bytes = client.takeOutput() else { return [] }
    return try bytes.readableBytesView.flatMap { try server.receive(ByteBuffer(bytes: [$0])) }
  }

  private func answer() throws -> [SPDYConnection.Event] { try server.takeOutput().map { try client.receive($0) } ?? [] }

  @Test func streamLivesFromOpenToBothEnds() throws {
    let headers = [SPDYHeader("streamtype", "stdin")]
    let id = client.openStream(headers)
    #expect(try deliver() == [.opened(stream: 1, headers: headers, isFinal: false)])
    server.reply(id)
    #expect(try answer() == [.replied(stream: 1, headers: [])])
    #expect(client.send(ByteBuffer(string: "abc"), on: id))
    client.finish(id)
    #expect(try deliver() == [.data(stream: 1, ByteBuffer(string: "abc")), .finished(stream: 1)])
    #expect(!client.send(ByteBuffer(string: "late"), on: id))
    #expect(server.send(ByteBuffer(string: "x"), on: id))
    server.finish(id)
    #expect(try answer() == [.data(stream: 1, ByteBuffer(string: "x")), .finished(stream: 1)])
    #expect(server.openStreamCount == 0 && client.openStreamCount == 0)
    #expect(!server.send(ByteBuffer(string: "y"), on: id))
  }

  @Test func largeWritesAreCutIntoFrames() throws {
    let id = client.openStream([])
    _ = try deliver()
    let bytes = ByteBuffer(repeating: 7, count: SPDYConnection.dataBytesMax * 2 + 1)
    #expect(client.send(bytes, on: id))
    let sizes = try deliver().map { if case .data(_, let bytes) = $0 { bytes.readableBytes } else { -1 } }
    #expect(sizes == [SPDYConnection.dataBytesMax, SPDYConnection.dataBytesMax, 1])
  }

  @Test func resetForgetsTheStream() throws {
    let id = client.openStream([])
    _ = try deliver()
    client.reset(id, .cancel)
    #expect(try deliver() == [.reset(stream: id)])
    #expect(!server.send(ByteBuffer(string: "x"), on: id))
    #expect(server.openStreamCount == 0)
    #expect(server.takeOutput() == nil)
  }

  @Test func pingsAreEchoedAndOwnOnesAreNot() throws {
    var bytes = ByteBuffer()
    SPDYFrame.ping(id: 1).write(to: &bytes)
    #expect(try server.receive(bytes) == [])
    #expect(server.takeOutput() == bytes)
    bytes.clear()
    SPDYFrame.ping(id: 2).write(to: &bytes)
    _ = try server.receive(bytes)
    #expect(server.takeOutput() == nil)
  }

  @Test func consumedBytesOpenTheWindows() throws {
    let id = client.openStream([])
    _ = try deliver()
    server.consumed(1000, on: id)
    #expect(try frames(in: server.takeOutput()) == [.windowUpdate(stream: id, delta: 1000), .windowUpdate(stream: 0, delta: 1000)])
  }

  @Test func dataForAStreamThatNeverWasIsReset() throws {
    var bytes = ByteBuffer()
    SPDYFrame.data(stream: 9, isFinal: false, ByteBuffer(string: "x")).write(to: &bytes)
    #expect(try server.receive(bytes) == [])
    #expect(try frames(in: server.takeOutput()) == [.resetStream(stream: 9, status: 2)])
  }

  @Test func streamsOutOfTurnBreakTheConnection() throws {
    var bytes = ByteBuffer()
    SPDYFrame.synStream(stream: 2, isFinal: false, isUnidirectional: false, block: SPDYHeaderWriter().write([])).write(to: &bytes)
    #expect(throws: SPDYError.self) { try server.receive(bytes) }
  }

  @Test func streamsAreLimitedAndRefusedAfterGoodbye() throws {
    for _ in 0..<SPDYConnection.streamsMax { _ = client.openStream([]) }
    #expect(try deliver().count == SPDYConnection.streamsMax)
    let id = client.openStream([])
    #expect(try deliver() == [])
    #expect(try answer() == [.reset(stream: id)])
    server.goAway()
    #expect(try answer() == [.goAway])
  }
}
