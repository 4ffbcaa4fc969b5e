import LinuxKernel
import Netlink
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Tells when host ends of pods disappear, as the kernel says it, and when patience with one is over.
final class LinkWatcher: Sendable {
  private let thread: NamespaceThread
  private let wakeUp: SharedDescriptor

  /// - Parameters:
  ///   - gone: a link of this name was removed
  ///   - missed: events were lost; look at all links
  ///   - due: called now and then; does what is due, and says in how many milliseconds there is more (nil: nothing waits)
  init(
    _ home: NamespaceThread.Home, gone: @escaping @Sendable (String) -> Void, missed: @escaping @Sendable () -> Void,
    due: @escaping @Sendable () -> Int32?
  ) throws {
    let thread = try NamespaceThread(home)
    let linkEvents: UInt32 = 1  // RTMGRP_LINK
    let socket = try thread.performBlocking { try NetlinkSocket(.route, groups: linkEvents) }
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw KernelError("socketpair", errno: Errno(rawValue: errno)) }
    let signals = SharedDescriptor(OwnedDescriptor(owning: ends[0]))
    wakeUp = SharedDescriptor(OwnedDescriptor(owning: ends[1]))
    self.thread = thread
    Task.detached {
      try? await thread.perform { Self.watch(socket, signals: signals, gone: gone, missed: missed, due: due) }
    }
  }

  deinit { stop() }

  /// Asks `due` again soon. A full pipe wakes too.
  func wake() { _ = write(wakeUp.rawValue, [Self.wakeSignal], 1) }

  func stop() { _ = write(wakeUp.rawValue, [Self.stopSignal], 1) }

  private static let wakeSignal: UInt8 = 1
  private static let stopSignal: UInt8 = 2

  private static func watch(
    _ socket: NetlinkSocket, signals: SharedDescriptor, gone: (String) -> Void, missed: () -> Void, due: () -> Int32?
  ) {
    while true {
      var waiting = [
        pollfd(fd: socket.rawDescriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.rawValue, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waiting, 2, due() ?? -1)
      if waiting[1].revents != 0 {
        var received = [UInt8](repeating: 0, count: 64)
        let count = read(signals.rawValue, &received, received.count)
        if count == 0 || received.contains(stopSignal) { return }  // 0: the watcher itself is gone
      }
      guard waiting[0].revents != 0 else { continue }
      do {
        for message in try socket.events() where message.type == 17 {  // RTM_DELLINK
          if let link = Link(message) { gone(link.name) }
        }
      } catch {
        missed()
      }
    }
  }
}
