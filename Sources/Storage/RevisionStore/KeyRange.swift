/// The keys with a prefix that follow a start key, as bounds for the database: `above` is exclusive below, `end` above.
struct KeyRange: Sendable {
  /// Keys compare greater than or equal to this.
  let from: [UInt8]
  /// Keys compare less than this; not always UTF-8.
  let end: [UInt8]

  init(prefix: String, after startKey: String? = nil) {
    let prefixBytes = Array(prefix.utf8)
    end = Self.end(of: prefixBytes)
    // The smallest key that follows a key is the key with a zero byte behind it.
    let following = startKey.map { Array($0.utf8) + [0] }
    if let following, prefixBytes.lexicographicallyPrecedes(following) {
      from = following
    } else {
      from = prefixBytes
    }
  }

  /// The first byte string after all that begin with `prefix`. No UTF-8 text contains the byte 0xFF, so an empty prefix
  /// ends there.
  private static func end(of prefix: [UInt8]) -> [UInt8] {
    guard let last = prefix.last else { return [0xFF] }
    return prefix.dropLast() + [last + 1]
  }
}
