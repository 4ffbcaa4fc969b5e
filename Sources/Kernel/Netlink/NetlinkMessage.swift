import NFTables
import SystemPackage

/// A message as the kernel sent it.
package struct NetlinkMessage: Sendable {
  package let type: UInt16
  package let flags: UInt16
  package let sequence: UInt32
  /// The socket (`NetlinkSocket.port`) whose request this answers or tells about; 0: the kernel's own doing.
  package let port: UInt32
  /// What follows the 16-byte header.
  package let payload: [UInt8]

  package init(type: UInt16, flags: UInt16, sequence: UInt32, port: UInt32 = 0, payload: [UInt8]) {
    self.type = type
    self.port = port
    self.flags = flags
    self.sequence = sequence
    self.payload = payload
  }

  static let headerLength = 16
  static let errorType: UInt16 = 2
  static let doneType: UInt16 = 3

  /// Splits a datagram. Bytes that do not make a whole message end it: the kernel sends none such, and nobody else is heard.
  static func parse(_ datagram: UnsafeRawBufferPointer) -> [NetlinkMessage] {
    var messages: [NetlinkMessage] = []
    var offset = 0
    while offset + headerLength <= datagram.count {
      let length = Int(datagram.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      guard length >= headerLength, offset + length <= datagram.count else { break }
      messages.append(
        NetlinkMessage(
          type: datagram.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self),
          flags: datagram.loadUnaligned(fromByteOffset: offset + 6, as: UInt16.self),
          sequence: datagram.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self),
          port: datagram.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self),
          payload: [UInt8](datagram[(offset + headerLength)..<(offset + length)])))
      offset += (length + 3) / 4 * 4
    }
    return messages
  }

  /// NLMSG_ERROR with code 0.
  var isAcknowledgement: Bool { type == Self.errorType && payload.count >= 4 && payload.native(at: 0, as: Int32.self) == 0 }

  /// For NLMSG_ERROR: nil is an acknowledgement.
  func failure(operation: String, target: String) -> NetlinkError? {
    guard payload.count >= 4 else { return NetlinkError(operation, target, errno: .badMessage) }
    let code = -payload.native(at: 0, as: Int32.self)
    if code == 0 { return nil }
    return NetlinkError(operation, target, errno: Errno(rawValue: code), explanation: explanation ?? "")
  }

  /// NLMSGERR_ATTR_MSG, which stands behind the refused request (or behind its header alone, NLM_F_CAPPED).
  private var explanation: String? {
    let capped: UInt16 = 0x100
    let hasAttributes: UInt16 = 0x200
    guard flags & hasAttributes != 0, payload.count >= 20 else { return nil }
    let requestLength = flags & capped != 0 ? Self.headerLength : Int(payload.native(at: 4, as: UInt32.self))
    let start = 4 + (requestLength + 3) / 4 * 4
    guard start <= payload.count else { return nil }
    return NetlinkAttributes(payload, from: start)[1]?.string
  }
}

/// Attributes of a message or inside another attribute.
package struct NetlinkAttributes: Sequence, Sendable {
  private let entries: [(type: UInt16, value: ArraySlice<UInt8>)]

  package init(_ bytes: [UInt8], from start: Int) {
    self.init(start <= bytes.count ? bytes[start...] : [])
  }

  package init(_ bytes: ArraySlice<UInt8>) {
    var entries: [(type: UInt16, value: ArraySlice<UInt8>)] = []
    var offset = bytes.startIndex
    while offset + 4 <= bytes.endIndex {
      let length = Int(bytes.native(at: offset - bytes.startIndex, as: UInt16.self))
      guard length >= 4, offset + length <= bytes.endIndex else { break }
      let type = bytes.native(at: offset - bytes.startIndex + 2, as: UInt16.self) & 0x3fff  // without NLA_F_NESTED, NLA_F_NET_BYTEORDER
      entries.append((type, bytes[(offset + 4)..<(offset + length)]))
      offset += (length + 3) / 4 * 4
    }
    self.entries = entries
  }

  /// The first of this type.
  package subscript(type: UInt16) -> ArraySlice<UInt8>? { entries.first { $0.type == type }?.value }
  package func makeIterator() -> IndexingIterator<[(type: UInt16, value: ArraySlice<UInt8>)]> { entries.makeIterator() }
}

extension Collection where Element == UInt8, Index == Int {
  /// The integer that starts `offset` bytes from the beginning, in the machine's byte order. The bytes must be there.
  func native<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type) -> Value {
    var value: Value = 0
    for (index, byte) in self[(startIndex + offset)..<(startIndex + offset + MemoryLayout<Value>.size)].enumerated() {
      value |= Value(truncatingIfNeeded: byte) << Value(index * 8)
    }
    return Value(littleEndian: value)
  }
}

extension ArraySlice<UInt8> {
  /// A string attribute without its zero byte.
  package var string: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
  package var unsigned32: UInt32? { count >= 4 ? native(at: 0, as: UInt32.self) : nil }
  package var signed32: Int32? { unsigned32.map { Int32(bitPattern: $0) } }
  /// Four bytes in network order.
  package var ipv4: IPv4Address? { IPv4Address(bytes: [UInt8](self)) }
}
