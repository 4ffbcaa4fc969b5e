import NFTables

extension NetlinkSocket {
  /// The tables that exist, on a netfilter socket.
  package func tables() throws(NetlinkError) -> [Table] {
    try dump(
      NetlinkRequest("NFT_MSG_GETTABLE", "all tables", type: 10 << 8 | 1) { $0.append([0, 0, 0, 0]) }
    ).compactMap { message in
      guard message.payload.count >= 4, let family = NFTables.Family(rawValue: message.payload[0]),
        let name = NetlinkAttributes(message.payload, from: 4)[1]?.string
      else { return nil }
      return Table(family, name)
    }
  }

  /// The keys in a set or map, in no order. Fails with ENOENT where there is no such set.
  package func keys(of set: String, in table: Table) throws(NetlinkError) -> [[UInt8]] {
    let request = NetlinkRequest("NFT_MSG_GETSETELEM", set, type: 10 << 8 | 13) {
      $0.append([table.family.rawValue, 0, 0, 0])
      $0.attribute(1, string: table.name)
      $0.attribute(2, string: set)
    }
    return try dump(request).flatMap { message -> [[UInt8]] in
      guard let elements = NetlinkAttributes(message.payload, from: 4)[3] else { return [] }
      return NetlinkAttributes(elements).compactMap { element in
        NetlinkAttributes(element.value)[1].flatMap { NetlinkAttributes($0)[1] }.map { [UInt8]($0) }
      }
    }
  }
}
