import LinuxKernel
import NFTables
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Tells when somebody else changes one of the tables, as the kernel says it.
package final class TableWatcher: Sendable {
  private let thread: NamespaceThread
  private let wakeUp: SharedDescriptor

  /// - Parameter changed: somebody changed one of the tables, or events were lost; may be called often
  package init(_ home: NamespaceThread.Home, tables: Set<Table>, own: UInt32, changed: @escaping @Sendable () -> Void) throws {
    let thread = try NamespaceThread(home)
    let socket = try thread.performBlocking { try NetlinkSocket(.netfilter, groups: TableEvent.group) }
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      throw KernelError("socketpair", errno: Errno(rawValue: errno))
    }
    let signals = SharedDescriptor(OwnedDescriptor(owning: ends[0]))
    wakeUp = SharedDescriptor(OwnedDescriptor(owning: ends[1]))
    self.thread = thread
    Task.detached {
      try? await thread.perform { Self.watch(socket, signals: signals, tables: tables, own: own, changed: changed) }
    }
  }

  deinit { stop() }

  package func stop() { _ = send(wakeUp.rawValue, [UInt8(1)], 1, Int32(MSG_NOSIGNAL)) }

  private static func watch(_ socket: NetlinkSocket, signals: SharedDescriptor, tables: Set<Table>, own: UInt32, changed: () -> Void) {
    while true {
      var waiting = [
        pollfd(fd: socket.rawDescriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.rawValue, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waiting, 2, -1)
      if waiting[1].revents != 0 { return }
      guard waiting[0].revents != 0 else { continue }
      do {
        let isForeign = try socket.events().contains { message in
          guard message.port != own, let event = TableEvent(message) else { return false }
          return tables.contains(event.table)
        }
        if isForeign { changed() }
      } catch {
        changed()
      }
    }
  }
}
