// Addresses and networks: Kubernetes' ip and cidr libraries.

/// An IPv4 or IPv6 address; IPv4 in IPv6 is held as IPv4.
struct CELAddress: CELOpaque, Equatable {
  let typeName = "net.IP"
  /// 4 or 16.
  let bytes: [UInt8]

  func isEqual(to other: any CELOpaque) -> Bool { (other as? CELAddress)?.bytes == bytes }
  static func == (a: Self, b: Self) -> Bool { a.bytes == b.bytes }

  enum Problem: Error { case malformed, zone, mapped }

  init(bytes: [UInt8]) { self.bytes = bytes }

  init(_ text: String) throws(Problem) {
    if text.contains("%") { throw Self.isAddress(String(text.prefix { $0 != "%" })) ? .zone : .malformed }
    if text.contains(":") {
      guard let bytes = Self.sixteen(text) else { throw .malformed }
      let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 255 && bytes[11] == 255
      if isMapped, text.contains(".") { throw .mapped }
      self.bytes = isMapped ? Array(bytes[12...]) : bytes
    } else {
      guard let bytes = Self.four(text) else { throw .malformed }
      self.bytes = bytes
    }
  }

  private static func isAddress(_ text: String) -> Bool { text.contains(":") ? sixteen(text) != nil : four(text) != nil }

  private static func four(_ text: some StringProtocol) -> [UInt8]? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
      guard part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), part.utf8.count == 1 || !part.hasPrefix("0"),
        let byte = UInt8(part)
      else { return nil }
      bytes.append(byte)
    }
    return bytes
  }

  private static func sixteen(_ text: String) -> [UInt8]? {
    func groups(_ text: Substring) -> [UInt8]? {
      if text.isEmpty { return [] }
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      var bytes: [UInt8] = []
      for (i, part) in parts.enumerated() {
        if part.contains(".") {
          guard i == parts.count - 1, let last = four(part) else { return nil }
          bytes += last
          continue
        }
        guard (1...4).contains(part.utf8.count), part.unicodeScalars.allSatisfy(\.isHexDigit), let value = UInt16(part, radix: 16)
        else { return nil }
        bytes += [UInt8(value >> 8), UInt8(value & 255)]
      }
      return bytes
    }
    let scalars = Array(text.unicodeScalars)
    guard let gap = CELText.find(Array("::".unicodeScalars), in: scalars, from: 0) else {
      guard let bytes = groups(Substring(text)), bytes.count == 16 else { return nil }
      return bytes
    }
    let (left, right) = (CELText.string(scalars[..<gap]), CELText.string(scalars[(gap + 2)...]))
    guard !left.contains("."), let head = groups(Substring(left)), let tail = groups(Substring(right)), head.count + tail.count <= 14
    else { return nil }
    return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
  }

  /// RFC 5952: lower case, the longest run of zeros as `::`.
  var text: String {
    if bytes.count == 4 { return bytes.map(String.init).joined(separator: ".") }
    let groups = (0..<8).map { UInt16(bytes[$0 * 2]) << 8 | UInt16(bytes[$0 * 2 + 1]) }
    var best = 0..<0
    var i = 0
    while i < 8 {
      var end = i
      while end < 8, groups[end] == 0 { end += 1 }
      if end - i >= 2, end - i > best.count { best = i..<end }
      i = max(end, i + 1)
    }
    func join(_ range: Range<Int>) -> String { groups[range].map { String($0, radix: 16) }.joined(separator: ":") }
    return best.isEmpty ? join(0..<8) : "\(join(0..<best.lowerBound))::\(join(best.upperBound..<8))"
  }

  var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }
  var isLoopback: Bool { bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1 }
  var isMulticast: Bool { bytes.count == 4 ? bytes[0] & 0xF0 == 0xE0 : bytes[0] == 0xFF }
  var isLinkLocalMulticast: Bool {
    bytes.count == 4 ? bytes[0] == 224 && bytes[1] == 0 && bytes[2] == 0 : bytes[0] == 0xFF && bytes[1] & 0x0F == 2
  }
  var isLinkLocalUnicast: Bool {
    bytes.count == 4 ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
  }
  var isGlobalUnicast: Bool {
    !isUnspecified && !isLoopback && !isMulticast && !isLinkLocalUnicast && bytes != [255, 255, 255, 255]
  }
}

/// An address with the length of its network's prefix.
struct CELNetworkRange: CELOpaque {
  let typeName = "net.CIDR"
  let address: CELAddress
  let length: Int

  func isEqual(to other: any CELOpaque) -> Bool {
    (other as? CELNetworkRange).map { $0.address == address && $0.length == length } ?? false
  }

  init(address: CELAddress, length: Int) {
    self.address = address
    self.length = length
  }

  init(_ text: String) throws(CELAddress.Problem) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2 else { throw .malformed }
    address = try CELAddress(String(parts[0]))
    let digits = parts[1]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits == "0" || !digits.hasPrefix("0"),
      let length = Int(digits), length <= address.bytes.count * 8
    else { throw .malformed }
    self.length = length
  }

  var text: String { "\(address.text)/\(length)" }

  var masked: CELNetworkRange {
    var bytes = address.bytes
    for i in bytes.indices {
      let bits = min(8, max(0, length - i * 8))
      bytes[i] &= bits == 0 ? 0 : UInt8(truncatingIfNeeded: 0xFF << (8 - bits))
    }
    return CELNetworkRange(address: CELAddress(bytes: bytes), length: length)
  }

  func contains(_ other: CELAddress) -> Bool {
    guard other.bytes.count == address.bytes.count else { return false }
    return CELNetworkRange(address: other, length: length).masked.address == masked.address
  }

  func contains(_ other: CELNetworkRange) -> Bool { other.length >= length && contains(other.address) }
}

