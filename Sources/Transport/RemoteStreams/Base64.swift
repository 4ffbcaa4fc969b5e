/// Base64 (RFC 4648, section 4), with padding.
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 0xff, count: 256)
    for (value, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(value) }
    return values
  }()

  static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    var bits: UInt32 = 0
    var pending = 0
    for byte in bytes {
      bits = bits << 8 | UInt32(byte)
      pending += 1
      if pending == 3 {
        for shift in [18, 12, 6, 0] { out.append(alphabet[Int(bits >> UInt32(shift) & 63)]) }
        (bits, pending) = (0, 0)
      }
    }
    if pending > 0 {
      bits <<= UInt32(8 * (3 - pending))
      for i in 0..<4 { out.append(i <= pending ? alphabet[Int(bits >> UInt32(18 - 6 * i) & 63)] : UInt8(ascii: "=")) }
    }
    return out
  }

  /// nil where the text is no base64. Missing padding is forgiven.
  static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    var out: [UInt8] = []
    out.reserveCapacity(text.count / 4 * 3)
    var bits: UInt32 = 0
    var pending = 0
    var hasEnded = false
    for letter in text {
      if letter == UInt8(ascii: "=") {
        hasEnded = true
        continue
      }
      let value = values[Int(letter)]
      guard value != 0xff, !hasEnded else { return nil }
      bits = bits << 6 | UInt32(value)
      pending += 1
      if pending == 4 {
        out += [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 8), UInt8(truncatingIfNeeded: bits)]
        (bits, pending) = (0, 0)
      }
    }
    switch pending {
    case 0: return out
    case 2: return out + [UInt8(truncatingIfNeeded: bits >> 4)]
    case 3: return out + [UInt8(truncatingIfNeeded: bits >> 10), UInt8(truncatingIfNeeded: bits >> 2)]
    default: return nil
    }
  }
}
