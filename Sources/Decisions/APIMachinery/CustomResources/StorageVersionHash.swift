/// How discovery names the version that objects are stored in: the first 8 bytes of the SHA-256 of `group/version/kind`, in Base64.
enum StorageVersionHash {
  static func of(group: String, version: String, kind: String) -> String {
    Base64.encode(sha256(Array("\(group)/\(version)/\(kind)".utf8)).prefix(8))
  }

  /// FIPS 180-4, section 6.2.
  static func sha256(_ message: [UInt8]) -> [UInt8] {
    var state: [UInt32] = [
      0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19,
    ]
    var padded = message + [0x80]
    while padded.count % 64 != 56 { padded.append(0) }
    for shift in stride(from: 56, through: 0, by: -8) {
      padded.append(UInt8(truncatingIfNeeded: UInt64(message.count) * 8 >> UInt64(shift)))
    }
    for start in stride(from: 0, to: padded.count, by: 64) { round(&state, padded[start..<start + 64]) }
    return state.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
  }

  private static func round(_ state: inout [UInt32], _ block: ArraySlice<UInt8>) {
    func rotated(_ word: UInt32, _ by: UInt32) -> UInt32 { word >> by | word << (32 - by) }
    var words: [UInt32] = stride(from: block.startIndex, to: block.endIndex, by: 4).map { i in
      block[i..<i + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
    for i in 16..<64 {
      let a = rotated(words[i - 15], 7) ^ rotated(words[i - 15], 18) ^ words[i - 15] >> 3
      let b = rotated(words[i - 2], 17) ^ rotated(words[i - 2], 19) ^ words[i - 2] >> 10
      words.append(words[i - 16] &+ a &+ words[i - 7] &+ b)
    }
    var v = state
    for i in 0..<64 {
      let mix = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)
      let choice = (v[4] & v[5]) ^ (~v[4] & v[6])
      let first = v[7] &+ mix &+ choice &+ constants[i] &+ words[i]
      let other = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)
      let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2])
      v = [first &+ other &+ majority, v[0], v[1], v[2], v[3] &+ first, v[4], v[5], v[6]]
    }
    for i in 0..<8 { state[i] = state[i] &+ v[i] }
  }

  /// The fractions of the cube roots of the first 64 primes.
  private static let constants: [UInt32] = {
    var primes: [Int] = []
    var candidate = 2
    while primes.count < 64 {
      if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
      candidate += 1
    }
    return primes.map { prime in
      // The largest x with x^3 <= prime * 2^96, by bisection in whole numbers; its low 32 bits are the fraction.
      var low: UInt64 = 0
      var high: UInt64 = 1 << 35
      while low + 1 < high {
        let middle = (low + high) / 2
        if isCubeAtMost(middle, prime) { low = middle } else { high = middle }
      }
      return UInt32(truncatingIfNeeded: low)
    }
  }()

  private static func isCubeAtMost(_ root: UInt64, _ prime: Int) -> Bool {
    // root < 2^35, so its square fits into 70 bits and its cube into 105.
    let square = root.multipliedFullWidth(by: root)
    let low = square.low.multipliedFullWidth(by: root)
    let high = square.high * root &+ low.high
    return high < UInt64(prime) << 32 || (high == UInt64(prime) << 32 && low.low == 0)
  }
}
