/// Rules read as sentences: each of these is the few expressions that one phrase of `nft` becomes, with register word 0 as scratch.
extension [Expression] {
  package static func source(in prefix: IPv4Prefix) -> Self { address(at: 12, .equal, prefix) }
  package static func destination(in prefix: IPv4Prefix) -> Self { address(at: 16, .equal, prefix) }
  package static func destination(notIn prefix: IPv4Prefix) -> Self { address(at: 16, .notEqual, prefix) }

  /// The packet is for one of this machine's own addresses.
  package static var destinationIsLocal: Self {
    let local: UInt32 = 2  // RTN_LOCAL
    return [
      .fib(.addressType, of: .destination, to: .word(0)), .compare(.word(0), .equal, nativeBytes(local)),
    ]
  }

  /// `name` ends in `*` for every interface whose name starts so.
  package static func inputInterface(_ name: String) -> Self { interface(.inputInterfaceName, name) }
  package static func outputInterface(_ name: String) -> Self { interface(.outputInterfaceName, name) }

  /// Destination address to word 0, protocol to word 1, destination port to word 2.
  package static var loadDestinationProtocolPort: Self {
    [
      .payload(.network, offset: 16, length: 4, to: .word(0)), .meta(.transportProtocol, to: .word(1)),
      .payload(.transport, offset: 2, length: 2, to: .word(2)),
    ]
  }

  /// Protocol to word 0, destination port to word 1.
  package static var loadProtocolPort: Self {
    [.meta(.transportProtocol, to: .word(0)), .payload(.transport, offset: 2, length: 2, to: .word(1))]
  }

  /// Source address to word 0, destination address to word 1.
  package static var loadSourceDestination: Self {
    [
      .payload(.network, offset: 12, length: 4, to: .word(0)), .payload(.network, offset: 16, length: 4, to: .word(1)),
    ]
  }

  private static func address(at offset: UInt32, _ comparison: Comparison, _ prefix: IPv4Prefix) -> Self {
    if prefix.length == 0 {  // every packet; and for "not in", none
      return comparison == .equal ? [] : [.verdict(.return)]
    }
    if prefix.length % 8 == 0 {  // whole bytes need no mask
      let length = prefix.length / 8
      return [
        .payload(.network, offset: offset, length: UInt32(length), to: .word(0)),
        .compare(.word(0), comparison, [UInt8](prefix.address.bytes.prefix(length))),
      ]
    }
    return [
      .payload(.network, offset: offset, length: 4, to: .word(0)),
      .bitwise(from: .word(0), to: .word(0), mask: IPv4Address(prefix.mask).bytes, xor: [0, 0, 0, 0]),
      .compare(.word(0), comparison, prefix.address.bytes),
    ]
  }

  private static func interface(_ key: MetaKey, _ name: String) -> Self {
    var bytes = [UInt8](name.utf8)
    if bytes.last == UInt8(ascii: "*") {
      bytes.removeLast()
    } else {
      bytes += [UInt8](repeating: 0, count: Swift.max(0, 16 - bytes.count))
    }
    return [.meta(key, to: .word(0)), .compare(.word(0), .equal, bytes)]
  }
}

private func nativeBytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }
