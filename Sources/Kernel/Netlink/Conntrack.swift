import NFTables

/// A flow that the kernel tracks.
package struct TrackedFlow: Sendable, Hashable {
  package struct Tuple: Sendable, Hashable {
    package let source: IPAddress
    package let destination: IPAddress
    package let transport: UInt8
    /// 0 where the protocol has none.
    package let sourcePort: UInt16
    package let destinationPort: UInt16
  }

  /// As the first packet was.
  package let original: Tuple
  /// As answers are; its source is where the flow leads.
  package let reply: Tuple
  /// A TCP connection that is being made or is established in both directions.
  package let isOpen: Bool
  /// For deletion: CTA_TUPLE_ORIG as it came, CTA_ID and CTA_ZONE.
  fileprivate let originalBytes: [UInt8]
  fileprivate let identifier: [UInt8]
  fileprivate let zone: [UInt8]

  /// From IPCTNL_MSG_CT_NEW.
  package init?(_ message: NetlinkMessage) {
    guard message.type == 1 << 8, message.payload.count >= 4 else { return nil }
    let attributes = NetlinkAttributes(message.payload, from: 4)
    guard let first = attributes[1], let second = attributes[2], let original = Self.tuple(first), let reply = Self.tuple(second)
    else { return nil }
    self.original = original
    self.reply = reply
    // CTA_PROTOINFO, _TCP, _TCP_STATE: SYN_SENT, SYN_RECV, ESTABLISHED
    let state = attributes[4].flatMap { NetlinkAttributes($0)[1] }.flatMap { NetlinkAttributes($0)[1] }?.first
    isOpen = state.map { (1...3).contains($0) } ?? false
    originalBytes = [UInt8](first)
    identifier = attributes[12].map { [UInt8]($0) } ?? []
    zone = attributes[18].map { [UInt8]($0) } ?? []
  }

  private static func tuple(_ bytes: ArraySlice<UInt8>) -> Tuple? {
    let parts = NetlinkAttributes(bytes)
    guard let addresses = parts[1].map({ NetlinkAttributes($0) }), let transport = parts[2].map({ NetlinkAttributes($0) }),
      let source = (addresses[1] ?? addresses[3]).flatMap({ IPAddress(bytes: [UInt8]($0)) }),
      let destination = (addresses[2] ?? addresses[4]).flatMap({ IPAddress(bytes: [UInt8]($0)) }), let number = transport[1]?.first
    else { return nil }
    func port(_ type: UInt16) -> UInt16 { transport[type].map { $0.reduce(0) { $0 << 8 | UInt16($1) } } ?? 0 }
    return Tuple(source: source, destination: destination, transport: number, sourcePort: port(2), destinationPort: port(3))
  }
}

// Numbers: include/uapi/linux/netfilter/nfnetlink_conntrack.h.
extension NetlinkRequest {
  /// The flows of one family, for `dump` on a netfilter socket and `TrackedFlow.init`.
  package static func flows(_ family: NFTables.Family) -> NetlinkRequest {
    NetlinkRequest("IPCTNL_MSG_CT_GET", "\(family)", type: 1 << 8 | 1) { $0.append([family.rawValue, 0, 0, 0]) }
  }

  /// Exactly this flow and none that took its place.
  package static func deleteFlow(_ flow: TrackedFlow) -> NetlinkRequest {
    let original = flow.original
    return NetlinkRequest("IPCTNL_MSG_CT_DELETE", "\(original.source) -> \(original.destination)", type: 1 << 8 | 2) {
      $0.append([original.source.family.rawValue, 0, 0, 0])
      $0.nested(1) { $0.append(flow.originalBytes) }
      if !flow.identifier.isEmpty { $0.attribute(12, flow.identifier) }
      if !flow.zone.isEmpty { $0.attribute(18, flow.zone) }
    }
  }
}
