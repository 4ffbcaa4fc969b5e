import NFTables

/// A request without its sequence number: what the functions of Links.swift, Routes.swift and so on make, and a socket sends.
package struct NetlinkRequest: Sendable {
  /// For errors, such as "RTM_NEWLINK" and "eth0".
  package let operation: String
  package let target: String
  let type: UInt16
  /// Besides REQUEST, ACK and DUMP.
  let flags: UInt16
  let body: [UInt8]

  package init(
    _ operation: String, _ target: String, type: UInt16, flags: UInt16 = 0, _ body: (inout NetlinkWriter) -> Void
  ) {
    self.operation = operation
    self.target = target
    self.type = type
    self.flags = flags
    var writer = NetlinkWriter()
    body(&writer)
    self.body = writer.bytes
  }

  func write(into writer: inout NetlinkWriter, sequence: UInt32, flags more: UInt16) {
    writer.message(type: type, flags: flags | more, sequence: sequence) { $0.append(body) }
  }

  /// The bytes that a socket would send as a request with acknowledgement; for tests.
  package func encoded(sequence: UInt32) -> [UInt8] {
    var writer = NetlinkWriter()
    write(into: &writer, sequence: sequence, flags: MessageFlags.request | MessageFlags.acknowledge)
    return writer.bytes
  }
}
