/// RFC 4648 with padding, as Basic authentication and pull secrets need it.
func base64Encoded(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var out: [UInt8] = []
  var at = 0
  while at < bytes.count {
    let group = (0..<3).map { at + $0 < bytes.count ? UInt32(bytes[at + $0]) : 0 }
    let bits = group[0] << 16 | group[1] << 8 | group[2]
    let digits = min(bytes.count - at, 3) + 1
    for i in 0..<4 { out.append(i < digits ? alphabet[Int(bits >> UInt32(18 - 6 * i)) & 63] : UInt8(ascii: "=")) }
    at += 3
  }
  return String(decoding: out, as: UTF8.self)
}

/// Nil where the text is no base64. Line breaks and missing padding are forgiven.
func base64Decoded(_ text: String) -> [UInt8]? {
  var out: [UInt8] = []
  var bits: UInt32 = 0
  var count = 0
  for byte in text.utf8 {
    let value: UInt8
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - 65
    case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - 71
    case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte + 4
    case UInt8(ascii: "+"), UInt8(ascii: "-"): value = 62
    case UInt8(ascii: "/"), UInt8(ascii: "_"): value = 63
    case UInt8(ascii: "="), 10, 13: continue
    default: return nil
    }
    bits = bits << 6 | UInt32(value)
    count += 6
    if count >= 8 {
      count -= 8
      out.append(UInt8(bits >> UInt32(count) & 0xFF))
    }
  }
  return out
}
