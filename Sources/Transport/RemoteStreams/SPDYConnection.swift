import NIOCore

/// One end of a SPDY/3.1 connection, without I/O: bytes in, events and bytes out.
///
/// Flow control: Go's spdystream, kubectl's client, ignores windows. So nothing is held back because of a window of the peer's,
/// and WINDOW_UPDATE is sent for what was consumed so that a stricter peer gets on as well.
struct SPDYConnection {
  enum Role { case client, server }

  enum Event: Equatable {
    case opened(stream: UInt32, headers: [SPDYHeader], isFinal: Bool)
    case replied(stream: UInt32, headers: [SPDYHeader])
    case data(stream: UInt32, ByteBuffer)
    /// The peer writes no more on this stream.
    case finished(stream: UInt32)
    case reset(stream: UInt32)
    case goAway
  }

  struct Ends { var isLocalOpen = true, isRemoteOpen = true }

  /// A port-forward has two streams per connection; kubectl opens few.
  static let streamsMax = 1000

  let role: Role
  /// What is to be sent; whoever drives the connection takes it.
  private(set) var output = ByteBuffer()
  private var input = ByteBuffer()
  private var streams: [UInt32: Ends] = [:]
  private var lastPeerStream: UInt32 = 0
  private var nextOwnStream: UInt32
  private var isGoingAway = false
  private let headerReader = SPDYHeaderReader()
  private let headerWriter = SPDYHeaderWriter()

  init(role: Role) {
    self.role = role
    nextOwnStream = role == .client ? 1 : 2
  }

  mutating func takeOutput() -> ByteBuffer? {
    guard output.readableBytes > 0 else { return nil }
    defer { output = ByteBuffer() }
    return output
  }

  mutating func receive(_ bytes: ByteBuffer) throws(SPDYError) -> [Event] {
    var bytes = bytes
    if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
    var events: [Event] = []
    while let frame = try SPDYFrame.read(from: &input) { try handle(frame, &events) }
    input.discardReadBytes()
    return events
  }

  private mutating func handle(_ frame: SPDYFrame, _ events: inout [Event]) throws(SPDYError) {
    switch frame {
    case .synStream(let id, let isFinal, let isUnidirectional, let block):
      try open(id, isFinal, isUnidirectional, headers: headerReader.read(block), &events)
    case .synReply(let id, let isFinal, let block):
      events.append(.replied(stream: id, headers: try headerReader.read(block)))
      if isFinal { finishRemote(id, &events) }
    case .headers(let id, let isFinal, let block):
      _ = try headerReader.read(block)  // keeps the compression in step; nothing here uses later headers
      if isFinal { finishRemote(id, &events) }
    case .data(let id, let isFinal, let bytes):
      guard let ends = streams[id], ends.isRemoteOpen else {
        // What is still on its way to a stream that we closed is dropped; a stream that never was is an error of the peer's.
        if isPeers(id), id > lastPeerStream { SPDYFrame.resetStream(stream: id, status: 2).write(to: &output) }
        return
      }
      if bytes.readableBytes > 0 { events.append(.data(stream: id, bytes)) }
      if isFinal { finishRemote(id, &events) }
    case .resetStream(let id, _):
      if streams.removeValue(forKey: id) != nil { events.append(.reset(stream: id)) }
    case .ping(let id):
      if isPeers(id) { SPDYFrame.ping(id: id).write(to: &output) }
    case .goAway:
      isGoingAway = true
      events.append(.goAway)
    case .settings, .windowUpdate, .unknown: break
    }
  }

  private func isPeers(_ id: UInt32) -> Bool { (id % 2 == 1) == (role == .server) }

  private mutating func open(
    _ id: UInt32, _ isFinal: Bool, _ isUnidirectional: Bool, headers: [SPDYHeader], _ events: inout [Event]
  ) throws(SPDYError) {
    guard isPeers(id), id > lastPeerStream else { throw SPDYError("stream \(id) is opened out of turn") }
    lastPeerStream = id
    guard streams.count < Self.streamsMax, !isGoingAway else {
      return SPDYFrame.resetStream(stream: id, status: SPDYResetStatus.refusedStream.rawValue).write(to: &output)
    }
    streams[id] = Ends(isLocalOpen: !isUnidirectional, isRemoteOpen: true)
    events.append(.opened(stream: id, headers: headers, isFinal: isFinal))
    if isFinal { finishRemote(id, &events) }
  }

  private mutating func finishRemote(_ id: UInt32, _ events: inout [Event]) {
    guard streams[id]?.isRemoteOpen == true else { return }
    streams[id]!.isRemoteOpen = false
    events.append(.finished(stream: id))
    forgetIfClosed(id)
  }

  private mutating func forgetIfClosed(_ id: UInt32) {
    if let ends = streams[id], !ends.isLocalOpen, !ends.isRemoteOpen { streams[id] = nil }
  }

  // MARK: what this end does

  /// Opens a stream and returns its number.
  mutating func openStream(_ headers: [SPDYHeader]) -> UInt32 {
    let id = nextOwnStream
    nextOwnStream += 2
    streams[id] = Ends()
    SPDYFrame.synStream(stream: id, isFinal: false, isUnidirectional: false, block: headerWriter.write(headers)).write(to: &output)
    return id
  }

  mutating func reply(_ id: UInt32) {
    guard streams[id] != nil else { return }
    SPDYFrame.synReply(stream: id, isFinal: false, block: headerWriter.write([])).write(to: &output)
  }

  /// False where this end of the stream is closed.
  mutating func send(_ bytes: ByteBuffer, on id: UInt32) -> Bool {
    guard streams[id]?.isLocalOpen == true else { return false }
    var rest = bytes
    while let chunk = rest.readSlice(length: min(rest.readableBytes, Self.dataBytesMax)), chunk.readableBytes > 0 {
      SPDYFrame.data(stream: id, isFinal: false, chunk).write(to: &output)
    }
    return true
  }

  /// The largest payload that we send in one frame: what kubectl reads at once.
  static let dataBytesMax = 32 * 1024

  mutating func finish(_ id: UInt32) {
    guard streams[id]?.isLocalOpen == true else { return }
    SPDYFrame.data(stream: id, isFinal: true, ByteBuffer()).write(to: &output)
    streams[id]!.isLocalOpen = false
    forgetIfClosed(id)
  }

  mutating func reset(_ id: UInt32, _ status: SPDYResetStatus) {
    guard streams.removeValue(forKey: id) != nil else { return }
    SPDYFrame.resetStream(stream: id, status: status.rawValue).write(to: &output)
  }

  /// Tells the peer that so many bytes of the stream were taken, and that the connection has room for as many.
  mutating func consumed(_ count: Int, on id: UInt32) {
    guard count > 0 else { return }
    if streams[id]?.isRemoteOpen == true { SPDYFrame.windowUpdate(stream: id, delta: UInt32(count)).write(to: &output) }
    SPDYFrame.windowUpdate(stream: 0, delta: UInt32(count)).write(to: &output)
  }

  mutating func goAway() {
    guard !isGoingAway else { return }
    isGoingAway = true
    SPDYFrame.goAway(lastGoodStream: lastPeerStream, status: 0).write(to: &output)
  }

  var openStreamCount: Int { streams.count }
}