extension CELLibrary {
  package static let network: CELLibrary = {
    var library = CELLibrary("network")
    library.types = ["net.IP": .opaque("net.IP"), "net.CIDR": .opaque("net.CIDR")]
    library.addAddresses()
    library.addRanges()
    return library
  }()

  private static func address(_ text: String) throws(CELError) -> CELAddress {
    do throws(CELAddress.Problem) {
      return try CELAddress(text)
    } catch {
      switch error {
      case .malformed: throw CELError("IP Address '\(text)' parse error during conversion from string")
      case .zone: throw CELError("IP Address with zone value is not allowed: '\(text)'")
      case .mapped: throw CELError("IPv4-mapped IPv6 address is not allowed: '\(text)'")
      }
    }
  }

  private static func range(_ text: String) throws(CELError) -> CELNetworkRange {
    do throws(CELAddress.Problem) {
      return try CELNetworkRange(text)
    } catch {
      switch error {
      case .malformed: throw CELError("network address parse error during conversion from string: '\(text)'")
      case .zone: throw CELError("CIDR with zone value is not allowed: '\(text)'")
      case .mapped: throw CELError("IPv4-mapped IPv6 address is not allowed: '\(text)'")
      }
    }
  }

  private mutating func addAddresses() {
    let type = CELType.opaque("net.IP")
    let length = CELCallCost.traversal(of: 0, times: 1)
    function("ip", "string_to_ip", [.string], type, cost: length) { a, _ throws(CELError) in .opaque(try Self.address(try a.string(0))) }
    function("isIP", "is_ip_string", [.string], .bool, cost: length) { a, _ throws(CELError) in
      .bool((try? CELAddress(try a.string(0))) != nil)
    }
    function("ip.isCanonical", "ip_is_canonical_string", [.string], .bool, cost: .traversal(of: 0, times: 2)) { a, _ throws(CELError) in
      .bool(try Self.address(try a.string(0)).text == (try a.string(0)))
    }
    function("string", "ip_to_string", [type], .string) { a, _ throws(CELError) in .string(try a.opaque(0, CELAddress.self).text) }
    member("family", "ip_family", [type], .int) { a, _ throws(CELError) in
      .int(try a.opaque(0, CELAddress.self).bytes.count == 4 ? 4 : 6)
    }
    let tests: [(String, @Sendable (CELAddress) -> Bool)] = [
      ("isUnspecified", \.isUnspecified), ("isLoopback", \.isLoopback), ("isLinkLocalMulticast", \.isLinkLocalMulticast),
      ("isLinkLocalUnicast", \.isLinkLocalUnicast), ("isGlobalUnicast", \.isGlobalUnicast),
    ]
    for (name, test) in tests {
      member(name, "ip_\(name)", [type], .bool) { a, _ throws(CELError) in .bool(test(try a.opaque(0, CELAddress.self))) }
    }
  }

  private mutating func addRanges() {
    let type = CELType.opaque("net.CIDR")
    let ip = CELType.opaque("net.IP")
    let length = CELCallCost.traversal(of: 0, times: 1)
    function("cidr", "string_to_cidr", [.string], type, cost: length) { a, _ throws(CELError) in .opaque(try Self.range(try a.string(0))) }
    function("isCIDR", "is_cidr_string", [.string], .bool, cost: length) { a, _ throws(CELError) in
      .bool((try? CELNetworkRange(try a.string(0))) != nil)
    }
    function("string", "cidr_to_string", [type], .string) { a, _ throws(CELError) in .string(try a.opaque(0, CELNetworkRange.self).text) }
    member("containsIP", "cidr_contains_ip_ip", [type, ip], .bool) { a, _ throws(CELError) in
      .bool(try a.opaque(0, CELNetworkRange.self).contains(try a.opaque(1, CELAddress.self)))
    }
    member("containsIP", "cidr_contains_ip_string", [type, .string], .bool, cost: .traversal(of: 1, times: 1)) { a, _ throws(CELError) in
      .bool(try a.opaque(0, CELNetworkRange.self).contains(try Self.address(try a.string(1))))
    }
    member("containsCIDR", "cidr_contains_cidr", [type, type], .bool) { a, _ throws(CELError) in
      .bool(try a.opaque(0, CELNetworkRange.self).contains(try a.opaque(1, CELNetworkRange.self)))
    }
    member("containsCIDR", "cidr_contains_cidr_string", [type, .string], .bool, cost: .traversal(of: 1, times: 1)) {
      a, _ throws(CELError) in
      .bool(try a.opaque(0, CELNetworkRange.self).contains(try Self.range(try a.string(1))))
    }
    member("ip", "cidr_ip", [type], ip) { a, _ throws(CELError) in .opaque(try a.opaque(0, CELNetworkRange.self).address) }
    member("masked", "cidr_masked", [type], type) { a, _ throws(CELError) in .opaque(try a.opaque(0, CELNetworkRange.self).masked) }
    member("prefixLength", "cidr_prefix_length", [type], .int) { a, _ throws(CELError) in
      .int(Int64(try a.opaque(0, CELNetworkRange.self).length))
    }
  }
}
