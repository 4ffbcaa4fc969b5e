// Message and attribute numbers: include/uapi/linux/netfilter/nf_tables.h.

/// A message of a transaction without its header.
struct ChangeMessage {
  /// NFT_MSG_*
  let type: UInt16
  /// NLM_F_* besides REQUEST and ACK
  let flags: UInt16
  let attributes: [UInt8]

  init(_ type: UInt16, flags: UInt16 = 0, _ body: (inout NetlinkWriter) -> Void) {
    self.type = type
    self.flags = flags
    var writer = NetlinkWriter()
    body(&writer)
    attributes = writer.bytes
  }
}

extension Change {
  /// One message, or for many elements several. `index` tells sets of one transaction apart.
  func messages(table: Table, index: Int) -> [ChangeMessage] {
    switch self {
    case .addTable:
      [
        ChangeMessage(0, flags: MessageFlags.create) {  // NFT_MSG_NEWTABLE
          $0.attribute(1, string: table.name)
          $0.attribute(2, big: UInt32(0))  // NFTA_TABLE_FLAGS
        }
      ]
    case .deleteTable: [ChangeMessage(2) { $0.attribute(1, string: table.name) }]  // NFT_MSG_DELTABLE
    case .addChain(let chain): [chain.message(table: table)]
    case .deleteChain(let name): [Self.named(5, table, 3, name)]  // NFT_MSG_DELCHAIN, NFTA_CHAIN_NAME
    case .flushChain(let name): [Self.named(8, table, 2, name)]  // NFT_MSG_DELRULE, NFTA_RULE_CHAIN
    case .addRule(let rule): [rule.message(table: table)]
    case .deleteRule(let chain, let handle):
      [
        ChangeMessage(8) {
          $0.attribute(1, string: table.name)
          $0.attribute(2, string: chain)
          $0.attribute(3, big: handle)
        }
      ]
    case .addSet(let set): [set.message(table: table, identifier: UInt32(index + 1))]
    case .deleteSet(let name): [Self.named(11, table, 2, name)]  // NFT_MSG_DELSET, NFTA_SET_NAME
    case .flushSet(let name): [Self.named(14, table, 2, name)]  // NFT_MSG_DELSETELEM, NFTA_SET_ELEM_LIST_SET
    case .addElements(let set, let elements):
      Self.elementMessages(12, flags: MessageFlags.create, table, set, elements)  // NFT_MSG_NEWSETELEM
    case .deleteElements(let set, let elements): Self.elementMessages(14, flags: 0, table, set, elements)
    }
  }

  private static func named(_ type: UInt16, _ table: Table, _ attribute: UInt16, _ name: String) -> ChangeMessage {
    ChangeMessage(type) {
      $0.attribute(1, string: table.name)
      $0.attribute(attribute, string: name)
    }
  }

  private static func elementMessages(
    _ type: UInt16, flags: UInt16, _ table: Table, _ set: String, _ elements: [Element]
  ) -> [ChangeMessage] {
    var chunks: [[UInt8]] = []
    for element in elements {
      let bytes = element.encoded
      if let last = chunks.last, last.count + bytes.count <= Transaction.elementBytesMax {
        chunks[chunks.count - 1] += bytes
      } else {
        chunks.append(bytes)
      }
    }
    return chunks.map { chunk in
      ChangeMessage(type, flags: flags) {
        $0.attribute(1, string: table.name)
        $0.attribute(2, string: set)
        $0.nested(3) { $0.append(chunk) }  // NFTA_SET_ELEM_LIST_ELEMENTS
      }
    }
  }
}

extension Chain {
  fileprivate func message(table: Table) -> ChangeMessage {
    ChangeMessage(3, flags: MessageFlags.create) { writer in  // NFT_MSG_NEWCHAIN
      writer.attribute(1, string: table.name)
      writer.attribute(3, string: name)
      guard let base else { return }
      writer.attribute(7, string: base.kind.rawValue)  // NFTA_CHAIN_TYPE
      writer.attribute(5, big: base.policy.rawValue)
      writer.nested(4) {  // NFTA_CHAIN_HOOK
        $0.attribute(1, big: base.hook.rawValue)
        $0.attribute(2, big: base.priority)
      }
    }
  }
}

extension Rule {
  fileprivate func message(table: Table) -> ChangeMessage {
    ChangeMessage(6, flags: MessageFlags.create | MessageFlags.append) { writer in  // NFT_MSG_NEWRULE
      writer.attribute(1, string: table.name)
      writer.attribute(2, string: chain)
      writer.nested(4) { list in expressions.forEach { $0.encode(into: &list) } }
      if let comment {
        let bytes = Array(comment.utf8.prefix(Rule.commentBytesMax)) + [0]
        writer.attribute(7, [0, UInt8(bytes.count)] + bytes)  // NFTA_RULE_USERDATA: NFTNL_UDATA_RULE_COMMENT
      }
    }
  }
}

extension NamedSet {
  fileprivate func message(table: Table, identifier: UInt32) -> ChangeMessage {
    let keyType = DataType.concatenated(key)
    let isMap = value != .none
    let isRangeByPart = flags.contains(.interval) && key.count > 1
    return ChangeMessage(9, flags: MessageFlags.create) { writer in  // NFT_MSG_NEWSET
      writer.attribute(1, string: table.name)
      writer.attribute(2, string: name)
      writer.attribute(3, big: flags.rawValue | (isMap ? 8 : 0) | (isRangeByPart ? 0x80 : 0))  // NFT_SET_MAP, NFT_SET_CONCAT
      writer.attribute(4, big: keyType.number)
      writer.attribute(5, big: UInt32(keyType.length))
      switch value {
      case .none: break
      case .data(let parts):
        let type = DataType.concatenated(parts)
        writer.attribute(6, big: type.number)
        writer.attribute(7, big: UInt32(type.length))
      case .verdict:
        writer.attribute(6, big: UInt32(0xffff_ff00))  // NFT_DATA_VERDICT
        writer.attribute(7, big: UInt32(0))
      }
      if isRangeByPart || sizeMax != nil {
        writer.nested(9) { description in  // NFTA_SET_DESC
          if let sizeMax { description.attribute(1, big: sizeMax) }  // NFTA_SET_DESC_SIZE
          guard isRangeByPart else { return }
          description.nested(2) { fields in  // NFTA_SET_DESC_CONCAT
            for part in key { fields.nested(1) { $0.attribute(1, big: UInt32(part.length)) } }  // NFTA_SET_FIELD_LEN
          }
        }
      }
      writer.attribute(10, big: identifier)
      if let timeout { writer.attribute(11, big: timeout) }
    }
  }
}

extension Element {
  /// One NFTA_LIST_ELEM.
  fileprivate var encoded: [UInt8] {
    var writer = NetlinkWriter()
    writer.nested(1) { element in
      if isIntervalEnd { element.attribute(3, big: UInt32(1)) }  // NFTA_SET_ELEM_FLAGS: NFT_SET_ELEM_INTERVAL_END
      element.dataValue(1, key)
      if let keyEnd { element.dataValue(10, keyEnd) }  // NFTA_SET_ELEM_KEY_END
      switch value {
      case .none: break
      case .data(let bytes): element.dataValue(2, bytes)
      case .verdict(let verdict): element.nested(2) { $0.verdict(verdict) }
      }
    }
    return writer.bytes
  }
}
