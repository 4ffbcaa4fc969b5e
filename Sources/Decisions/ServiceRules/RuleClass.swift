import NFTables

/// What all ports of services have in common that treat packets alike. Packets find their class in the value of the map of addresses
/// (or of node ports), and the class's chain in a small verdict map: so there are as many chains as kinds of services, however many
/// services there are. The two words are all there is to a class: equal services have equal classes in every process.
package struct RuleClass: Hashable, Sendable {
  /// Whose packets get the node's address as their source.
  package enum Masquerade: UInt32, Sendable {
    /// Only the node's own (policy Local keeps the client's address).
    case fromNode = 0x2000_0000
    /// Those of no pod: answers must come back through this node.
    case fromOutside = 0x4000_0000
    case always = 0x8000_0000
  }

  package var masquerade: Masquerade
  /// Only sources in the set of ranges may pass.
  package var isFirewalled = false
  /// Backends of this node instead of the cluster's.
  package var isLocal: Bool
  /// With `isLocal`: pods and the node itself choose among the cluster's nevertheless.
  package var hasShortcut = false
  /// 0: none; at most 86,400.
  package var affinitySeconds: Int
  /// Backends to choose from; 0: none.
  package var count: Int
  /// The cluster's backends for the shortcut, or where `count` is 0 whether there are some elsewhere (1) or none (0).
  package var clusterCount: Int

  /// Of one list of backends, because a class has 16 bits for it.
  package static let backendsMax = 65_535

  package init(
    masquerade: Masquerade, isFirewalled: Bool = false, isLocal: Bool, hasShortcut: Bool = false, affinitySeconds: Int = 0, count: Int,
    clusterCount: Int
  ) {
    self.masquerade = masquerade
    self.isFirewalled = isFirewalled
    self.isLocal = isLocal && count > 0  // of none it does not matter which; equal behaviour must have one name
    self.hasShortcut = hasShortcut && clusterCount > 0
    self.count = min(count, Self.backendsMax)
    self.clusterCount = self.hasShortcut ? min(clusterCount, Self.backendsMax) : count == 0 ? min(clusterCount, 1) : 0
    self.affinitySeconds = count == 0 && !self.hasShortcut ? 0 : affinitySeconds
  }

  static let firewallBit: UInt32 = 0x1000_0000
  static let localBit: UInt32 = 0x0800_0000
  static let shortcutBit: UInt32 = 0x0400_0000

  package var words: (UInt32, UInt32) {
    let flags =
      masquerade.rawValue | (isFirewalled ? Self.firewallBit : 0) | (isLocal ? Self.localBit : 0) | (hasShortcut ? Self.shortcutBit : 0)
    return (flags | UInt32(affinitySeconds), UInt32(count) << 16 | UInt32(clusterCount))
  }

  /// The words as registers hold them.
  package var bytes: [UInt8] { nativeBytes(words.0) + nativeBytes(words.1) }

  package init?(bytes: [UInt8]) {
    guard bytes.count == 8 else { return nil }
    let first = nativeWord(bytes[0..<4])
    let second = nativeWord(bytes[4..<8])
    guard let masquerade = Masquerade(rawValue: first & 0xe000_0000) else { return nil }
    self.init(
      masquerade: masquerade, isFirewalled: first & Self.firewallBit != 0, isLocal: first & Self.localBit != 0,
      hasShortcut: first & Self.shortcutBit != 0, affinitySeconds: Int(first & 0x3ff_ffff), count: Int(second >> 16),
      clusterCount: Int(second & 0xffff))
    guard self.bytes == bytes else { return nil }
  }

  /// Such as `to-local-1-shortcut-2-from-node`; part of the chain's name.
  package var name: String {
    var parts: [String] = []
    if count > 0 { parts.append("\(isLocal ? "local" : "cluster")-\(count)") }
    if hasShortcut { parts.append("shortcut-\(clusterCount)") }
    if count == 0 { parts.append(clusterCount > 0 ? "drop" : "reject") }
    if affinitySeconds > 0 { parts.append("sticky-\(affinitySeconds)") }
    if isFirewalled { parts.append("firewall") }
    switch masquerade {
    case .always: parts.append("masquerade")
    case .fromNode: parts.append("keep-source")
    case .fromOutside: break
    }
    return parts.joined(separator: "-")
  }
}

func nativeBytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }
func nativeWord(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  UInt32(littleEndian: bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) })
}
func networkBytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
