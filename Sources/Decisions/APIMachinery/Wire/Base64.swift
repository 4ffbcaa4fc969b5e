/// Base64 as `[]byte` fields have it in JSON (RFC 4648, with padding), and as tokens have it (base64url, without).
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let urlAlphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
  private static let values = table(alphabet)
  private static let urlValues = table(alphabet).enumerated().map { $1 == 0xFF ? table(urlAlphabet)[$0] : $1 }

  private static func table(_ alphabet: [UInt8]) -> [UInt8] {
    var table = [UInt8](repeating: 0xFF, count: 256)
    for (i, byte) in alphabet.enumerated() { table[Int(byte)] = UInt8(i) }
    return table
  }

  /// `urlSafe`: with `-` and `_`, and without padding.
  package static func encode(_ bytes: some Collection<UInt8>, urlSafe: Bool = false) -> String {
    let alphabet = urlSafe ? urlAlphabet : alphabet
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    var group: UInt32 = 0
    var held = 0
    func put(_ count: Int) {
      for i in 0...count { out.append(alphabet[Int(group >> UInt32(18 - 6 * i)) & 63]) }
      if !urlSafe { for _ in count..<3 { out.append(UInt8(ascii: "=")) } }
    }
    for byte in bytes {
      group = group << 8 | UInt32(byte)
      held += 1
      if held == 3 {
        put(3)
        group = 0
        held = 0
      }
    }
    if held > 0 {
      group <<= UInt32(8 * (3 - held))
      put(held)
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Nil where the text is not base64; line breaks are skipped, as Go's decoder does.
  package static func decode(_ text: String) -> [UInt8]? { decode(text, orURLSafe: false) }

  /// `orURLSafe`: the other alphabet and missing padding are taken too.
  package static func decode(_ text: some StringProtocol, orURLSafe: Bool) -> [UInt8]? {
    let values = orURLSafe ? urlValues : values
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count / 4 * 3)
    var group: UInt32 = 0
    var held = 0
    var padding = 0
    for byte in text.utf8 where byte != 10 && byte != 13 {
      if byte == UInt8(ascii: "=") {
        padding += 1
        continue
      }
      let value = values[Int(byte)]
      guard value != 0xFF, padding == 0 else { return nil }
      group = group << 6 | UInt32(value)
      held += 1
      if held == 4 {
        out.append(UInt8(truncatingIfNeeded: group >> 16))
        out.append(UInt8(truncatingIfNeeded: group >> 8))
        out.append(UInt8(truncatingIfNeeded: group))
        group = 0
        held = 0
      }
    }
    if orURLSafe, padding == 0, held > 0 { padding = 4 - held }
    switch (held, padding) {
    case (0, 0): break
    case (2, 2): out.append(UInt8(truncatingIfNeeded: group >> 4))
    case (3, 1):
      out.append(UInt8(truncatingIfNeeded: group >> 10))
      out.append(UInt8(truncatingIfNeeded: group >> 2))
    default: return nil
    }
    return out
  }
}
