import LinuxKernel
import NFTables
import Netlink
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Tells when somebody else changes what leads to other nodes, as the kernel says it.
final class PeerWatcher: Sendable {
  private let thread: NamespaceThread
  private let wakeUp: SharedDescriptor
  /// Links whose changes matter: those with our node's addresses, and our own devices.
  private let links: SharedLinks

  final class SharedLinks: Sendable {
    let indexes = Mutex<Set<Int32>>([])
  }

  /// RTMGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
  private static let groups: UInt32 = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400

  /// - Parameters:
  ///   - own: sockets whose changes are our own
  ///   - changed: somebody changed something, or events were lost; may be called often
  init(_ home: NamespaceThread.Home, own: Set<UInt32>, changed: @escaping @Sendable () -> Void) throws {
    let thread = try NamespaceThread(home)
    let socket = try thread.performBlocking { try NetlinkSocket(.route, groups: Self.groups) }
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw KernelError("socketpair", errno: Errno(rawValue: errno))
    }
    let signals = SharedDescriptor(OwnedDescriptor(owning: ends[0]))
    wakeUp = SharedDescriptor(OwnedDescriptor(owning: ends[1]))
    let links = SharedLinks()
    self.links = links
    self.thread = thread
    Task.detached {
      try? await thread.perform { Self.watch(socket, signals: signals, own: own, links: links, changed: changed) }
    }
  }

  deinit { stop() }

  func stop() { _ = send(wakeUp.rawValue, [UInt8(1)], 1, Int32(MSG_NOSIGNAL)) }

  func follow(_ indexes: Set<Int32>) { links.indexes.withLock { $0 = indexes } }

  private static func watch(
    _ socket: NetlinkSocket, signals: SharedDescriptor, own: Set<UInt32>, links: SharedLinks, changed: () -> Void
  ) {
    while true {
      var waiting = [
        pollfd(fd: socket.rawDescriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.rawValue, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waiting, 2, -1)
      if waiting[1].revents != 0 { return }
      guard waiting[0].revents != 0 else { continue }
      do {
        let events = try socket.events()
        let indexes = links.indexes.withLock { $0 }
        if events.contains(where: { !own.contains($0.port) && matters($0, links: indexes) }) { changed() }
      } catch {
        changed()
      }
    }
  }

  /// Pods come and go by messages of the same kinds: those do not matter here.
  static func matters(_ message: NetlinkMessage, links: Set<Int32>) -> Bool {
    switch message.type {
    case 16, 17: Link(message).map { links.contains($0.index) } ?? false  // RTM_NEWLINK, RTM_DELLINK
    case 20, 21: FamilyAddress(message).map { !isLinkLocal($0.address) } ?? false  // RTM_NEWADDR, RTM_DELADDR
    case 25: GatewayRoute(message).map { $0.origin == Route.ours && links.contains($0.link) } ?? false  // RTM_DELROUTE
    case 29: message.payload.count >= 12 && links.contains(Int32(bitPattern: index(message)))  // RTM_DELNEIGH
    default: false
    }
  }

  private static func index(_ message: NetlinkMessage) -> UInt32 {
    message.payload[4..<8].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func isLinkLocal(_ address: IPAddress) -> Bool {
    address.family == .ipv6 && address.bytes[0] == 0xfe && address.bytes[1] & 0xc0 == 0x80
  }
}
