import LinuxKernel
import NFTables
import Netlink

/// The cluster's DNS address on this machine: a /32 (or /128) on the loopback device, so that packets to it end here on every node.
enum LocalAddress {
  static func add(_ address: IPAddress, in namespace: SharedDescriptor?) async throws {
    try await NamespaceThreads.run(namespace) {
      let socket = try NetlinkSocket(.route)
      try socket.request(request(address, adds: true, link: try loopback(socket)))
    }
  }

  /// Nothing where it is not there.
  static func remove(_ address: IPAddress, in namespace: SharedDescriptor?) async throws {
    try await NamespaceThreads.run(namespace) {
      let socket = try NetlinkSocket(.route)
      do {
        try socket.request(request(address, adds: false, link: try loopback(socket)))
      } catch let error as NetlinkError where error.isAbsence {}
    }
  }

  private static func loopback(_ socket: NetlinkSocket) throws -> Int32 {
    guard let message = try socket.request(.getLink(name: "lo")).first, let link = Link(message) else {
      throw NetlinkError("RTM_GETLINK", "lo", errno: .noSuchAddressOrDevice)
    }
    return link.index
  }

  /// RTM_NEWADDR or RTM_DELADDR (include/uapi/linux/if_addr.h).
  private static func request(_ address: IPAddress, adds: Bool, link: Int32) -> NetlinkRequest {
    NetlinkRequest(
      adds ? "RTM_NEWADDR" : "RTM_DELADDR", "\(address) on lo", type: adds ? 20 : 21,
      flags: adds ? MessageFlags.create | MessageFlags.replace : 0
    ) {
      let hostScope: UInt8 = 254  // never chosen as the source of what goes elsewhere
      let noDuplicateCheck: UInt8 = 0x02
      $0.append([address.family.rawValue, UInt8(address.bytes.count * 8), address.family == .ipv6 ? noDuplicateCheck : 0, hostScope])
      $0.append(native: link)
      $0.attribute(2, address.bytes)  // IFA_LOCAL
      $0.attribute(1, address.bytes)  // IFA_ADDRESS
    }
  }
}

/// Short work on a thread in a network namespace.
enum NamespaceThreads {
  static func run<Value: Sendable>(_ namespace: SharedDescriptor?, _ job: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await NamespaceThread(namespace.map { .existing($0) } ?? .current).perform(job)
  }
}
