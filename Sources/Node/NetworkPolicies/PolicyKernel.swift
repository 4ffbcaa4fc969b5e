import LinuxKernel
import NFTables
import Netlink
import PolicyRules

/// The tables of policies in one network namespace. Blocking work happens on its own thread there.
final class PolicyKernel: Sendable {
  private let thread: NamespaceThread
  private let socket: NetlinkSocket
  private let watcher: TableWatcher

  /// - Parameter changed: somebody else changed one of the tables
  init(_ hostNamespace: SharedDescriptor?, tables: [Table], changed: @escaping @Sendable () -> Void) throws {
    let thread = try NamespaceThread(hostNamespace.map { .existing($0) } ?? .current)
    let socket = try thread.performBlocking { try NetlinkSocket(.netfilter) }
    watcher = try TableWatcher(.existing(thread.namespace), tables: Set(tables), own: socket.port, changed: changed)
    self.thread = thread
    self.socket = socket
  }

  func stop() { watcher.stop() }

  func apply(_ changes: [Change], to table: Table) async throws {
    try await thread.perform { [socket] in try socket.commit(Transaction(table, changes)) }
  }

  /// Takes tables away that are there.
  static func remove(_ tables: [Table], _ hostNamespace: SharedDescriptor?) async throws {
    let thread = try NamespaceThread(hostNamespace.map { .existing($0) } ?? .current)
    try await thread.perform {
      let socket = try NetlinkSocket(.netfilter)
      let there = Set(try socket.tables())
      for table in tables where there.contains(table) { try socket.commit(.deleting(table)) }
    }
  }
}
