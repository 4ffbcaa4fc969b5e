// Numbers: include/uapi/linux/netfilter/nf_tables.h. The order of attributes is libnftnl's, so that traces of `nft` serve as tests.

extension Expression {
  /// One NFTA_LIST_ELEM { NFTA_EXPR_NAME, NFTA_EXPR_DATA }.
  func encode(into writer: inout NetlinkWriter) {
    writer.nested(1) { element in
      element.attribute(1, string: name)
      element.nested(2) { encodeData(into: &$0) }
    }
  }

  private var name: String {
    switch self {
    case .payload: "payload"
    case .meta, .setMeta: "meta"
    case .conntrack, .conntrackOriginal: "ct"
    case .fib: "fib"
    case .compare: "cmp"
    case .bitwise: "bitwise"
    case .immediate, .verdict: "immediate"
    case .lookup, .map, .verdictMap: "lookup"
    case .update, .updateMap, .removeKey: "dynset"
    case .masquerade: "masq"
    case .nat: "nat"
    case .random: "numgen"
    case .counter: "counter"
    case .reject: "reject"
    }
  }

  private func encodeData(into data: inout NetlinkWriter) {
    switch self {
    case .payload(let base, let offset, let length, let register):
      data.attribute(1, big: register.number)  // NFTA_PAYLOAD_DREG
      data.attribute(2, big: base.rawValue)
      data.attribute(3, big: offset)
      data.attribute(4, big: length)
    case .meta(let key, let register):
      data.attribute(2, big: key.rawValue)  // NFTA_META_KEY
      data.attribute(1, big: register.number)  // NFTA_META_DREG
    case .setMeta(let key, let register):
      data.attribute(2, big: key.rawValue)
      data.attribute(3, big: register.number)  // NFTA_META_SREG
    case .conntrack(let key, let register):
      data.attribute(2, big: key.rawValue)  // NFTA_CT_KEY
      data.attribute(1, big: register.number)  // NFTA_CT_DREG
    case .conntrackOriginal(let part, let register):
      data.attribute(2, big: part.rawValue)
      data.attribute(1, big: register.number)
      data.attribute(3, native: UInt8(0))  // NFTA_CT_DIRECTION: IP_CT_DIR_ORIGINAL
    case .fib(let result, let flags, let register):
      data.attribute(3, big: flags.rawValue)  // NFTA_FIB_FLAGS
      data.attribute(2, big: result.rawValue)  // NFTA_FIB_RESULT
      data.attribute(1, big: register.number)  // NFTA_FIB_DREG
    case .compare(let register, let comparison, let value):
      data.attribute(1, big: register.number)  // NFTA_CMP_SREG
      data.attribute(2, big: comparison.rawValue)
      data.dataValue(3, value)
    case .bitwise(let source, let target, let mask, let xor):
      data.attribute(1, big: source.number)  // NFTA_BITWISE_SREG
      data.attribute(2, big: target.number)
      data.attribute(3, big: UInt32(mask.count))
      data.dataValue(4, mask)
      data.dataValue(5, xor)
    case .immediate(let value, let register):
      data.attribute(1, big: register.number)  // NFTA_IMMEDIATE_DREG
      data.dataValue(2, value)
    case .verdict(let verdict):
      data.attribute(1, big: Register.verdict.number)
      data.nested(2) { $0.verdict(verdict) }
    case .random(let modulus, let offset, let register):
      data.attribute(1, big: register.number)  // NFTA_NG_DREG
      data.attribute(2, big: modulus)
      data.attribute(3, big: UInt32(1))  // NFTA_NG_TYPE: NFT_NG_RANDOM
      data.attribute(4, big: offset)
    case .counter: break  // begins with zero packets
    case .reject(.tcpReset):
      data.attribute(1, big: UInt32(1))  // NFTA_REJECT_TYPE: NFT_REJECT_TCP_RST
      data.attribute(2, native: UInt8(0))
    case .reject(.icmp(let code)):
      data.attribute(1, big: UInt32(0))
      data.attribute(2, native: code)  // NFTA_REJECT_ICMP_CODE
    case .lookup, .map, .verdictMap, .update, .updateMap, .removeKey:
      encodeSetAccess(into: &data)
    case .masquerade, .nat:
      encodeTranslation(into: &data)
    }
  }

  private func encodeSetAccess(into data: inout NetlinkWriter) {
    switch self {
    case .lookup(let set, let key, let inverted):
      data.attribute(2, big: key.number)  // NFTA_LOOKUP_SREG
      data.attribute(1, string: set)
      if inverted { data.attribute(5, big: UInt32(1)) }  // NFTA_LOOKUP_FLAGS: NFT_LOOKUP_F_INV
    case .map(let map, let key, let register):
      data.attribute(2, big: key.number)
      data.attribute(3, big: register.number)  // NFTA_LOOKUP_DREG
      data.attribute(1, string: map)
    case .verdictMap(let map, let key):
      data.attribute(2, big: key.number)
      data.attribute(3, big: Register.verdict.number)
      data.attribute(1, string: map)
    case .update(let set, let key, let timeout):
      data.attribute(4, big: key.number)  // NFTA_DYNSET_SREG_KEY
      data.attribute(3, big: UInt32(1))  // NFTA_DYNSET_OP: NFT_DYNSET_OP_UPDATE
      if let timeout { data.attribute(6, big: timeout) }
      data.attribute(1, string: set)
    case .updateMap(let map, let key, let value, let timeout):
      data.attribute(4, big: key.number)
      data.attribute(5, big: value.number)  // NFTA_DYNSET_SREG_DATA
      data.attribute(3, big: UInt32(1))
      if let timeout { data.attribute(6, big: timeout) }
      data.attribute(1, string: map)
    case .removeKey(let set, let key, let value):
      data.attribute(4, big: key.number)
      if let value { data.attribute(5, big: value.number) }
      data.attribute(3, big: UInt32(2))  // NFT_DYNSET_OP_DELETE
      data.attribute(1, string: set)
    default: break
    }
  }

  private func encodeTranslation(into data: inout NetlinkWriter) {
    switch self {
    case .masquerade(let flags):
      if !flags.isEmpty { data.attribute(1, big: flags.rawValue) }  // NFTA_MASQ_FLAGS
    case .nat(let kind, let family, let address, let port, let flags):
      data.attribute(1, big: kind.rawValue)  // NFTA_NAT_TYPE
      data.attribute(2, big: UInt32(family.rawValue))
      if let address { data.attribute(3, big: address.number) }  // NFTA_NAT_REG_ADDR_MIN
      if let port { data.attribute(5, big: port.number) }  // NFTA_NAT_REG_PROTO_MIN
      if !flags.isEmpty { data.attribute(7, big: flags.rawValue) }
    default: break
    }
  }
}

extension NetlinkWriter {
  /// `type` { NFTA_DATA_VALUE }
  mutating func dataValue(_ type: UInt16, _ value: [UInt8]) { nested(type) { $0.attribute(1, value) } }

  /// NFTA_DATA_VERDICT { NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN }
  mutating func verdict(_ verdict: Verdict) {
    nested(2) {
      $0.attribute(1, big: verdict.code)
      if let chain = verdict.chain { $0.attribute(2, string: chain) }
    }
  }
}
