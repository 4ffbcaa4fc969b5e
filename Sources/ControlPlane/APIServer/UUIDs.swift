/// Random UUIDs (RFC 9562, version 4) as objects have them.
enum UUIDs {
  private static let digits = Array("0123456789abcdef".utf8)

  static func random() -> String {
    var generator = SystemRandomNumberGenerator()
    let halves = [
      generator.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, generator.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000,
    ]
    return String(unsafeUninitializedCapacity: 36) { text in
      var at = 0
      for half in halves {
        for place in 0..<16 {
          if at == 8 || at == 13 || at == 18 || at == 23 {
            text[at] = UInt8(ascii: "-")
            at += 1
          }
          text[at] = digits[Int(half >> UInt64(60 - 4 * place) & 15)]
          at += 1
        }
      }
      return at
    }
  }
}
