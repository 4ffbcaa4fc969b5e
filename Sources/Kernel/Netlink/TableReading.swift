import NFTables

/// An element of a set or map as the kernel holds it.
package struct FoundElement: Sendable {
  package let key: [UInt8]
  /// In sets of ranges by part.
  package let keyEnd: [UInt8]?
  /// A map's value; nil in sets.
  package let data: [UInt8]?
  /// A verdict map's chain.
  package let chain: String?
}

extension NetlinkSocket {
  /// The names of a table's sets and maps; empty where there is no such table.
  package func sets(in table: Table) throws(NetlinkError) -> [String] {
    let request = NetlinkRequest("NFT_MSG_GETSET", table.name, type: 10 << 8 | 10) {
      $0.append([table.family.rawValue, 0, 0, 0])
      $0.attribute(1, string: table.name)
    }
    return try ofTable(request).compactMap { NetlinkAttributes($0.payload, from: 4)[2]?.string }
  }

  /// The chains of a table, each with its rules' comments ("" where one has none) in their order.
  package func ruleComments(in table: Table) throws(NetlinkError) -> [String: [String]] {
    var comments: [String: [String]] = [:]
    let chains = NetlinkRequest("NFT_MSG_GETCHAIN", table.name, type: 10 << 8 | 4) { $0.append([table.family.rawValue, 0, 0, 0]) }
    for message in try ofTable(chains) {
      let attributes = NetlinkAttributes(message.payload, from: 4)
      if attributes[1]?.string == table.name, let name = attributes[3]?.string { comments[name] = [] }
    }
    let rules = NetlinkRequest("NFT_MSG_GETRULE", table.name, type: 10 << 8 | 7) {
      $0.append([table.family.rawValue, 0, 0, 0])
      $0.attribute(1, string: table.name)
    }
    for message in try ofTable(rules) {
      let attributes = NetlinkAttributes(message.payload, from: 4)
      guard attributes[1]?.string == table.name, let chain = attributes[2]?.string else { continue }
      comments[chain, default: []].append(attributes[7].map { Self.comment(inUserData: $0) } ?? "")
    }
    return comments
  }

  /// NFTNL_UDATA_RULE_COMMENT: entries of type, length, bytes.
  private static func comment(inUserData data: ArraySlice<UInt8>) -> String {
    var rest = data
    while rest.count >= 2, let type = rest.first, let length = rest.dropFirst().first, rest.count >= 2 + Int(length) {
      if type == 0 { return rest.dropFirst(2).prefix(Int(length)).string }
      rest = rest.dropFirst(2 + Int(length))
    }
    return ""
  }

  /// The elements of a set or map, in no order.
  package func elements(of set: String, in table: Table) throws(NetlinkError) -> [FoundElement] {
    let request = NetlinkRequest("NFT_MSG_GETSETELEM", set, type: 10 << 8 | 13) {
      $0.append([table.family.rawValue, 0, 0, 0])
      $0.attribute(1, string: table.name)
      $0.attribute(2, string: set)
    }
    return try dump(request).flatMap { message -> [FoundElement] in
      guard let elements = NetlinkAttributes(message.payload, from: 4)[3] else { return [] }
      return NetlinkAttributes(elements).compactMap { Self.element(NetlinkAttributes($0.value)) }
    }
  }

  private static func element(_ attributes: NetlinkAttributes) -> FoundElement? {
    func value(_ type: UInt16) -> [UInt8]? { attributes[type].flatMap { NetlinkAttributes($0)[1] }.map { [UInt8]($0) } }
    guard let key = value(1) else { return nil }
    let verdict = attributes[2].flatMap { NetlinkAttributes($0)[2] }
    return FoundElement(
      key: key, keyEnd: value(10), data: verdict == nil ? value(2) : nil, chain: verdict.flatMap { NetlinkAttributes($0)[2]?.string })
  }

  /// A dump that is empty where there is no such table.
  private func ofTable(_ request: NetlinkRequest) throws(NetlinkError) -> [NetlinkMessage] {
    do {
      return try dump(request)
    } catch  where error.isAbsence {
      return []
    }
  }
}

/// Somebody changed a table.
package struct TableEvent: Sendable {
  /// RTMGRP-like bit of NFNLGRP_NFTABLES.
  package static let group: UInt32 = 1 << 6

  package let table: Table
  /// The socket that did it.
  package let port: UInt32

  /// Nil: no message about a table's content.
  package init?(_ message: NetlinkMessage) {
    guard message.type >> 8 == 10, message.type & 0xff != 15, message.payload.count >= 4,  // NFT_MSG_NEWGEN ends a transaction
      let family = NFTables.Family(rawValue: message.payload[0]), let name = NetlinkAttributes(message.payload, from: 4)[1]?.string
    else { return nil }
    table = Table(family, name)
    port = message.port
  }
}
