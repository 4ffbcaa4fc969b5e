/// Where the machine of nf_tables keeps a value: sixteen 32-bit words, or the verdict.
package struct Register: Hashable, Sendable {
  let number: UInt32

  /// Word 0 to 15. Words 0, 4, 8 and 12 go under their old 16-byte names 1 to 4, as libnftnl writes them.
  package static func word(_ index: Int) -> Register {
    precondition((0..<16).contains(index), "nf_tables has 16 register words")
    return Register(number: index % 4 == 0 ? UInt32(index / 4 + 1) : UInt32(index + 8))
  }

  static let verdict = Register(number: 0)
}

/// One step of a rule. The names of kernel attributes are in ExpressionEncoding.swift.
package enum Expression: Hashable, Sendable {
  /// Bytes of the packet.
  case payload(PayloadBase, offset: UInt32, length: UInt32, to: Register)
  case meta(MetaKey, to: Register)
  case setMeta(MetaKey, from: Register)
  case conntrack(ConntrackKey, to: Register)
  /// A part of the packet's flow as its first packet had it, before any translation.
  case conntrackOriginal(ConntrackTuplePart, to: Register)
  /// What the routing table says about an address of the packet.
  case fib(FibResult, of: FibFlags, to: Register)
  /// The rule goes on only if the comparison holds.
  case compare(Register, Comparison, [UInt8])
  /// `to` = (`from` & mask) ^ xor
  case bitwise(from: Register, to: Register, mask: [UInt8], xor: [UInt8])
  case immediate([UInt8], to: Register)
  case verdict(Verdict)
  /// The rule goes on only if the set has the key (or, inverted, has not).
  case lookup(set: String, key: Register, inverted: Bool)
  /// The same with a map; its value comes into `to`.
  case map(String, key: Register, to: Register)
  /// The same with a verdict map; the packet obeys its value.
  case verdictMap(String, key: Register)
  /// Adds the key to a dynamic set, or gives it a new time to live (milliseconds).
  case update(set: String, key: Register, timeout: UInt64?)
  /// The same with a dynamic map. An element that is there keeps its value and only lives longer.
  case updateMap(String, key: Register, data: Register, timeout: UInt64?)
  /// Takes the key out of a dynamic set or map; the rule goes on whether it was there or not. For a map the kernel wants a register
  /// with a value (of any content) all the same.
  case removeKey(String, key: Register, data: Register?)
  case masquerade(NATFlags)
  case nat(NATKind, Family, address: Register?, port: Register?, flags: NATFlags)
  /// A number from offset to offset + modulus - 1.
  case random(modulus: UInt32, offset: UInt32, to: Register)
  case counter
  case reject(RejectKind)
}

package enum PayloadBase: UInt32, Sendable { case link = 0, network = 1, transport = 2 }

package enum MetaKey: UInt32, Sendable {
  case mark = 3
  case inputInterface = 4, outputInterface = 5
  case inputInterfaceName = 6, outputInterfaceName = 7
  case networkProtocol = 15, transportProtocol = 16
}

package enum ConntrackKey: UInt32, Sendable { case state = 0, direction = 1, status = 2, mark = 3 }

package enum ConntrackTuplePart: UInt32, Sendable {
  case sourcePort = 11, destinationPort = 12
  case sourceIPv4 = 19, destinationIPv4 = 20, sourceIPv6 = 21, destinationIPv6 = 22
}

/// Values of `ConntrackKey.status` (IPS_*), in the machine's byte order.
package struct ConntrackStatus: OptionSet, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }
  package static let sourceTranslated = ConntrackStatus(rawValue: 0x10)
  package static let destinationTranslated = ConntrackStatus(rawValue: 0x20)
}

/// Values of `ConntrackKey.state`, in the machine's byte order.
package struct ConntrackState: OptionSet, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }
  package static let invalid = ConntrackState(rawValue: 1)
  package static let established = ConntrackState(rawValue: 2)
  package static let related = ConntrackState(rawValue: 4)
  package static let new = ConntrackState(rawValue: 8)
}

package enum FibResult: UInt32, Sendable { case outputInterface = 1, outputInterfaceName = 2, addressType = 3 }

package struct FibFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }
  package static let source = FibFlags(rawValue: 1)
  package static let destination = FibFlags(rawValue: 2)
  package static let mark = FibFlags(rawValue: 4)
  package static let inputInterface = FibFlags(rawValue: 8)
  package static let outputInterface = FibFlags(rawValue: 16)
}

package enum Comparison: UInt32, Sendable { case equal = 0, notEqual, less, lessOrEqual, greater, greaterOrEqual }
package enum NATKind: UInt32, Sendable { case source = 0, destination = 1 }

package struct NATFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }
  package static let random = NATFlags(rawValue: 0x4)
  package static let persistent = NATFlags(rawValue: 0x8)
  package static let fullyRandom = NATFlags(rawValue: 0x10)
}

package enum RejectKind: Hashable, Sendable {
  case tcpReset
  /// ICMP destination unreachable with this code: 1 host, 3 port, 13 prohibited. In an IPv6 table ICMPv6's: 1 prohibited, 4 port.
  case icmp(code: UInt8)
}
