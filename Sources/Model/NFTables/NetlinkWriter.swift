/// Builds netlink messages and attributes byte by byte, for nfnetlink here and for rtnetlink in Kernel/Netlink.
///
/// Shapes: kernel Documentation/userspace-api/netlink/intro.rst. A message is a 16-byte header and a payload, an attribute a
/// 4-byte header (u16 length without padding, u16 type) and a payload; both are padded with zeros to 4 bytes.
package struct NetlinkWriter: Sendable {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func append(_ value: UInt8) { bytes.append(value) }
  package mutating func append(_ value: [UInt8]) { bytes.append(contentsOf: value) }

  /// An integer in the machine's byte order, as rtnetlink wants it.
  package mutating func append<Value: FixedWidthInteger>(native value: Value) {
    withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
  }

  /// An integer in network byte order, as nf_tables wants it.
  package mutating func append<Value: FixedWidthInteger>(big value: Value) { append(native: value.bigEndian) }

  /// One message: header, what `body` appends, padding. `flags` are NLM_F_*.
  package mutating func message(
    type: UInt16, flags: UInt16, sequence: UInt32, body: (inout NetlinkWriter) -> Void
  ) {
    let start = bytes.count
    append(native: UInt32(0))
    append(native: type)
    append(native: flags)
    append(native: sequence)
    append(native: UInt32(0))  // port: the kernel fills in ours
    body(&self)
    store(UInt32(bytes.count - start), at: start)
    pad()
  }

  package mutating func attribute(_ type: UInt16, _ payload: [UInt8]) {
    append(native: UInt16(payload.count + 4))
    append(native: type)
    append(payload)
    pad()
  }

  /// A string attribute, closed by a zero byte.
  package mutating func attribute(_ type: UInt16, string: String) { attribute(type, Array(string.utf8) + [0]) }

  package mutating func attribute<Value: FixedWidthInteger>(_ type: UInt16, native value: Value) {
    append(native: UInt16(4 + MemoryLayout<Value>.size))
    append(native: type)
    append(native: value)
    pad()
  }

  package mutating func attribute<Value: FixedWidthInteger>(_ type: UInt16, big value: Value) {
    attribute(type, native: value.bigEndian)
  }

  /// An attribute whose payload is what `body` appends. `flagged` sets NLA_F_NESTED, which rtnetlink's older attributes do without.
  package mutating func nested(_ type: UInt16, flagged: Bool = true, body: (inout NetlinkWriter) -> Void) {
    let start = bytes.count
    append(native: UInt16(0))
    append(native: flagged ? type | 0x8000 : type)
    body(&self)
    store(UInt16(bytes.count - start), at: start)
    pad()
  }

  private mutating func pad() {
    while bytes.count % 4 != 0 { bytes.append(0) }
  }

  private mutating func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: Value.self) }
  }
}

/// NLM_F_*: include/uapi/linux/netlink.h.
package enum MessageFlags {
  package static let request: UInt16 = 0x1
  package static let multipart: UInt16 = 0x2
  package static let acknowledge: UInt16 = 0x4
  package static let dumpInterrupted: UInt16 = 0x10
  package static let replace: UInt16 = 0x100
  package static let exclusive: UInt16 = 0x200
  package static let create: UInt16 = 0x400
  package static let append: UInt16 = 0x800
  /// NLM_F_ROOT | NLM_F_MATCH
  package static let dump: UInt16 = 0x300
}
