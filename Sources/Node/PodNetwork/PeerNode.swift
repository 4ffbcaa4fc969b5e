import JSONCodec
import NFTables

/// How pods of other nodes are reached.
package enum NetworkBackend: String, Sendable, CaseIterable {
  /// Each node by its gateway where that is on our segment, else by VXLAN.
  case auto
  /// By the node itself as gateway, only.
  case hostGateway = "host-gw"
  case vxlan
  case wireguard
  /// Somebody else's business.
  case none
}

/// What the network needs of a Node (core/v1).
package struct PeerNode: Hashable, Sendable {
  /// The node's public key in base64; only it can read what is encrypted to it.
  package static let keyAnnotation = "swiftlet.io/wireguard-public-key"

  package let name: String
  /// spec.podCIDRs
  package var ranges: [IPPrefix]
  /// Its addresses of type InternalIP, in their order.
  package var addresses: [IPAddress]
  /// Nil: none is told.
  package var key: WireGuardKey?

  package init(name: String, ranges: [IPPrefix], addresses: [IPAddress], key: WireGuardKey? = nil) {
    self.name = name
    self.ranges = ranges
    self.addresses = addresses
    self.key = key
  }

  /// Nil: an object without a name. What cannot be understood in it counts as not there.
  package init?(_ node: JSON) {
    guard let name = node["metadata"]["name"].string else { return nil }
    let spec = node["spec"]
    let texts = spec["podCIDRs"].array.map { $0.compactMap(\.string) } ?? []
    let ranges = (texts.isEmpty ? [spec["podCIDR"].string ?? ""] : texts).compactMap { IPPrefix($0) }
    let addresses = (node["status"]["addresses"].array ?? []).compactMap {
      $0["type"].string == "InternalIP" ? $0["address"].string.flatMap { IPAddress($0) } : nil
    }
    self.init(
      name: name, ranges: ranges, addresses: addresses,
      key: node["metadata"]["annotations"][Self.keyAnnotation].string.flatMap { WireGuardKey(base64: $0) })
  }
}

/// 32 bytes of Curve25519, public or private.
package struct WireGuardKey: Hashable, Sendable {
  package let bytes: [UInt8]

  package init?(_ bytes: [UInt8]) {
    guard bytes.count == 32 else { return nil }
    self.bytes = bytes
  }

  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// 43 digits and `=`, as `wg` prints keys.
  package init?(base64: String) {
    let text = Array(base64.utf8)
    guard text.count == 44, text[43] == UInt8(ascii: "=") else { return nil }
    var bits: UInt32 = 0
    var count = 0
    var bytes: [UInt8] = []
    for digit in text[..<43] {
      guard let value = Self.digits.firstIndex(of: digit) else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    guard bits & 3 == 0 else { return nil }  // the two bits that belong to no byte
    self.init(bytes)
  }

  package var base64: String {
    var text: [UInt8] = []
    for start in stride(from: 0, to: 32, by: 3) {
      let group = (0..<3).map { start + $0 < 32 ? UInt32(bytes[start + $0]) : 0 }
      let bits = group[0] << 16 | group[1] << 8 | group[2]
      for shift in [18, 12, 6, 0] { text.append(Self.digits[Int(bits >> UInt32(shift) & 63)]) }
    }
    text[43] = UInt8(ascii: "=")
    return String(decoding: text, as: UTF8.self)
  }
}
