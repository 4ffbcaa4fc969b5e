/// Deals a flow its hand of queues: two flows share all of their queues so rarely that one of them finds a way around a third
/// that fills its own.
///
/// Source: the enhancement proposal 1040 "Priority and Fairness for API Server Requests", Queue Assignment.
package enum ShuffleSharding {
  /// A number for a flow, evenly spread (FNV-1a, then the finalizer of SplitMix64).
  package static func hash(_ schema: String, _ flow: String) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    for byte in schema.utf8 { add(byte) }
    add(0)
    for byte in flow.utf8 { add(byte) }
    hash = (hash ^ (hash >> 30)) &* 0xbf58_476d_1ce4_e5b9
    hash = (hash ^ (hash >> 27)) &* 0x94d0_49bb_1331_11eb
    return hash ^ (hash >> 31)
  }

  /// `count` different numbers below `queues`. The same hash gets the same hand.
  package static func deal(_ hash: UInt64, queues: Int, count: Int) -> [Int] {
    var rest = hash
    var hand: [Int] = []
    hand.reserveCapacity(count)
    for dealt in 0..<min(count, queues) {
      let left = UInt64(queues - dealt)
      var card = Int(rest % left)
      rest /= left
      // The card-th of those that are not dealt yet.
      for taken in hand.sorted() where taken <= card { card += 1 }
      hand.append(card)
    }
    return hand
  }
}
