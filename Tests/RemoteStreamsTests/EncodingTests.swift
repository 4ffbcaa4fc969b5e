import CZlib
import NIOCore
import Testing

@testable import RemoteStreams

private func hex(_ text: String) -> [UInt8] {
  text.split(whereSeparator: \.isWhitespace).map { UInt8($0, radix: 16)! }
}

@Suite struct EncodingTests {
  @Test func sha1OfTheRFCsExamples() {
    let text = { (bytes: [UInt8]) in bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
    #expect(text(sha1("abc".utf8)) == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(text(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)) == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
    #expect(text(sha1([UInt8](repeating: 0x61, count: 1_000_000))) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f")
    #expect(webSocketAccept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455, 1.3")
  }

  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
  ])
  func base64OfTheRFCsExamples(plain: String, encoded: String) {
    #expect(Base64.encode(Array(plain.utf8)) == Array(encoded.utf8))
    #expect(Base64.decode(Array(encoded.utf8)) == Array(plain.utf8))
  }

  @Test func base64RefusesWhatIsNone() {
    for text in ["A", "A*==", "Zg==Zg", "Z g="] { #expect(Base64.decode(Array(text.utf8)) == nil, "\(text)") }
  }

  @Test func spdyDictionaryIsTheProtocols() {
    #expect(spdyDictionary.count == 1423)
    // A stream that zlib makes with it starts with its Adler-32: 78 bb e3 c6 a7 c2, as in every SPDY/3 capture.
    #expect(Array(SPDYHeaderWriter().write([])[..<6]) == hex("78 bb e3 c6 a7 c2"))
  }

  @Test func headerBlocksContinueOneZlibStream() throws {
    let writer = SPDYHeaderWriter()
    let reader = SPDYHeaderReader()
    for i in 0..<50 {
      let headers = [SPDYHeader("streamtype", "data"), SPDYHeader("port", String(8000 + i)), SPDYHeader("requestid", String(i))]
      let block = writer.write(headers)
      #expect(try reader.read(block) == headers)
      if i > 0 { #expect(block.count < 40, "later blocks refer to earlier ones") }
    }
    let large = [SPDYHeader("x", String(repeating: "y", count: 30_000))]
    #expect(try reader.read(writer.write(large)) == large)
  }

  @Test func headerBombsAndBrokenBlocksAreRefused() {
    #expect(throws: SPDYError.self) {
      try SPDYHeaderReader().read(SPDYHeaderWriter().write([SPDYHeader("x", String(repeating: "y", count: 1_000_000))]))
    }
    #expect(throws: SPDYError.self) { try SPDYHeaderReader().read([1, 2, 3, 4]) }
    #expect(throws: SPDYError.self) { try SPDYHeaderReader().read([]) }
  }

  @Test func framesAreTheSpecificationsBytes() throws {
    let data = ByteBuffer(bytes: [0xca, 0xfe])
    let cases: [(SPDYFrame, String)] = [
      (.ping(id: 1), "80 03 00 06  00 00 00 04  00 00 00 01"),
      (.data(stream: 5, isFinal: false, data), "00 00 00 05  00 00 00 02  ca fe"),
      (.data(stream: 5, isFinal: true, ByteBuffer()), "00 00 00 05  01 00 00 00"),
      (.resetStream(stream: 3, status: 5), "80 03 00 03  00 00 00 08  00 00 00 03  00 00 00 05"),
      (.goAway(lastGoodStream: 7, status: 0), "80 03 00 07  00 00 00 08  00 00 00 07  00 00 00 00"),
      (.windowUpdate(stream: 1, delta: 0x8000), "80 03 00 09  00 00 00 08  00 00 00 01  00 00 80 00"),
      (
        .synStream(stream: 1, isFinal: false, isUnidirectional: false, block: [9]),
        "80 03 00 01  00 00 00 0b  00 00 00 01  00 00 00 00  00 00  09"
      ),
      (.synReply(stream: 1, isFinal: true, block: [9]), "80 03 00 02  01 00 00 05  00 00 00 01  09"),
      (.headers(stream: 1, isFinal: false, block: [9]), "80 03 00 08  00 00 00 05  00 00 00 01  09"),
    ]
    for (frame, bytes) in cases {
      var out = ByteBuffer()
      frame.write(to: &out)
      #expect(Array(out.readableBytesView) == hex(bytes))
      #expect(try frames(in: out) == [frame])
      #expect(try frames(in: ByteBuffer(bytes: hex(bytes).dropLast())).isEmpty)
    }
    let otherVersion = ByteBuffer(bytes: hex("80 02 00 06  00 00 00 04  00 00 00 01"))
    #expect(throws: SPDYError.self) { try frames(in: otherVersion) }
    let tooLong = ByteBuffer(bytes: hex("00 00 00 01  00 ff ff ff"))
    #expect(throws: SPDYError.self) { try frames(in: tooLong) }
    let short = ByteBuffer(bytes: hex("80 03 00 03  00 00 00 04  00 00 00 03"))
    #expect(throws: SPDYError.self) { try frames(in: short) }
  }
}
