/// One step of a transaction. Deleting what is not there fails the whole transaction; adding what is there does not.
package enum Change: Hashable, Sendable {
  case addTable, deleteTable
  case addChain(Chain)
  case deleteChain(String)
  /// Removes the chain's rules.
  case flushChain(String)
  case addRule(Rule)
  case deleteRule(chain: String, handle: UInt64)
  case addSet(NamedSet)
  case deleteSet(String)
  case flushSet(String)
  case addElements(set: String, [Element])
  case deleteElements(set: String, [Element])
}

extension Change {
  /// For messages: what it does, without the elements of long lists.
  package var summary: String {
    switch self {
    case .addElements(let set, let elements) where elements.count > 2: "addElements(\(set), \(elements.count) elements)"
    case .deleteElements(let set, let elements) where elements.count > 2: "deleteElements(\(set), \(elements.count) elements)"
    default: String(String(describing: self).prefix(200))
    }
  }
}

/// Changes to one table that take effect together or not at all.
package struct Transaction: Hashable, Sendable {
  package let table: Table
  package var changes: [Change]

  package init(_ table: Table, _ changes: [Change]) {
    self.table = table
    self.changes = changes
  }

  /// Gives the table this content whatever it held: adding it first makes the delete succeed when there was none.
  package static func replacing(_ table: Table, with changes: [Change]) -> Transaction {
    Transaction(table, [.addTable, .deleteTable, .addTable] + changes)
  }

  package static func deleting(_ table: Table) -> Transaction { Transaction(table, [.addTable, .deleteTable]) }

  /// A transaction as nfnetlink reads it.
  package struct Encoded: Sendable {
    package let bytes: [UInt8]
    package let firstSequence: UInt32
    /// For message `firstSequence` + n, the index of its change; nil for the two batch messages.
    package let changeOfMessage: [Int?]
  }

  /// Bytes of elements in one message; a netlink attribute cannot pass 65,535.
  static let elementBytesMax = 32_768

  /// BATCH_BEGIN, the changes, BATCH_END. Only the last change asks for an acknowledgement: errors always come.
  package func encode(firstSequence: UInt32) -> Encoded {
    let messages = changes.enumerated().flatMap { index, change in
      change.messages(table: table, index: index).map { (index, $0) }
    }
    var writer = NetlinkWriter()
    var sequence = firstSequence
    var changeOfMessage: [Int?] = [nil]
    writer.batchMark(type: 16, sequence: sequence)  // NFNL_MSG_BATCH_BEGIN
    for (position, (index, message)) in messages.enumerated() {
      sequence &+= 1
      changeOfMessage.append(index)
      let acknowledge = position == messages.count - 1 ? MessageFlags.acknowledge : 0
      writer.message(
        type: 10 << 8 | message.type, flags: MessageFlags.request | message.flags | acknowledge, sequence: sequence
      ) {
        $0.append(table.family.rawValue)  // struct nfgenmsg
        $0.append(UInt8(0))
        $0.append(big: UInt16(0))
        $0.append(message.attributes)
      }
    }
    changeOfMessage.append(nil)
    writer.batchMark(type: 17, sequence: sequence &+ 1)  // NFNL_MSG_BATCH_END
    return Encoded(bytes: writer.bytes, firstSequence: firstSequence, changeOfMessage: changeOfMessage)
  }
}

extension NetlinkWriter {
  fileprivate mutating func batchMark(type: UInt16, sequence: UInt32) {
    message(type: type, flags: MessageFlags.request, sequence: sequence) {
      $0.append(UInt8(0))
      $0.append(UInt8(0))
      $0.append(big: UInt16(10))  // NFNL_SUBSYS_NFTABLES
    }
  }
}
