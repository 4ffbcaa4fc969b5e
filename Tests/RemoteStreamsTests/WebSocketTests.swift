import NIOCore
import NIOWebSocket
import Testing

@testable import RemoteStreams

private let mask: WebSocketMaskingKey = [1, 2, 3, 4]

private func frame(_ opcode: WebSocketOpcode, _ text: String, fin: Bool = true, masked: Bool = true) -> WebSocketFrame {
  var data = ByteBuffer(string: text)
  if masked { data.webSocketMask(mask) }
  return WebSocketFrame(fin: fin, opcode: opcode, maskKey: masked ? mask : nil, data: data)
}

@Suite struct WebSocketMessagesTests {
  @Test func piecesBecomeOneMessageAroundAPing() {
    var messages = WebSocketMessages()
    #expect(messages.receive(frame(.binary, "ab", fin: false)) == nil)
    #expect(messages.receive(frame(.ping, "p")) == .send(opcode: .pong, ByteBuffer(string: "p")))
    #expect(messages.receive(frame(.continuation, "cd", fin: false)) == nil)
    #expect(messages.receive(frame(.continuation, "e")) == .message(isText: false, ByteBuffer(string: "abcde")))
    #expect(messages.receive(frame(.text, "t")) == .message(isText: true, ByteBuffer(string: "t")))
  }

  @Test func violationsCloseOnce() {
    let bad: [[WebSocketFrame]] = [
      [frame(.binary, "x", masked: false)], [frame(.continuation, "x")], [frame(.binary, "x", fin: false), frame(.binary, "y")],
      [WebSocketFrame(fin: true, rsv1: true, opcode: .binary, maskKey: mask, data: ByteBuffer())],
    ]
    for frames in bad {
      var messages = WebSocketMessages()
      #expect(frames.compactMap { messages.receive($0) } == [.close(code: 1002)])
      #expect(messages.receive(frame(.binary, "later")) == nil)
    }
  }

  @Test func closeIsAnsweredWithItsCode() {
    for (sent, answered) in [([], 1000), ([0x03, 0xe9], 1001), ([0x0f, 0xa0], 4000), ([0x03, 0xed], 1002)] as [([UInt8], UInt16)] {
      var data = ByteBuffer(bytes: sent)
      data.webSocketMask(mask)
      var messages = WebSocketMessages()
      #expect(messages.receive(WebSocketFrame(fin: true, opcode: .connectionClose, maskKey: mask, data: data)) == .close(code: answered))
    }
  }

  @Test func endlessMessagesAreTooBig() {
    var messages = WebSocketMessages()
    let piece = String(repeating: "x", count: 1024 * 1024)
    _ = messages.receive(frame(.binary, "", fin: false))
    let events = (0..<6).compactMap { _ in messages.receive(frame(.continuation, piece, fin: false)) }
    #expect(events == [.close(code: 1009)])
  }
}

@Suite struct WebSocketCommandProtocolTests {
  private func read(_ name: WebSocketCommandProtocol.Name, _ bytes: [UInt8]) -> WebSocketCommandProtocol.Input {
    WebSocketCommandProtocol(name: name).read(WebSocketMessage(bytes: ByteBuffer(bytes: bytes)))
  }

  @Test func binaryChannels() {
    #expect(read(.v5, [0, 65]) == .stdin(ByteBuffer(string: "A")))
    #expect(read(.v5, [0]) == .ignored)
    #expect(read(.v5, [255, 0]) == .stdinClosed)
    #expect(read(.v5, [255, 1]) == .ignored)
    #expect(read(.v4, [255, 0]) == .ignored, "only v5 can half-close")
    #expect(read(.v5, [4] + Array(#"{"Width":120,"Height":40}"#.utf8)) == .resize(TerminalSize(width: 120, height: 40)))
    #expect(read(.v5, [4] + Array(#"{"Width":70000,"Height":40}"#.utf8)) == .ignored)
    #expect(read(.v5, [1, 65]) == .ignored)
    #expect(read(.v5, []) == .ignored)
  }

  @Test func base64Channels() {
    #expect(read(.v4Base64, Array("0QUI=".utf8)) == .stdin(ByteBuffer(string: "AB")))
    #expect(read(.v1Base64, Array("0Q!".utf8)) == .violation)
    let out = WebSocketCommandProtocol(name: .v4Base64).write(ByteBuffer(string: "AB"), on: .stdout)
    #expect(out == WebSocketMessage(isText: true, bytes: ByteBuffer(string: "1QUI=")))
  }

  @Test func statusIsAMessageOnlyInOldVersions() {
    let failure = remoteCommandStatus(exitCode: 3)
    #expect(errorStreamBytes(remoteCommandStatus(exitCode: 0), hasStatus: false) == nil)
    #expect(String(buffer: errorStreamBytes(failure, hasStatus: false)!).contains("exit code 3"))
    #expect(String(buffer: errorStreamBytes(failure, hasStatus: true)!).contains(#""causes":[{"reason":"ExitCode","message":"3"}]"#))
  }
}
