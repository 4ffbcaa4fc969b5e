/// SHA-1 (RFC 3174), which the WebSocket handshake asks for. Nothing relies on its strength there.
func sha1(_ message: some Sequence<UInt8>) -> [UInt8] {
  var data = Array(message)
  let bitCount = UInt64(data.count) * 8
  data.append(0x80)
  while data.count % 64 != 56 { data.append(0) }
  for shift in stride(from: 56, through: 0, by: -8) { data.append(UInt8(truncatingIfNeeded: bitCount >> UInt64(shift))) }

  var hash: (UInt32, UInt32, UInt32, UInt32, UInt32) = (0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0)
  func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { x << n | x >> (32 - n) }
  var w = [UInt32](repeating: 0, count: 80)
  for block in stride(from: 0, to: data.count, by: 64) {
    for i in 0..<16 { w[i] = data[(block + i * 4)..<(block + i * 4 + 4)].reduce(0) { $0 << 8 | UInt32($1) } }
    for i in 16..<80 { w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1) }
    var (a, b, c, d, e) = hash
    for i in 0..<80 {
      let (f, k): (UInt32, UInt32) =
        switch i {
        case ..<20: (b & c | ~b & d, 0x5a82_7999)
        case ..<40: (b ^ c ^ d, 0x6ed9_eba1)
        case ..<60: (b & c | b & d | c & d, 0x8f1b_bcdc)
        default: (b ^ c ^ d, 0xca62_c1d6)
        }
      (a, b, c, d, e) = (rotate(a, 5) &+ f &+ e &+ k &+ w[i], a, rotate(b, 30), c, d)
    }
    hash = (hash.0 &+ a, hash.1 &+ b, hash.2 &+ c, hash.3 &+ d, hash.4 &+ e)
  }
  return [hash.0, hash.1, hash.2, hash.3, hash.4].flatMap { word in
    stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt32($0)) }
  }
}
