/// Protocol family of a table (NFPROTO_*).
package enum Family: UInt8, Sendable { case inet = 1, ipv4 = 2, arp = 3, netdev = 5, bridge = 7, ipv6 = 10 }

package struct Table: Hashable, Sendable {
  package let family: Family
  package let name: String

  package init(_ family: Family, _ name: String) {
    self.family = family
    self.name = name
  }
}

package struct Chain: Hashable, Sendable {
  package let name: String
  /// Nil: a chain that only rules and verdict maps reach.
  package let base: Base?

  package struct Base: Hashable, Sendable {
    package enum Kind: String, Sendable { case filter, nat, route }
    /// Where in the packet's way (NF_INET_*).
    package enum Hook: UInt32, Sendable { case prerouting = 0, input, forward, output, postrouting }
    package enum Policy: UInt32, Sendable { case drop = 0, accept = 1 }

    package let kind: Kind
    package let hook: Hook
    /// Lower goes first: raw -300, dstnat -100, filter 0, srcnat 100.
    package let priority: Int32
    package let policy: Policy

    package init(_ kind: Kind, _ hook: Hook, priority: Int32, policy: Policy = .accept) {
      self.kind = kind
      self.hook = hook
      self.priority = priority
      self.policy = policy
    }
  }

  package init(_ name: String, base: Base? = nil) {
    self.name = name
    self.base = base
  }
}

/// What nft calls a datatype: its number, which `nft list` needs to print keys, and how many bytes it takes.
package struct DataType: Hashable, Sendable {
  package let number: UInt32
  package let length: Int

  package init(number: UInt32, length: Int) {
    self.number = number
    self.length = length
  }

  package static let ipv4Address = DataType(number: 7, length: 4)
  package static let ipv6Address = DataType(number: 8, length: 16)
  package static let protocolNumber = DataType(number: 12, length: 1)
  package static let port = DataType(number: 13, length: 2)
  package static let mark = DataType(number: 19, length: 4)
  package static let interfaceName = DataType(number: 41, length: 16)

  /// The number of a concatenation: six bits for each part. Its length pads every part to 4 bytes.
  static func concatenated(_ parts: [DataType]) -> DataType {
    if parts.count == 1 { return parts[0] }
    return DataType(
      number: parts.reduce(0) { $0 << 6 | $1.number },
      length: parts.reduce(0) { $0 + ($1.length + 3) / 4 * 4 })
  }
}

/// A set, or with `value` a map. One part is a plain key, several a concatenation.
package struct NamedSet: Hashable, Sendable {
  package enum Value: Hashable, Sendable { case none, data([DataType]), verdict }

  package struct Flags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let constant = Flags(rawValue: 0x2)
    package static let interval = Flags(rawValue: 0x4)
    package static let timeout = Flags(rawValue: 0x10)
    /// Rules add elements while packets pass (`Expression.update`).
    package static let dynamic = Flags(rawValue: 0x20)
  }

  package let name: String
  package let key: [DataType]
  package let value: Value
  package let flags: Flags
  /// Milliseconds after which an element goes by itself; needs `.timeout`.
  package let timeout: UInt64?
  /// How many elements it may have; nil: any number.
  package let sizeMax: UInt32?

  package init(
    _ name: String, key: [DataType], value: Value = .none, flags: Flags = [], timeout: UInt64? = nil, sizeMax: UInt32? = nil
  ) {
    precondition(!key.isEmpty, "a set needs a key")
    self.name = name
    self.key = key
    self.value = value
    self.flags = flags
    self.timeout = timeout
    self.sizeMax = sizeMax
  }
}

/// What a packet meets next.
package enum Verdict: Hashable, Sendable {
  case accept, drop, `return`
  case jump(String)
  case goto(String)

  /// NF_* and NFT_*.
  var code: Int32 {
    switch self {
    case .drop: 0
    case .accept: 1
    case .jump: -3
    case .goto: -4
    case .return: -5
    }
  }

  var chain: String? {
    switch self {
    case .jump(let chain), .goto(let chain): chain
    case .accept, .drop, .return: nil
    }
  }
}

/// A member of a set or map. Keys and values of several parts come from `concatenate`.
package struct Element: Hashable, Sendable {
  package enum Value: Hashable, Sendable { case none, data([UInt8]), verdict(Verdict) }

  package let key: [UInt8]
  package let value: Value
  /// In a set with `.interval` and a key of one part: the first key that is outside again.
  package let isIntervalEnd: Bool
  /// In a set with `.interval` and a key of several parts: the last key of the range, part by part.
  package let keyEnd: [UInt8]?

  package init(_ key: [UInt8], value: Value = .none, isIntervalEnd: Bool = false, keyEnd: [UInt8]? = nil) {
    self.key = key
    self.value = value
    self.isIntervalEnd = isIntervalEnd
    self.keyEnd = keyEnd
  }

  /// Parts one after the other, each padded to 4 bytes, as registers hold them.
  package static func concatenate(_ parts: [UInt8]...) -> [UInt8] {
    parts.flatMap { $0 + [UInt8](repeating: 0, count: (4 - $0.count % 4) % 4) }
  }
}

package struct Rule: Hashable, Sendable {
  /// Longer comments are cut: the kernel keeps 256 bytes of a rule's user data.
  package static let commentBytesMax = 240

  package let chain: String
  package let expressions: [Expression]
  /// What `nft list` prints behind the rule.
  package let comment: String?

  package init(_ chain: String, _ expressions: [Expression], comment: String? = nil) {
    self.chain = chain
    self.expressions = expressions
    self.comment = comment
  }
}
