import NFTables

/// One line of the journal: a checksum of eight hexadecimal digits, and words. The sandbox comes last and holds no spaces.
///
///     6d2f01aa lease 10.244.0.7 swlq4x7c2m 6/-/8080/80,17/192.0.2.1/53/53 3f0c...
///     0be1d0c3 drain 10.244.0.7
///     91b2cc04 free 10.244.0.7
///     77aa0e21 cursor 10.244.0.7
enum LeaseLine {
  static func encode(_ change: LeaseChange) -> String {
    let words =
      switch change {
      case .put(let lease):
        "\(lease.phase == .active ? "lease" : "leaving") \(lease.address) \(lease.interface) \(encode(lease.hostPorts)) \(lease.sandbox)"
      case .drain(let address): "drain \(address)"
      case .free(let address): "free \(address)"
      case .cursor(let address): "cursor \(address)"
      }
    return "\(checksum(words)) \(words)\n"
  }

  /// Nil: torn or damaged.
  static func decode(_ line: some StringProtocol) -> LeaseChange? {
    guard let space = line.firstIndex(of: " ") else { return nil }
    let words = line[line.index(after: space)...]
    guard line[..<space] == checksum(String(words)) else { return nil }
    let parts = words.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count >= 2, let address = IPv4Address(parts[1]) else { return nil }
    switch (parts[0], parts.count) {
    case ("lease", 5), ("leaving", 5):
      guard let ports = decodePorts(parts[3]) else { return nil }
      return .put(
        Lease(
          sandbox: String(parts[4]), address: address, interface: String(parts[2]), hostPorts: ports,
          phase: parts[0] == "lease" ? .active : .draining))
    case ("drain", 2): return .drain(address)
    case ("free", 2): return .free(address)
    case ("cursor", 2): return .cursor(address)
    default: return nil
    }
  }

  private static func checksum(_ words: String) -> String {
    let text = String(UInt32(truncatingIfNeeded: stableHash(words)), radix: 16)
    return String(repeating: "0", count: 8 - text.count) + text
  }

  private static func encode(_ ports: [HostPort]) -> String {
    if ports.isEmpty { return "-" }
    return ports.map { "\($0.transport.rawValue)/\($0.hostIP ?? "-")/\($0.hostPort)/\($0.containerPort)" }.joined(separator: ",")
  }

  private static func decodePorts(_ text: some StringProtocol) -> [HostPort]? {
    if text == "-" { return [] }
    var ports: [HostPort] = []
    for item in text.split(separator: ",") {
      let parts = item.split(separator: "/")
      guard parts.count == 4, let number = UInt8(parts[0]), let transport = HostPort.Transport(rawValue: number),
        let hostPort = UInt16(parts[2]), let containerPort = UInt16(parts[3])
      else { return nil }
      ports.append(
        HostPort(
          transport: transport, hostIP: parts[1] == "-" ? nil : String(parts[1]), hostPort: hostPort,
          containerPort: containerPort))
    }
    return ports
  }
}
